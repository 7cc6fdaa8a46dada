package logtoauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
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
shown, those behind a failed one too, with a hint how to fix it. Where people can
sign in with a browser (sign_in), it also tells what a request without a token
gets: a redirect, and what is then asked for, or 401.

With --url, and --method where it is not GET, only those handlers are shown that
such a request meets. Host and port are those that Caddy gets; if no site of the
config serves them, this is said. Matchers are evaluated as they are written;
where one asks for something that URL and method do not tell (a header, an
address, a path after a rewrite), this is said.

The tenant's keys are fetched as the site would fetch them. A running Caddy may
have stored keys, and use them while the tenant is down; this command does not.
With --jwks-file they come from a file, without any network. With --at the
token is judged at another time, in RFC 3339 or in seconds since 1970.

Where a site has revocation, its list is read from the storage of the config, as
it is now, and nothing is written there. For that, run this as the user that
Caddy runs as, with its environment.

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

// explainConfig lets the handlers of a config judge a token.
func explainConfig(config []byte, token string, original *http.Request, jwksFile string, now clock) (*report, error) {
	var site siteConfig
	if err := json.Unmarshal(config, &site); err != nil {
		return nil, fmt.Errorf("reading the config: %w", err)
	}
	ctx, cancel, err := site.contextOfQuestions()
	if err != nil {
		return nil, err
	}
	defer cancel()
	if err := site.readList(ctx); err != nil {
		return nil, err
	}
	e := &walker{
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
	result.summarize(original)
	return result, nil
}

// contextOfQuestions is a context in which handlers of the config are loaded as
// Caddy loads them. Nothing else of the config is, so that no log is opened and
// no port or certificate is needed.
func (c *siteConfig) contextOfQuestions() (caddy.Context, func(), error) {
	base, err := caddy.ProvisionContext(&caddy.Config{
		// The report says all there is to say.
		Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{caddy.DefaultLoggerName: {BaseLog: caddy.BaseLog{Level: "PANIC"}}}},
	})
	if err != nil {
		return caddy.Context{}, nil, err
	}
	ctx, cancel := caddy.NewContext(base)
	module, err := ctx.App(appName)
	if err != nil {
		cancel()
		return caddy.Context{}, nil, err
	}
	app := module.(*App)
	// A diagnosis leaves nothing behind, and wants the tenant's own word
	// rather than keys that were stored once.
	app.env.Storage, app.storage = nil, nil
	// Caddy's HTTP app is not loaded, so nobody surveys the sites.
	for _, server := range c.Apps.HTTP.Servers {
		found, _ := server.surveyed().findAuths()
		app.auths = append(app.auths, found...)
	}
	return ctx, cancel, nil
}

// report is what a config says of a token.
type report struct {
	Outcome  verdict        `json:"outcome"`
	Summary  string         `json:"summary"`
	At       time.Time      `json:"at"`
	Notes    []string       `json:"notes,omitempty"`
	Token    shownToken     `json:"token"`
	Handlers []*explanation `json:"handlers"`

	// unserved says that no site is for the request; empty if one is.
	unserved string
}

// summarize makes one verdict of those of all handlers. original is nil if the
// question is about all requests.
func (r *report) summarize(original *http.Request) {
	outcomes := make(map[verdict]int)
	guarded := false
	for _, told := range r.Handlers {
		outcome := told.Outcome
		if outcome == verdictRefused && told.ReportOnly {
			outcome = verdictAdmitted
		}
		if original != nil && outcome != verdictAdmitted && len(told.Depends) > 0 {
			outcome = verdictDepends
		}
		outcomes[outcome]++
		guarded = guarded || told.Directive == authDirective && len(told.Depends) == 0
	}
	admitted, refused := outcomes[verdictAdmitted], outcomes[verdictRefused]
	switch {
	case r.unserved != "":
		r.Outcome, r.Summary = verdictNotReached, r.unserved
	case outcomes[verdictEndpoint] > 0:
		r.Outcome, r.Summary = verdictEndpoint, "The request is for an endpoint of sign_in, which answers whatever the token."
	case len(r.Handlers) == 0:
		r.Outcome, r.Summary = verdictNotReached, "No logto_auth and no logto_require is for this request: it passes without a token."
	case refused > 0:
		r.Outcome, r.Summary = verdictRefused, "The token is refused."
		if original == nil && admitted > 0 {
			r.Summary = fmt.Sprintf("The token is refused by some: %d of %d handlers admit it. With --url you see those of one request.",
				admitted, len(r.Handlers))
		}
	case outcomes[verdictDepends] > 0 || original != nil && !guarded:
		r.Outcome, r.Summary = verdictDepends, "Whether the token is admitted depends on more than is known here."
	default:
		r.Outcome, r.Summary = verdictAdmitted, "The token is admitted."
	}
}

// text is the report for people.
func (r *report) text(p palette) string {
	w := new(strings.Builder)
	fmt.Fprintf(w, "Judged at %s.\n", r.At.Format(time.RFC3339))
	for _, note := range r.Notes {
		fmt.Fprintf(w, "%s: %s\n", p.doubt("Note"), note)
	}
	for _, part := range []struct {
		name string
		json json.RawMessage
	}{{"header", r.Token.Header}, {"claims", r.Token.Claims}} {
		if part.json != nil {
			fmt.Fprintf(w, "\n%s %s\n", p.title(part.name), part.json)
		}
	}
	for _, told := range r.Handlers {
		told.write(w, p)
	}
	paint := p.bad
	switch r.Outcome {
	case verdictAdmitted:
		paint = p.good
	case verdictDepends:
		paint = p.doubt
	}
	fmt.Fprintf(w, "\n%s\n", paint(r.Summary))
	return w.String()
}

func (t *explanation) write(w *strings.Builder, p palette) {
	where := "every request"
	if t.Where != "" {
		where = t.Where
	}
	fmt.Fprintf(w, "\n%s for %s\n", p.title(t.Directive), where)
	for _, check := range t.Checks {
		check.write(w, p)
	}
	switch t.Outcome {
	case verdictEndpoint:
		status := ""
		if t.Status != 0 {
			status = fmt.Sprintf("%d, ", t.Status)
		}
		fmt.Fprintf(w, "  => %s answers: %s\n", t.Endpoint, status+t.Hint)
	case verdictAdmitted:
		fmt.Fprintf(w, "  => %s\n", p.good("admits the token"))
	case verdictRefused:
		fmt.Fprintf(w, "  => %s with %d %s, %q\n", p.bad("refuses"), t.Status, t.Reason, t.Error)
		said := slices.ContainsFunc(t.Checks, func(check checkResult) bool { return check.Hint == t.Hint })
		if t.Hint != "" && !said {
			fmt.Fprintf(w, "     %s\n", t.Hint)
		}
		if t.ReportOnly {
			fmt.Fprintf(w, "     %s\n", p.doubt("report_only: the request passes nevertheless"))
		}
	case verdictDepends:
		condition := "if the organization is the one that the request asks for"
		if slices.Contains(t.Depends, theList) {
			condition = "unless it was revoked"
		}
		fmt.Fprintf(w, "  => %s\n", p.doubt("admits the token "+condition))
	case verdictNotReached:
		fmt.Fprintf(w, "  => not reached: the logto_auth before it refuses\n")
	}
	t.Visit.write(w, p)
	if len(t.Depends) > 0 {
		fmt.Fprintf(w, "     not known here: %s\n", strings.Join(t.Depends, ", "))
	}
}

func (c *checkResult) write(w *strings.Builder, p palette) {
	mark := p.good("ok  ")
	switch c.Result {
	case checkFailed:
		mark = p.bad("FAIL")
	case checkUnknown:
		mark = p.doubt("?   ")
	}
	line := fmt.Sprintf("  %s  %-18s %s", mark, c.Check, c.Found)
	if c.Asked != "" && c.Result != checkOK {
		line += "  (asked: " + c.Asked + ")"
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
	if c.Hint != "" {
		fmt.Fprintf(w, "        %s\n", c.Hint)
	}
}
