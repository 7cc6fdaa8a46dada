package logtoauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// configReport is what a check of a config found.
type configReport struct {
	OK      bool               `json:"ok"`
	Tenants []*keys.Inspection `json:"tenants"`
	SignIns []*signInReport    `json:"sign_ins"`

	// Webhooks are those that the config takes, one for each signing key.
	Webhooks []*webhookReport `json:"webhooks"`
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
	if handler.Revocation.takesWebhooks() {
		return c.webhook(server, auth, handler, all)
	}
	return nil
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
				found = append(found, obstacle(on, address.Path))
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

// obstacle says what it means for the endpoint at a path that it depends on
// something whether its logto_auth is reached.
func obstacle(on, path string) string {
	if what, first := strings.CutSuffix(strings.TrimPrefix(on, "whether "), " answers first"); first {
		return what + " may answer " + path + " before logto_auth does: move it behind logto_auth, for example into a handle"
	}
	return "not every request for " + path + " is answered: it depends on " + on
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

// origins are the origins of a host as browsers see them, as far as the config
// tells. A site over plain http is for a proxy in front, whose port is not known,
// unless it is on loopback.
func (s siteServer) origins(host string) []string {
	name := host
	if strings.Contains(host, ":") {
		name = "[" + host + "]"
	}
	var origins []string
	for _, port := range s.publicPorts() {
		scheme := "https"
		if s.isPlain(host, port) {
			if isLoopback(host) {
				scheme = "http"
			} else {
				port = ""
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

// writeLine writes one line of a report.
func writeLine(w *strings.Builder, label, text string) {
	fmt.Fprintf(w, "  %s %s\n", label+strings.Repeat(" ", max(0, 22-len(label))), text)
}
