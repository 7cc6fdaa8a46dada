package logtoauth_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/wiretest"
)

// organizationSite is a site for all hosts whose organization comes from the
// request, with lines of a Caddyfile in front.
func organizationSite(tb testing.TB, before, organization string) *site {
	tb.Helper()
	return organizationSiteWith(tb, caddytest.Start, "http://", before, organization)
}

func organizationSiteWith(tb testing.TB, start func(testing.TB, string) *caddytest.Server, addresses, before, organization string) *site {
	tb.Helper()
	return startSiteWith(tb, start, http.HandlerFunc(showRequest), fmt.Sprintf(`%s {
	%s
	logto_auth {
		endpoint ENDPOINT
		audience %s
		organization %s
	}
	reverse_proxy UPSTREAM
}`, addresses, before, api, organization))
}

// showRequest answers with what an application could take the organization
// from.
func showRequest(w http.ResponseWriter, r *http.Request) {
	_, _ = fmt.Fprintf(w, "%s %s X-Org=%s Cookie=%s", r.Host, r.RequestURI, r.Header["X-Org"], r.Header["Cookie"])
}

// member issues alice's token for the API in an organization.
func (s *site) member(organization string) string {
	return s.tenant.Token(devtenant.TokenRequest{Subject: "alice", ClientID: "spa", Resource: api, OrganizationID: organization})
}

const wrongOrganization = `{"error":"Organization ID mismatch"}`

// An application that reads another name than Caddy would serve the data of
// another organization than the one that was checked.
func TestOrganizationFromAQueryUnderTwoNames(t *testing.T) {
	s := organizationSite(t, "", "{query.org_id}")
	token := caddytest.Bearer(s.member("acme"))
	for _, query := range []string{"org_id=acme", "a=1&org_id=acme&b[]=2"} {
		if got := s.Get("/?"+query, token); got.StatusCode != http.StatusOK || !strings.Contains(got.Body, "/?"+query) {
			t.Errorf("%s: %d %s", query, got.StatusCode, got.Body)
		}
	}
	for _, other := range []string{
		"org_id=evil", "org.id=evil", "+org_id=evil", "%20org_id=evil", "org+id=evil", "org_id[]=evil", "org%5Bid=evil", "org[id=evil",
		"org_id%00x=evil", "[org_id]=evil", "ORG_ID=evil", "orgId=evil", "org_id.0=evil", "org%_id=evil", "x=1;org.id=evil",
	} {
		for _, query := range []string{"org_id=acme&" + other, other + "&org_id=acme"} {
			if got := s.Get("/?"+query, token); got.StatusCode != http.StatusForbidden || got.Body != wrongOrganization {
				t.Errorf("%s: %d %s", query, got.StatusCode, got.Body)
			}
		}
	}
}

func TestOrganizationFromACookieUnderTwoNames(t *testing.T) {
	s := organizationSite(t, "", "{cookie.org_id}")
	token := caddytest.Bearer(s.member("acme"))
	if got := s.Get("/", token, caddytest.Header("Cookie", "a=1; org_id=acme; b=2")); got.StatusCode != http.StatusOK {
		t.Errorf("%d %s", got.StatusCode, got.Body)
	}
	for _, cookies := range []string{
		"org_id=acme; org.id=evil", "org_id=acme; org id=evil", "org_id=acme; org_id[]=evil", "org_id=acme; org%5Fid=evil",
		"org_id=acme; org_id%00x=evil", "a=1,org_id=evil; org_id=acme", `a="; org_id=acme; b="`,
	} {
		if got := s.Get("/", token, caddytest.Header("Cookie", cookies)); got.StatusCode != http.StatusForbidden || got.Body != wrongOrganization {
			t.Errorf("%s: %d %s", cookies, got.StatusCode, got.Body)
		}
	}
}

// The reverse proxy drops what the client's Connection header names. Then the
// application would know of no organization and might serve its default one.
func TestOrganizationCannotBeTakenOffOnTheWay(t *testing.T) {
	for _, test := range []struct{ name, before, organization, header, value string }{
		{"header", "", "{header.X-Org}", "X-Org", "acme"},
		{"variable", "vars org {header.X-Org}", "{vars.org}", "X-Org", "acme"},
		{"map", "map {header.X-Org} {org} {\n~(.+) ${1}\n}", "{org}", "X-Org", "acme"},
		{"regular expression", "@org header_regexp org X-Org (.+)\nvars @org x y", "{re.org.1}", "X-Org", "acme"},
		{"cookie", "", "{cookie.org}", "Cookie", "org=acme"},
		{"variable of a cookie", "vars org {cookie.org}", "{vars.org}", "Cookie", "org=acme"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := organizationSite(t, test.before, test.organization)
			for _, connection := range []string{"close, " + test.header, strings.ToLower(test.header) + ",close", "TE, " + test.header + ", keep-alive"} {
				got := s.Get("/", caddytest.Bearer(s.member("acme")), caddytest.Header(test.header, test.value), caddytest.Header("Connection", connection))
				if got.StatusCode != http.StatusOK || !strings.Contains(got.Body, test.header+"=["+test.value+"]") {
					t.Errorf("Connection: %s: %d %s", connection, got.StatusCode, got.Body)
				}
			}
		})
	}
}

// Of variables, nobody can tell when loading what they will be set from.
func TestOrganizationOfUnknownSourceIsToldWhenLoading(t *testing.T) {
	for _, test := range []struct {
		before, organization string
		want                 string
	}{
		{"", "{header.X-Org}", ""},
		{"", "{labels.2}-{path.0}", ""},
		{"map {host} {org} {\na b\n}", "{org} {labels.2}", ""},
		{"vars org {labels.2}", "{vars.org}", ""},
		{"vars org {http.request.tls.server_name}", "{vars.org}", "what sets {http.vars.org},"},
		{"map {http.request.tls.server_name} {org} {\na b\n}", "{org}", "what sets {org},"},
		{"", "{vars.org}", "what sets {http.vars.org},"},
		{"map {host} {org} {\na {query.org}\n}", "{org}", "what sets {org},"},
		{"vars a {header.X-Org}\nvars b {vars.a}", "{vars.b}", "what sets {http.vars.b},"},
		{"vars org {header.X-Org}", "org-1 {vars.org}", "what sets {http.vars.org},"},
		{"map {cookie.org} {org} {\na b\n}", "{org} {labels.2}", "what sets {org},"},
	} {
		s := organizationSite(t, test.before, test.organization+"\n}\nlogto_require {\norganization "+test.organization)
		var warnings []string
		for line := range strings.Lines(s.Logs()) {
			if strings.Contains(line, `"level":"warn"`) && strings.Contains(line, `"setting":"organization"`) {
				warnings = append(warnings, line)
			}
		}
		if test.want == "" && len(warnings) == 0 {
			continue
		}
		if len(warnings) != 1 || test.want == "" || !strings.Contains(warnings[0], test.want) {
			t.Errorf("%s: %q", test.organization, warnings)
		}
	}
}

// hostSites are the ways in which a host decides an organization. Each is
// alone in its Caddy: that the host chooses the site is part of it.
var hostSites = []struct{ name, addresses, before, organization string }{
	{"label, all hosts", "http://", "", "{labels.3}"},
	{"label, wildcard", "http://*.app.example.com", "", "{labels.3}"},
	{"map, all hosts", "http://", "map {labels.3} {org} {\nacme acme\nglobex globex\n}", "{org}"},
	{"map, wildcard", "http://*.app.example.com", "map {host} {org} {\n~^(.*)\\.app\\.example\\.com$ ${1}\n}", "{org}"},
	{"variable", "http://", "vars org {labels.3}", "{vars.org}"},
}

// doubtfulHosts are hosts from which Caddy takes acme in some site of
// hostSites, and applications take globex or nothing: Express cuts at the first
// colon, others look from the end.
var doubtfulHosts = []string{
	"globex.app.example.com:x:.acme.app.example.com",
	"globex.app.example.com:.acme.app.example.com",
	"acme.app.example.com:.globex.app.example.com",
	"acme.app.example.com:",
	"acme.app.example.com:123456",
	"acme.app.example.com:80:80",
	"acme.app.example.com:8o",
	"[acme.app.example.com]:443",
	"[acme.app.example.com]",
	"globex.app.example.com%00.acme.app.example.com",
	"globex.app.example.com%2f.acme.app.example.com",
	"globex.app.example.com;.acme.app.example.com",
	"globex.app.example.com,acme.app.example.com",
	"acme.app.example.com.",
	"acme.app.example.com.:80",
	"globex..acme.app.example.com",
}

func TestOrganizationFromAHostWithTwoMeanings(t *testing.T) {
	for _, site := range hostSites {
		t.Run(site.name, func(t *testing.T) {
			s := organizationSiteWith(t, caddytest.StartTLS, site.addresses, site.before, site.organization)
			bearer := "Authorization: Bearer " + s.member("acme")
			for _, protocol := range caddytest.Protocols {
				for _, host := range []string{"acme.app.example.com", "acme.app.example.com:8080", "acme.app.example.com:1"} {
					got := wiretest.Send(t, s.Server, protocol, wiretest.Request{Authority: host, Fields: []string{bearer}})
					if got.Status != http.StatusOK || !strings.HasPrefix(got.Body, host+" / ") {
						t.Errorf("%s %s: %d %s %v", protocol, host, got.Status, got.Body, got.Broken)
					}
				}
				for _, host := range doubtfulHosts {
					got := wiretest.Send(t, s.Server, protocol, wiretest.Request{Authority: host, Fields: []string{bearer}})
					// A host that is none of the wildcard's gets Caddy's empty
					// answer, and one that is none at all 400.
					refused := got.Body == wrongOrganization || got.Status == http.StatusBadRequest || site.addresses != "http://" && got.Body == ""
					if !refused {
						t.Errorf("%s %s: %d %s %v", protocol, host, got.Status, got.Body, got.Broken)
					}
				}
			}
		})
	}
}

// The reverse proxy writes X-Forwarded-Host itself, but passes the client's
// Forwarded on, and Rack reads that first.
func TestOrganizationFromAHostBesideForwarded(t *testing.T) {
	for _, site := range hostSites {
		t.Run(site.name, func(t *testing.T) {
			s := organizationSiteWith(t, caddytest.StartTLS, site.addresses, site.before, site.organization)
			bearer := "Authorization: Bearer " + s.member("acme")
			for _, protocol := range caddytest.Protocols {
				for forwarded, want := range map[string]string{
					"Forwarded: host=globex.app.example.com":                    wrongOrganization,
					"forwarded: for=192.0.2.1, proto=http;Host=globex":          wrongOrganization,
					"FORWARDED: for=\"_a\" ; host = \"globex.app.example.com\"": wrongOrganization,
					"Forwarded: for=192.0.2.1;proto=https":                      "acme.app.example.com / ",
				} {
					got := wiretest.Send(t, s.Server, protocol, wiretest.Request{Authority: "acme.app.example.com", Fields: []string{bearer, forwarded}})
					if !strings.HasPrefix(got.Body, want) {
						t.Errorf("%s %s: %d %s %v", protocol, forwarded, got.Status, got.Body, got.Broken)
					}
				}
			}
		})
	}
}

// The reverse proxy forwards :authority, and a map could read a Host header
// beside it. That it never sees two is what x/net and quic-go do.
func TestOrganizationFromAHostBesideAuthority(t *testing.T) {
	s := organizationSiteWith(t, caddytest.StartTLS, "http://", "", "{labels.3}")
	for _, protocol := range []string{"HTTP/2.0", "HTTP/3.0"} {
		for _, hosts := range [][]string{{"globex.app.example.com"}, {"acme.app.example.com", "globex.app.example.com"}} {
			fields := []string{"Authorization: Bearer " + s.member("acme")}
			for _, host := range hosts {
				fields = append(fields, "Host: "+host)
			}
			got := wiretest.Send(t, s.Server, protocol, wiretest.Request{Authority: "acme.app.example.com", Fields: fields})
			if got.Status == http.StatusOK && strings.Contains(got.Body, "globex") || protocol == "HTTP/2.0" && got.Broken == nil {
				t.Errorf("%s beside %q: %d %s %v", protocol, hosts, got.Status, got.Body, got.Broken)
			}
		}
	}
}

// The name of a host has no case; that of an organization has.
func TestOrganizationFromAHostIsLowerCase(t *testing.T) {
	s := organizationSite(t, "", "{labels.3}")
	for organization, want := range map[string]int{"acme": http.StatusOK, "ACME": http.StatusForbidden} {
		got := s.Get("/", caddytest.Header("Host", "ACME.app.example.com"), caddytest.Bearer(s.member(organization)))
		if got.StatusCode != want {
			t.Errorf("%s: %d %s", organization, got.StatusCode, got.Body)
		}
	}
}
