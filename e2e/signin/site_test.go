//go:build e2e

package signin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/caddy-logto/caddy-logto-auth"
	"github.com/caddy-logto/caddy-logto-auth/e2e/internal/npm"
	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

const (
	plain     = "https://plain.example.com"
	neighbour = "https://neighbour.example.com"

	appID     = "site"
	appSecret = "uGqk3bVn0cTz5WyR8sLx2mPf" // of a provider that lives as long as the test
)

// caddyfile is that of a static site whose pages are for members, of the same
// with nothing but a sign-in, and of a neighbour that protects nothing.
const caddyfile = `{
	servers {
		protocols h1 h2
	}
}
www.example.com {
	tls internal
	log
	@members not path /public/*
	logto_auth @members {
		endpoint ENDPOINT
		audience https://api.example.com
		sign_in {env.LOGTO_APP_ID} {env.LOGTO_APP_SECRET}
	}
	handle /api/me {
		respond "{http.auth.user.id}"
	}
	handle {
		root FILES
		file_server
	}
}
plain.example.com {
	tls internal
	log
	logto_auth {
		endpoint ENDPOINT
		sign_in {env.LOGTO_APP_ID} {env.LOGTO_APP_SECRET}
	}
	handle /api/me {
		respond "{http.auth.user.id}"
	}
	handle {
		root FILES
		file_server
	}
}
neighbour.example.com {
	tls internal
	header Content-Type text/html
	respond "<!doctype html><title>neighbour</title><link rel=icon href=data:,><p>neighbour"
}`

// pages are the files of the site.
var pages = map[string]string{
	"index.html":          page("Home", ""),
	"public/index.html":   page("Everyone", ""),
	"members/index.html":  page("Members", ""),
	"members/plan.html":   page("Plan", `<p>Only members read this.</p><form method="post" action="/.logto/sign-out"><button>Sign out</button></form>`),
	"members/picture.svg": `<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>`,
	"worker.js":           "// does nothing",
}

func page(title, body string) string {
	return `<!doctype html><html lang="en"><title>` + title + `</title><link rel="icon" href="data:,"><h1>` + title + "</h1>" + body + "</html>"
}

// startProvider starts an OpenID provider that knows the sites, and returns its
// origin.
func startProvider(t *testing.T) string {
	t.Helper()
	var redirectURIs, postLogoutRedirectURIs []string
	for _, origin := range []string{site, plain} {
		redirectURIs = append(redirectURIs, origin+prefix+"/callback")
		postLogoutRedirectURIs = append(postLogoutRedirectURIs, origin+prefix+"/signed-out")
	}
	program := npm.Start(t, "provider.mjs", encoded(t, map[string]any{
		"id": appID, "secret": appSecret, "redirectURIs": redirectURIs, "postLogoutRedirectURIs": postLogoutRedirectURIs,
	}))
	var started struct {
		Endpoint string `json:"endpoint"`
	}
	decode(t, program.ReadLine(t), &started)
	return started.Endpoint
}

// startCaddy serves the sites for the provider's people.
func startCaddy(t *testing.T, endpoint string) *caddytest.Server {
	t.Helper()
	t.Setenv("LOGTO_APP_ID", appID)
	t.Setenv("LOGTO_APP_SECRET", appSecret)
	files := t.TempDir()
	for name, content := range pages {
		path := filepath.Join(files, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replacer := strings.NewReplacer("ENDPOINT", endpoint, "FILES", `"`+filepath.ToSlash(files)+`"`)
	return caddytest.StartInternalTLS(t, replacer.Replace(caddyfile))
}

// browser is a running browser.mjs.
type browser struct {
	program *npm.Program
}

// startBrowser starts Chromium, to which the sites are what Caddy serves.
func startBrowser(t *testing.T, executable, provider string, caddy *caddytest.Server) browser {
	t.Helper()
	// One certificate has signed those of all sites.
	var trusted string
	for _, origin := range []string{site, plain, neighbour} {
		key := sha256.Sum256(caddy.Intermediate(strings.TrimPrefix(origin, "https://")).RawSubjectPublicKeyInfo)
		trusted = base64.StdEncoding.EncodeToString(key[:])
	}
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, page("Stranger", ""))
	}))
	t.Cleanup(stranger.Close)
	return browser{npm.Start(t, "browser.mjs", encoded(t, map[string]any{
		"executablePath": executable, "address": caddy.Addr(), "trustedKey": trusted,
		"site": site, "plain": plain, "neighbour": neighbour, "stranger": stranger.URL, "provider": provider,
	}))}
}

// play plays a scenario and decodes what was seen in it.
func (b browser) play(t *testing.T, scenario string, seen any) {
	t.Helper()
	b.program.WriteLine(t, encoded(t, scenario))
	var answer struct {
		Seen  json.RawMessage `json:"seen"`
		Error string          `json:"error"`
	}
	line := b.program.ReadLine(t)
	decode(t, line, &answer)
	if answer.Error != "" {
		t.Fatal(answer.Error)
	}
	t.Log(string(answer.Seen))
	decode(t, string(answer.Seen), seen)
}

func encoded(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
}
