package logtoauth_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// exampleCaddyfile returns the text of Caddyfile.example.
func exampleCaddyfile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// validate does what `caddy validate` does: it provisions every module and
// starts none.
func validate(t *testing.T, config []byte) error {
	t.Helper()
	var parsed caddy.Config
	if err := json.Unmarshal(config, &parsed); err != nil {
		t.Fatalf("decoding the configuration: %v", err)
	}
	parsed.StorageRaw = json.RawMessage(fmt.Sprintf(`{"module":"file_system","root":%q}`, filepath.ToSlash(t.TempDir())))
	parsed.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{
		"default": {BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output":"discard"}`)}},
	}}
	return caddy.Validate(&parsed)
}

func TestExampleIsFormatted(t *testing.T) {
	text := exampleCaddyfile(t)
	if formatted := string(caddyfile.Format([]byte(text))); formatted != text {
		t.Errorf("caddy fmt makes of Caddyfile.example:\n%s", formatted)
	}
}

func TestExampleIsValidAsItStands(t *testing.T) {
	t.Setenv("LOGTO_ENDPOINT", "") // restored after the test
	if err := os.Unsetenv("LOGTO_ENDPOINT"); err != nil {
		t.Fatal(err)
	}
	if err := validate(t, caddytest.Adapt(t, exampleCaddyfile(t))); err != nil {
		t.Error(err)
	}
}

func TestValidatingTheExampleSendsTheTenantNothing(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	t.Setenv("LOGTO_ENDPOINT", tenant.URL)
	if err := validate(t, caddytest.Adapt(t, exampleCaddyfile(t))); err != nil {
		t.Error(err)
	}
	tenant.Close() // waits for requests under way
	if counts := tenant.Counts(); counts != (devtenant.Counts{}) {
		t.Errorf("validating sent %+v", counts)
	}
}

// The demo's own test sends many more requests; these show what the file
// promises in its comments, to those who read it here.
func TestExampleServes(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	t.Setenv("LOGTO_ENDPOINT", tenant.URL)
	server := caddytest.Start(t, exampleCaddyfile(t))

	for name, test := range map[string]struct {
		host, path string
		request    devtenant.TokenRequest
		status     int
		body       string
	}{
		"global API resource": {
			path:    "/api/protected",
			request: devtenant.TokenRequest{Subject: "alice", ClientID: "app", Resource: api, Scope: "a b"},
			status:  200,
			body:    `{"auth":{"sub":"alice","clientId":"app","organizationId":null,"scopes":["a","b"],"audience":["https://api.example.com"]}}`,
		},
		"organization permissions": {
			host:    "org.localhost",
			path:    "/api/protected",
			request: devtenant.TokenRequest{ClientID: "app", OrganizationID: "rwheh3w247dn"},
			status:  200,
			body:    `{"auth":{"sub":"app","clientId":"app","organizationId":"rwheh3w247dn","scopes":[],"audience":["urn:logto:organization:rwheh3w247dn"]}}`,
		},
		"organization-level API resource": {
			host:    "acme.app.localhost",
			path:    "/api/protected",
			request: devtenant.TokenRequest{ClientID: "app", Resource: api, OrganizationID: "rwheh3w247dn"},
			status:  200,
			body:    `{"auth":{"sub":"app","clientId":"app","organizationId":"rwheh3w247dn","scopes":[],"audience":["https://api.example.com"]}}`,
		},
		"a subdomain of no organization": {
			host:    "umbrella.app.localhost",
			path:    "/api/protected",
			request: devtenant.TokenRequest{Resource: api, OrganizationID: "umbrella"},
			status:  403,
			body:    `{"error":"Organization ID mismatch"}`,
		},
		"a token that has the subdomain for an organization": {
			host:    "acme.app.localhost",
			path:    "/api/protected",
			request: devtenant.TokenRequest{Resource: api, OrganizationID: "acme"},
			status:  403,
			body:    `{"error":"Organization ID mismatch"}`,
		},
		"another subdomain than the token's organization": {
			host:    "globex.app.localhost",
			path:    "/api/protected",
			request: devtenant.TokenRequest{Resource: api, OrganizationID: "rwheh3w247dn"},
			status:  403,
			body:    `{"error":"Organization ID mismatch"}`,
		},
		"the path below which a scope is needed, itself": {
			path:    "/api/products",
			request: devtenant.TokenRequest{Resource: api},
			status:  403,
			body:    `{"error":"Insufficient scope"}`,
		},
		"a claim that looks like a placeholder": {
			path:    "/api/protected",
			request: devtenant.TokenRequest{Subject: "{http.request.host}", ClientID: "app", Resource: api},
			status:  200,
			body:    `{"auth":{"sub":"{http.request.host}","clientId":"app","organizationId":null,"scopes":[],"audience":["https://api.example.com"]}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			options := []caddytest.Option{caddytest.Bearer(tenant.Token(test.request))}
			if test.host != "" {
				options = append(options, caddytest.Header("Host", test.host))
			}
			got := server.Get(test.path, options...)
			if got.StatusCode != test.status || got.Body != test.body {
				t.Errorf("got %d %s\nwant %d %s", got.StatusCode, got.Body, test.status, test.body)
			}
			if mediaType := got.Header.Get("Content-Type"); mediaType != "application/json" {
				t.Errorf("Content-Type is %q", mediaType)
			}
		})
	}

	t.Run("no token", func(t *testing.T) {
		for path, status := range map[string]int{"/healthz": 200, "/healthz/x": 401, "/api/protected": 401, "/": 401} {
			if got := server.Get(path); got.StatusCode != status {
				t.Errorf("%s: got %d, want %d", path, got.StatusCode, status)
			}
		}
	})
}

func TestExampleStartsWhileTheTenantIsDown(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	token := tenant.Token(devtenant.TokenRequest{Resource: api})
	tenant.Close()
	t.Setenv("LOGTO_ENDPOINT", tenant.URL)
	server := caddytest.Start(t, exampleCaddyfile(t))
	if got := server.Get("/api/protected"); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %d", got.StatusCode)
	}
	got := server.Get("/api/protected", caddytest.Bearer(token))
	if got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Errorf("with a token that nobody can verify: %d %v", got.StatusCode, got.Header)
	}
}
