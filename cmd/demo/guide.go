package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// printGuide says what runs where and gives a curl line for each check.
func printGuide(out io.Writer, s *stack) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Open    http://%s/ in a browser: a members' site, where you sign in as Alice or Bob\n\n", s.members)
	fmt.Fprintf(&b, "Tenant  %s, with discovery at %s%s\n", s.tenant.Issuer(), s.tenant.Endpoint(), devtenant.DiscoveryPath)
	fmt.Fprintf(&b, "Caddy   http://%s, from %s; what it refuses is explained on standard error\n", s.caddy, s.config)
	fmt.Fprintf(&b, "\nA token of your own, where resource, organization_id and scope may vary:\n  %s\n", tokenLine(s))
	fmt.Fprintf(&b, "\nWhat Caddy knows of the tenant's keys; fetching them now; what it counts:\n  %s\n  %s\n  %s\n",
		"curl http://"+s.admin+tenantsPath, "curl -X POST http://"+s.admin+refreshPath, "curl http://"+s.admin+metricsPath)
	for _, section := range sections {
		if section.onlyCheck != "" {
			fmt.Fprintf(&b, "\n\n%s\n%s\n\n", section.title, strings.Repeat("=", len(section.title)))
			fmt.Fprintf(&b, "# %s\n", section.onlyCheck)
			continue
		}
		fmt.Fprintf(&b, "\n\n%s\n%s\n", section.title, strings.Repeat("=", len(section.title)))
		for _, check := range section.checks {
			fmt.Fprintf(&b, "\n# %s: expect %d %s\n", check.name, check.want.status, check.want.body)
			if check.want.challenge != "" {
				fmt.Fprintf(&b, "# WWW-Authenticate: %s\n", check.want.challenge)
			}
			fmt.Fprintln(&b, curlLine(s, section.host, check))
		}
	}
	fmt.Fprint(&b, "\nServing until interrupted (Ctrl+C).\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// curlLine quotes with double quotes only, which every shell takes, those of
// Windows too. A host goes into a header, since not every resolver knows names
// below localhost.
func curlLine(s *stack, host string, c check) string {
	words := []string{"curl", "-i"}
	if c.method != "" {
		words = append(words, "-X", c.method)
	}
	if host != "" {
		words = append(words, "-H", `"Host: `+host+`"`)
	}
	if c.token != nil {
		words = append(words, "-H", `"Authorization: Bearer `+c.token(s)+`"`)
	}
	return strings.Join(append(words, "http://"+s.caddy+c.path), " ")
}

func tokenLine(s *stack) string {
	return fmt.Sprintf(`curl -u %s:%s -d grant_type=client_credentials -d resource=%s -d "scope=read:products write:orders" %s%s`,
		demoClient, demoSecret, api, s.tenant.Endpoint(), devtenant.TokenPath)
}
