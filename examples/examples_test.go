// Package examples_test shows that every example does what its header says.
package examples_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	_ "github.com/caddy-logto/caddy-logto-auth"
	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// What stands in the examples for what a reader has.
const (
	writtenTenant   = "https://your-tenant.logto.app"
	writtenUpstream = "localhost:3000"
)

// tries are the requests that show what an example is for, by its folder.
var tries = map[string][]try{
	"static-site":                    staticSite,
	"reverse-proxy-identity-headers": identityHeaders,
	"spa-cors":                       spaCORS,
	"tenant-per-subdomain":           tenantPerSubdomain,
	"tenant-per-path":                tenantPerPath,
	"cookie-token":                   cookieToken,
	"optional-sign-in":               optionalSignIn,
	"mcp-server":                     mcpServer,
	"browser-redirect":               browserRedirect,
	"deny-list":                      denyList,
	"static-site-sign-in":            staticSiteSignIn,
	"spa-and-api":                    spaAndAPI,
}

// try is a request to an example and what has to come of it.
type try struct {
	name   string
	target string // a URL of the example's host
	method string // GET if empty
	header http.Header

	token  *devtenant.TokenRequest // sent in the Authorization header
	cookie *devtenant.TokenRequest // sent in the cookie access_token

	status  int
	body    string            // part of the answer's body; the upstream's is the request it got
	not     string            // no part of it
	answers map[string]string // the answer's headers; "" is absent
}

func TestEveryExampleIsTried(t *testing.T) {
	folders, err := filepath.Glob("*/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	for i := range folders {
		folders[i] = filepath.Dir(folders[i])
	}
	if tried := slices.Sorted(maps.Keys(tries)); !slices.Equal(folders, tried) {
		t.Errorf("examples are %q, those tried %q", folders, tried)
	}
}

func TestExamples(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(tries)) {
		t.Run(name, func(t *testing.T) {
			server, tenant := startExample(t, name)
			for _, try := range tries[name] {
				try.send(t, server, tenant)
			}
			text := exampleText(t)
			if formatted := string(caddyfile.Format([]byte(text))); formatted != text {
				t.Errorf("caddy fmt makes of it:\n%s", formatted)
			}
			if !strings.HasPrefix(text, "# ") {
				t.Error("it does not begin by saying what it shows")
			}
			validate(t, caddytest.Adapt(t, text))
		})
	}
}

// startExample changes to the folder of an example and serves it, those that
// people sign in to over TLS.
func startExample(t *testing.T, name string) (*caddytest.Server, *devtenanttest.Server) {
	t.Helper()
	t.Chdir(name)
	setApp(t)
	tenant := devtenanttest.NewServer(t, devtenant.Options{Algorithm: "ES256"})
	upstream := httptest.NewServer(http.HandlerFunc(show))
	t.Cleanup(upstream.Close)
	text := strings.NewReplacer(writtenTenant, tenant.URL, writtenUpstream, upstream.Listener.Addr().String()).Replace(exampleText(t))
	if _, signsIn := signIns[name]; signsIn {
		return caddytest.StartTLS(t, text), tenant
	}
	return caddytest.Start(t, text), tenant
}

// exampleText is the Caddyfile of the folder.
func exampleText(t *testing.T) string {
	t.Helper()
	octets, err := os.ReadFile("Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(octets), "\r\n", "\n")
}

// validate does what `caddy validate` does.
func validate(t *testing.T, adapted []byte) {
	t.Helper()
	var config caddy.Config
	if err := json.Unmarshal(adapted, &config); err != nil {
		t.Fatal(err)
	}
	config.StorageRaw = json.RawMessage(fmt.Sprintf(`{"module":"file_system","root":%q}`, filepath.ToSlash(t.TempDir())))
	config.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{
		"default": {BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output":"discard"}`)}},
	}}
	if err := caddy.Validate(&config); err != nil {
		t.Errorf("validating: %v", err)
	}
}

// show is the upstream: it answers with what it got.
func show(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=60")
	_ = r.Write(w)
}

func (try try) send(t *testing.T, server *caddytest.Server, tenant *devtenanttest.Server) {
	t.Helper()
	host, path, _ := strings.Cut(strings.TrimPrefix(try.target, "https://"), "/")
	answer := server.Get("/"+path, caddytest.Header("Host", host), func(r *http.Request) {
		if try.method != "" {
			r.Method = try.method
		}
		maps.Copy(r.Header, try.header)
		if try.token != nil {
			caddytest.Bearer(tenant.Token(*try.token))(r)
		}
		if try.cookie != nil {
			caddytest.Header("Cookie", "theme=dark; access_token="+tenant.Token(*try.cookie))(r)
		}
	})
	if answer.StatusCode != try.status {
		t.Errorf("%s: status %d, want %d; body %s", try.name, answer.StatusCode, try.status, answer.Body)
	}
	if !strings.Contains(answer.Body, try.body) {
		t.Errorf("%s: the body lacks %q:\n%s", try.name, try.body, answer.Body)
	}
	if try.not != "" && strings.Contains(answer.Body, try.not) {
		t.Errorf("%s: the body holds %q:\n%s", try.name, try.not, answer.Body)
	}
	for header, want := range try.answers {
		if got := strings.Join(answer.Header.Values(header), ", "); got != want {
			t.Errorf("%s: %s is %q, want %q", try.name, header, got, want)
		}
	}
}
