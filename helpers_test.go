package logtoauth

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// serve runs a Caddyfile's sites with a tenant of their own, which the global
// option names.
func serve(tb testing.TB, sites string) (*caddytest.Server, *devtenanttest.Server) {
	tb.Helper()
	tenant := devtenanttest.NewServer(tb, devtenant.Options{})
	return caddytest.Start(tb, "{\n\tlogto_auth {\n\t\tendpoint "+tenant.URL+"\n\t}\n}\n"+sites), tenant
}

func options(options ...caddytest.Option) []caddytest.Option { return options }

func refusedWith(text string) string { return fmt.Sprintf(`{"error":%q}`, text) }

// reasonOf names what a refusal says, or "" where there is none.
func reasonOf(refusal *Refusal) Reason {
	if refusal == nil {
		return ""
	}
	return refusal.Reason
}

// mustDecode decodes claims that must be accepted.
func mustDecode(tb testing.TB, payload string) *AuthInfo {
	tb.Helper()
	info, refusal := decodeClaims(payload)
	if refusal != nil {
		tb.Fatalf("refused as %s (%s): %s", refusal.Reason, refusal.Detail, payload)
	}
	return info
}

const testAPI = "https://api.example.com"

// siteRequirements are what a site with these settings asks for.
func siteRequirements(tb testing.TB, h *Handler) requirements {
	tb.Helper()
	h.applyDefaults()
	q, err := h.newRequirements()
	if err != nil {
		tb.Fatal(err)
	}
	return q
}

// caddyRequest is a request as Caddy's server hands it to handlers.
func caddyRequest(tb testing.TB, method, target string) *http.Request {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), method, target, http.NoBody)
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), new(caddyhttp.Server))
}

// logLines are the JSON lines that Caddy has logged with this message.
func logLines(tb testing.TB, logs, message string) []map[string]any {
	tb.Helper()
	var lines []map[string]any
	scanner := bufio.NewScanner(strings.NewReader(logs))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var line map[string]any
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			tb.Fatalf("a log line is no JSON: %s", scanner.Text())
		}
		if line["msg"] == message {
			lines = append(lines, line)
		}
	}
	return lines
}

// parseChallenge reads exactly one Bearer challenge of quoted parameters, as
// RFC 9110 section 11.6.1 has it, and fails on anything else.
func parseChallenge(challenge string) (map[string]string, error) {
	rest, ok := strings.CutPrefix(challenge, "Bearer")
	if !ok {
		return nil, fmt.Errorf("no Bearer challenge: %q", challenge)
	}
	parameters := make(map[string]string)
	for separator := " "; rest != ""; separator = ", " {
		if rest, ok = strings.CutPrefix(rest, separator); !ok {
			return nil, fmt.Errorf("no %q before %q", separator, rest)
		}
		name, quoted, ok := strings.Cut(rest, `="`)
		if !ok || !isToken(name) {
			return nil, fmt.Errorf("no parameter at %q", rest)
		}
		if _, twice := parameters[name]; twice {
			return nil, fmt.Errorf("%s stands twice", name)
		}
		var value strings.Builder
		end := -1
		for i := 0; i < len(quoted) && end < 0; i++ {
			switch c := quoted[i]; {
			case c == '"':
				end = i
			case c == '\\' && i+1 < len(quoted):
				i++
				value.WriteByte(quoted[i])
			case c < ' ' || c > '~':
				return nil, fmt.Errorf("octet %#x in %q", c, quoted)
			default:
				value.WriteByte(c)
			}
		}
		if end < 0 {
			return nil, fmt.Errorf("no end of %q", quoted)
		}
		parameters[name] = value.String()
		rest = quoted[end+1:]
	}
	return parameters, nil
}

// tenantOf is a tenant whose keys are read from a file, with room for a few
// tokens.
func tenantOf(tb testing.TB, jwks []byte, issuers ...string) *tenant {
	tb.Helper()
	return cachingTenantOf(tb, 100, jwks, issuers...)
}

// cachingTenantOf is tenantOf with room for another number of tokens.
func cachingTenantOf(tb testing.TB, cacheSize int, jwks []byte, issuers ...string) *tenant {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "jwks.json")
	if err := os.WriteFile(path, jwks, 0o600); err != nil {
		tb.Fatal(err)
	}
	app := new(App)
	tb.Cleanup(func() {
		if err := app.Cleanup(); err != nil {
			tb.Error(err)
		}
	})
	t, err := app.tenant(keys.Config{
		Issuers: issuers, JWKSFile: path,
		RefreshInterval: time.Hour, RefreshCooldown: time.Minute, FetchTimeout: time.Minute, MaxStale: time.Hour,
	}, cacheSize)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// validatorOf is the validator of a site with default settings, whose issuers
// are those of the keys that are held.
func validatorOf(t *tenant) *validator {
	v := &validator{keys: t.keys, tokens: t.tokens, rules: tokenRules{
		algorithms: defaultAlgorithms,
		types:      normalizeTypes([]string{defaultTokenType}),
		leeway:     10,
	}}
	if held := t.keys.Held(); held != nil {
		v.rules.issuers = held.Issuers()
	}
	return v
}

// fixed is a clock that stands.
func fixed(at time.Time) clock { return func() time.Time { return at } }

// cachedTenant is a tenant whose keys come from a file.
type cachedTenant struct {
	*devtenant.Tenant
	keys  *keys.Set
	cache *tokenCache
	path  string
}

func newCachedTenant(tb testing.TB, algorithm string, cacheSize int) *cachedTenant {
	tb.Helper()
	const issuer = "https://tenant.example/oidc"
	path := filepath.Join(tb.TempDir(), "jwks.json")
	shared, err := newTenant(keys.Config{
		Issuers: []string{issuer}, JWKSFile: path,
		RefreshInterval: time.Minute, FetchTimeout: time.Second, MaxStale: time.Hour,
	}, cacheSize)
	if err != nil {
		tb.Fatal(err)
	}
	// A key set that has ended reads its file only when it is told to.
	if err := shared.Destruct(); err != nil {
		tb.Fatal(err)
	}
	tenant := &cachedTenant{devtenant.New(devtenant.Options{Issuer: issuer, Algorithm: algorithm}), shared.keys, shared.tokens, path}
	tenant.publish(tb, tenant.JWKS())
	return tenant
}

// publish lets the key set know these keys.
func (tenant *cachedTenant) publish(tb testing.TB, jwks []byte) {
	tb.Helper()
	if err := os.WriteFile(tenant.path, jwks, 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := tenant.keys.ReadFile(); err != nil {
		tb.Fatal(err)
	}
}

// validator is that of a site with default rules.
func (tenant *cachedTenant) validator() *validator {
	return &validator{keys: tenant.keys, tokens: tenant.cache, rules: tokenRules{
		algorithms: defaultAlgorithms, types: []string{defaultTokenType}, issuers: []string{tenant.Issuer()}, leeway: 10,
	}}
}

func (tenant *cachedTenant) token(scope string) string {
	return tenant.Token(devtenant.TokenRequest{Resource: "https://api.example.com", Scope: scope})
}
