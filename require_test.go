package logtoauth

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// requireSites has each way to write logto_require behind each model.
const requireSites = `
(lines) {
	logto_require /write* write
	logto_require /inline* write admin
	logto_require /block* {
		scopes write
		any_scope list admin
	}
	logto_require /mixed* write {
		scopes admin
		any_scope read list
	}
	logto_require /any* {
		any_scope write list
	}
	logto_require /claim* {
		claim role admin owner
		claim level 3
	}
	logto_require /org/any* {
		organization any
	}
	logto_require /org/acme* {
		organization org-1 org-3
	}
	logto_require /org/none* {
		organization forbid
	}
	logto_require /org/scoped* list {
		organization org-1
	}
	logto_require /twice* write
	logto_require /twice* list
	respond "hello {http.auth.user.id}"
	handle_errors {
		respond "{http.auth.logto.reason}|{http.auth.logto.error}|{http.auth.user.id}|{http.auth.user.type}" {err.status_code}
	}
}
http://global.example {
	logto_auth {
		audience https://api.example.com
		organization ignore
		scopes read
		realm site
		errors handle_errors
	}
	import lines
}
http://api.example {
	logto_auth {
		audience https://api.example.com
		organization any
		errors handle_errors
	}
	import lines
}
http://organization.example {
	logto_auth {
		organization any
		errors handle_errors
	}
	import lines
}
http://json.example {
	logto_auth {
		audience https://api.example.com
	}
	import lines
}
http://optional.example {
	logto_auth {
		audience https://api.example.com
		optional
		realm site
	}
	logto_require /members*
	import lines
}
http://alone.example {
	logto_require
	import lines
}
http://before.example {
	route {
		logto_require
		logto_auth {
			audience https://api.example.com
		}
		respond hello
	}
}
http://elsewhere.example {
	logto_auth /api* {
		audience https://api.example.com
	}
	logto_require
	respond hello
}
http://report.example {
	logto_auth {
		audience https://api.example.com
		report_only
	}
	logto_require write
	respond "hello {http.auth.user.id}|{http.auth.logto.reason}"
}
http://preflight.example {
	logto_auth {
		audience https://api.example.com
		bypass_cors_preflight
	}
	logto_require write
	respond "hello {http.auth.user.id}"
}
`

func TestRequireThroughCaddy(t *testing.T) {
	server, tenant := serve(t, requireSites)
	token := func(resource, organization, scope string, extra map[string]any) []caddytest.Option {
		return options(caddytest.Bearer(tenant.Token(devtenant.TokenRequest{
			Subject: "user-1", ClientID: "app-1", Resource: resource, OrganizationID: organization, Scope: scope, Extra: extra,
		})))
	}
	read := token(testAPI, "", "read", nil)
	write := token(testAPI, "", "read write", nil)
	acme := token(testAPI, "org-1", "read", nil)
	globex := token(testAPI, "org-2", "read list", nil)
	urn := token("", "org-1", "read", nil)
	role := func(role, level any) []caddytest.Option {
		return token(testAPI, "", "read", map[string]any{"role": role, "level": level})
	}
	page := func(reason, text string) string { return reason + "|" + text + "|user-1|user" }
	anonymous := refusedWith("Authorization header is missing")

	for _, test := range []struct {
		name, host, path string
		options          []caddytest.Option
		status           int
		body             string
		scope            string // of the challenge
	}{
		{"nothing asked", "global", "/", read, 200, "hello user-1", ""},
		{"inline scope", "global", "/write", read, 403, page("insufficient_scope", "Insufficient scope"), "read write"},
		{"inline scope, held", "global", "/write", write, 200, "hello user-1", ""},
		{"inline scopes, one held", "global", "/inline", write, 403, page("insufficient_scope", "Insufficient scope"), "read write admin"},
		{"block, all but none of any", "global", "/block", write, 403, page("insufficient_scope", "Insufficient scope"), "read write list admin"},
		{"block, held", "global", "/block", token(testAPI, "", "read write admin", nil), 200, "hello user-1", ""},
		{"inline and block add up", "global", "/mixed", write, 403, page("insufficient_scope", "Insufficient scope"), "read write admin list"},
		{"inline and block, held", "global", "/mixed", token(testAPI, "", "read write admin", nil), 200, "hello user-1", ""},
		{"any, none held", "global", "/any", read, 403, page("insufficient_scope", "Insufficient scope"), "read write list"},
		{"any, one held", "global", "/any", write, 200, "hello user-1", ""},
		{"two lines, the first", "global", "/twice", token(testAPI, "", "read list", nil), 403, page("insufficient_scope", "Insufficient scope"), "read write"},
		{"two lines, the second", "global", "/twice", write, 403, page("insufficient_scope", "Insufficient scope"), "read list"},
		{"two lines, both held", "global", "/twice", token(testAPI, "", "read write list", nil), 200, "hello user-1", ""},

		{"claims", "global", "/claim", role("admin", 3), 200, "hello user-1", ""},
		{"claims, another value", "global", "/claim", role("owner", "3"), 200, "hello user-1", ""},
		{"claims, the first fails", "global", "/claim", role("guest", 3), 403, page("claim_mismatch", "Claim requirement not met"), ""},
		{"claims, the second fails", "global", "/claim", role("admin", 4), 403, page("claim_mismatch", "Claim requirement not met"), ""},
		{"claims, absent", "global", "/claim", read, 403, page("claim_mismatch", "Claim requirement not met"), ""},

		{"organization any, none", "global", "/org/any", read, 403, page("missing_organization", "Organization ID mismatch"), ""},
		{"organization any", "global", "/org/any", globex, 200, "hello user-1", ""},
		{"organization ids", "global", "/org/acme", acme, 200, "hello user-1", ""},
		{"organization ids, another one", "global", "/org/acme", globex, 403, page("wrong_organization", "Organization ID mismatch"), ""},
		{"organization ids, none", "global", "/org/acme", read, 403, page("missing_organization", "Organization ID mismatch"), ""},
		{"organization forbid", "global", "/org/none", read, 200, "hello user-1", ""},
		{"organization forbid, one", "global", "/org/none", acme, 403, page("organization_forbidden", "Organization token not accepted"), ""},
		{"the organization's texts for scopes", "global", "/org/scoped", acme, 403, page("insufficient_scope", "Insufficient organization-level API scopes"), "read list"},
		{"organization before scopes", "global", "/org/scoped", globex, 403, page("wrong_organization", "Organization ID mismatch"), ""},

		{"the texts of the API's site", "api", "/write", acme, 403, page("insufficient_scope", "Insufficient organization-level API scopes"), "write"},
		{"the API's site, organization ids", "api", "/org/acme", globex, 403, page("wrong_organization", "Organization ID mismatch"), ""},
		{"the API's site, organization forbid", "api", "/org/none", acme, 403, page("organization_forbidden", "Organization token not accepted"), ""},
		{"the texts of the organization's site", "organization", "/write", urn, 403, page("insufficient_scope", "Insufficient organization scope"), "write"},
		{"the organization's site, its id", "organization", "/org/acme", urn, 200, "hello user-1", ""},
		{"the organization's site, another id", "organization", "/org/acme", token("", "org-2", "read", nil), 403, page("wrong_organization", "Organization ID mismatch"), ""},
		{"the organization's site, forbid", "organization", "/org/none", urn, 403, page("organization_forbidden", "Organization token not accepted"), ""},

		{"json", "json", "/write", read, 403, refusedWith("Insufficient scope"), "write"},

		{"anonymous", "optional", "/", nil, 200, "hello ", ""},
		{"anonymous at a members' page", "optional", "/members", nil, 401, anonymous, ""},
		{"anonymous with a scope", "optional", "/write", nil, 401, anonymous, ""},
		{"another scheme at a members' page", "optional", "/members", options(caddytest.Header("Authorization", "Basic eA==")), 401, refusedWith(`Authorization header must start with "Bearer "`), ""},
		{"a client at a members' page", "optional", "/members", read, 200, "hello user-1", ""},
		{"several tokens where none is needed", "optional", "/", append(slices.Clone(read), read...), 400, refusedWith("Multiple access tokens"), ""},
		{"a bad token", "optional", "/", options(caddytest.Bearer("x.y.z")), 401, refusedWith("Invalid token"), ""},

		{"no logto_auth", "alone", "/", read, 401, anonymous, ""},
		{"before logto_auth", "before", "/", read, 401, anonymous, ""},
		{"where the logto_auth's matcher does not lead", "elsewhere", "/", read, 401, anonymous, ""},
		{"where the logto_auth's matcher leads", "elsewhere", "/api", read, 200, "hello", ""},

		{"report_only", "report", "/", read, 200, "hello user-1|insufficient_scope", ""},
		{"report_only, held", "report", "/", write, 200, "hello user-1|", ""},
		{"report_only, refused by logto_auth", "report", "/", options(caddytest.Bearer("x.y.z")), 200, "hello |malformed_token", ""},
		{"report_only, no token", "report", "/", nil, 200, "hello |missing_token", ""},

		{"preflight", "preflight", "/", options(
			caddytest.Method("OPTIONS"), caddytest.Header("Origin", "https://spa.example"), caddytest.Header("Access-Control-Request-Method", "PUT"),
		), 200, "hello ", ""},
		{"no preflight", "preflight", "/", options(caddytest.Method("OPTIONS")), 401, anonymous, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := server.Get(test.path, append(slices.Clone(test.options), caddytest.Header("Host", test.host+".example"))...)
			if got.StatusCode != test.status || got.Body != test.body {
				t.Errorf("%d %q, not %d %q", got.StatusCode, got.Body, test.status, test.body)
			}
			if test.status == 200 {
				return
			}
			if values := got.Header.Values("Cache-Control"); !slices.Equal(values, []string{"no-store"}) {
				t.Errorf("Cache-Control is %q", values)
			}
			parameters, err := parseChallenge(got.Header.Get("WWW-Authenticate"))
			if err != nil {
				t.Fatal(err)
			}
			if parameters["scope"] != test.scope {
				t.Errorf("the challenge's scope is %q, not %q", parameters["scope"], test.scope)
			}
			if realm := map[string]string{"global": "site", "optional": "site"}[test.host]; parameters["realm"] != realm {
				t.Errorf("the realm is %q, not %q", parameters["realm"], realm)
			}
		})
	}
}

func TestRequireLogsTheVerifiedClient(t *testing.T) {
	server, tenant := serve(t, requireSites)
	token := tenant.Token(devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", Resource: testAPI, Scope: "read"})
	before := len(server.Logs())
	server.Get("/write", caddytest.Header("Host", "json.example"), caddytest.Bearer(token))
	lines := logLines(t, server.Logs()[before:], "request refused")
	if len(lines) != 1 {
		t.Fatalf("there are %d lines", len(lines))
	}
	for field, want := range map[string]any{
		"level": "debug", "logger": "http.handlers.logto_require", "reason": "insufficient_scope", "status": 403.0,
		"sub": "user-1", "client_id": "app-1", "kid": tenant.SigningKID(), "verified": true,
	} {
		if lines[0][field] != want {
			t.Errorf("the log says %s %v, not %v", field, lines[0][field], want)
		}
	}
	if hint, _ := lines[0]["hint"].(string); !strings.Contains(hint, "scopes") {
		t.Errorf("the hint is %q", hint)
	}
}

// A refusal of one request must not leak into the next: what is merged for one
// answer may not grow in the config.
func TestRequireDoesNotChangeWhatTheSiteAsks(t *testing.T) {
	base := &Handler{requirements: siteRequirements(t, &Handler{Audiences: []string{testAPI}, Scopes: append(make([]string, 0, 8), "read")})}
	line := &Require{logger: zap.NewNop(), requirements: siteRequirements(t, &Handler{Audiences: []string{testAPI}, Scopes: []string{"write"}})}
	line.requirements.organization = organizationRule{}
	for range 3 {
		r := caddyRequest(t, http.MethodGet, "/")
		state := stateOf(r)
		state.handler, state.info = base, mustDecode(t, `{"exp":1,"scope":"read"}`)
		refusal := line.decide(state, r)
		if reasonOf(refusal) != ReasonInsufficientScope || !slices.Equal(refusal.scopes, []string{"read", "write"}) {
			t.Fatalf("%+v", refusal)
		}
	}
	if got := base.requirements.challengeScopes; !slices.Equal(got, []string{"read"}) {
		t.Errorf("the site now asks for %q", got)
	}
}

// Whatever else is wrong, without an admitted client there is no way through.
func TestRequireFailsClosed(t *testing.T) {
	passed := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		t.Error("the request passed")
		return nil
	})
	line := &Require{logger: zap.NewNop()}
	requests := map[string]*http.Request{
		"no state":      caddyRequest(t, http.MethodGet, "/"),
		"outside Caddy": httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody),
	}
	other := caddyRequest(t, http.MethodGet, "/")
	caddyhttp.SetVar(other.Context(), stateVar, &AuthInfo{Subject: "user-1"})
	requests["a variable of the same name"] = other
	refused := caddyRequest(t, http.MethodGet, "/")
	stateOf(refused).handler, stateOf(refused).refusal = new(Handler), refuseMalformed("x")
	requests["refused before, and passed on nevertheless"] = refused
	for name, r := range requests {
		w := httptest.NewRecorder()
		if err := line.ServeHTTP(w, r, passed); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: %d %q", name, w.Code, w.Header())
		}
	}
}
