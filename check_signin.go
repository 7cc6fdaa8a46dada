package logtoauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
	"github.com/caddy-logto/caddy-logto-auth/internal/tokenendpoint"
)

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

	// BackChannelLogoutURIs are those of which one may be registered: an app has
	// one, and what a site is told all sites of the app obey.
	BackChannelLogoutURIs []string `json:"back_channel_logout_uris"`

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
	site.BackChannelLogoutURIs = s.calledBy(host, in.handler, in.Path+"/back-channel-logout")
	if isLoopback(host) {
		site.Notes = append(site.Notes, "a Logto on this machine sends back-channel logouts to loopback only if it is older than 1.42, or has OIDC_PROVIDER_SSRF_PROTECTION_DISABLED=1 in its environment")
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

func (r *signInReport) write(w *strings.Builder, p palette) {
	fmt.Fprintf(w, "\n%s %s at %s\n", p.title("sign_in"), r.ClientID, r.Issuer)
	line := func(label, text string) { writeLine(w, label, text) }
	if r.Problem == "" {
		line("app ID and secret", p.good("are right"))
	} else {
		line("app ID and secret", p.bad(r.Problem))
	}
	callable := 0
	for _, site := range r.Sites {
		line("site", site.Host)
		for _, uri := range site.RedirectURIs {
			line("  redirect URI", uri)
		}
		for _, uri := range site.PostSignOutURIs {
			line("  post sign-out URI", uri)
		}
		for _, uri := range site.BackChannelLogoutURIs {
			callable++
			line("  back-channel logout", uri)
		}
		for _, note := range site.Notes {
			line("  note", note)
		}
		for _, obstacle := range site.Obstacles {
			line("  obstacle", p.bad(obstacle))
		}
	}
	if len(r.Sites) == 0 {
		return
	}
	one := ""
	if callable > 1 {
		one = " An app has one: choose one of these, which counts for all sites."
	}
	fmt.Fprintf(w, "  Register these URIs with the app in the Logto console.\n"+
		"  With the back-channel logout URI, a sign-out of Logto at another app ends sessions here, too. Logto calls it, not a browser.%s\n", one)
}
