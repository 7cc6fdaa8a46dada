package logtoauth

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// rawRouter is a service that routes on the path as it came, as Koa and other
// frameworks do, and says what it saw.
func rawRouter(t *testing.T) (address string) {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		area := "public"
		if strings.HasPrefix(path, "/admin") {
			area = "admin"
		}
		_, _ = io.WriteString(w, area+" "+path)
	}))
	t.Cleanup(upstream.Close)
	return upstream.Listener.Addr().String()
}

// requestLine sends a request line that net/http would clean, with a token if
// there is one, and returns status and body.
func requestLine(t *testing.T, server *caddytest.Server, host, line, token string) string {
	t.Helper()
	raw := line + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n"
	if token != "" {
		raw += "Authorization: Bearer " + token + "\r\n"
	}
	return answered(t, server.Raw(raw+"\r\n"), line)
}

// The requests that got past a matcher by a path that Caddy and the service
// behind it read differently.
func TestPathConfusion(t *testing.T) {
	service := rawRouter(t)
	proxy := "\treverse_proxy " + service + "\n"
	auth := func(matcher, lines string) string {
		return "\tlogto_auth " + matcher + " {\n\t\taudience " + testAPI + "\n" + lines + "\t}\n"
	}
	sites := map[string]string{
		"health":     "\t@private not path /healthz\n" + auth("@private", "") + proxy,
		"assets":     "\t@private not path /assets/*\n" + auth("@private", "") + proxy,
		"regexp":     "\t@private not path_regexp ^/healthz$\n" + auth("@private", "") + proxy,
		"expression": "\t@private `!path('/healthz')`\n" + auth("@private", "") + proxy,
		"all":        auth("/*", "") + proxy,
		"require":    auth("", "") + "\tlogto_require /admin* admin:all\n" + proxy,
		"named":      auth("", "") + "\t@admin {\n\t\tpath /admin*\n\t\tmethod GET DELETE\n\t}\n\tlogto_require @admin admin:all\n" + proxy,
		"stripped":   "\thandle_path /v1* {\n" + auth("", "") + "\tlogto_require /admin* admin:all\n" + proxy + "\t}\n",
	}
	var text strings.Builder
	for name, site := range sites {
		fmt.Fprintf(&text, "http://%s.example {\n%s}\n", name, site)
	}
	server, tenant := serve(t, text.String())
	token := tenant.Token(devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", Resource: testAPI})
	missing, scope := "401 "+refusedWith("Authorization header is missing"), "403 "+refusedWith("Insufficient scope")

	for _, test := range []struct {
		host, line, token, want string
	}{
		{"health", "GET /healthz", "", "200 public /healthz"},
		{"health", "GET /admin/..%2fhealthz", "", missing},
		{"health", "GET /admin/x/../../healthz", "", missing},
		{"health", "GET /admin/x/%2e%2e/%2e%2e/healthz", "", missing},
		{"health", "GET /admin//../../healthz", "", missing},
		{"health", `GET /admin\..\healthz`, "", missing},
		{"health", "GET /admin/..;/healthz", "", missing},
		{"health", "GET /admin/..%2fhealthz", token, "200 admin /admin/..%2fhealthz"}, // the octets stay
		{"health", "GET /@scope%2fpkg", token, "200 public /@scope%2fpkg"},
		{"assets", "GET /assets/x", "", "200 public /assets/x"},
		{"assets", "DELETE /admin/users/7%2f..%2f..%2f..%2fassets%2fx", "", missing},
		{"assets", "GET /assets/a%2fb/../../admin/users", "", missing},
		{"regexp", "GET /admin/..%2fhealthz", "", missing},
		{"expression", "GET /admin/..%2fhealthz", "", missing},
		{"all", "GET http://all.example", "", missing},
		{"all", "GET http://all.example?action=list", "", missing},
		{"all", "GET *", "", missing},
		{"all", "CONNECT all.example:80", "", missing},
		{"all", "GET x:admin", "", missing},
		{"require", "GET /public", token, "200 public /public"},
		{"require", "GET /admin/x", token, scope},
		{"require", "GET /admin/../x", token, scope},
		{"require", "GET /admin/%2e%2e/x", token, scope},
		{"require", "GET /admin/users/..%2fx", token, scope},
		{"require", "GET /admin/users/..%2f..%2fx", token, scope},
		{"require", "GET /admin//../x", token, scope},
		{"require", "GET //x/admin/users", token, scope},
		{"named", "DELETE /admin/..%2fx", token, scope},
		{"named", "POST /admin/..%2fx", token, "200 admin /admin/..%2fx"},
		// handle_path resolves what it forwards: the service sees what was judged.
		{"stripped", "GET /v1/admin/..%2fx", token, "200 public /x"},
		{"stripped", "GET /v1/admin/../x", token, "200 public /x"},
		{"stripped", `GET /v1/admin\..\x`, token, scope},
		{"stripped", "GET /v1/x/..;/admin", token, scope},
	} {
		host := test.host + ".example"
		if got := requestLine(t, server, host, test.line, test.token); got != test.want {
			t.Errorf("%s %s: %s, not %s", host, test.line, got, test.want)
		}
	}
}

// A logto_require whose matcher leaves a trace leaves the same one as before.
func TestCapturesReachLaterHandlers(t *testing.T) {
	server, tenant := serve(t, `
http:// {
	logto_auth {
		audience `+testAPI+`
	}
	@order path_regexp order ^/orders/(\w+)$
	logto_require @order
	respond "order {re.order.1}"
}
`)
	token := tenant.Token(devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", Resource: testAPI})
	if got := server.Get("/orders/a7", caddytest.Bearer(token)).Body; got != "order a7" {
		t.Error(got)
	}
}

// The snippet for what stands in a `handle` with a path, where no matcher of
// ours reaches.
func TestOddPathsAreAnsweredWith400(t *testing.T) {
	page, err := os.ReadFile("docs/path-rules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, snippet, found := strings.Cut(string(page), "\n(plain_paths) {")
	snippet, _, closed := strings.Cut(snippet, "\n}\n")
	if !found || !closed {
		t.Fatal("docs/path-rules.md has no snippet (plain_paths)")
	}
	snippet = "(plain_paths) {" + snippet + "\n}\n"
	service := rawRouter(t)
	server, _ := serve(t, snippet+`
http:// {
	import plain_paths
	handle /admin* {
		logto_auth {
			audience `+testAPI+`
		}
		reverse_proxy `+service+`
	}
	handle {
		reverse_proxy `+service+`
	}
}
`)
	for target, want := range map[string]string{
		"/public": "200 public /public", "/a.b/..c/d.": "200 public /a.b/..c/d.", "/public?q=..%2f%2f//": "200 public /public", "/caf%C3%A9": "200 public /caf%C3%A9",
		"/admin":    "401 " + refusedWith("Authorization header is missing"),
		"/admin/..": "400 ", "/admin/../x": "400 ", "/admin/./x": "400 ", "/admin/..%2fx": "400 ", "/admin/%2e%2e/x": "400 ", "/admin/%2E./x": "400 ", "/x/..?a": "400 ",
		"/admin//../../x": "400 ", "//admin": "400 ", `/x\..\admin`: "400 ", "/x%5c..%5Cadmin": "400 ", "/a%2Fb": "400 ", "/x/..;/admin": "400 ", "/admin;x": "400 ",
	} {
		if got := requestLine(t, server, "any.example", "GET "+target, ""); got != want {
			t.Errorf("%s: %s, not %s", target, got, want)
		}
	}
}
