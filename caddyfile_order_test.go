package logtoauth

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// writtenScope finds the one scope of each logto_require, and the one value of
// each request_header, in the order of the routes.
var writtenScope = regexp.MustCompile(`"(?:scopes|X-Order)":\["(\d+)"\]`)

// orderIn adapts a block of directives, one for each matcher, and returns the
// numbers of the matchers in the order in which the routes run.
func orderIn(t *testing.T, block, directive string, matchers []string) []string {
	t.Helper()
	var site strings.Builder
	for i, matcher := range matchers {
		fmt.Fprintf(&site, directive+"\n", matcher, i)
	}
	config := caddytest.Adapt(t, fmt.Sprintf(":80 {\n@post method POST\n@two path /a* /b*\n"+block+"\n}\n", site.String()))
	var order []string
	for _, match := range writtenScope.FindAllStringSubmatch(string(config), -1) {
		order = append(order, match[1])
	}
	return order
}

// TestPathsKeepCaddysOrder compares the order of our directives with that of
// one of Caddy's own with the same matchers, for routes that a request may
// both match.
func TestPathsKeepCaddysOrder(t *testing.T) {
	const (
		ours  = "logto_require %s %d"
		caddy = "request_header %s X-Order %d"
	)
	for _, matchers := range [][]string{
		{"/a*", "/a/b*"},
		{"/a/b*", "/a*"},
		{"/a*", "/a"},
		{"/a", "/a*", "/*"},
		{"/*", "/b*", "/a*", "/a/b/c", "/a/b*", "/A/B/*"},
		{"/b*", "/c*", "/a*", "/a/b*", "*"},
		{"/a*", "*", "/a/{http.request.header.X}*", "/a/b*"},
		{"/a/*/c", "/a*", "/a/*/c/d*", "/*.php", "/a%2fb*"},
		{"@post", "*"},
		{"@two", "@post"},
	} {
		for name, block := range map[string]string{
			"site": "%s", "handle": "handle {\n%s}", "route": "route {\n%s}", "nested": "handle /x* {\nhandle {\n%s}\n}",
		} {
			got, want := orderIn(t, block, ours, matchers), orderIn(t, block, caddy, matchers)
			if len(got) != len(matchers) || len(want) != len(matchers) {
				t.Fatalf("%s %v: %v and %v", name, matchers, got, want)
			}
			for i, earlier := range want {
				for _, later := range want[i+1:] {
					if mayBothMatch(matchers[index(t, earlier)], matchers[index(t, later)]) && slices.Index(got, earlier) > slices.Index(got, later) {
						t.Errorf("%s: of %v %s runs after %s, other than Caddy's own directives", name, matchers, matchers[index(t, earlier)], matchers[index(t, later)])
					}
				}
			}
		}
	}
}

func index(t *testing.T, number string) (i int) {
	t.Helper()
	if _, err := fmt.Sscan(number, &i); err != nil {
		t.Fatal(err)
	}
	return i
}

// mayBothMatch reports whether one request may match both matchers.
func mayBothMatch(a, b string) bool {
	a, b = strings.ToLower(strings.TrimSuffix(a, "*")), strings.ToLower(strings.TrimSuffix(b, "*"))
	return strings.ContainsAny(a+b, "@*{%") || strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
}

// TestSortKeyMatchesEveryRequest shows that what only tells Caddy how to sort
// lets no request past.
func TestSortKeyMatchesEveryRequest(t *testing.T) {
	server, tenant := serve(t, `
http:// {
	logto_auth {
		audience `+testAPI+`
	}
	logto_require /a* one
	logto_require /a/b* two
	logto_require /a/{http.request.header.X}/c three
	respond ok
}
`)
	token := tenant.Token(devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", Resource: testAPI})
	for target, scope := range map[string]string{
		"/a": "one", "/A/c": "one", "/a/%2e%2e/c": "one", "/a/b": "two", "/a/B/c": "two", "/x/..%2fa/b": "two", "/a/x/c": "three",
	} {
		got := server.Get(target, caddytest.Bearer(token), caddytest.Header("X", "x"))
		if want := `scope="` + scope + `"`; got.StatusCode != 403 || !strings.Contains(got.Header.Get("WWW-Authenticate"), want) {
			t.Errorf("%s: %d %s, not %s", target, got.StatusCode, got.Header.Get("WWW-Authenticate"), want)
		}
	}
	if got := server.Get("/b", caddytest.Bearer(token)); got.Body != "ok" {
		t.Errorf("/b: %d", got.StatusCode)
	}
}
