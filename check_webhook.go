package logtoauth

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// webhookReport is what a check found of one webhook: what to enter in Logto.
type webhookReport struct {
	OK     bool   `json:"ok"`
	Issuer string `json:"issuer"`

	// KeyFrom is the placeholder that the signing key comes from; empty if the
	// key is written out.
	KeyFrom string `json:"signing_key_from,omitempty"`

	// Events are those to choose in Logto; all others end nothing.
	Events []string `json:"events"`

	// Sites take the webhook. Logto calls one of them.
	Sites []*webhookSite `json:"sites"`

	key string // secret
}

// webhookSite is a host that takes a webhook.
type webhookSite struct {
	Host string `json:"host"`

	// URLs are addresses of the endpoint. One of them is entered in Logto.
	URLs []string `json:"urls"`

	Notes []string `json:"notes,omitempty"`

	// Obstacles are what keeps webhooks from being taken.
	Obstacles []string `json:"obstacles,omitempty"`

	listen []string // the addresses of its server
}

// isSameAs reports whether two are one address. The same host on another port
// is another one.
func (s *webhookSite) isSameAs(other *webhookSite) bool {
	return s.Host == other.Host && slices.Equal(s.URLs, other.URLs) && slices.Equal(s.listen, other.listen)
}

// webhook checks the webhook of one logto_auth, among all of its server.
func (c *configChecker) webhook(server siteServer, auth *foundAuth, h *Handler, all []*foundAuth) error {
	cfg, err := h.tenantConfig()
	if err != nil {
		return err
	}
	issuer, key := cfg.AcceptedIssuers()[0], string(h.revocations.secret)
	i := slices.IndexFunc(c.report.Webhooks, func(known *webhookReport) bool { return known.Issuer == issuer && known.key == key })
	if i < 0 {
		i = len(c.report.Webhooks)
		c.report.Webhooks = append(c.report.Webhooks, &webhookReport{
			OK: true, Issuer: issuer, KeyFrom: keySource(auth.settings.Revocation.WebhookSecret), Events: listedEvents, key: key,
		})
	}
	report := c.report.Webhooks[i]
	hosts := auth.reach.hosts
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, host := range hosts {
		site := server.webhookSite(host, h)
		if slices.ContainsFunc(report.Sites, site.isSameAs) {
			continue // another logto_auth of the same site
		}
		address, err := url.Parse(strings.Replace(site.URLs[0], anyHost, exampleOf(host), 1))
		if err != nil {
			return err
		}
		if site.Obstacles, err = c.obstacles(server, address, http.MethodPost, h.ownPath); err != nil {
			return err
		}
		site.Obstacles = append(site.Obstacles, otherKeys(auth, all)...)
		if len(site.Obstacles) > 0 {
			report.OK, c.report.OK = false, false
		}
		report.Sites = append(report.Sites, site)
	}
	return nil
}

// otherKeys tells which logto_auth take webhooks at the same address with
// another signing key.
func otherKeys(auth *foundAuth, all []*foundAuth) (found []string) {
	own, ok := webhookOf(auth)
	if !ok {
		return nil
	}
	for _, each := range all {
		if other, ok := webhookOf(each); ok && own.conflictsWith(other) {
			text := "a logto_auth takes webhooks at the same address with another signing key: " + other.placeBeside(own)
			if !slices.Contains(found, text) {
				found = append(found, text)
			}
		}
	}
	return found
}

// anyHost stands for a host that the config does not name.
const anyHost = "<host>"

// webhookSite tells what to enter for a host, which is empty for all hosts.
func (s siteServer) webhookSite(host string, h *Handler) *webhookSite {
	site := &webhookSite{Host: cmp.Or(host, "all hosts"), URLs: s.calledBy(host, h, h.ownPath+"/"+webhookName), listen: s.Listen}
	switch {
	case h.answersAtBase(host):
	case len(site.URLs) == 1 && strings.Contains(site.URLs[0], anyHost):
		site.Notes = append(site.Notes, anyHost+" is any host, with its port, by which Logto reaches the site")
	case isLoopback(host):
		site.Notes = append(site.Notes, "only a Logto on the same machine reaches it")
	case slices.ContainsFunc(s.publicPorts(), func(port string) bool { return s.isPlain(host, port) }):
		site.Notes = append(site.Notes, "it is served over plain http: if no proxy in front speaks https, the address begins with http, and has the port that Caddy listens on")
	}
	return site
}

// calledBy are the addresses of an endpoint by which Logto itself calls a host.
func (s siteServer) calledBy(host string, h *Handler, path string) (addresses []string) {
	switch {
	case h.answersAtBase(host):
		return []string{h.signIn.BaseURL + path}
	case host == "" || strings.ContainsAny(host, "*{"):
		return []string{"https://" + anyHost + path}
	}
	for _, origin := range s.origins(host) {
		addresses = append(addresses, origin+path)
	}
	return addresses
}

// answersAtBase reports whether the base_url of a sign_in is an address of the
// host, which is empty for all hosts.
func (h *Handler) answersAtBase(host string) bool {
	return h.signIn != nil && h.signIn.base != nil && (host == "" || hostMatches([]string{host}, h.signIn.base.Hostname()))
}

// isLoopback reports whether a host is this machine.
func isLoopback(host string) bool {
	_, err := session.NewSite(host, false)
	return err == nil
}

// write prints it for people. The signing key is never shown.
func (r *webhookReport) write(w *strings.Builder, p palette) {
	fmt.Fprintf(w, "\n%s of %s\n", p.title("webhook"), r.Issuer)
	key := p.good("is set")
	if r.KeyFrom != "" {
		key += " from " + r.KeyFrom
	}
	writeLine(w, "signing key", key+"; Logto does not tell whether it is right")
	addresses := 0
	for _, site := range r.Sites {
		writeLine(w, "site", site.Host)
		for _, address := range site.URLs {
			addresses++
			writeLine(w, "  endpoint URL", address)
		}
		for _, note := range site.Notes {
			writeLine(w, "  note", note)
		}
		for _, obstacle := range site.Obstacles {
			writeLine(w, "  obstacle", p.bad(obstacle))
		}
	}
	writeLine(w, "events", strings.Join(r.Events, ", "))
	this := "this URL"
	if addresses > 1 {
		this = "one of these URLs"
	}
	fmt.Fprintf(w, "  Enter %s and these events in the Logto console, in the webhook that the signing key is of.\n", this)
}
