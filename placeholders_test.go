package logtoauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// expand replaces the placeholders of a text as a handler of this request does.
func expand(r *http.Request, text string) string {
	return r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).ReplaceKnown(text, "")
}

// allPlaceholders are those of the contract, but for the claims.
var allPlaceholders = []string{
	"http.auth.user.id", "http.auth.user.sub", "http.auth.user.client_id", "http.auth.user.organization_id",
	"http.auth.user.issuer", "http.auth.user.token_id", "http.auth.user.scopes", "http.auth.user.audience",
	"http.auth.user.type", "http.auth.user.actor", "http.auth.user.expires_at", "http.auth.user.info",
	"http.auth.logto.reason", "http.auth.logto.error",
}

func TestPlaceholdersOfAnAdmittedRequest(t *testing.T) {
	info := mustDecode(t, `{"jti":"id-1","sub":"user-1","exp":1795193579,"scope":"read  write","client_id":"app-1",
		"iss":"https://t.example/oidc","aud":["https://api.example.com","urn:logto:organization:org-1"],"act":{"sub":"actor-1"},
		"organization_id":"org-1","roles":["admin",{"a":1}],"n":12345678901234567890,"yes":true,"nothing":null,"a.b":"dotted",
		"https://example.com/role":"namespaced"}`)
	r := caddyRequest(t, http.MethodGet, "/")
	state := stateOf(r)
	state.info, state.organizationID = info, "org-1"

	for key, want := range map[string]string{
		"http.auth.user.id":              "user-1",
		"http.auth.user.sub":             "user-1",
		"http.auth.user.client_id":       "app-1",
		"http.auth.user.organization_id": "org-1",
		"http.auth.user.issuer":          "https://t.example/oidc",
		"http.auth.user.token_id":        "id-1",
		"http.auth.user.scopes":          "read write",
		"http.auth.user.audience":        "https://api.example.com urn:logto:organization:org-1",
		"http.auth.user.type":            "user",
		"http.auth.user.actor":           "actor-1",
		"http.auth.user.expires_at":      "2026-11-20T16:52:59Z",
		"http.auth.user.info": `{"sub":"user-1","clientId":"app-1","organizationId":"org-1","scopes":["read","write"],` +
			`"audience":["https://api.example.com","urn:logto:organization:org-1"]}`,
		"http.auth.user.claims.sub":                       "user-1",
		"http.auth.user.claims.roles":                     `["admin",{"a":1}]`,
		"http.auth.user.claims.roles.0":                   "admin",
		"http.auth.user.claims.roles.1.a":                 "1",
		"http.auth.user.claims.n":                         "12345678901234567890",
		"http.auth.user.claims.yes":                       "true",
		"http.auth.user.claims.act.sub":                   "actor-1",
		`http.auth.user.claims.a\.b`:                      "dotted",
		`http.auth.user.claims.https://example\.com/role`: "namespaced",
		"http.auth.user.claims.nothing":                   "",
		"http.auth.user.claims.absent":                    "",
		"http.auth.user.claims.roles.9":                   "",
		"http.auth.user.claims.a..b":                      "",
		"http.auth.user.claims.":                          "",
		"http.auth.logto.reason":                          "",
		"http.auth.logto.error":                           "",
	} {
		if got := expand(r, "{"+key+"}"); got != want {
			t.Errorf("{%s} is %q, not %q", key, got, want)
		}
	}
}

// A scope of the machine itself, a token without an organization and without
// scopes: nothing may be null where a consumer expects a list.
func TestPlaceholdersOfABareMachineToken(t *testing.T) {
	r := caddyRequest(t, http.MethodGet, "/")
	stateOf(r).info = mustDecode(t, `{"exp":1,"sub":"app-1","client_id":"app-1"}`)
	for key, want := range map[string]string{
		"http.auth.user.type":            "app",
		"http.auth.user.scopes":          "",
		"http.auth.user.audience":        "",
		"http.auth.user.organization_id": "",
		"http.auth.user.actor":           "",
		"http.auth.user.expires_at":      "1970-01-01T00:00:01Z",
		"http.auth.user.info":            `{"sub":"app-1","clientId":"app-1","organizationId":null,"scopes":[],"audience":[]}`,
	} {
		if got := expand(r, "{"+key+"}"); got != want {
			t.Errorf("{%s} is %q, not %q", key, got, want)
		}
	}
}

// Left as literal text, a placeholder would become the user's name in a header
// or a file's path.
func TestPlaceholdersAreEmptyUnlessAdmitted(t *testing.T) {
	for name, prepare := range map[string]func(*requestState){
		"nothing decided": func(*requestState) {},
		"anonymous":       func(s *requestState) { s.anonymous = refusedMissingToken },
		"preflight":       func(s *requestState) { s.preflight = true },
		"cleared by a later logto_auth": func(s *requestState) {
			s.info, s.organizationID, s.refusal = mustDecode(t, `{"exp":1,"sub":"user-1"}`), "org-1", refusedMissingToken
			s.clear(caddyRequest(t, http.MethodGet, "/"))
			s.handler = new(Handler)
		},
	} {
		r := caddyRequest(t, http.MethodGet, "/")
		prepare(stateOf(r))
		for _, key := range append([]string{"http.auth.user.claims.sub", "http.auth.user.claims.a..b"}, allPlaceholders...) {
			want := ""
			if key == "http.auth.user.type" {
				want = "anonymous"
			}
			if got := expand(r, "{"+key+"}"); got != want {
				t.Errorf("%s: {%s} is %q, not %q", name, key, got, want)
			}
		}
	}
}

func TestPlaceholdersOfARefusal(t *testing.T) {
	r := caddyRequest(t, http.MethodGet, "/")
	stateOf(r).refusal = refusedScheme
	if got := expand(r, "{http.auth.logto.reason}"); got != "unsupported_scheme" {
		t.Errorf("the reason is %q", got)
	}
	if got := expand(r, "{http.auth.logto.error}"); got != `Authorization header must start with "Bearer "` {
		t.Errorf("the error is %q", got)
	}
	if got := expand(r, "{http.auth.user.id}{http.auth.user.type}"); got != "anonymous" {
		t.Errorf("a refused request has a user: %q", got)
	}
}

func TestPlaceholdersLeaveOtherNamesToOthers(t *testing.T) {
	r := caddyRequest(t, http.MethodGet, "/")
	stateOf(r).info = mustDecode(t, `{"exp":1,"sub":"user-1"}`)
	for _, key := range []string{"http.auth.user.", "http.auth.user.unknown", "http.auth.user", "http.auth.logto.", "http.auth.logto.token", "http.auth.other"} {
		if got := expand(r, "{"+key+"}"); got != "{"+key+"}" {
			t.Errorf("{%s} is ours and %q", key, got)
		}
	}
}

// Caddy asks the provider first that was registered first. A second one would
// go on telling of the first user.
func TestStateIsRegisteredOnce(t *testing.T) {
	r := caddyRequest(t, http.MethodGet, "/")
	first := stateOf(r)
	first.info = mustDecode(t, `{"exp":1,"sub":"user-1"}`)
	second := stateOf(r)
	second.clear(r)
	second.handler = new(Handler)
	if first != second {
		t.Fatal("one request has two states")
	}
	second.info = mustDecode(t, `{"exp":1,"sub":"user-2"}`)
	if got := expand(r, "{http.auth.user.id}"); got != "user-2" {
		t.Errorf("the user is %q, not the one who was admitted last", got)
	}
}

// Without Caddy's variables nothing can be kept, so nobody is admitted.
func TestStateWithoutCaddyIsEmpty(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	stateOf(r).info = mustDecode(t, `{"exp":1,"sub":"user-1"}`)
	if stateOf(r).info != nil {
		t.Error("a state is kept without a place for it")
	}
}

func TestStateForgetsWhatAnEarlierHandlerLeft(t *testing.T) {
	handler := new(Handler)
	r := caddyRequest(t, http.MethodGet, "/")
	r.Header["X-User"], r.Header["X-Other"] = []string{"user-1"}, []string{"kept"}
	state := &requestState{
		handler: new(Handler), info: new(AuthInfo), organizationID: "org-1",
		refusal: refusedMissingToken, anonymous: refusedMissingToken, preflight: true, forwarded: headerNames{"x-user"},
	}
	state.clear(r)
	state.handler = handler
	if state.handler != handler || state.info != nil || state.organizationID != "" || state.refusal != nil || state.anonymous != nil || state.preflight || state.forwarded != nil {
		t.Errorf("an earlier logto_auth shows through: %+v", *state)
	}
	if r.Header.Get("X-User") != "" || r.Header.Get("X-Other") != "kept" {
		t.Errorf("the headers are %q", r.Header)
	}
}

// Whoever prints Caddy's variables must not get claims.
func TestStateShowsNothing(t *testing.T) {
	const secret = "user-secret"
	r := caddyRequest(t, http.MethodGet, "/")
	state := stateOf(r)
	state.info, state.organizationID = mustDecode(t, `{"exp":1,"sub":"`+secret+`"}`), secret
	encoded, err := json.Marshal(state) //nolint:staticcheck // that it has nothing to show is what is tested
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"{http.vars.logto_auth}": expand(r, "{http.vars.logto_auth}"),
		"%v":                     fmt.Sprintf("%v", state),
		"%+v":                    fmt.Sprintf("%+v", state),
		"%s":                     state.String(),
		"JSON":                   string(encoded),
	} {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows a claim: %s", name, text)
		}
	}
}

// A claim's text is data: expanded once more, it would read the server's
// environment for the client.
func TestClaimsThatLookLikePlaceholdersAreNotExpanded(t *testing.T) {
	t.Setenv("LOGTO_AUTH_TEST_SECRET", "s3cret")
	const evil = "{env.LOGTO_AUTH_TEST_SECRET}"
	r := caddyRequest(t, http.MethodGet, "/")
	r.Header.Set("X-Evil", evil)
	stateOf(r).info = mustDecode(t, `{"exp":1,"sub":"`+evil+`","client_id":"`+evil+`","scope":"`+evil+`","aud":"`+evil+`","x":"`+evil+`","y":["`+evil+`"]}`)
	for _, key := range append([]string{"http.auth.user.claims.x", "http.auth.user.claims.y", "http.auth.user.claims." + evil}, allPlaceholders...) {
		if got := expand(r, "{"+key+"}"); strings.Contains(got, "s3cret") {
			t.Errorf("{%s} is expanded: %q", key, got)
		}
	}
}

func TestPlaceholdersHoldNoControlCharacters(t *testing.T) {
	r := caddyRequest(t, http.MethodGet, "/")
	state := stateOf(r)
	// The four identifiers cannot hold any; these fields and claims can.
	state.info = mustDecode(t, `{"exp":1,"scope":"a\nb\u0000","aud":["x\r\ny","\u007f"],"act":{"sub":"a\u0085\u001b[2J"},
		"x":"a\r\nSet-Cookie: a=b","y":["a\u007fb\u0090","c\nd"],"z\u0000z":{"k\u009b":"v"}}`)
	for key, want := range map[string]string{
		"http.auth.user.scopes":     "a\ufffdb\ufffd",
		"http.auth.user.audience":   "x\ufffd\ufffdy \ufffd",
		"http.auth.user.actor":      "a\ufffd\ufffd[2J",
		"http.auth.user.claims.x":   "a\ufffd\ufffdSet-Cookie: a=b",
		"http.auth.user.claims.y":   "[\"a\ufffdb\ufffd\",\"c\\nd\"]",
		"http.auth.user.claims.y.1": "c\ufffdd",
		"http.auth.user.info":       `{"sub":"","clientId":"","organizationId":null,"scopes":["a\nb\u0000"],"audience":["x\r\ny","` + "\ufffd" + `"]}`,
	} {
		got := expand(r, "{"+key+"}")
		if got != want {
			t.Errorf("{%s} is %q, not %q", key, got, want)
		}
		if strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("{%s} holds a control character: %q", key, got)
		}
	}
}

// The first logto_auth of a request clears nothing. So whatever makes the state
// before it leaves nothing there that it would have to clear.
func TestWhatIsBeforeALogtoAuthLeavesOnlyHistory(t *testing.T) {
	for name, before := range map[string]caddyhttp.MiddlewareHandler{
		"logto_strip_identity": &StripIdentity{SignInCookies: true},
		"logto_require":        &Require{logger: zap.NewNop()},
	} {
		r := caddyRequest(t, http.MethodGet, "/")
		r.Header.Set("Cookie", "a=b")
		if err := before.ServeHTTP(httptest.NewRecorder(), r, passed); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		state, known := knownState(r)
		if !known {
			t.Fatalf("%s makes no state", name)
		}
		got, want := fmt.Sprintf("%+v", *state), fmt.Sprintf("%+v", requestState{requestHistory: state.requestHistory})
		if !state.concluding && got != want {
			t.Errorf("%s leaves %s, not %s", name, got, want)
		}
	}
}
