package main

import (
	"fmt"
	"io"
	"strings"
)

// printGuide prints a screen for each thing to try, and last what runs where:
// that is what a terminal shows without scrolling.
func printGuide(out io.Writer, p paint, s *stack) error {
	var screens [][]string
	if s.guided {
		screens = append(screens, tokenScreen(p, s), ownTokenScreen(p, s))
		for _, section := range sections {
			if section.onlyCheck == "" {
				screens = append(screens, sectionScreen(p, s, section))
			}
		}
		screens = append(screens, suspensionScreen(p, s), onlyCheckScreen(p))
	}
	screens = append(screens, summaryScreen(p, s))
	var b strings.Builder
	for _, screen := range screens {
		b.WriteString(strings.Join(screen, "\n") + "\n\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// title is underlined, for those who look for it without colours.
func title(p paint, text string) []string {
	return []string{p.bold(text), p.bold(strings.Repeat("=", len(text)))}
}

func tokenScreen(p paint, s *stack) []string {
	lines := append(title(p, "Tokens, in files"), "",
		"For the curl lines below, open a second terminal and go to the tokens:", "",
		p.blue("cd "+s.directory), "")
	for _, token := range heldTokens {
		lines = append(lines, fmt.Sprintf("  %-13s %s", tokenFile(token.name), token.about))
	}
	return lines
}

// ownTokenScreen says what may be asked for. Its lines need a shell of Unix;
// those of the sections need none.
func ownTokenScreen(p paint, s *stack) []string {
	lines := append(title(p, "A token of your own"), "",
		"What the tenant grants to its client "+demoClient+":", "")
	for _, granted := range permissions {
		var asks []string
		if granted.Resource != "" {
			asks = append(asks, "resource="+granted.Resource)
		}
		if granted.OrganizationID != "" {
			asks = append(asks, "organization_id="+granted.OrganizationID)
		}
		lines = append(lines, "  "+strings.Join(asks, "&"), "      scope="+strings.Join(granted.Scopes, " "))
	}
	return append(lines, "",
		p.soft("# Get a token, and send it. "+clientFile+" is a file with the client's secret."),
		p.blue(`A="resource=`+api+`&scope=read:products"`),
		p.blue(`T=$(curl -sd @`+clientFile+` -d "$A" `+s.tenant.address+`/oidc/token | grep -o 'ey[^"]*')`),
		p.blue(`curl -i -H "Authorization: Bearer $T" `+s.caddy+`/api/products`))
}

func sectionScreen(p paint, s *stack, section section) []string {
	lines := title(p, section.title)
	for _, check := range section.checks {
		lines = append(lines, "",
			p.soft(cut(fmt.Sprintf("# %s: %d %s", check.name, check.want.status, check.want.body))),
			p.blue(curlLine(s, section.host, check)))
	}
	return lines
}

// suspensionScreen has lines of which each changes what the next one gets.
func suspensionScreen(p paint, s *stack) []string {
	api := p.blue(curlLine(s, "", check{path: "/api/products", token: "alice"}))
	return append(title(p, "A person who is suspended"),
		"",
		p.soft("# Alice's token: 200 Hello, alice"),
		api, "",
		p.soft("# The tenant suspends her and sends Caddy a signed webhook:"),
		p.blue("curl -X POST "+s.caddy+"/demo/suspend"), "",
		p.soft(`# The same token, long before it expires: 401 {"error":"Invalid token"}`),
		api, "",
		p.soft("# She is back. Her old tokens stay refused; the files have new ones:"),
		p.blue("curl -X POST "+s.caddy+"/demo/reinstate"),
		api, "",
		p.soft("# Without a webhook, by hand. Run this in the repository, not in the directory"),
		p.soft("# of the tokens:"),
		p.blue("go run ./cmd/caddy logto-auth revoke --sub alice --address "+s.admin))
}

func onlyCheckScreen(p paint) []string {
	lines := append(title(p, "What -check does"), "",
		"go run ./cmd/demo -check sends all of these requests and compares the answers.", "It also does what curl cannot:")
	for _, section := range sections {
		if section.onlyCheck != "" {
			lines = append(append(lines, ""), wrap("- "+section.onlyCheck, "")...)
		}
	}
	return lines
}

func summaryScreen(p paint, s *stack) []string {
	lines := append(title(p, "What runs where"), "")
	if s.guided {
		lines = append(lines,
			"In a browser  "+p.blue("http://"+s.caddy+"/"),
			"              pick a request and a token, and see the answer",
			"              "+p.blue("http://"+s.members+"/"),
			"              a members' site: sign in as Alice or Bob")
	} else {
		lines = append(lines,
			"Your sites    "+p.blue("http://"+s.caddy+"/"),
			cut("              from "+s.config),
			"Members' site "+p.blue("http://"+s.members+"/"),
			"              sign in as Alice or Bob")
	}
	lines = append(lines,
		"Tenant        http://"+s.tenant.address+"/oidc",
		"Tokens        "+s.directory)
	if !s.guided {
		lines = append(lines,
			`              Send one with: curl -H @`+tokenFile(heldTokens[0].name)+" "+s.caddy)
	}
	lines = append(lines, "",
		"What Caddy knows of the tenant's keys, fetching them now, and its metrics:",
		"  "+p.blue("curl "+s.admin+tenantsPath),
		"  "+p.blue("curl -X POST "+s.admin+refreshPath),
		"  "+p.blue("curl "+s.admin+metricsPath), "")
	if s.guided {
		lines = append(lines, "Scroll up for the curl lines.")
	}
	return append(lines,
		"Refused requests appear below, each with its reason and a hint.",
		p.bold("Ctrl-C stops all of it and deletes the tokens."))
}

// curlLine quotes nothing, so that every shell takes it, those of Windows too.
// A host goes into a header, since not every resolver knows names below
// localhost.
func curlLine(s *stack, host string, c check) string {
	words := []string{"curl", "-i"}
	if c.method != "" {
		words = append(words, "-X", c.method)
	}
	if c.token != "" {
		words = append(words, "-H", "@"+tokenFile(c.token))
	}
	if host != "" {
		words = append(words, "-H", "Host:"+host)
	}
	return strings.Join(append(words, s.caddy+c.path), " ")
}
