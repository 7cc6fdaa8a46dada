package logtoauth

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// decisionSites are the settings of the sites in the table, by host. Each is
// served twice: as it is, and as e.<host> with errors handle_errors.
var decisionSites = map[string]string{
	"global":  "audience https://api.example.com\nscopes read write",
	"org":     "organization org-1\nscopes read",
	"orgapi":  "audience https://api.example.com\norganization org-1\nany_scope read list",
	"claim":   "audience https://api.example.com\nclaim role admin",
	"maxage":  "audience https://api.example.com\nmax_age 1m",
	"places":  "audience https://api.example.com\nscopes read\ntoken_from cookie session\ntoken_from query access_token\ntoken_from header",
	"realm":   "audience https://api.example.com\nrealm \"My API\"\naudience_mismatch 401",
	"revoked": "audience https://api.example.com\nrevocation",
	"strict":  "audience https://api.example.com\nalgorithms RS256 ES256",
}

// decisionCaddyfile serves the sites in front of a page that says who is there.
func decisionCaddyfile(endpoint string, sites map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(sites)) {
		settings := sites[name]
		if !strings.Contains(settings, "endpoint") {
			settings = "endpoint " + endpoint + "\n" + settings
		}
		fmt.Fprintf(&b, "http://%s.example {\n\tlogto_auth {\n%s\n\t}\n\trespond \"hello {http.auth.user.id}\"\n}\n", name, settings)
		fmt.Fprintf(&b, "http://e.%s.example {\n\tlogto_auth {\n%s\nerrors handle_errors\n\t}\n\trespond \"hello {http.auth.user.id}\"\n"+
			"\thandle_errors {\n\t\theader Content-Type text/plain\n"+
			"\t\trespond \"{http.auth.logto.reason}|{http.auth.logto.error}|{err.message}|{err.status_code}|{http.auth.user.id}{http.auth.user.info}{http.auth.user.claims.sub}|{http.auth.user.type}\" {err.status_code}\n\t}\n}\n", name, settings)
	}
	return b.String()
}

// decision is a row: a request, and what it gets.
type decision struct {
	name      string
	host      string
	options   []caddytest.Option
	status    int
	text      string
	reason    Reason
	challenge map[string]string // nil if there is none; "…" is any text
	log       logged

	// elsewhere says that a token stands where Caddy's own lines show it.
	elsewhere bool
}

// logged is what the DEBUG line must say.
type logged struct {
	sub, clientID, kid string
	verified           bool
	hint               string // a part of it
}

var invalidToken = map[string]string{"error": "invalid_token", "error_description": "…"}

// decisions are the rows of the contract's table.
func decisions(tenant *devtenanttest.Server) []decision {
	kid := tenant.SigningKID()
	user := func(extra map[string]any) devtenant.TokenRequest {
		return devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", Resource: testAPI, Scope: "read write", Extra: extra}
	}
	bearer := func(req devtenant.TokenRequest) []caddytest.Option {
		return []caddytest.Option{caddytest.Bearer(tenant.Token(req))}
	}
	with := func(req devtenant.TokenRequest, change func(*devtenant.TokenRequest)) devtenant.TokenRequest {
		change(&req)
		return req
	}
	header := func(header map[string]any) []caddytest.Option {
		return []caddytest.Option{caddytest.Bearer(tenant.Sign(header, tenant.Claims(user(nil))))}
	}
	tampered := func(req devtenant.TokenRequest) []caddytest.Option {
		head, payload, _ := split(tenant.Token(req))
		return []caddytest.Option{caddytest.Bearer(head + "." + payload + "." + encodeText(strings.Repeat("x", 96)))}
	}
	organization := func(resource, id, scope string) []caddytest.Option {
		return bearer(devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", Resource: resource, OrganizationID: id, Scope: scope})
	}
	claimed := logged{sub: "user-1", clientID: "app-1", kid: kid}
	verified := logged{sub: "user-1", clientID: "app-1", kid: kid, verified: true}
	hint := func(l logged, hint string) logged { l.hint = hint; return l }
	scope := func(scope string) map[string]string {
		return map[string]string{"error": "insufficient_scope", "scope": scope}
	}
	forbidden := map[string]string{"error": "invalid_token"}
	const invalid = "Invalid token"
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }

	return []decision{
		{"POST in early data, with a good token", "global", []caddytest.Option{
			caddytest.Bearer(tenant.Token(user(nil))), caddytest.Method("POST"), caddytest.Header("Early-Data", "1"),
		}, 425, "Too early", ReasonTooEarly, nil, hint(logged{}, "0rtt off"), false},
		{"no token", "global", nil, 401, "Authorization header is missing", ReasonMissingToken, map[string]string{}, logged{}, false},
		{"no token, with a realm", "realm", nil, 401, "Authorization header is missing", ReasonMissingToken, map[string]string{"realm": "My API"}, logged{}, false},
		{"empty Authorization", "global", []caddytest.Option{caddytest.Header("Authorization", "")}, 401, "Authorization header is missing", ReasonMissingToken, map[string]string{}, logged{}, false},
		{"basic credentials", "global", []caddytest.Option{caddytest.Header("Authorization", "Basic dXNlcjpwYXNz")}, 401, `Authorization header must start with "Bearer "`, ReasonUnsupportedScheme, map[string]string{}, logged{}, false},
		{"a bare token", "global", []caddytest.Option{caddytest.Header("Authorization", tenant.Token(user(nil)))}, 401, `Authorization header must start with "Bearer "`, ReasonUnsupportedScheme, map[string]string{}, logged{}, false},
		{"Bearer without a token", "global", []caddytest.Option{caddytest.Header("Authorization", "Bearer")}, 401, `Authorization header must start with "Bearer "`, ReasonUnsupportedScheme, map[string]string{}, logged{}, false},
		{"two Authorization headers", "global", append(bearer(user(nil)), bearer(user(nil))...), 400, "Multiple access tokens", ReasonMultipleTokens, map[string]string{"error": "invalid_request"}, logged{}, false},
		{"two Authorization headers of which one is good", "global", append(bearer(user(nil)), caddytest.Header("Authorization", "Basic x")), 400, "Multiple access tokens", ReasonMultipleTokens, map[string]string{"error": "invalid_request"}, logged{}, false},
		{"a query token beside a header", "places", append(bearer(user(nil)), query("access_token="+tenant.Token(user(nil)))), 400, "Multiple access tokens", ReasonMultipleTokens, map[string]string{"error": "invalid_request"}, logged{}, true},
		{"a repeated cookie", "places", []caddytest.Option{caddytest.Header("Cookie", "session=a; session=b")}, 400, "Multiple access tokens", ReasonMultipleTokens, map[string]string{"error": "invalid_request"}, logged{}, true},
		{"a repeated parameter", "places", []caddytest.Option{query("access_token=a&access_token=b")}, 400, "Multiple access tokens", ReasonMultipleTokens, map[string]string{"error": "invalid_request"}, logged{}, true},

		{"too large", "global", []caddytest.Option{caddytest.Bearer(strings.Repeat("x", 16<<10+1))}, 401, invalid, ReasonTokenTooLarge, invalidToken, hint(logged{}, "larger than 16 KiB"), false},
		{"opaque", "global", []caddytest.Option{caddytest.Bearer(tenant.OpaqueToken())}, 401, invalid, ReasonOpaqueToken, invalidToken, hint(logged{}, "resource=https://api.example.com"), false},
		{"personal access token", "global", []caddytest.Option{caddytest.Bearer("pat_0123456789abcdef")}, 401, invalid, ReasonOpaqueToken, invalidToken, hint(logged{}, "personal access token"), false},
		{"malformed", "global", []caddytest.Option{caddytest.Bearer("a.b.c.d")}, 401, invalid, ReasonMalformedToken, invalidToken, hint(logged{}, "three parts"), false},
		{"encrypted", "global", []caddytest.Option{caddytest.Bearer("a.b.c.d.e")}, 401, invalid, ReasonMalformedToken, invalidToken, hint(logged{}, "JWE"), false},
		{"crit", "global", header(map[string]any{"crit": []string{"x"}}), 401, invalid, ReasonMalformedToken, invalidToken, hint(logged{}, "crit"), false},
		{"ID token", "global", []caddytest.Option{caddytest.Bearer(tenant.IDToken("user-1", "app-1"))}, 401, invalid, ReasonUnsupportedType, invalidToken, hint(logged{sub: "user-1", kid: kid}, "ID token"), false},
		{"alg none", "global", header(map[string]any{"alg": "none"}), 401, invalid, ReasonDisallowedAlgorithm, invalidToken, claimed, false},
		{"alg not on the list", "strict", bearer(user(nil)), 401, invalid, ReasonDisallowedAlgorithm, invalidToken, claimed, false},
		{"alg that is not the key's", "global", header(map[string]any{"alg": "RS256"}), 401, invalid, ReasonDisallowedAlgorithm, invalidToken, claimed, false},
		{"no kid", "global", header(map[string]any{"kid": nil}), 401, invalid, ReasonUnknownKey, invalidToken, logged{sub: "user-1", clientID: "app-1"}, false},
		{"unknown kid", "global", header(map[string]any{"kid": "made-up"}), 401, invalid, ReasonUnknownKey, invalidToken, logged{sub: "user-1", clientID: "app-1", kid: "made-up"}, false},
		{"bad signature", "global", tampered(user(nil)), 401, invalid, ReasonBadSignature, invalidToken, claimed, false},

		{"wrong issuer", "global", bearer(user(map[string]any{"iss": "https://evil.example/oidc"})), 401, invalid, ReasonWrongIssuer, invalidToken, hint(claimed, "another tenant"), false},
		{"expired", "global", bearer(user(map[string]any{"exp": in(-time.Minute)})), 401, invalid, ReasonExpired, invalidToken, claimed, false},
		{"not yet valid", "global", bearer(user(map[string]any{"nbf": in(time.Minute)})), 401, invalid, ReasonNotYetValid, invalidToken, claimed, false},
		{"issued in the future", "global", bearer(user(map[string]any{"iat": in(time.Minute)})), 401, invalid, ReasonNotYetValid, invalidToken, claimed, false},
		{"no exp", "global", bearer(user(map[string]any{"exp": nil})), 401, invalid, ReasonMissingClaim, invalidToken, hint(claimed, "exp"), false},
		{"no sub", "global", bearer(user(map[string]any{"sub": nil})), 401, invalid, ReasonMissingClaim, invalidToken, logged{clientID: "app-1", kid: kid, hint: "sub"}, false},
		{"empty client_id", "global", bearer(user(map[string]any{"client_id": ""})), 401, invalid, ReasonMissingClaim, invalidToken, logged{sub: "user-1", kid: kid, hint: "ID token"}, false},
		{"too old", "maxage", bearer(user(map[string]any{"iat": in(-2 * time.Minute)})), 401, invalid, ReasonTooOld, invalidToken, hint(claimed, "max_age"), false},
		{"no iat for max_age", "maxage", bearer(user(map[string]any{"iat": nil})), 401, invalid, ReasonMissingClaim, invalidToken, hint(claimed, "iat"), false},
		{"suspended", "revoked", bearer(with(user(nil), func(r *devtenant.TokenRequest) {
			r.Subject, r.Extra = "suspended", map[string]any{"iat": in(-time.Minute)}
		})), 401, invalid, ReasonRevoked, invalidToken, logged{"suspended", "app-1", kid, true, "list of revocations"}, false},
		{"sender-constrained", "global", bearer(user(map[string]any{"cnf": map[string]any{"jkt": "x"}})), 401, invalid, ReasonBoundToken, invalidToken, hint(claimed, "cnf"), false},
		{"control character in sub", "global", bearer(user(map[string]any{"sub": "user-1\n\x1b[31m"})), 401, invalid, ReasonMalformedToken, invalidToken, logged{sub: "user-1\ufffd\ufffd[31m", clientID: "app-1", kid: kid}, false},

		{"no keys", "down", bearer(user(nil)), 503, "Token verification is temporarily unavailable", ReasonKeysUnavailable, nil, logged{sub: "user-1", clientID: "app-1", kid: kid, hint: "could not be loaded"}, false},

		{"audience, global", "global", bearer(with(user(nil), func(r *devtenant.TokenRequest) { r.Resource = testAPI + "/" })), 403, "Invalid audience", ReasonWrongAudience, forbidden, hint(verified, "aud https://api.example.com/ differs from https://api.example.com only by a trailing slash"), false},
		{"audience, global, as 401", "realm", bearer(with(user(nil), func(r *devtenant.TokenRequest) { r.Resource = "https://other" })), 401, "Invalid audience", ReasonWrongAudience, map[string]string{"error": "invalid_token", "realm": "My API"}, verified, false},
		{"audience, organization permissions", "org", bearer(user(nil)), 403, "Invalid audience for organization permissions", ReasonWrongAudience, forbidden, hint(verified, "organization_id"), false},
		{"audience, organization-level API", "orgapi", organization("", "org-1", "read"), 403, "Invalid audience for organization-level API resources", ReasonWrongAudience, forbidden, hint(verified, "resource"), false},
		{"organization on a global site", "global", organization(testAPI, "org-1", "read write"), 403, "Organization token not accepted", ReasonOrganizationForbid, forbidden, verified, false},
		{"organization of another type on a global site", "global", bearer(user(map[string]any{"organization_id": []string{}})), 403, "Organization token not accepted", ReasonOrganizationForbid, forbidden, verified, false},
		{"no organization", "orgapi", bearer(user(nil)), 403, "Organization ID mismatch", ReasonMissingOrganization, forbidden, hint(verified, "organization_id"), false},
		{"another organization, API", "orgapi", organization(testAPI, "org-2", "read"), 403, "Organization ID mismatch", ReasonWrongOrganization, forbidden, verified, false},
		{"another organization, permissions", "org", organization("", "org-2", "read"), 403, "Organization ID mismatch", ReasonWrongOrganization, forbidden, verified, false},
		{"scopes, global", "global", bearer(with(user(nil), func(r *devtenant.TokenRequest) { r.Scope = "read" })), 403, "Insufficient scope", ReasonInsufficientScope, scope("read write"), verified, false},
		{"scopes, organization permissions", "org", organization("", "org-1", ""), 403, "Insufficient organization scope", ReasonInsufficientScope, scope("read"), verified, false},
		{"scopes, organization-level API", "orgapi", organization(testAPI, "org-1", "write"), 403, "Insufficient organization-level API scopes", ReasonInsufficientScope, scope("read list"), verified, false},
		{"claim", "claim", bearer(user(map[string]any{"role": "editor"})), 403, "Claim requirement not met", ReasonClaimMismatch, map[string]string{"error": "insufficient_scope"}, hint(verified, "role"), false},
		{"cross-site POST with a cookie", "places", []caddytest.Option{
			caddytest.Header("Cookie", "session="+tenant.Token(user(nil))), caddytest.Method("POST"), caddytest.Header("Sec-Fetch-Site", "cross-site"),
		}, 403, "Cross-origin request refused", ReasonCrossOrigin, nil, hint(verified, "trusted_origins"), true},

		// Precedence between rows that answer differently.
		{"several tokens before a missing one", "places", []caddytest.Option{query("access_token=&access_token=")}, 400, "Multiple access tokens", ReasonMultipleTokens, map[string]string{"error": "invalid_request"}, logged{}, true},
		{"bad signature before the audience", "global", tampered(with(user(nil), func(r *devtenant.TokenRequest) { r.Resource = "https://other" })), 401, invalid, ReasonBadSignature, invalidToken, claimed, false},
		{"bad signature before the scopes", "org", tampered(devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", OrganizationID: "org-1"}), 401, invalid, ReasonBadSignature, invalidToken, claimed, false},
		{"expired before no keys", "down", bearer(user(map[string]any{"exp": in(-time.Minute)})), 401, invalid, ReasonExpired, invalidToken, claimed, false},
		{"no keys before the audience", "down", bearer(with(user(nil), func(r *devtenant.TokenRequest) { r.Resource = "https://other" })), 503, "Token verification is temporarily unavailable", ReasonKeysUnavailable, nil, claimed, false},
		{"audience before the organization", "global", organization("https://other", "org-1", ""), 403, "Invalid audience", ReasonWrongAudience, forbidden, verified, false},
		{"organization before the scopes", "orgapi", organization(testAPI, "org-2", ""), 403, "Organization ID mismatch", ReasonWrongOrganization, forbidden, verified, false},
		{"a bad cookie token before its origin", "places", []caddytest.Option{
			caddytest.Header("Cookie", "session="+tenant.OpaqueToken()), caddytest.Method("POST"), caddytest.Header("Sec-Fetch-Site", "cross-site"),
		}, 401, invalid, ReasonOpaqueToken, invalidToken, logged{}, true},
		{"scopes before the origin", "places", []caddytest.Option{
			caddytest.Header("Cookie", "session="+tenant.Token(with(user(nil), func(r *devtenant.TokenRequest) { r.Scope = "" }))), caddytest.Method("POST"), caddytest.Header("Sec-Fetch-Site", "cross-site"),
		}, 403, "Insufficient scope", ReasonInsufficientScope, scope("read"), verified, true},
	}
}

// query sets the query of the request.
func query(raw string) caddytest.Option {
	return func(r *http.Request) { r.URL.RawQuery = raw }
}

// startDecisions runs the sites of the table, and one whose tenant is down.
func startDecisions(t *testing.T) (*caddytest.Server, *devtenanttest.Server) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	down := devtenanttest.NewServer(t, devtenant.Options{Issuer: tenant.Issuer()})
	down.SetFault(devtenant.Down)
	sites := maps.Clone(decisionSites)
	sites["down"] = "endpoint " + down.URL + "\nissuer " + tenant.Issuer() + "\naudience https://api.example.com"
	server := caddytest.Start(t, decisionCaddyfile(tenant.URL, sites))
	revoke(t, revocation{Issuer: tenant.Issuer(), Subject: "suspended"})
	return server, tenant
}

func TestDecisions(t *testing.T) {
	server, tenant := startDecisions(t)
	good := caddytest.Bearer(tenant.Token(devtenant.TokenRequest{Subject: "user-1", Resource: testAPI, Scope: "read write"}))
	if response := server.Get("/", caddytest.Header("Host", "global.example"), good); response.StatusCode != 200 || response.Body != "hello user-1" {
		t.Fatalf("a good token: %d %s", response.StatusCode, response.Body)
	}
	for _, row := range decisions(tenant) {
		t.Run(row.name, func(t *testing.T) {
			before := len(server.Logs())
			json := server.Get("/x", append(slices.Clone(row.options), caddytest.Header("Host", row.host+".example"))...)
			checkAnswer(t, row, json)
			if want := `{"error":` + strconv.Quote(row.text) + `}`; json.Body != want {
				t.Errorf("the body is %s, not %s", json.Body, want)
			}
			if got := json.Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type is %q", got)
			}
			checkLog(t, row, server.Logs()[before:])

			if !slices.Contains([]string{"a repeated cookie"}, row.name) && json.Request.Method == http.MethodGet {
				head := server.Get("/x", append(slices.Clone(row.options), caddytest.Header("Host", row.host+".example"), caddytest.Method("HEAD"))...)
				checkAnswer(t, row, head)
				if head.Body != "" || head.Header.Get("Content-Type") != "application/json" {
					t.Errorf("HEAD: %q %q", head.Header.Get("Content-Type"), head.Body)
				}
			}

			page := server.Get("/x", append(slices.Clone(row.options), caddytest.Header("Host", "e."+row.host+".example"))...)
			checkAnswer(t, row, page)
			if want := fmt.Sprintf("%s|%s|%s|%d||anonymous", row.reason, row.text, row.text, row.status); page.Body != want {
				t.Errorf("the error page is %s, not %s", page.Body, want)
			}
			if got := page.Header.Get("Content-Type"); got != "text/plain" {
				t.Errorf("the error page's Content-Type is %q", got)
			}
			checkNoToken(t, page.Request, row.elsewhere, server.Logs()[before:])
		})
	}
}

// checkAnswer checks what both ways to refuse have in common.
func checkAnswer(t *testing.T, row decision, got *caddytest.Response) {
	t.Helper()
	if got.StatusCode != row.status {
		t.Errorf("the status is %d, not %d: %s", got.StatusCode, row.status, got.Body)
	}
	if values := got.Header.Values("Cache-Control"); !slices.Equal(values, []string{"no-store"}) {
		t.Errorf("Cache-Control is %q", values)
	}
	if vary := strings.Join(got.Header.Values("Vary"), ", "); !strings.Contains(vary, "Authorization") {
		t.Errorf("Vary is %q", vary)
	}
	if seconds, err := strconv.Atoi(got.Header.Get("Retry-After")); (row.status == 503) != (err == nil && seconds >= 1 && seconds <= 5) {
		t.Errorf("Retry-After is %q", got.Header.Get("Retry-After"))
	}
	challenges := got.Header.Values("WWW-Authenticate")
	if row.challenge == nil {
		if len(challenges) != 0 {
			t.Errorf("there is a challenge: %q", challenges)
		}
		return
	}
	if len(challenges) != 1 {
		t.Fatalf("there are %d challenges: %q", len(challenges), challenges)
	}
	parameters, err := parseChallenge(challenges[0])
	if err != nil {
		t.Fatal(err)
	}
	if parameters["error_description"] != "" {
		parameters["error_description"] = "…"
	}
	if !maps.Equal(parameters, row.challenge) {
		t.Errorf("the challenge is %s, not %q", challenges[0], row.challenge)
	}
}

// checkLog checks the one line that tells the operator why.
func checkLog(t *testing.T, row decision, logs string) {
	t.Helper()
	lines := logLines(t, logs, "request refused")
	if len(lines) != 1 {
		t.Fatalf("there are %d lines about the refusal:\n%s", len(lines), logs)
	}
	line := lines[0]
	for field, want := range map[string]any{
		"level": "debug", "logger": "http.handlers.logto_auth", "reason": string(row.reason), "status": float64(row.status),
		"sub": row.log.sub, "client_id": row.log.clientID, "kid": row.log.kid, "verified": row.log.verified,
	} {
		if line[field] != want {
			t.Errorf("the log says %s %v, not %v", field, line[field], want)
		}
	}
	hint, _ := line["hint"].(string)
	if hint == "" || !strings.Contains(hint, row.log.hint) {
		t.Errorf("the hint is %q and does not say %q", hint, row.log.hint)
	}
}

// checkNoToken looks for any eight octets in a row of the tokens of a request:
// in all lines, or in ours where Caddy's own show what is not Authorization.
func checkNoToken(t *testing.T, r *http.Request, oursOnly bool, logs string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(logs) {
		if !oursOnly || strings.Contains(line, "logto_") {
			lines = append(lines, line)
		}
	}
	searched := strings.Join(lines, "")
	tokens := slices.Concat(r.Header["Authorization"], r.Header["Cookie"])
	for _, values := range r.URL.Query() {
		tokens = append(tokens, values...)
	}
	for _, token := range tokens {
		_, bare, found := strings.Cut(token, " ")
		if !found {
			bare = token
		}
		bare = strings.TrimPrefix(bare, "session=")
		for i := range len(bare) - 7 {
			if strings.Contains(searched, bare[i:i+8]) {
				t.Fatalf("the log holds %q of the token:\n%s", bare[i:i+8], searched)
			}
		}
	}
}
