package logtoauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// The exit codes of the commands: 0 is yes, the tenant can be used or the
// token is admitted.
const (
	exitNo    = 1
	exitUsage = 2
)

func init() {
	caddycmd.RegisterCommand(command())
}

func command() caddycmd.Command {
	return caddycmd.Command{
		Name:  "logto-auth",
		Usage: "<command>",
		Short: "Finds out why a Logto tenant or a token is not accepted",
		Long: `
Answers two questions of whoever runs a site with logto_auth: can this machine
use the tenant (check), and what does my config say of this token (explain).

Both exit with 0 for yes, 1 for no and 2 for a mistake in the command's use.
`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.Args = cobra.ArbitraryArgs // or cobra would answer 0 to an unknown command
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				if len(args) > 0 {
					return usageError(cmd, fmt.Errorf("there is no command %q; there are check and explain", args[0]))
				}
				return cmd.Help()
			}
			cmd.AddCommand(checkCommand(), explainCommand())
		},
	}
}

// usage is a mistake in how a command is used.
type usage struct{ error }

func (u usage) Unwrap() error { return u.error }

// newCommand makes a subcommand whose mistakes in flags and arguments have
// the exit code of usage, and which takes no arguments.
func newCommand(cmd *cobra.Command, run func(cmd *cobra.Command) (yes bool, err error)) *cobra.Command {
	cmd.SetFlagErrorFunc(usageError)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			// It is not repeated: it may be a token.
			return usageError(cmd, errors.New("the command takes flags only; a token belongs on standard input"))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		yes, err := run(cmd)
		if mistake, ok := errors.AsType[usage](err); ok {
			return usageError(cmd, mistake.error)
		}
		cmd.SilenceErrors = true
		if err != nil {
			cmd.PrintErrf("Error: %s\n", legible.Lines(err.Error()))
			return err
		}
		if !yes {
			return errors.New("no") // has been said; Caddy makes exit code 1 of it
		}
		return nil
	}
	return cmd
}

// usageError tells a mistake in one sentence and makes exit code 2 of it.
func usageError(cmd *cobra.Command, err error) error {
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.PrintErrf("Error: %s\nRun '%s --help' for usage.\n", legible.Lines(err.Error()), cmd.CommandPath())
	// Caddy's type for exit codes is not exported, its wrapper is.
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return exitUsage, nil })(cmd, nil)
}

// writeJSON prints a report for other programs.
func writeJSON(w io.Writer, report any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}

// palette colours what people read, on a terminal only.
type palette struct{ on bool }

func newPalette(w io.Writer) palette {
	file, ok := w.(*os.File)
	return palette{on: ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))}
}

func (p palette) good(text string) string  { return p.paint("32", text) }
func (p palette) bad(text string) string   { return p.paint("31", text) }
func (p palette) doubt(text string) string { return p.paint("33", text) }
func (p palette) title(text string) string { return p.paint("1", text) }

func (p palette) paint(code, text string) string {
	if !p.on {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func checkCommand() *cobra.Command {
	tenant := new(Handler)
	var timeout time.Duration
	var asJSON bool
	cmd := newCommand(&cobra.Command{
		Use:   "check --endpoint <url> [--issuer <iss>] [--jwks-uri <url>] [--trusted-ca-file <path>] [--insecure-http] [--timeout <duration>] [--json]",
		Short: "Checks that a Logto tenant can be used from here",
		Long: `
Fetches the discovery document and the keys of a tenant in the way a site with
logto_auth does, and prints the issuer, the keys, the headers that matter, and
how far the clocks differ; or what is wrong, and how to fix it.

The flags are named after the settings of logto_auth. Nothing is stored, and no
running Caddy is asked: its admin API has /logto_auth/tenants for that.

Exits with 0 if tokens of the tenant can be verified, 1 if not, and 2 if a flag
is wrong. If the tenant calls itself by a name that --issuer does not list, its
tokens would be refused, and that is 1 too.
`,
		Example: `  $ caddy logto-auth check --endpoint https://your-tenant.logto.app
  $ caddy logto-auth check --endpoint http://logto:3001 --issuer https://login.example.com/oidc --insecure-http`,
	}, func(cmd *cobra.Command) (bool, error) {
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
	flags.BoolVar(&asJSON, "json", false, "Print a report for programs")
	return cmd
}

// tenantOfFlags judges what the flags say of a tenant as a config's settings
// are judged.
func tenantOfFlags(tenant *Handler) (keys.Config, error) {
	if tenant.Endpoint == "" && tenant.JWKSURI == "" {
		return keys.Config{}, errors.New("name the tenant with --endpoint <url>")
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
