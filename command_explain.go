package logtoauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"
)

// explainOptions are the flags of explain.
type explainOptions struct {
	config, adapter, url, method, jwksFile, at string

	asJSON bool
}

func explainCommand() *cobra.Command {
	options := new(explainOptions)
	cmd := newCommand(&cobra.Command{
		Use:   "explain --config <path> [--adapter <name>] [--url <url>] [--method <method>] [--jwks-file <path>] [--at <time>] [--json]",
		Short: "Tells what a config says of a token, check by check",
		Long: `
Reads an access token from standard input and lets each logto_auth and each
logto_require of a config judge it, as they would in a request. Every check is
shown, those behind a failed one too, with a hint how to fix it.

With --url, and --method where it is not GET, only those handlers are shown that
such a request meets. Host and port are those that Caddy gets; if no site of the
config serves them, this is said. Matchers are evaluated as they are written;
where one asks for something that URL and method do not tell (a header, an
address, a path after a rewrite), this is said.

The tenant's keys are fetched as the site would fetch them. A running Caddy may
have stored keys, and use them while the tenant is down; this command does not.
With --jwks-file the keys come from a file, and no network is used. With --at the token is judged at
another time, in RFC 3339 or in seconds since 1970.

The token is never taken from an argument, where other users of the machine
could see it, and its signature is never printed.

Exits with 0 if the token is admitted, 1 if it is not, if that depends on more
than is known or if no site serves the URL, and 2 if a flag, the config or the input is unusable.
`,
		Example: `  $ caddy logto-auth explain --config Caddyfile < token.txt
  $ pbpaste | caddy logto-auth explain --config Caddyfile --url https://api.example.com/products --method POST`,
	}, func(cmd *cobra.Command) (bool, error) { return runExplain(cmd, options) })
	flags := cmd.Flags()
	flags.StringVarP(&options.config, "config", "c", "", "The config (default: the Caddyfile in the current directory)")
	flags.StringVarP(&options.adapter, "adapter", "a", "", "The adapter of a config that is neither JSON nor a Caddyfile")
	flags.StringVarP(&options.url, "url", "u", "", "The URL of a request, to show only what it meets")
	flags.StringVarP(&options.method, "method", "m", "", "The method of that request (default: GET)")
	flags.StringVar(&options.jwksFile, "jwks-file", "", "A file with the tenant's keys, to use no network")
	flags.StringVar(&options.at, "at", "", "The time to judge the token at (default: now)")
	flags.BoolVar(&options.asJSON, "json", false, "Print a report for programs")
	return cmd
}

func runExplain(cmd *cobra.Command, options *explainOptions) (bool, error) {
	now := time.Now
	if options.at != "" {
		at, err := parseTime(options.at)
		if err != nil {
			return false, usage{err}
		}
		now = func() time.Time { return at }
	}
	original, err := parseQuestion(options.url, options.method)
	if err != nil {
		return false, usage{err}
	}
	config, err := readConfig(options.config, options.adapter)
	if err != nil {
		return false, usage{err}
	}
	token, notes, err := readToken(cmd.InOrStdin(), cmd.PrintErr)
	if err != nil {
		return false, usage{err}
	}
	result, err := explainConfig(config, token, original, options.jwksFile, now)
	if err != nil {
		return false, usage{err}
	}
	result.Notes = notes
	if options.asJSON {
		return result.Outcome == verdictAdmitted, writeJSON(cmd.OutOrStdout(), result)
	}
	_, err = io.WriteString(cmd.OutOrStdout(), result.text(newPalette(cmd.OutOrStdout())))
	return result.Outcome == verdictAdmitted, err
}

// explainConfig lets the handlers of a config judge a token. They are loaded
// as Caddy loads them, in a context of their own: nothing else of the config
// is, so that no log is opened and no port or certificate is needed.
func explainConfig(config []byte, token string, original *http.Request, jwksFile string, now clock) (*report, error) {
	var site siteConfig
	if err := json.Unmarshal(config, &site); err != nil {
		return nil, fmt.Errorf("reading the config: %w", err)
	}
	base, err := caddy.ProvisionContext(&caddy.Config{
		// The report says all there is to say.
		Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{caddy.DefaultLoggerName: {BaseLog: caddy.BaseLog{Level: "PANIC"}}}},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := caddy.NewContext(base)
	defer cancel()
	app, err := ctx.App(appName)
	if err != nil {
		return nil, err
	}
	// A diagnosis leaves nothing behind, and wants the tenant's own word
	// rather than keys that were stored once.
	app.(*App).env.Storage = nil
	e := &examiner{
		question: question{ctx: ctx, original: original},
		token:    token,
		clock:    now,
		adjust:   func(map[string]json.RawMessage) error { return nil },
	}
	if jwksFile != "" {
		e.adjust = func(settings map[string]json.RawMessage) error { return keysFromFile(settings, jwksFile) }
	}
	unserved, err := e.servers(&site)
	if err != nil {
		return nil, err
	}
	if original == nil && len(e.told) == 0 {
		return nil, errors.New("the config has no logto_auth and no logto_require")
	}
	result := &report{At: now().UTC().Truncate(time.Second), Token: showToken(token), Handlers: e.told, unserved: unserved}
	result.conclude(original)
	return result, nil
}
