package logtoauth

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// hintSites are sites of each permission model, by name: the settings of
// logto_auth and the lines behind it.
var hintSites = map[string][2]string{
	"global":                   {"audience " + testAPI, ""},
	"global, two APIs":         {"audience " + testAPI + " https://api2.example.com", ""},
	"ignoring":                 {"audience " + testAPI + "\norganization ignore", ""},
	"organization":             {"organization org-1", ""},
	"any organization":         {"organization any", ""},
	"host's organization":      {"organization {http.request.host.labels.1}", ""},
	"organization API":         {"audience " + testAPI + "\norganization org-1", ""},
	"two organizations":        {"audience " + testAPI + "\norganization org-1 org-2", ""},
	"any organization's API":   {"audience " + testAPI + "\norganization any", ""},
	"host's organization API":  {"audience " + testAPI + "\norganization {http.request.host.labels.1}", ""},
	"route of an organization": {"audience " + testAPI + "\norganization any", "logto_require {\norganization org-1\n}"},
	"route of one of two":      {"audience " + testAPI + "\norganization org-2 org-1", "logto_require {\norganization org-1\n}"},
	"route of any":             {"audience " + testAPI + "\norganization org-1", "logto_require {\norganization any\n}"},
	"route that forbids":       {"audience " + testAPI + "\norganization ignore", "logto_require {\norganization forbid\n}"},
	"route that asks":          {"audience " + testAPI + "\norganization ignore", "logto_require {\norganization org-1\n}"},
	"route, permissions":       {"organization any", "logto_require {\norganization org-1\n}"},
}

var (
	withResource        = regexp.MustCompile(`(?:with|and|keep|add|for) resource=(\S+)`)
	withOrganization    = regexp.MustCompile(`(?:with|and|keep|add|for|needs) organization_id(?:=(\S+?))?(?:[;:,]|\s|$)`)
	withoutResource     = regexp.MustCompile(`without resource`)
	withoutOrganization = regexp.MustCompile(`without organization_id`)
)

// Whatever the token and whichever check a client reads first: no hint says
// another thing than the next, and who does what they say is let in.
func TestFollowingTheHintsIsEnough(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	tokens := map[string]devtenant.TokenRequest{
		"global":                    {Resource: testAPI},
		"another API":               {Resource: "https://other.example.com"},
		"another API, organization": {Resource: "https://other.example.com", OrganizationID: "org-1"},
		"organization":              {OrganizationID: "org-1"},
		"another organization":      {OrganizationID: "org-2"},
		"a third organization":      {OrganizationID: "org-3"},
		"organization API":          {Resource: testAPI, OrganizationID: "org-1"},
		"another organization API":  {Resource: testAPI, OrganizationID: "org-2"},
		"third organization API":    {Resource: testAPI, OrganizationID: "org-3"},
		"empty organization":        {Resource: testAPI, Extra: map[string]any{"organization_id": ""}},
	}
	for name, site := range hintSites {
		caddyfile := fmt.Sprintf("http://org-1.test {\nlogto_auth {\nendpoint %s\n%s\n}\n%s\nrespond ok\n}\n", tenant.URL, site[0], site[1])
		for kind, request := range tokens {
			t.Run(name+", token "+kind, func(t *testing.T) {
				follow(t, tenant, caddyfile, tenant.Token(request))
			})
		}
		t.Run(name+", opaque token", func(t *testing.T) { follow(t, tenant, caddyfile, tenant.OpaqueToken()) })
	}
}

// follow does what the hints of a refusal say, and checks that the new token
// is admitted.
func follow(t *testing.T, tenant *devtenanttest.Server, caddyfile, token string) {
	t.Helper()
	said := explainCaddyfile(t, caddyfile, token, "http://org-1.test/", "")
	var hints []string
	for _, told := range said.Handlers {
		for _, check := range told.Checks {
			if check.Hint != "" {
				hints = append(hints, check.Hint)
			}
		}
	}
	if said.Outcome == verdictAdmitted {
		if len(hints) > 0 {
			t.Errorf("the token is admitted, with the hints %q", hints)
		}
		return
	}
	all := strings.Join(hints, "\n")
	if withResource.MatchString(all) && withoutResource.MatchString(all) ||
		withOrganization.MatchString(all) && withoutOrganization.MatchString(all) {
		t.Errorf("these hints contradict each other:\n%s", all)
	}
	if strings.Contains(all, "<id>") && !strings.Contains(caddyfile, "organization any") {
		t.Errorf("the organization is known, and a hint has a gap:\n%s", all)
	}
	var request devtenant.TokenRequest
	for pattern, field := range map[*regexp.Regexp]*string{withResource: &request.Resource, withOrganization: &request.OrganizationID} {
		for _, found := range pattern.FindAllStringSubmatch(all, -1) {
			value := found[1]
			if value == "" && field == &request.OrganizationID {
				value = "org-1" // any will do
			}
			if *field != "" && *field != value {
				t.Errorf("one hint says %s, another one %s:\n%s", *field, value, all)
			}
			*field = value
		}
	}
	if again := explainCaddyfile(t, caddyfile, tenant.Token(request), "http://org-1.test/", ""); again.Outcome != verdictAdmitted {
		t.Errorf("a token for %+v is refused, although the hints are\n%s", request, all)
	}
}

// A route that no token can pass must not send the client from one request to
// the next.
func TestHintsOfRoutesThatNoTokenCanPass(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	for name, test := range map[string]struct {
		auth, require string
		token         devtenant.TokenRequest
		want          string
	}{
		"forbidden by default, any asked": {"audience " + testAPI, "any", devtenant.TokenRequest{Resource: testAPI}, "set organization in logto_auth"},
		"forbidden by default, one asked": {"audience " + testAPI, "org-1", devtenant.TokenRequest{Resource: testAPI}, "set organization in logto_auth"},
		"asked and forbidden":             {"organization any", "forbid", devtenant.TokenRequest{OrganizationID: "org-1"}, "change one of the two"},
		"another one": {
			"organization org-1", "org-2",
			devtenant.TokenRequest{OrganizationID: "org-1"},
			"asks for organization_id=org-1 and this logto_require for organization_id=org-2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			caddyfile := fmt.Sprintf("http://a.test {\nlogto_auth {\nendpoint %s\n%s\n}\nlogto_require {\norganization %s\n}\n}\n", tenant.URL, test.auth, test.require)
			said := explainCaddyfile(t, caddyfile, tenant.Token(test.token), "http://a.test/", "")
			if got := said.Handlers[len(said.Handlers)-1].Hint; !strings.Contains(got, test.want) || strings.Contains(got, "request it") {
				t.Errorf("the hint is %q", got)
			}
		})
	}
}

// What the log of a running Caddy says.
func TestHintsInTheLog(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	auth := func(settings string) string { return "{\nendpoint " + tenant.URL + "\n" + settings + "\n}\n" }
	sites := map[string]string{
		"cookie":       "logto_auth " + auth("audience "+testAPI+"\ntoken_from cookie session"),
		"places":       "logto_auth " + auth("audience "+testAPI+"\ntoken_from header\ntoken_from query access_token"),
		"exact":        "logto_auth /admin " + auth("audience "+testAPI) + "logto_require /admin/* admin\n",
		"optional":     "logto_auth " + auth("audience "+testAPI+"\ntoken_from cookie session\noptional") + "logto_require\n",
		"api":          "logto_auth " + auth("audience "+testAPI),
		"organization": "logto_auth " + auth("organization org-1"),
		"both":         "logto_auth " + auth("audience "+testAPI+"\norganization org-1"),
		"named":        "logto_auth " + auth("audience "+testAPI+"\norganization {http.request.header.X-Org}"),
		"route":        "logto_auth " + auth("audience "+testAPI+"\norganization any") + "logto_require {\norganization org-1\n}\n",
	}
	var caddyfile strings.Builder
	for _, host := range slices.Sorted(maps.Keys(sites)) {
		fmt.Fprintf(&caddyfile, "http://%s.test {\n%srespond ok\n}\n", host, sites[host])
	}
	server := caddytest.Start(t, caddyfile.String())
	opaque := caddytest.Bearer(tenant.OpaqueToken())
	member := func(id string) caddytest.Option {
		return caddytest.Bearer(tenant.Token(devtenant.TokenRequest{Resource: testAPI, OrganizationID: id}))
	}
	for _, test := range []struct {
		name, host string
		options    []caddytest.Option
		want       string
	}{
		{"no cookie", "cookie", nil, "the request has no access token; the site expects it in cookie session (token_from)"},
		{"no cookie where it is optional", "optional", nil, "the request has no access token; the site expects it in cookie session (token_from)"},
		{"no token in two places", "places", nil, `the request has no access token; the site expects it in "Authorization: Bearer …" or query access_token (token_from)`},
		{"a matcher that is too narrow", "exact", []caddytest.Option{member("org-1")}, "no logto_auth matched this request: its matcher must cover every request that logto_require is for " +
			"(/x does not match /x/y), and in a route logto_auth must come first"},
		{"opaque", "api", []caddytest.Option{opaque}, "opaque token: the client must ask for resource=https://api.example.com in the token request; resource in the authorization request alone is not enough"},
		{"opaque, organization permissions", "organization", []caddytest.Option{opaque}, "opaque token: the client must ask for organization_id=org-1 in the token request"},
		{"opaque, organization API", "both", []caddytest.Option{opaque}, "opaque token: the client must ask for resource=https://api.example.com and organization_id=org-1 " +
			"in the token request; resource in the authorization request alone is not enough"},
		{
			"an organization's token at an API", "both",
			[]caddytest.Option{caddytest.Bearer(tenant.Token(devtenant.TokenRequest{OrganizationID: "org-1"}))},
			"aud is an organization and the site wants an API: keep organization_id=org-1 and add resource=https://api.example.com",
		},
		{
			"another organization's token", "organization",
			[]caddytest.Option{caddytest.Bearer(tenant.Token(devtenant.TokenRequest{OrganizationID: "org-2"}))},
			"the token is for another organization: request it with organization_id=org-1 and without resource",
		},
		{
			"an organization by its name", "named",
			[]caddytest.Option{member("org-1"), caddytest.Header("X-Org", "acme")},
			"the token is for another organization: request it with resource=https://api.example.com and organization_id=acme; " +
				"that must be the ID that Logto assigned, not the organization's name",
		},
		{"another one on a route", "route", []caddytest.Option{member("org-2")}, "the token is for another organization: request it with resource=https://api.example.com and organization_id=org-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(server.Logs())
			answer := server.Get("/admin/x", append(test.options, caddytest.Header("Host", test.host+".test"))...)
			if answer.StatusCode == http.StatusOK {
				t.Fatal("the request is admitted")
			}
			lines := logLines(t, server.Logs()[before:], "request refused")
			if len(lines) != 1 || lines[0]["hint"] != test.want {
				t.Errorf("logged %v", lines)
			}
		})
	}
}
