package docs_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// logTo lets all logs of a config write to one place. Their formats stay.
func logTo(tree, writer map[string]any) {
	logging, _ := tree["logging"].(map[string]any)
	logs, _ := logging["logs"].(map[string]any)
	if logs == nil {
		logs = make(map[string]any)
	}
	if logs["default"] == nil {
		logs["default"] = make(map[string]any)
	}
	for _, log := range logs {
		log, _ := log.(map[string]any)
		log["writer"] = writer
		log["level"] = "DEBUG"
	}
	tree["logging"] = map[string]any{"logs": logs}
}

// serveLogged loads a config, with its own log formats, and returns the
// address of its server and a function that reads all logs.
func serveLogged(t *testing.T, text string) (address string, logs func() string) {
	t.Helper()
	var tree map[string]any
	if err := json.Unmarshal(caddytest.Adapt(t, text), &tree); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "caddy.log")
	tree["admin"] = map[string]any{"disabled": true, "config": map[string]any{"persist": false}}
	tree["storage"] = map[string]any{"module": "file_system", "root": t.TempDir()}
	logTo(tree, map[string]any{"output": "file", "filename": file, "roll": false})
	apps, _ := tree["apps"].(map[string]any)
	httpApp, _ := apps["http"].(map[string]any)
	httpApp["grace_period"] = "1s"
	servers, _ := httpApp["servers"].(map[string]any)
	for _, server := range servers {
		server, _ := server.(map[string]any)
		server["listen"] = []string{"127.0.0.1:0"}
		server["automatic_https"] = map[string]any{"disable": true}
	}
	config, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	server := app.(*caddyhttp.App).Servers["srv0"]
	return server.Listeners()[0].Addr().String(), func() string {
		octets, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(octets)
	}
}

// The page says which lines hold tokens and how to keep them out. Both halves
// of its Caddyfile are needed.
func TestFilterKeepsQueryTokensOutOfTheLogs(t *testing.T) {
	var site string
	for _, block := range fence.FindAllStringSubmatch(read(t, "operation.md"), -1) {
		if strings.Contains(block[1], "replace access_token REDACTED") {
			site = block[1]
		}
	}
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	site = strings.NewReplacer("https://your-tenant.logto.app", tenant.URL, "localhost:3000", "127.0.0.1:1", "strip_token", "strip_token\nerrors handle_errors").Replace(site)
	const global = "{\n\tlog {\n\t\timport without-tokens\n\t}\n}\n"
	if !strings.Contains(site, global) {
		t.Fatal("operation.md does not filter the default log")
	}
	siteOnly := strings.Replace(site, global, "{\n\tdebug\n}\n", 1)

	admitted := tenant.Token(devtenant.TokenRequest{Resource: "https://files.example.com"})
	refused := tenant.Token(devtenant.TokenRequest{Resource: "https://other.example.com"})
	for name, test := range map[string]struct {
		site  string
		leaks bool
	}{
		"both filtered":        {site, false},
		"the site's log alone": {siteOnly, true},
		"no filter at all":     {strings.Replace(siteOnly, "replace access_token REDACTED", "replace other REDACTED", 1), true},
	} {
		t.Run(name, func(t *testing.T) {
			address, logs := serveLogged(t, test.site)
			for token, status := range map[string]int{admitted: http.StatusBadGateway, refused: http.StatusForbidden} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/x?access_token="+token, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = "files.example.com"
				r.Header.Set("Referer", "https://files.example.com/x?access_token="+token)
				resp, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != status {
					t.Errorf("status %d, not %d", resp.StatusCode, status)
				}
			}
			text := logs()
			for _, logger := range []string{"http.log.access", "http.log.error"} {
				if !strings.Contains(text, logger) {
					t.Errorf("nothing of %s in\n%s", logger, text)
				}
			}
			leaked := strings.Contains(text, admitted) || strings.Contains(text, refused)
			if leaked != test.leaks {
				t.Errorf("tokens in the logs: %t, not %t\n%s", leaked, test.leaks, text)
			}
		})
	}
}
