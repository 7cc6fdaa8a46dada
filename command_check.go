package logtoauth

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

func checkCommand() *cobra.Command {
	tenant := new(Handler)
	var timeout time.Duration
	var asJSON bool
	var config, adapter string
	cmd := newCommand(&cobra.Command{
		Use:   "check {--endpoint <url> [--issuer <iss>] [--jwks-uri <url>] [--trusted-ca-file <path>] [--insecure-http] [--timeout <duration>] | --config <path> [--adapter <name>]} [--json]",
		Short: "Checks that a Logto tenant can be used from here",
		Long: `
Fetches the discovery document and the keys of a tenant in the way a site with
logto_auth does, and prints the issuer, the keys, the headers that matter, and
how far the clocks differ; or what is wrong, and how to fix it.

The flags are named after the settings of logto_auth. Nothing is stored, and no
running Caddy is asked: its admin API has /logto_auth/tenants for that.

With --config the tenants of a config are checked. Where people sign in with a
browser (sign_in), the app ID and the app secret are tested, by asking for tokens
with a refresh token that is made up; the redirect and post sign-out URIs are
printed that must be registered in Logto, and the back-channel logout URI; and it
is said which directives keep the endpoints of sign-in from answering. Where a
site takes webhooks (webhook_secret), their address is printed, and the events to
choose in Logto; and it is said what keeps webhooks from that address, such as
another logto_auth there with another signing key. No secret is ever printed.

Exits with 0 if tokens of the tenant can be verified, 1 if not, and 2 if a flag
or the config is wrong. If the tenant calls itself by a name that --issuer does
not list, its tokens would be refused, and that is 1 too. So is an app that
nobody can sign in to, and a webhook that does not arrive.
`,
		Example: `  $ caddy logto-auth check --endpoint https://your-tenant.logto.app
  $ caddy logto-auth check --endpoint http://logto:3001 --issuer https://login.example.com/oidc --insecure-http
  $ caddy logto-auth check --config /etc/caddy/Caddyfile`,
	}, func(cmd *cobra.Command) (bool, error) {
		if config != "" || adapter != "" {
			for _, other := range []string{"endpoint", "issuer", "jwks-uri", "trusted-ca-file", "insecure-http", "timeout"} {
				if cmd.Flags().Changed(other) {
					return false, usage{fmt.Errorf("--%s does not go together with --config, which says it all", other)}
				}
			}
			return runCheckConfig(cmd, config, adapter, asJSON)
		}
		tenant.FetchTimeout = caddy.Duration(timeout)
		cfg, err := tenantOfFlags(tenant)
		if err != nil {
			return false, usage{err}
		}
		report, err := keys.Inspect(cmd.Context(), cfg, time.Duration(defaultLeeway))
		if err != nil {
			return false, usage{err}
		}
		if asJSON {
			return report.OK, writeJSON(cmd.OutOrStdout(), report)
		}
		_, err = io.WriteString(cmd.OutOrStdout(), inspectionText(report, newPalette(cmd.OutOrStdout())))
		return report.OK, err
	})
	flags := cmd.Flags()
	flags.StringVarP(&tenant.Endpoint, "endpoint", "e", "", "The tenant's URL, with or without /oidc")
	flags.StringArrayVar(&tenant.Issuers, "issuer", nil, "An accepted issuer, instead of the discovered one (may be repeated)")
	flags.StringVar(&tenant.JWKSURI, "jwks-uri", "", "Where the keys are, instead of the discovered address")
	flags.StringVar(&tenant.TrustedCAFile, "trusted-ca-file", "", "A PEM file with the CA of the tenant's certificate")
	flags.BoolVar(&tenant.InsecureHTTP, "insecure-http", false, "Allow a plain-http tenant that is not loopback")
	flags.DurationVar(&timeout, "timeout", time.Duration(defaultFetchTimeout), "How long the fetch may take")
	flags.StringVarP(&config, "config", "c", "", "A config whose tenants, sign-ins and webhooks to check")
	flags.StringVarP(&adapter, "adapter", "a", "", "The adapter of a config that is neither JSON nor a Caddyfile")
	flags.BoolVar(&asJSON, "json", false, "Print a report for programs")
	return cmd
}

func runCheckConfig(cmd *cobra.Command, name, adapter string, asJSON bool) (bool, error) {
	config, err := readConfig(name, adapter)
	if err != nil {
		return false, usage{err}
	}
	report, err := checkConfig(cmd.Context(), config)
	if err != nil {
		return false, usage{err}
	}
	if asJSON {
		return report.OK, writeJSON(cmd.OutOrStdout(), report)
	}
	_, err = io.WriteString(cmd.OutOrStdout(), report.text(newPalette(cmd.OutOrStdout())))
	return report.OK, err
}

// tenantOfFlags judges what the flags say of a tenant as a config's settings
// are judged.
func tenantOfFlags(tenant *Handler) (keys.Config, error) {
	if tenant.Endpoint == "" && tenant.JWKSURI == "" {
		return keys.Config{}, errors.New("name the tenant with --endpoint <url>, or a config with --config <path>")
	}
	f := &findings{stage: loading}
	tenant.vetTenant(f)
	if tenant.FetchTimeout <= 0 {
		f.add("timeout", "must be more than nothing")
	}
	if err := joinProblems(f.problems); err != nil {
		return keys.Config{}, err
	}
	tenant.applyDefaults()
	return tenant.tenantConfig()
}

// inspectionText is the report for people.
func inspectionText(report *keys.Inspection, p palette) string {
	var w strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&w, "%-10s %s\n", label, fmt.Sprintf(format, args...))
	}
	if report.Endpoint != "" {
		line("endpoint", "%s", report.Endpoint)
	}
	for _, e := range report.Requests {
		answer := e.Error
		if answer == "" {
			answer = fmt.Sprintf("%s in %d ms", e.Status, e.Milliseconds)
		}
		line("request", "GET %s: %s", e.URL, answer)
		for _, header := range [][2]string{{"Content-Type", e.ContentType}, {"Cache-Control", e.CacheControl}, {"ETag", e.ETag}} {
			if header[1] != "" {
				line("", "  %s: %s", header[0], header[1])
			}
		}
	}
	if report.Issuer != "" {
		line("issuer", "%s", report.Issuer)
	}
	line("accepted", "%s", strings.Join(report.Accepted, ", "))
	if report.Clock != nil {
		line("clock", "%s", clockText(*report.Clock))
	}
	for _, key := range report.Keys {
		line("key", "%s, %s, %s", key.KID, strings.TrimSpace(key.KTY+" "+key.CRV), strings.Join(key.Algorithms, " "))
	}
	for _, leftOut := range report.LeftOut {
		line(p.doubt("left out"), "%s", leftOut)
	}
	for _, warning := range report.Warnings {
		line(p.doubt("warning"), "%s", warning)
	}
	if report.OK {
		fmt.Fprintf(&w, "\n%s\n", p.good("Tokens of this tenant can be verified."))
		return w.String()
	}
	fmt.Fprintf(&w, "\n%s: %s\n", p.bad("The tenant cannot be used"), report.Problem)
	if report.Advice != "" {
		fmt.Fprintf(&w, "What to do: %s\n", report.Advice)
	}
	return w.String()
}

func clockText(ahead int64) string {
	switch {
	case ahead > 1:
		return fmt.Sprintf("the tenant's is %d s ahead", ahead)
	case ahead < -1:
		return fmt.Sprintf("the tenant's is %d s behind", -ahead)
	default:
		return "the same, to the second"
	}
}
