package logtoauth

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// Every attack on a token, through a running Caddy: one answer for all, which
// tells the attacker nothing of what the site or the tenant is.
func TestHostileTokensGetOneAnswer(t *testing.T) {
	// The attacks speak of the default issuer.
	tenant := devtenanttest.NewServer(t, devtenant.Options{Issuer: "http://localhost:3001/oidc"})
	publishMore(tenant.Tenant)
	server := caddytest.Start(t, `
http:// {
	logto_auth {
		issuer http://localhost:3001/oidc
		jwks_uri `+tenant.URL+devtenant.JWKSPath+`
		audience https://api.example.com
	}
	respond "let in"
}
`)
	if got := server.Get("/", caddytest.Bearer(signed(nil, nil)(t, tenant.Tenant))); got.Body != "let in" {
		t.Fatalf("a true token gets %d %s", got.StatusCode, got.Body)
	}
	for _, attack := range tokenAttacks() {
		token := attack.token(t, tenant.Tenant)
		if strings.ContainsAny(token, "\r\n\x00") || token != strings.TrimSpace(token) {
			continue // HTTP itself cannot carry it
		}
		before := len(server.Logs())
		got := server.Get("/", caddytest.Bearer(token))
		if got.StatusCode != http.StatusUnauthorized || got.Body != `{"error":"Invalid token"}` {
			t.Errorf("%s: %d %s", attack.name, got.StatusCode, got.Body)
		}
		lines := logLines(t, server.Logs()[before:], "request refused")
		if len(lines) != 1 || lines[0]["reason"] != string(attack.reason) || fmt.Sprint(lines[0]["verified"]) != "false" {
			t.Errorf("%s: the log says %v, not %s", attack.name, lines, attack.reason)
		}
		challenge, err := parseChallenge(got.Header.Get("WWW-Authenticate"))
		if err != nil || challenge["error"] != "invalid_token" || challenge["error_description"] == "" || len(challenge) != 2 {
			t.Errorf("%s: the challenge is %q, %v", attack.name, challenge, err)
		}
		checkNoToken(t, got.Request, false, server.Logs()[before:])
	}
}

// The corpus: each attack has a name of its own and says where it comes from.
func TestHostileCorpus(t *testing.T) {
	sources := make(map[string]string)
	add := func(name, source string) {
		if source == "" {
			t.Errorf("%s: no source", name)
		}
		if _, twice := sources[name]; twice {
			t.Errorf("%s: two attacks of one name", name)
		}
		sources[name] = source
	}
	for _, attack := range tokenAttacks() {
		add("token: "+attack.name, attack.source)
	}
	for _, attack := range lookAlikes() {
		add("look-alike: "+attack.name, attack.source)
	}
	for _, attack := range hostileRequests() {
		add("request: "+attack.name, attack.source)
	}
	if len(sources) < 300 {
		t.Errorf("only %d attacks", len(sources))
	}
	t.Logf("%d attacks", len(sources))
}

// Every made-up kid asks for another fetch; the tenant sees one for all of
// them (CVE-2025-64527 is Envoy's, of fetches that tokens set off).
func TestHostileKeyIDsDoNotReachTheTenant(t *testing.T) {
	server, tenant := serve(t, `
http:// {
	logto_auth {
		audience https://api.example.com
	}
	respond "let in"
}
`)
	if got := server.Get("/", caddytest.Bearer(signed(nil, nil)(t, tenant.Tenant))); got.Body != "let in" {
		t.Fatalf("a true token gets %d %s", got.StatusCode, got.Body)
	}
	before := tenant.Counts().JWKS
	for i := range 300 {
		token := signed(map[string]any{"kid": "made-up-" + strconv.Itoa(i)}, nil)(t, tenant.Tenant)
		if got := server.Get("/", caddytest.Bearer(token)); got.StatusCode != http.StatusUnauthorized || got.Body != refusedWith("Invalid token") {
			t.Fatalf("kid %d: %d %s", i, got.StatusCode, got.Body)
		}
	}
	if fetches := tenant.Counts().JWKS - before; fetches > 1 {
		t.Errorf("%d fetches", fetches)
	}
}

// What a token says never comes back, neither in the body nor in a header:
// whoever makes a victim's browser send it could run script there.
func TestHostileClaimsAreNotReflected(t *testing.T) {
	const mark = "reflected-7f3a"
	server, tenant := serve(t, `
http:// {
	logto_auth {
		audience https://api.example.com
		organization org-1
		scopes read
		claim role admin
	}
	respond hello
}
`)
	full := map[string]any{"aud": testAPI, "organization_id": "org-1", "scope": "read", "role": mark}
	without := func(claim string, value any) map[string]any {
		claims := maps.Clone(full)
		claims[claim] = value
		return claims
	}
	sign := func(header, claims map[string]any) string {
		return tenant.Sign(header, tenant.Claims(devtenant.TokenRequest{Subject: mark, ClientID: mark, Resource: testAPI, Extra: claims}))
	}
	for name, token := range map[string]string{
		"opaque":       mark,
		"typ":          sign(map[string]any{"typ": mark}, full),
		"alg":          sign(map[string]any{"alg": mark}, full),
		"kid":          sign(map[string]any{"kid": mark}, full),
		"crit":         sign(map[string]any{"crit": []string{mark}}, full),
		"issuer":       sign(nil, without("iss", mark)),
		"audience":     sign(nil, without("aud", mark)),
		"organization": sign(nil, without("organization_id", mark)),
		"scope":        sign(nil, without("scope", mark)),
		"claim":        sign(nil, full),
	} {
		got := server.Get("/"+mark+"?"+mark, caddytest.Bearer(token), caddytest.Header("Origin", "https://"+mark), caddytest.Header("X-"+mark, mark))
		if got.StatusCode < 400 {
			t.Errorf("%s: %d", name, got.StatusCode)
		}
		if strings.Contains(got.Body, mark) || strings.Contains(fmt.Sprint(got.Header), mark) {
			t.Errorf("%s comes back: %s %q", name, got.Body, got.Header)
		}
	}
}

// One token's claims must never show in another's request. Worth running with
// -race.
func TestHostileConcurrencyDoesNotMixClients(t *testing.T) {
	server, tenant := serve(t, `
http:// {
	logto_auth {
		audience https://api.example.com
		organization ignore
	}
	respond "{http.auth.user.id} {http.auth.user.organization_id} {http.auth.user.scopes} {http.auth.user.claims.n}"
}
http://forbid.example {
	logto_auth {
		audience https://api.example.com
	}
	respond "{http.auth.user.id}"
}
`)
	var wg sync.WaitGroup
	for client := range 8 {
		name := strconv.Itoa(client)
		request := devtenant.TokenRequest{Subject: "user-" + name, Resource: testAPI, Scope: "scope-" + name, Extra: map[string]any{"n": client}}
		if client%2 == 1 {
			request.OrganizationID = "org-" + name
		}
		token := caddytest.Bearer(tenant.Token(request))
		wg.Go(func() {
			for range 20 {
				want := fmt.Sprintf("user-%s %s scope-%s %s", name, request.OrganizationID, name, name)
				if got := server.Get("/", token); got.Body != want {
					t.Errorf("%q, not %q", got.Body, want)
				}
				want = "user-" + name
				if client%2 == 1 {
					want = refusedWith("Organization token not accepted")
				}
				if got := server.Get("/", token, caddytest.Header("Host", "forbid.example")); got.Body != want {
					t.Errorf("%q, not %q", got.Body, want)
				}
			}
		})
	}
	wg.Wait()
}

// Claims end up in headers and files' paths of whoever uses them.
func TestHostileClaimsCannotBreakOutOfAHeader(t *testing.T) {
	server, tenant := serve(t, `
http:// {
	route {
		logto_auth {
			audience https://api.example.com
		}
		header X-Claim "{http.auth.user.claims.evil}"
		header X-Scopes "{http.auth.user.scopes}"
		respond "{header.X-Injected}"
	}
}
`)
	token := tenant.Token(devtenant.TokenRequest{
		Resource: testAPI, Scope: "a\r\nX-Injected: 1", Extra: map[string]any{"evil": "a\r\nX-Injected: 1\r\n\r\n<html>"},
	})
	got := server.Raw("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + token + "\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 200 ") || strings.Contains(got, "\nX-Injected") || strings.Contains(got, "\n<html>") {
		t.Errorf("%q", got)
	}
}

// What is deep or long costs what it costs to read, and no more.
func TestHostileShapesOfClaims(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	for name, value := range map[string]string{
		"deep arrays":        strings.Repeat("[", 4000) + strings.Repeat("]", 4000),
		"deep objects":       strings.Repeat(`{"a":`, 1500) + "1" + strings.Repeat("}", 1500),
		"many members":       "{" + strings.Repeat(`"a":1,`, 1500) + `"a":2}`,
		"long number":        strings.Repeat("9", 9000),
		"long exponent":      "1e" + strings.Repeat("9", 9000),
		"long string":        `"` + strings.Repeat("x", 9000) + `"`,
		"escaped string":     `"` + strings.Repeat(`\u0000`, 1500) + `"`,
		"unpaired surrogate": `"\ud800"`,
	} {
		payload := `{"exp":4000000000,"sub":"user-1","client_id":"app-1","iss":"` + tenant.Issuer() + `","x":` + value + `}`
		info := mustDecode(t, payload)
		shown, found := info.Claim("x")
		if !found {
			t.Errorf("%s: the claim is lost", name)
		}
		if text := claimText(shown); len(text) > 2*len(value) {
			t.Errorf("%s: %d octets became %d", name, len(value), len(text))
		}
		_, _ = info.Claim("x" + strings.Repeat(".0", 5000))
		_, _ = info.Claim("x" + strings.Repeat(".a", 5000))
	}
	// What no JSON decoder may follow is no token.
	deep := `{"exp":4000000000,"x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`
	if _, refusal := decodeClaims(deep); reasonOf(refusal) != ReasonMalformedToken {
		t.Errorf("20000 levels: %q", reasonOf(refusal))
	}
}

// signInReasons are those of sign_in, which the table's blocks do not have:
// see TestSignInDecisions.
var signInReasons = []Reason{
	ReasonNoSession, ReasonSessionExpired, ReasonSessionEnded, ReasonRefreshRefused,
	ReasonSignInState, ReasonSignInRefused, ReasonSignInLoop, ReasonTenantUnavailable,
}

// Every reason that there is for a token stands in the decision table's test.
func TestEveryReasonIsInTheDecisionTable(t *testing.T) {
	_, tenant := startDecisions(t)
	seen := make(map[Reason]bool)
	for _, row := range decisions(tenant) {
		seen[row.reason] = true
	}
	ofTokens := slices.DeleteFunc(slices.Clone(reasons), func(reason Reason) bool { return slices.Contains(signInReasons, reason) })
	for _, reason := range ofTokens {
		if !seen[reason] {
			t.Errorf("%s is in no row", reason)
		}
	}
	encoded, err := json.Marshal(ofTokens)
	if err != nil || strings.Count(string(encoded), ",") != len(seen)-1 {
		t.Errorf("the list of reasons is %s, the table has %d", encoded, len(seen))
	}
}
