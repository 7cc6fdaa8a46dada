package logtoauth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// parseIDs parses the ids of a config that must be accepted.
func parseIDs(tb testing.TB, texts ...string) organizationIDs {
	tb.Helper()
	ids, err := parseOrganizationIDs(caddy.NewReplacer(), texts)
	if err != nil {
		tb.Fatal(err)
	}
	return ids
}

func TestOrganizationIDsWithoutPlaceholdersAreKnownAtLoad(t *testing.T) {
	t.Setenv("LOGTO_AUTH_TEST_ORG", "org-env")
	file := filepath.Join(t.TempDir(), "org")
	if err := os.WriteFile(file, []byte("org-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ids := parseIDs(t, "org-1", "{env.LOGTO_AUTH_TEST_ORG}", "pre-{env.LOGTO_AUTH_TEST_ORG}-post", "{file."+file+"}")
	if want := []string{"org-1", "org-env", "pre-org-env-post", "org-file"}; !ids.static.resolved || !slices.Equal(ids.static.ids, want) {
		t.Errorf("the ids are %+v, not %q", ids.static, want)
	}
}

func TestOrganizationIDsRefuseAtLoad(t *testing.T) {
	t.Setenv("LOGTO_AUTH_TEST_EMPTY", "")
	t.Setenv("LOGTO_AUTH_TEST_PLACEHOLDER", "{http.request.header.X-Org}")
	for name, text := range map[string]string{
		"unset, which would ask for the rest of the id": "org-{env.LOGTO_AUTH_TEST_UNSET}",
		"empty":                    "{env.LOGTO_AUTH_TEST_EMPTY}",
		"a file that is not there": "{file." + filepath.Join(t.TempDir(), "none") + "}",
		"a value that would be expanded again in each request": "{env.LOGTO_AUTH_TEST_PLACEHOLDER}",
	} {
		if ids, err := parseOrganizationIDs(caddy.NewReplacer(), []string{text}); err == nil {
			t.Errorf("%s: %+v is accepted", name, ids)
		}
	}
}

// All ways in which an organization from the request is not the one that
// later handlers act on. "-" means that nothing is resolved, so no token holds.
func TestOrganizationFromTheRequest(t *testing.T) {
	const (
		labels = "{http.request.host.labels.2}"
		host   = "{http.request.host}"
		header = "{http.request.header.X-Org}"
		path   = "{http.request.uri.path.1}"
		first  = "{http.request.uri.path.0}"
		query  = "{http.request.uri.query.org}"
		cookie = "{http.request.cookie.org}"
		vars   = "{http.vars.org}"
	)
	for _, test := range []struct {
		name, id, target string
		header           http.Header
		vars             map[string]any
		want             string
	}{
		{name: "subdomain", id: labels, target: "http://acme.example.com/", want: "acme"},
		{name: "subdomain with a port", id: labels, target: "http://acme.example.com:8443/", want: "acme"},
		{name: "no subdomain", id: labels, target: "http://example.com/", want: "-"},
		{name: "a trailing dot moves the labels", id: labels, target: "http://acme.example.com./", want: "-"},
		{name: "a trailing dot with a port", id: labels, target: "http://acme.example.com.:80/", want: "-"},
		{name: "an empty label moves the labels", id: labels, target: "http://acme.evil..example.com/", want: "-"},
		{name: "a leading dot", id: labels, target: "http://.example.com/", want: "-"},
		{name: "whole host", id: host, target: "http://acme.example.com/", want: "acme.example.com"},
		{name: "whole host with a trailing dot", id: host, target: "http://acme.example.com./", want: "-"},
		{name: "host and port", id: "{http.request.hostport}", target: "http://acme.example.com.:80/", want: "-"},
		{name: "a second host", id: labels, target: "http://acme.example.com/", header: http.Header{"Forwarded": {"for=192.0.2.1;host=evil.example.com"}}, want: "-"},
		{name: "a second host beside a variable", id: vars, target: "http://acme.example.com/", vars: map[string]any{"org": "acme"}, header: http.Header{"Forwarded": {"host=evil.example.com"}}, want: "-"},
		{name: "a second host does not matter to the path", id: path, target: "/orgs/acme", header: http.Header{"Forwarded": {"host=evil.example.com"}}, want: "acme"},
		{name: "a proxy's Forwarded without a host", id: labels, target: "http://acme.example.com/", header: http.Header{"Forwarded": {"for=192.0.2.1;proto=https"}}, want: "acme"},
		{name: "a strange path does not matter to the host", id: labels, target: "http://acme.example.com/a//b/%2e%2e/c", want: "acme"},

		{name: "header", id: header, target: "/", header: http.Header{"X-Org": {"acme"}}, want: "acme"},
		{name: "header in another case in the config", id: "{http.request.header.x-ORG}", target: "/", header: http.Header{"X-Org": {"acme"}}, want: "acme"},
		{name: "header in another case, twice", id: "{http.request.header.x-ORG}", target: "/", header: http.Header{"X-Org": {"acme", "evil"}}, want: "-"},
		{name: "no header", id: header, target: "/", want: "-"},
		{name: "empty header", id: header, target: "/", header: http.Header{"X-Org": {""}}, want: "-"},
		{name: "two headers, of which the application takes the other", id: header, target: "/", header: http.Header{"X-Org": {"acme", "evil"}}, want: "-"},
		{name: "the same header twice", id: header, target: "/", header: http.Header{"X-Org": {"acme", "acme"}}, want: "-"},
		{name: "a second header with an underscore", id: header, target: "/", header: http.Header{"X-Org": {"acme"}, "X_org": {"evil"}}, want: "-"},
		{name: "a second header with a dot", id: header, target: "/", header: http.Header{"X-Org": {"acme"}, "X.org": {"evil"}}, want: "-"},
		{name: "a header that asks for a keyword", id: header, target: "/", header: http.Header{"X-Org": {"any"}}, want: "any"},
		{name: "a header that is a placeholder", id: header, target: "/", header: http.Header{"X-Org": {"{env.HOME}"}}, want: "{env.HOME}"},
		{name: "a header that is a list", id: header, target: "/", header: http.Header{"X-Org": {"acme,evil"}}, want: "acme,evil"},
		{name: "a strange path does not matter to the header", id: header, target: "/a//b", header: http.Header{"X-Org": {"acme"}}, want: "acme"},
		{name: "the host as a header is no header", id: "{http.request.header.Host}", target: "http://acme.example.com/", want: "-"},

		{name: "path", id: path, target: "/orgs/acme/x", want: "acme"},
		{name: "path with a trailing slash", id: path, target: "/orgs/acme/", want: "acme"},
		{name: "path without that segment", id: path, target: "/orgs", want: "-"},
		{name: "path with that segment empty", id: path, target: "/orgs/", want: "-"},
		{name: "path that climbs out", id: path, target: "/orgs/acme/../evil", want: "-"},
		{name: "path that climbs out, encoded", id: path, target: "/orgs/acme/%2e%2e/evil", want: "-"},
		{name: "path that climbs out, half encoded", id: path, target: "/orgs/acme/.%2E/evil", want: "-"},
		{name: "path with a dot segment", id: path, target: "/./orgs/acme", want: "-"},
		{name: "path that ends in a dot segment", id: path, target: "/orgs/acme/.", want: "-"},
		{name: "path that ends in two dots", id: path, target: "/orgs/acme/..", want: "-"},
		{name: "path with an empty segment, which some servers drop", id: path, target: "/orgs//acme", want: "-"},
		{name: "path that begins with an empty segment", id: path, target: "//orgs/acme", want: "-"},
		{name: "path that ends in two slashes", id: path, target: "/orgs/acme//", want: "-"},
		{name: "path with an encoded slash", id: path, target: "/orgs/acme%2fevil", want: "-"},
		{name: "path with an encoded slash, upper case", id: path, target: "/orgs/acme%2Fevil", want: "-"},
		{name: "path with an encoded backslash", id: path, target: "/orgs/acme%5cevil", want: "-"},
		{name: "path with a backslash", id: path, target: `/orgs/acme\evil`, want: "-"},
		{name: "path that climbs out behind a parameter, which some servers drop first", id: path, target: "/orgs/acme/..;a=1/evil", want: "-"},
		{name: "path with a segment of parameters only", id: path, target: "/orgs/acme/;a=1/x", want: "-"},
		{name: "path with a parameter", id: path, target: "/orgs/acme/x;a=1", want: "acme"},
		{name: "path with a dot in a name", id: path, target: "/orgs/acme.inc/a.b", want: "acme.inc"},
		{name: "path with three dots", id: path, target: "/orgs/.../x", want: "..."},
		{name: "path with an encoded dot in a name", id: path, target: "/orgs/acme%2einc", want: "-"},
		{name: "path with other encoded octets", id: path, target: "/orgs/acme%20inc/x", want: "acme inc"},
		{name: "path that is a placeholder", id: path, target: "/orgs/%7benv.HOME%7d", want: "{env.HOME}"},
		{name: "root", id: first, target: "/", want: "-"},

		{name: "query", id: query, target: "/?org=acme", want: "acme"},
		{name: "no such parameter", id: query, target: "/?organization=acme", want: "-"},
		{name: "a strange path with any other placeholder", id: query, target: "/a/../b?org=acme", want: "-"},
		{name: "two parameters, of which the application takes the other", id: query, target: "/?org=acme&a=1&org=evil", want: "-"},
		{name: "a second parameter behind a semicolon, which Caddy does not see", id: query, target: "/?org=acme&a=1;org=evil", want: "-"},
		{name: "a second parameter that does not decode, which Caddy does not see", id: query, target: "/?org=acme&org=evil%", want: "-"},
		{name: "a second parameter in another case", id: query, target: "/?org=acme&%4frg=evil", want: "-"},
		{name: "cookie", id: cookie, target: "/", header: http.Header{"Cookie": {"a=1; org=acme"}}, want: "acme"},
		{name: "cookie in another case", id: cookie, target: "/", header: http.Header{"Cookie": {"Org=acme"}}, want: "acme"},
		{name: "no cookie", id: cookie, target: "/", header: http.Header{"Cookie": {"organization=acme"}}, want: "-"},
		{name: "two cookies, of which the application takes the other", id: cookie, target: "/", header: http.Header{"Cookie": {"org=acme; org=evil"}}, want: "-"},
		{name: "a second cookie in another line", id: cookie, target: "/", header: http.Header{"Cookie": {"org=acme", "org=evil"}}, want: "-"},
		{name: "a second cookie in another case", id: cookie, target: "/", header: http.Header{"Cookie": {"ORG=acme; org=evil"}}, want: "-"},
		{name: "a second cookie that net/http drops", id: cookie, target: "/", header: http.Header{"Cookie": {`org=acme; org=evil"`}}, want: "-"},
		{name: "variable", id: vars, target: "/", vars: map[string]any{"org": "acme"}, want: "acme"},
		{name: "variable that is not set", id: vars, target: "/", want: "-"},
		{name: "variable that is empty", id: vars, target: "/", vars: map[string]any{"org": ""}, want: "-"},
		{name: "variable that is a placeholder", id: vars, target: "/", vars: map[string]any{"org": "{env.HOME}"}, want: "{env.HOME}"},
		{name: "variable beside a path that climbs", id: vars, target: "/x/%2e%2e/y", vars: map[string]any{"org": "acme"}, want: "-"},
		{name: "unknown placeholder", id: "{http.no.such}", target: "/", want: "-"},
		{name: "misspelled placeholder beside text", id: "org-{http.request.hots}", target: "/", want: "-"},

		{name: "mixed", id: "t-" + labels + "-" + header, target: "http://acme.example.com/", header: http.Header{"X-Org": {"eu"}}, want: "t-acme-eu"},
		{name: "mixed, one part empty", id: "t-" + labels + "-" + header, target: "http://acme.example.com/", want: "-"},
		{name: "mixed, host ambiguous", id: "t-" + labels + "-" + header, target: "http://acme.example.com./", header: http.Header{"X-Org": {"eu"}}, want: "-"},
		{name: "mixed, path that climbs", id: labels + path, target: "http://acme.example.com/orgs/%2e%2e", want: "-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			// Octets that http.NewRequest would not take stand in the URL here.
			raw, host := test.target, "example.com"
			if rest, ok := strings.CutPrefix(raw, "http://"); ok {
				host, raw, _ = strings.Cut(rest, "/")
				raw = "/" + raw
			}
			u, err := url.ParseRequestURI(raw)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
			r.URL, r.RequestURI, r.Host = u, raw, host
			if test.header != nil {
				r.Header = test.header
			}
			r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), new(caddyhttp.Server))
			for name, value := range test.vars {
				caddyhttp.SetVar(r.Context(), name, value)
			}
			got := "-"
			if wanted := parseIDs(t, test.id).resolve(r); wanted.resolved {
				got = strings.Join(wanted.ids, " ")
			}
			if got != test.want {
				t.Errorf("the organization is %q, not %q", got, test.want)
			}
		})
	}
}

// A listed id does not save a request whose other id is not resolved: what the
// site means by it is unknown.
func TestOrganizationUnresolvedBesideAListedOne(t *testing.T) {
	r := caddyRequest(t, http.MethodGet, "/")
	if wanted := parseIDs(t, "org-1", "{http.request.header.X-Org}").resolve(r); wanted.resolved || len(wanted.ids) != 0 {
		t.Errorf("resolved to %q", wanted.ids)
	}
	r.Header.Set("X-Org", "org-2")
	if wanted := parseIDs(t, "org-1", "{http.request.header.X-Org}").resolve(r); !slices.Equal(wanted.ids, []string{"org-1", "org-2"}) {
		t.Errorf("resolved to %q", wanted.ids)
	}
}

func TestOrganizationNeedsCaddysReplacer(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://acme.example.com/", http.NoBody)
	if wanted := parseIDs(t, "{http.request.host.labels.2}").resolve(r); wanted.resolved {
		t.Errorf("resolved to %q", wanted.ids)
	}
}

// A variable may have been read from the path before a rewrite made the path
// plain.
func TestOrganizationJudgesThePathBeforeRewritesToo(t *testing.T) {
	for _, test := range []struct {
		name, original, rewritten string
		want                      bool
	}{
		{"plain", "/orgs/acme", "/acme", true},
		{"climbs before", "/orgs/%2e%2e/acme", "/acme", false},
		{"climbs after", "/orgs/acme", "/x/../acme", false},
	} {
		r := caddyRequest(t, http.MethodGet, test.original)
		caddyhttp.SetVar(r.Context(), "org", "acme")
		rewritten, err := url.ParseRequestURI(test.rewritten)
		if err != nil {
			t.Fatal(err)
		}
		r.URL = rewritten
		if got := parseIDs(t, "{http.vars.org}").resolve(r).resolved; got != test.want {
			t.Errorf("%s: resolved is %v", test.name, got)
		}
	}
}

// The reverse proxy drops every header that the client's Connection names, and
// the upstream would act on no organization, or on its default one.
func TestOrganizationHeaderIsTakenOutOfConnection(t *testing.T) {
	for _, test := range []struct {
		name       string
		connection []string
		want       []string
	}{
		{"none", nil, nil},
		{"keep-alive", []string{"keep-alive"}, []string{"keep-alive"}},
		{"alone", []string{"X-Org"}, nil},
		{"another case", []string{"x-oRG"}, nil},
		{"among others", []string{"close, X-Org, Upgrade"}, []string{"close, Upgrade"}},
		{"without spaces and twice", []string{"X-Org,close,X-Org"}, []string{"close"}},
		{"with tabs", []string{"\tX-Org\t,\tclose"}, []string{"close"}},
		{"in a second line", []string{"close", "X-Org"}, []string{"close"}},
		{"empty options", []string{",,X-Org,,"}, nil},
		{"a name that holds it", []string{"X-Organization, X-Or"}, []string{"X-Organization, X-Or"}},
	} {
		r := caddyRequest(t, http.MethodGet, "/")
		if test.connection != nil {
			r.Header["Connection"] = test.connection
		}
		parseIDs(t, "{http.request.header.x-org}", "org-1").keepHeaders(r)
		if got := r.Header["Connection"]; !slices.Equal(got, test.want) {
			t.Errorf("%s: Connection is %q, not %q", test.name, got, test.want)
		}
	}
}

// Where nobody can tell which headers were read, only what concerns the
// connection itself stays.
func TestOrganizationOfUnknownSourceLeavesConnectionItsOwnOptions(t *testing.T) {
	for connection, want := range map[string]string{
		"close": "close", "Upgrade, HTTP2-Settings": "Upgrade, HTTP2-Settings", "keep-alive,TE": "keep-alive, TE",
		"X-Org": "", "close, X-Org, te": "close, te", "cookie": "", "close\x00": "", "keep_alive": "", "upgrade-insecure-requests": "",
	} {
		for _, id := range []string{"{http.vars.org}", "{org}", "{http.regexp.org.1}", "a-{http.request.host.labels.2}-{org}"} {
			r := caddyRequest(t, http.MethodGet, "/")
			r.Header.Set("Connection", connection)
			parseIDs(t, "org-1", id).keepHeaders(r)
			if got := r.Header.Get("Connection"); got != want {
				t.Errorf("%s: of %q is left %q, not %q", id, connection, got, want)
			}
		}
	}
}

func TestPlaceholdersThatSayWhatTheyRead(t *testing.T) {
	for id, want := range map[string]int{
		"org-1": 0, "{http.request.host}": 0, "{http.request.uri.path.0}": 0, "{http.request.tls.client.subject}": 0,
		"{http.auth.user.claims.org}": 0, "{system.hostname}": 0, "{time.now.year}": 0,
		"{http.vars.org}": 1, "{http.vars.client_ip}": 1, "{http.regexp.org.1}": 1, "{http.auth.org}": 1, "{http.error.message}": 1, "{org}": 1,
		"{org}-{org}": 1, "{b}{a}{b}": 2,
	} {
		read, err := readBy([]string{id, id})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(read.unknown)
		if got := slices.Compact(read.unknown); len(got) != want {
			t.Errorf("%s: unknown are %q", id, got)
		}
	}
}

func TestPlaceholdersThatAreKnownWhenLoading(t *testing.T) {
	t.Setenv("LOGTO_TEST_ORG", "org-1")
	t.Setenv("LOGTO_TEST_BRACE", "{http.request.host}")
	for text, want := range map[string]string{
		"{env.LOGTO_TEST_ORG}":     "org-1",
		"{http.request.host}":      "{http.request.host}",
		"{env.LOGTO_TEST_NOWHERE}": "placeholder {env.LOGTO_TEST_NOWHERE} is empty",
		"{env.LOGTO_TEST_BRACE}":   "the value of placeholder {env.LOGTO_TEST_BRACE} holds a brace",
	} {
		got, err := expandAtLoad(caddy.NewReplacer(), text)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, not %s", text, got, want)
		}
	}
}

func TestOrganizationMayBePathSegmentOnlyIfItIsOne(t *testing.T) {
	for id, want := range map[string]bool{
		"org-1": true, "3fmepazdyzhi": true, "a.b": true, "...": true, "any": true, "ü": true, "a b": true,
		"": false, ".": false, "..": false, "a/b": false, "/": false, `a\b`: false, "../a": false,
	} {
		if got := safeOrganization(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
}
