package logtoauth

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// caddyCommand runs `caddy logto-auth` with these arguments, in this process.
func caddyCommand(t *testing.T, stdin string, arguments ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	cmd := &cobra.Command{Use: command().Name, SilenceUsage: true}
	command().CobraFunc(cmd)
	cmd.SetArgs(arguments)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		code = exitNo
		if err.Error() == fmt.Sprintf("exiting with status %d", exitUsage) { // Caddy's error has no exported type
			code = exitUsage
		}
	}
	return code, out.String(), errs.String()
}

// tell runs a command and checks its exit code and that it tells everything
// that is wanted.
func tell(t *testing.T, stdin string, arguments []string, code int, want ...string) {
	t.Helper()
	got, stdout, stderr := caddyCommand(t, stdin, arguments...)
	if got != code {
		t.Errorf("exit code %d, not %d", got, code)
	}
	if strings.Contains(stdout+stderr, "\x1b") {
		t.Errorf("colours, although this is no terminal")
	}
	for _, text := range want {
		if !strings.Contains(stdout+stderr, text) {
			t.Errorf("it does not tell %q", text)
		}
	}
	if t.Failed() {
		t.Logf("output:\n%s%s", stdout, stderr)
	}
}

func TestCheckATenant(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	tell(t, "", []string{"check", "--endpoint", tenant.URL + "/oidc/"}, 0,
		"issuer     "+tenant.Issuer(), "P-384", "ES384", "200 OK", "Cache-Control: no-cache, max-age=0, must-revalidate", "ETag: ",
		"the same, to the second", "Tokens of this tenant can be verified.")

	code, stdout, _ := caddyCommand(t, "", "check", "--json", "--endpoint", tenant.URL)
	var report struct {
		OK     bool   `json:"ok"`
		Issuer string `json:"discovered_issuer"`
		Keys   []struct {
			KID        string   `json:"kid"`
			Algorithms []string `json:"algorithms"`
		} `json:"keys"`
		Requests []struct {
			URL string `json:"url"`
		} `json:"requests"`
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatal(err)
	}
	if code != 0 || !report.OK || report.Issuer != tenant.Issuer() || len(report.Keys) != 1 || report.Keys[0].KID == "" || len(report.Requests) != 2 {
		t.Errorf("exit code %d, %+v", code, report)
	}
}

// badRequest answers as servers do whose TLS port is asked in plain http.
func badRequest(e *devtenant.Exchange) {
	http.Error(e.Writer, "Client sent an HTTP request to an HTTPS server.", http.StatusBadRequest)
}

func TestCheckTellsWhatIsWrongWithATenant(t *testing.T) {
	for _, test := range []struct {
		name      string
		fault     devtenant.Fault
		arguments []string
		want      []string
	}{
		{"HTML", devtenant.HTML, nil, []string{"no JSON object", "login page", "text/html"}},
		{"not Logto", devtenant.ServerError, nil, []string{"500 Internal Server Error", "endpoint must be the URL of a Logto tenant"}},
		{"no answer", devtenant.Hang, []string{"--timeout", "50ms"}, []string{"no answer came in time"}},
		{"connection closed", devtenant.Down, nil, []string{"nothing answers there"}},
		{"redirect to another host", devtenant.RedirectTo("https://elsewhere.example.com/"), nil, []string{"redirected to another", "write the address that it redirects to"}},
		{"other issuer", nil, []string{"--issuer", "https://login.example.com/oidc"}, nil},
		{
			"an issuer that the tenant is not", nil,
			[]string{"--issuer", "https://login.example.com/oidc/"},
			[]string{"the tenant calls itself \"", "not an accepted issuer (https://login.example.com/oidc/)", "wrong_issuer", "add issuer http://127.0.0.1", "key        "},
		},
		{"the TLS port over plain http", badRequest, nil, []string{"use https in endpoint"}},
		{"huge", devtenant.Huge, nil, []string{"larger than 1 MiB"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tenant := devtenanttest.NewServer(t, devtenant.Options{})
			tenant.SetFault(test.fault)
			code := 1
			if test.name == "other issuer" {
				// The tenant may be reached by an internal name only.
				tenant.SetIssuer("https://login.example.com/oidc")
				tell(t, "", []string{"check", "--endpoint", tenant.URL}, 1,
					`"https://login.example.com/oidc" is neither the endpoint's`, "calls itself by another name", "issuer     https://login.example.com/oidc")
				code = 0
			}
			tell(t, "", append([]string{"check", "--endpoint", tenant.URL}, test.arguments...), code, test.want...)
		})
	}
	t.Run("the issuer behind a redirect", func(t *testing.T) {
		tenant := devtenanttest.NewServer(t, devtenant.Options{})
		tenant.SetDiscoveryFault(devtenant.Redirects(1))
		tell(t, "", []string{"check", "--endpoint", tenant.URL, "--issuer", "https://login.example.com/oidc"}, 1, "calls itself", "wrong_issuer")
	})
	t.Run("one of several issuers", func(t *testing.T) {
		tenant := devtenanttest.NewServer(t, devtenant.Options{})
		tell(t, "", []string{"check", "--endpoint", tenant.URL, "--issuer", "https://login.example.com/oidc", "--issuer", tenant.Issuer()}, 0, "can be verified")
	})
	t.Run("an issuer that nothing was compared with", func(t *testing.T) {
		tenant := devtenanttest.NewServer(t, devtenant.Options{})
		tell(t, "", []string{"check", "--jwks-uri", tenant.URL + "/oidc/jwks", "--issuer", "https://login.example.com/oidc"}, 0, "was not checked")
	})
	t.Run("https before a port without TLS", func(t *testing.T) {
		tenant := devtenanttest.NewServer(t, devtenant.Options{})
		tell(t, "", []string{"check", "--endpoint", strings.Replace(tenant.URL, "http://", "https://", 1)}, 1,
			"the port does not speak TLS", "use http in endpoint", "or the port that speaks TLS")
	})
	t.Run("https before a port of no web server", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		go func() {
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = connection.Write([]byte("220 mail.example.com ESMTP\r\n"))
				_ = connection.Close()
			}
		}()
		tell(t, "", []string{"check", "--endpoint", "https://" + listener.Addr().String()}, 1, "the port does not speak TLS")
	})
	t.Run("no usable key", func(t *testing.T) {
		tenant := devtenanttest.NewServer(t, devtenant.Options{})
		tenant.SetJWKS([]byte(`{"keys":[{"kty":"oct","kid":"k1","k":"c2VjcmV0"}]}`))
		tell(t, "", []string{"check", "--endpoint", tenant.URL}, 1, "no usable signing key", "symmetric", "Logto console")
	})
	t.Run("a key that is left out", func(t *testing.T) {
		tenant := devtenanttest.NewServer(t, devtenant.Options{})
		keys := string(tenant.JWKS())
		tenant.SetJWKS([]byte(strings.Replace(keys, `{"keys":[`, `{"keys":[{"kty":"oct","kid":"k1","k":"c2VjcmV0"},`, 1)))
		tell(t, "", []string{"check", "--endpoint", tenant.URL}, 0, "left out", `"k1"`)
	})
	t.Run("certificate of an unknown CA", func(t *testing.T) {
		tenant := devtenanttest.NewTLSServer(t, devtenant.Options{})
		tell(t, "", []string{"check", "--endpoint", tenant.URL}, 1, "certificate", "trusted_ca_file")
	})
	t.Run("a clock that is behind", func(t *testing.T) {
		tenant := devtenant.New(devtenant.Options{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
			tenant.ServeHTTP(w, r)
		}))
		defer server.Close()
		tenant.SetIssuer(server.URL + "/oidc")
		tell(t, "", []string{"check", "--endpoint", server.URL}, 0, "s behind", "warning", "leeway")
	})
	t.Run("nothing listens", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		server.Close()
		tell(t, "", []string{"check", "--endpoint", server.URL}, 1, "nothing answers there")
	})
}

// explained is a config whose tenant is a file of keys, and a token for it.
type explained struct {
	tenant           *devtenant.Tenant
	config, jwksFile string
}

func newExplained(t *testing.T, settings string) explained {
	t.Helper()
	e := explained{
		tenant:   devtenant.New(devtenant.Options{Issuer: "https://tenant.example.com/oidc"}),
		config:   filepath.Join(t.TempDir(), "Caddyfile"),
		jwksFile: filepath.Join(t.TempDir(), "jwks.json"),
	}
	caddyfile := fmt.Sprintf("api.example.com {\nlogto_auth {\nendpoint https://tenant.example.com\n%s\n}\nlogto_require /orders* write:orders\n}\n", settings)
	for path, text := range map[string][]byte{e.config: []byte(caddyfile), e.jwksFile: e.tenant.JWKS()} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func (e explained) arguments(more ...string) []string {
	return append([]string{"explain", "--config", e.config, "--jwks-file", e.jwksFile}, more...)
}

// Each of these is what somebody has run into. Whoever asks the command must
// be told.
func TestExplainNamesEachPitfall(t *testing.T) {
	const api = "https://api.example.com"
	e := newExplained(t, "audience "+api+"\nscopes read:products")
	issue := func(change func(*devtenant.TokenRequest)) string {
		request := devtenant.TokenRequest{Resource: api, Scope: "read:products write:orders"}
		change(&request)
		return e.tenant.Token(request)
	}
	valid := issue(func(*devtenant.TokenRequest) {})
	rotated := devtenant.New(devtenant.Options{Issuer: "https://tenant.example.com/oidc"})
	for _, test := range []struct {
		name, token string
		code        int
		want        []string
	}{
		{"nothing is wrong", valid, 0, []string{"The token is admitted."}},
		{"as an HTTP header", "Authorization: Bearer " + valid + "\r\n", 0, []string{"The token is admitted."}},
		{"as a token response", `{"access_token":"` + valid + `","token_type":"Bearer"}`, 0, []string{"The token is admitted.", "access_token of the JSON"}},
		{"trailing slash", issue(func(r *devtenant.TokenRequest) { r.Resource += "/" }), 1, []string{"only by a trailing slash", "403 wrong_audience", "Invalid audience"}},
		{"other API", issue(func(r *devtenant.TokenRequest) { r.Resource = "https://other.example.com" }), 1, []string{"resource=" + api}},
		{"opaque", e.tenant.OpaqueToken(), 1, []string{"opaque token: the client must ask for resource=" + api, "401 opaque_token"}},
		{"ID token", e.tenant.IDToken("user-1", "client-1"), 1, []string{"this is an ID token", "401 unsupported_type"}},
		{"logout token", e.tenant.Sign(map[string]any{"typ": "logout+jwt"}, map[string]any{"sub": "x", "events": map[string]any{}, "exp": 1}), 1, []string{"this is a logout token"}},
		{"encrypted", "eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d", 1, []string{"encrypted token (JWE)"}},
		{"personal access token", "pat_0123456789", 1, []string{"personal access token"}},
		{"cut off in its header", valid[:30], 1, []string{"the beginning of a JWT", "cut off"}},
		{"cut off in its claims", valid[:200], 1, []string{"cut off"}},
		{"cut off in its signature", valid[:len(valid)-40], 1, []string{"cut off", "bytes of 96"}},
		{"wrapped over lines", valid[:70] + "\n" + valid[70:], 1, []string{"white space", "wrapped"}},
		{"expired", issue(func(r *devtenant.TokenRequest) { r.ExpiresIn = -time.Hour }), 1, []string{"401 expired", "get a new token"}},
		{"of an organization", issue(func(r *devtenant.TokenRequest) { r.OrganizationID = "org-1" }), 1, []string{"403 organization_forbidden", "an organization's token"}},
		{"of an organization, without resource", e.tenant.Token(devtenant.TokenRequest{OrganizationID: "org-1"}), 1, []string{"aud is an organization"}},
		{"no scopes", issue(func(r *devtenant.TokenRequest) { r.Scope = "" }), 1, []string{"no scopes at all", "403 insufficient_scope"}},
		{"a scope is missing", issue(func(r *devtenant.TokenRequest) { r.Scope = "read:products" }), 1, []string{"lacks the scopes write:orders"}},
		{"of another tenant", issue(func(r *devtenant.TokenRequest) { r.Issuer = "https://other.example.com/oidc" }), 1, []string{"401 wrong_issuer", "does not accept the issuer https://other.example.com/oidc"}},
		{"key rotated out", rotated.Token(devtenant.TokenRequest{Resource: api, Scope: "read:products"}), 1, []string{"401 unknown_key", "rotated out"}},
		{"changed", valid[:len(valid)-10] + "AAAAAAAAAA", 1, []string{"401 bad_signature", "was changed"}},
		{"two problems at once", issue(func(r *devtenant.TokenRequest) { r.ExpiresIn = -time.Hour; r.Resource += "/" }), 1, []string{"401 expired", "only by a trailing slash"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tell(t, test.token, e.arguments(), test.code, test.want...)
		})
	}
}

func TestExplainNeverShowsTheSignature(t *testing.T) {
	e := newExplained(t, "audience https://api.example.com")
	token := e.tenant.Token(devtenant.TokenRequest{Resource: "https://api.example.com", Subject: "user-1"})
	signature := token[strings.LastIndex(token, ".")+1:]
	for _, arguments := range [][]string{e.arguments(), e.arguments("--json")} {
		_, stdout, stderr := caddyCommand(t, token, arguments...)
		if strings.Contains(stdout+stderr, signature[:16]) {
			t.Errorf("the signature is shown:\n%s%s", stdout, stderr)
		}
		if !strings.Contains(stdout, `"sub": "user-1"`) {
			t.Errorf("the claims are not shown:\n%s", stdout)
		}
	}
}

func TestExplainJSON(t *testing.T) {
	e := newExplained(t, "audience https://api.example.com/")
	code, stdout, _ := caddyCommand(t, e.tenant.Token(devtenant.TokenRequest{Resource: "https://api.example.com"}),
		e.arguments("--json", "--url", "https://api.example.com/products", "--at", time.Now().Format(time.RFC3339))...)
	var report struct {
		Outcome  string `json:"outcome"`
		Handlers []struct {
			Directive string `json:"directive"`
			Where     string `json:"where"`
			Outcome   string `json:"outcome"`
			Status    int    `json:"status"`
			Reason    string `json:"reason"`
			Error     string `json:"error"`
			Hint      string `json:"hint"`
			Checks    []struct {
				Check  string `json:"check"`
				Result string `json:"result"`
			} `json:"checks"`
		} `json:"handlers"`
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatal(err)
	}
	if code != 1 || report.Outcome != "refused" || len(report.Handlers) != 1 {
		t.Fatalf("exit code %d, %s", code, stdout)
	}
	handler := report.Handlers[0]
	if handler.Directive != "logto_auth" || handler.Where != "api.example.com:443" || handler.Status != 403 || handler.Reason != "wrong_audience" ||
		handler.Error != "Invalid audience" || !strings.Contains(handler.Hint, "trailing slash") || len(handler.Checks) < 8 {
		t.Errorf("%+v", handler)
	}
}

func TestExplainAtAnotherTime(t *testing.T) {
	e := newExplained(t, "audience https://api.example.com")
	token := e.tenant.Token(devtenant.TokenRequest{Resource: "https://api.example.com", Scope: "write:orders", ExpiresIn: -time.Hour})
	before := time.Now().Add(-2 * time.Hour)
	for _, at := range []string{before.Format(time.RFC3339), fmt.Sprint(before.Unix())} {
		// It was issued just now, as its clock has it.
		tell(t, token, e.arguments("--at", at), 1, "not_yet_valid")
	}
	tell(t, token, e.arguments(), 1, "401 expired")
	lasting := e.tenant.Token(devtenant.TokenRequest{Resource: "https://api.example.com", Scope: "write:orders", ExpiresIn: 48 * time.Hour})
	tell(t, lasting, e.arguments("--at", time.Now().Add(24*time.Hour).Format(time.RFC3339)), 0, "admitted")
}

// A command that cannot do what it was asked says why in one sentence.
func TestCommandsRefuseWrongUse(t *testing.T) {
	e := newExplained(t, "audience https://api.example.com")
	token := e.tenant.Token(devtenant.TokenRequest{Resource: "https://api.example.com"})
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		name, stdin string
		arguments   []string
		want        string
	}{
		{"unknown command", "", []string{"explian"}, "there are check, explain and revoke"},
		{"unknown flag", "", []string{"check", "--endpiont", "x"}, "unknown flag"},
		{"no tenant", "", []string{"check"}, "--endpoint"},
		{"tenant without scheme", "", []string{"check", "--endpoint", "tenant.example.com"}, "the URL is not absolute"},
		{"plain http", "", []string{"check", "--endpoint", "http://tenant.example.com"}, "insecure_http"},
		{"the discovery document as the tenant", "", []string{"check", "--endpoint", "https://tenant.example.com/oidc/.well-known/openid-configuration"}, "https://tenant.example.com"},
		{"CA file that is none", "", []string{"check", "--endpoint", "https://tenant.example.com", "--trusted-ca-file", e.config}, "no PEM certificate"},
		{"no time at all", "", []string{"check", "--endpoint", "https://tenant.example.com", "--timeout", "0s"}, "timeout"},
		{"token as an argument", "", []string{"explain", token}, "standard input"},
		{"no token", "", e.arguments(), "no token on standard input"},
		{"blanks only", " \n ", e.arguments(), "no token on standard input"},
		{"no config there", token, []string{"explain", "--config", "missing"}, "reading the config"},
		{"config that does not adapt", token, []string{"explain", "--config", write("Caddyfile", "a.test {\nlogto_auth {\nbogus\n}\n}\n")}, "does not adapt"},
		{"config that is no JSON", token, []string{"explain", "--config", write("caddy.json", "{")}, "not valid JSON"},
		{"unknown adapter", token, e.arguments("--adapter", "yaml-of-mine"), "no config adapter"},
		{"config without logto_auth", token, []string{"explain", "--config", write("Caddyfile", "a.test {\nrespond ok\n}\n")}, "has no logto_auth"},
		{"config that does not load", token, []string{"explain", "--config", write("caddy.json",
			`{"apps":{"http":{"servers":{"s":{"routes":[{"handle":[{"handler":"logto_auth"}]}]}}}}}`)}, "no tenant is named"},
		{"keys file that is missing", token, []string{"explain", "--config", e.config, "--jwks-file", "missing.json"}, "missing.json"},
		{"URL without scheme", token, e.arguments("--url", "api.example.com/x"), "--url"},
		{"method without URL", token, e.arguments("--method", "POST"), "--method needs --url"},
		{"admin API that is off", "", []string{"revoke", "--list", "--config", write("Caddyfile", "{\nadmin off\n}\na.test {\nrespond ok\n}\n")}, "Caddyfile switches the admin API off"},
		{"admin API that is off, in JSON", "", []string{"revoke", "--sub", "alice", "--config", write("caddy.json", `{"admin":{"disabled":true,"listen":"localhost:2019"}}`)}, "put `admin localhost:2019` in its place"},
		{"config to revoke by that is missing", "", []string{"revoke", "--list", "--config", "missing"}, "missing"},
		{"time that is none", token, e.arguments("--at", "yesterday"), "--at"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := caddyCommand(t, test.stdin, test.arguments...)
			if code != 2 || stdout != "" || !strings.Contains(stderr, test.want) {
				t.Errorf("exit code %d, %q does not tell %q\n%s", code, stderr, test.want, stdout)
			}
			if strings.Contains(stderr, token) {
				t.Error("the token is repeated")
			}
		})
	}
}

func TestCommandsHaveHelp(t *testing.T) {
	for _, arguments := range [][]string{{}, {"--help"}, {"check", "--help"}, {"explain", "--help"}} {
		code, stdout, stderr := caddyCommand(t, "", arguments...)
		if code != 0 || !strings.Contains(stdout, "Usage:") {
			t.Errorf("%v: exit code %d\n%s%s", arguments, code, stdout, stderr)
		}
	}
}
