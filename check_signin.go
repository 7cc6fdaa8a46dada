package logtoauth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
	"github.com/caddy-logto/caddy-logto-auth/internal/tokenendpoint"
)

// configReport is what a check of a config found.
type configReport struct {
	OK      bool               `json:"ok"`
	Tenants []*keys.Inspection `json:"tenants"`
	SignIns []*signInReport    `json:"sign_ins"`

	// Webhooks are those that the config takes, one for each signing key.
	Webhooks []*webhookReport `json:"webhooks"`
}

// signInReport is what a check found of one app.
type signInReport struct {
	OK       bool   `json:"ok"`
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id"`

	// Problem tells why nobody can sign in; empty if the app's ID and secret
	// are right.
	Problem string `json:"problem,omitempty"`

	Sites []*signInSite `json:"sites"`

	app *application
}

// signInSite is a host where people sign in.
type signInSite struct {
	Host string `json:"host"`

	// RedirectURIs and PostSignOutURIs must be registered in Logto.
	RedirectURIs    []string `json:"redirect_uris"`
	PostSignOutURIs []string `json:"post_sign_out_redirect_uris"`

	Notes []string `json:"notes,omitempty"`

	// Obstacles are what keeps the endpoints from answering.
	Obstacles []string `json:"obstacles,omitempty"`

	listen []string // the addresses of its server
}

// isSameAs reports whether two are one site. The same host on another port is
// another one.
func (s *signInSite) isSameAs(other *signInSite) bool {
	return s.Host == other.Host && slices.Equal(s.listen, other.listen)
}

// configChecker goes through the logto_auth handlers of a config.
type configChecker struct {
	ctx     context.Context //nolint:containedctx // of one command
	loads   caddy.Context
	tenants map[keys.ID]bool
	report  *configReport
}

// checkConfig checks the tenants of a config, its sign-ins and its webhooks.
func checkConfig(ctx context.Context, config []byte) (*configReport, error) {
	var site siteConfig
	if err := json.Unmarshal(config, &site); err != nil {
		return nil, fmt.Errorf("reading the config: %w", err)
	}
	loads, cancel, err := site.contextOfQuestions()
	if err != nil {
		return nil, err
	}
	defer cancel()
	c := &configChecker{
		ctx: ctx, loads: loads, tenants: make(map[keys.ID]bool),
		report: &configReport{OK: true, Tenants: []*keys.Inspection{}, SignIns: []*signInReport{}, Webhooks: []*webhookReport{}},
	}
	found := false
	for _, name := range slices.Sorted(maps.Keys(site.Apps.HTTP.Servers)) {
		server := site.Apps.HTTP.Servers[name]
		auths, _ := server.surveyed().findAuths()
		if err := conflictingSignIns(auths); err != nil {
			return nil, err
		}
		for _, auth := range auths {
			found = true
			if err := c.auth(server, auth, auths); err != nil {
				return nil, err
			}
		}
	}
	if !found {
		return nil, errors.New("the config has no logto_auth")
	}
	return c.report, nil
}

// auth checks one logto_auth, among all of its server.
func (c *configChecker) auth(server siteServer, auth *foundAuth, all []*foundAuth) error {
	module, err := c.loads.LoadModuleByID("http.handlers."+authDirective, json.RawMessage(auth.written))
	if err != nil {
		return err
	}
	handler := module.(*Handler)
	cfg, err := handler.tenantConfig()
	if err != nil {
		return err
	}
	if !c.tenants[cfg.ID()] && cfg.JWKSFile == "" { // a file has been read
		c.tenants[cfg.ID()] = true
		inspection, err := keys.Inspect(c.ctx, cfg, time.Duration(*handler.Leeway))
		if err != nil {
			return err
		}
		c.report.OK = c.report.OK && inspection.OK
		c.report.Tenants = append(c.report.Tenants, inspection)
	}
	if handler.signIn != nil {
		if err := c.signIn(server, auth.reach, handler.signIn); err != nil {
			return err
		}
	}
	if handler.takesWebhooks() {
		return c.webhook(server, auth, handler, all)
	}
	return nil
}

// signIn checks the sign_in of one logto_auth.
func (c *configChecker) signIn(server siteServer, reach reach, s *signIn) error {
	var report *signInReport
	for _, known := range c.report.SignIns {
		if known.app == s.app {
			report = known
		}
	}
	if report == nil {
		report = &signInReport{Issuer: s.app.issuer, ClientID: legible.Field(s.app.clientID), app: s.app}
		report.Problem = testApplication(c.ctx, s.app)
		report.OK = report.Problem == ""
		c.report.OK = c.report.OK && report.OK
		c.report.SignIns = append(c.report.SignIns, report)
	}
	hosts := reach.hosts
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, host := range hosts {
		site := server.signInSite(host, s)
		if slices.ContainsFunc(report.Sites, site.isSameAs) {
			continue // another logto_auth of the same site, with the same path
		}
		if err := c.endpoints(server, site, host, s); err != nil {
			return err
		}
		if len(site.Obstacles) > 0 {
			report.OK, c.report.OK = false, false
		}
		report.Sites = append(report.Sites, site)
	}
	return nil
}

// madeUp is a refresh token that no tenant has given.
const madeUp = "made-up-by-caddy-logto-auth-check"

// testApplication asks the tenant whether it knows the app and its secret, and
// returns what is wrong. The token endpoint compares these first; that it then
// refuses the refresh token is what is wanted.
func testApplication(ctx context.Context, app *application) (problem string) {
	_, err := app.endpoint.Refresh(ctx, session.RefreshRequest{RefreshToken: madeUp})
	failure, _ := errors.AsType[*tokenendpoint.Error](err)
	switch {
	case err == nil:
		return "the token endpoint takes a refresh token that is made up: endpoint is no Logto tenant"
	case failure == nil:
		return legible.Error(err)
	}
	switch failure.Code {
	case "invalid_grant":
		return ""
	case "invalid_client":
		return "the app ID or the app secret is wrong (invalid_client): compare both with the app in the Logto console"
	case "unauthorized_client":
		return "the app cannot sign people in (unauthorized_client): it must be of the type Traditional web"
	}
	return failure.Error()
}

// signInSite tells what to register for a host, which is empty for all hosts.
func (s siteServer) signInSite(host string, in *signIn) *signInSite {
	site := &signInSite{Host: cmp.Or(host, "all hosts"), RedirectURIs: []string{}, PostSignOutURIs: []string{}, listen: s.Listen}
	add := func(origin string) {
		signedOut := in.SignedOut
		if signedOut == "" {
			signedOut = in.Path + "/signed-out"
		}
		if strings.HasPrefix(signedOut, "/") {
			signedOut = origin + signedOut
		}
		site.RedirectURIs = append(site.RedirectURIs, origin+in.Path+"/callback")
		if !slices.Contains(site.PostSignOutURIs, signedOut) {
			site.PostSignOutURIs = append(site.PostSignOutURIs, signedOut)
		}
	}
	switch {
	case in.base != nil:
		add(in.BaseURL)
	case host == "":
		site.Notes = append(site.Notes, "the site is for all hosts: set base_url, or register one URI for each host that people use")
	case strings.ContainsAny(host, "*{"):
		site.Notes = append(site.Notes, "the host is a pattern: set base_url, or register one URI for each host that people use")
	default:
		for _, origin := range s.origins(host) {
			add(origin)
		}
		if strings.HasPrefix(site.RedirectURIs[0], "https:") && slices.ContainsFunc(s.publicPorts(), func(port string) bool { return s.isPlain(host, port) }) {
			site.Notes = append(site.Notes, "it is served over plain http: nobody can sign in there but through a proxy that speaks https, which trusted_proxies must name")
		}
	}
	if len(site.RedirectURIs) == 0 {
		site.Notes = append(site.Notes, "each is https://<host>"+in.Path+"/callback")
	}
	return site
}

// origins are the origins of a host as browsers see them, as far as the config
// tells. A site over plain http is for a proxy in front, whose port is not known,
// unless it is on loopback.
func (s siteServer) origins(host string) []string {
	_, err := session.NewSite(host, false)
	loopback := err == nil
	name := host
	if strings.Contains(host, ":") {
		name = "[" + host + "]"
	}
	var origins []string
	for _, port := range s.publicPorts() {
		scheme := "https"
		if s.isPlain(host, port) {
			if !loopback {
				port = ""
			} else {
				scheme = "http"
			}
		}
		origin := scheme + "://" + name
		if port != "" && port != keys.DefaultPort(scheme) {
			origin += ":" + port
		}
		if !slices.Contains(origins, origin) {
			origins = append(origins, origin)
		}
	}
	return origins
}

// isPlain reports whether a host is served over plain http on a port.
func (s siteServer) isPlain(host, port string) bool {
	return len(s.TLSPolicies) == 0 && (port == "80" || s.AutoHTTPS.Disabled || slices.Contains(s.AutoHTTPS.Skip, host))
}

// publicPorts are the ports that browsers use; "" is that of the scheme.
func (s siteServer) publicPorts() []string {
	var ports []string
	for _, port := range s.ports() {
		number, isPort := strings.CutPrefix(port, ":")
		if !isPort || number == "0" || strings.Contains(number, "-") {
			number = ""
		}
		ports = append(ports, number)
	}
	if len(ports) == 0 {
		return []string{""}
	}
	return ports
}

// endpoints follows the request for a callback through the routes, and notes
// what keeps it from the sign_in.
func (c *configChecker) endpoints(server siteServer, site *signInSite, host string, s *signIn) error {
	address := &url.URL{Scheme: "https", Host: exampleOf(host)}
	if s.base != nil {
		address.Host = s.base.Host
		if name := s.base.Hostname(); host != "" && !hostMatches([]string{host}, name) {
			site.Notes = append(site.Notes, "people who sign in here are sent to "+s.BaseURL+" first")
			address.Host = exampleOf(host)
		}
	} else if len(site.RedirectURIs) > 0 {
		if u, err := url.Parse(site.RedirectURIs[0]); err == nil {
			address.Scheme, address.Host = u.Scheme, u.Host
		}
	}
	address.Path = s.Path + "/callback"
	var err error
	site.Obstacles, err = c.obstacles(server, address, http.MethodGet, s.Path)
	return err
}

// obstacles follows a request for an endpoint below a path through the routes,
// and returns what keeps it from the logto_auth that would answer it.
func (c *configChecker) obstacles(server siteServer, address *url.URL, method, path string) (found []string, err error) {
	original, err := parseQuestion(address.String(), method)
	if err != nil {
		return nil, err
	}
	e := &walker{
		question: question{ctx: c.loads, original: original}, server: server, clock: time.Now,
		adjust: func(map[string]json.RawMessage) error { return nil },
	}
	if _, err := e.routes(server.Routes, position{}); err != nil {
		return nil, err
	}
	for _, told := range e.told {
		if told.Outcome == verdictEndpoint {
			for _, on := range told.Depends {
				found = append(found, "it depends "+on+" "+address.Path)
			}
			return found, nil
		}
	}
	by := "nothing leads there"
	if len(e.answers) > 0 {
		by = strings.Join(e.answers, " or ") + " answers"
	}
	return []string{"the endpoints below " + path + " are not reached: " + by}, nil
}

// exampleOf is a host that a pattern matches.
func exampleOf(host string) string {
	if host == "" || strings.Contains(host, "{") {
		return "localhost"
	}
	host = strings.ReplaceAll(host, "*", "any")
	if strings.Contains(host, ":") {
		return net.JoinHostPort(host, "443")
	}
	return host
}

// text is the report for people.
func (r *configReport) text(p palette) string {
	var w strings.Builder
	for _, tenant := range r.Tenants {
		w.WriteString(inspectionText(tenant, p))
	}
	for _, signIn := range r.SignIns {
		signIn.write(&w, p)
	}
	for _, webhook := range r.Webhooks {
		webhook.write(&w, p)
	}
	return w.String()
}

func (r *signInReport) write(w *strings.Builder, p palette) {
	fmt.Fprintf(w, "\n%s %s at %s\n", p.title("sign_in"), r.ClientID, r.Issuer)
	line := func(label, text string) { writeLine(w, label, text) }
	if r.Problem == "" {
		line("app ID and secret", p.good("are right"))
	} else {
		line("app ID and secret", p.bad(r.Problem))
	}
	for _, site := range r.Sites {
		line("site", site.Host)
		for _, uri := range site.RedirectURIs {
			line("  redirect URI", uri)
		}
		for _, uri := range site.PostSignOutURIs {
			line("  post sign-out URI", uri)
		}
		for _, note := range site.Notes {
			line("  note", note)
		}
		for _, obstacle := range site.Obstacles {
			line("  obstacle", p.bad(obstacle))
		}
	}
	if len(r.Sites) > 0 {
		fmt.Fprintf(w, "  Register these URIs with the app in the Logto console.\n")
	}
}

// writeLine writes one line of a report.
func writeLine(w *strings.Builder, label, text string) {
	fmt.Fprintf(w, "  %s %s\n", label+strings.Repeat(" ", max(0, 22-len(label))), text)
}
