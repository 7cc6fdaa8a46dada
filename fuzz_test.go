package logtoauth

import (
	"bytes"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/jsonobject"
)

// capturedKeys are all keys of the captures in one set.
func capturedKeys(tb testing.TB) []byte {
	tb.Helper()
	keys := make(map[string]json.RawMessage)
	for _, file := range []string{
		"jwks.json", "jwks-after-rotate-1-ec.json", "jwks-after-rotate-2-rsa.json",
		"jwks-seeded-prime256v1.json", "jwks-seeded-secp521r1.json", "jwks-seeded-rsa2048.json",
	} {
		var set struct {
			Keys []json.RawMessage `json:"keys"`
		}
		if err := json.Unmarshal(captured(tb, file), &set); err != nil {
			tb.Fatal(err)
		}
		for _, key := range set.Keys {
			keys[string(key)] = key
		}
	}
	document, err := json.Marshal(map[string]any{"keys": slices.Collect(maps.Values(keys))})
	if err != nil {
		tb.Fatal(err)
	}
	return document
}

// checkRefusal fails unless a refusal of a token is fit to be shown.
func checkRefusal(t *testing.T, refusal *Refusal) {
	t.Helper()
	if !slices.Contains(reasons, refusal.Reason) || refusal.Status != 401 || refusal.Text != textInvalidToken {
		t.Errorf("the refusal is %+v", refusal)
	}
	if _, err := parseChallenge(refusal.challenge("", "", nil)); err != nil {
		t.Error(err)
	}
}

// Whatever is shown, only what the tenant signed is admitted, with the claims
// that it signed, and a second look gives the same answer as the first.
func FuzzToken(f *testing.F) {
	v := validatorOf(tenantOf(f, capturedKeys(f), capturedIssuer))
	at := time.Unix(1795191120, 0) // when all of them were valid
	issued := make(map[string]map[string]any)
	for _, token := range capturedTokens(f) {
		header, payload, signature := split(token.Token)
		f.Add(token.Token)
		if token.Format != "jwt" {
			continue
		}
		issued[header+"."+payload] = token.Payload
		f.Add(header + "." + payload + ".")
		f.Add(header + ".." + signature)
		f.Add(token.Token + "=")
		f.Add(encodeText(`{"alg":"none","typ":"at+jwt","kid":"x"}`) + "." + payload + "." + signature)
		if info, refusal := v.validate(f.Context(), token.Token, fixed(at), nil); token.Name != "user-id-token" && (refusal != nil || info.Subject != token.Payload["sub"]) {
			f.Fatalf("%s is refused as %q", token.Name, reasonOf(refusal))
		}
	}
	f.Fuzz(func(t *testing.T, token string) {
		info, refusal := v.validate(t.Context(), token, fixed(at), nil)
		again, refusalAgain := v.validate(t.Context(), token, fixed(at), nil)
		if reasonOf(refusal) != reasonOf(refusalAgain) {
			t.Errorf("first %q, then %q", reasonOf(refusal), reasonOf(refusalAgain))
		}
		var parsed jws
		if parsed.split(token) == nil {
			if known, ok := v.tokens.header(parsed.protected); ok && (parsed.readHeader() != nil || parsed.joseHeader != known) {
				t.Errorf("the header %q is remembered as %+v", parsed.protected, known)
			}
		}
		if refusal != nil {
			checkRefusal(t, refusal)
			return
		}
		header, payload, _ := split(token)
		claims, ok := issued[header+"."+payload]
		if !ok {
			t.Fatalf("nobody signed %q", token)
		}
		for _, read := range []*AuthInfo{info, again} {
			if read.Subject != claims["sub"] || read.ClientID != claims["client_id"] || read.Issuer != claims["iss"] || read.key == nil {
				t.Errorf("%+v was signed as %v", read, claims)
			}
		}
	})
}

// Whatever the tenant signs, a token is admitted only if it holds what the
// contract asks, read by a plain JSON decoder.
func FuzzSignedClaims(f *testing.F) {
	tenant := devtenant.New(devtenant.Options{Algorithm: "ES256", Issuer: capturedIssuer})
	v := validatorOf(tenantOf(f, tenant.JWKS(), tenant.Issuer()))
	header := []byte(`{"alg":"ES256","typ":"at+jwt","kid":"` + tenant.SigningKID() + `"}`)
	const now = 1795191120
	global := siteRequirements(f, &Handler{Audiences: []string{testAPI}})
	organizationAPI := siteRequirements(f, &Handler{Audiences: []string{testAPI}, OrganizationMode: "any"})
	organization := siteRequirements(f, &Handler{Organizations: []string{"org-1"}})
	wanted := wantedOrganizations{ids: []string{"org-1"}, resolved: true}

	for _, token := range capturedTokens(f) {
		if token.Format == "jwt" {
			_, payload, _ := split(token.Token)
			f.Add(decode(payload))
		}
	}
	for _, extra := range []string{
		`"aud":["https://api.example.com","urn:logto:organization:org-1"],"organization_id":"org-1"`, `"organization_id":["x"],"aud":"https://api.example.com"`,
		`"aud":"urn:logto:organization:org-1","cnf":{}`, `"nbf":1e12,"iat":-1,"exp":1e400`, `"sub":"a\u0000","EXP":1,"exp":2`, `"act":{"sub":"x"},"scope":" a  b"`,
	} {
		f.Add([]byte(`{"sub":"user-1","client_id":"app-1","iss":"` + capturedIssuer + `","exp":1795193579,` + extra + `}`))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > 8<<10 {
			return
		}
		info, refusal := v.validate(t.Context(), tenant.SignRaw(header, payload), fixed(time.Unix(now, 0)), nil)
		if refusal != nil {
			checkRefusal(t, refusal)
			return
		}
		var claims map[string]any
		decoder := json.NewDecoder(bytes.NewReader(payload))
		decoder.UseNumber()
		if err := decoder.Decode(&claims); err != nil {
			t.Fatalf("admitted what is no JSON: %v", err)
		}
		for name, field := range map[string]string{"sub": info.Subject, "client_id": info.ClientID, "iss": info.Issuer} {
			if field == "" || claims[name] != field || strings.ContainsFunc(field, unicode.IsControl) {
				t.Errorf("%s is %q, signed as %v", name, field, claims[name])
			}
		}
		exp, _ := claims["exp"].(json.Number)
		if seconds, err := exp.Float64(); err != nil || seconds <= now-10 || info.Issuer != capturedIssuer || claims["cnf"] != nil {
			t.Errorf("admitted %s", payload)
		}
		audience, _ := claims["aud"].([]any)
		if text, ok := claims["aud"].(string); ok {
			audience = []any{text}
		}
		urns := 0
		for _, value := range audience {
			if text, ok := value.(string); ok && strings.HasPrefix(text, organizationURN) {
				urns++
			}
		}
		id := claims["organization_id"]
		if _, refusal := global.check(info, wanted); refusal == nil && (!slices.Contains(audience, any(testAPI)) || id != nil) {
			t.Errorf("a global site admits %s", payload)
		}
		if checked, refusal := organizationAPI.check(info, wanted); refusal == nil &&
			(!slices.Contains(audience, any(testAPI)) || id != checked || !safeOrganization(checked) || urns > 1) {
			t.Errorf("an organization's API admits %s as %q", payload, checked)
		}
		if checked, refusal := organization.check(info, wanted); refusal == nil &&
			(checked != "org-1" || urns != 1 || !slices.Contains(audience, any(organizationURN+"org-1")) || id != nil && id != "org-1") {
			t.Errorf("an organization admits %s as %q", payload, checked)
		}
	})
}

// A path that can be taken apart can be put together again, and leads to the
// claim that it names and to no other.
func FuzzClaimPath(f *testing.F) {
	for _, seed := range []string{"sub", "act.sub", `https://example\.com/role`, `a\\.b`, "roles.0", `.`, `a..b`, `\`, `\.`, "a.\x00.b", `é\é.日`} {
		f.Add(seed)
	}
	escape := strings.NewReplacer(`\`, `\\`, `.`, `\.`)
	f.Fuzz(func(t *testing.T, text string) {
		segments, err := jsonobject.ParsePath(text)
		if err != nil {
			if !strings.Contains(text, `\`) && !slices.Contains(strings.Split(text, "."), "") {
				t.Errorf("%q is refused: %v", text, err)
			}
			return
		}
		escaped := make([]string, 0, len(segments))
		var value any = "found"
		for _, segment := range slices.Backward(segments) {
			value = map[string]any{segment: value, segment + "x": "wrong", "x" + segment: "wrong"}
		}
		for _, segment := range segments {
			if segment == "" {
				t.Fatalf("%q has an empty segment: %q", text, segments)
			}
			escaped = append(escaped, escape.Replace(segment))
		}
		again, err := jsonobject.ParsePath(strings.Join(escaped, "."))
		if err != nil || !slices.Equal(again, segments) {
			t.Errorf("%q is %q, and put together again %q, %v", text, segments, again, err)
		}
		if found, ok := jsonobject.Lookup(value.(map[string]any), segments); !ok || found != "found" {
			t.Errorf("%q leads to %v", text, found)
		}
		if found, ok := jsonobject.Lookup(value.(map[string]any), append(segments, "x")); ok {
			t.Errorf("beyond a string there is %v", found)
		}
	})
}

// One challenge, whatever goes into it: no CR or LF, and it parses back.
func FuzzChallenge(f *testing.F) {
	f.Add("realm", "The token expired 12 s ago", "read write", "https://api.example.com/.well-known/oauth-protected-resource", 401)
	f.Add(`a"b\c`, "x\r\ny", "a\nb", "\x00\x7f\xff", 403)
	f.Add("", "", "", "", 400)
	f.Fuzz(func(t *testing.T, realm, description, scopes, metadata string, status int) {
		refusal := &Refusal{Reason: ReasonExpired, Status: status, Description: description, code: codeInvalidToken, scopes: strings.Fields(scopes)}
		challenge := refusal.challenge(realm, metadata, []string{"fallback"})
		got, err := parseChallenge(challenge)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"error": codeInvalidToken, "realm": realm, "error_description": description}
		want["scope"] = strings.Join(refusal.scopes, " ")
		if metadata != "" && status != http.StatusBadRequest {
			want["resource_metadata"] = metadata
			if want["scope"] == "" {
				want["scope"] = "fallback"
			}
		}
		for name, value := range want {
			carried := strings.Map(func(r rune) rune {
				if r < ' ' || r > '~' {
					return -1
				}
				return r
			}, value)
			if got[name] != carried {
				t.Errorf("%s is %q, not %q", name, got[name], carried)
			}
		}
	})
}

// What an organization placeholder resolves to is exactly what a later handler
// reads, in a request that no server reads in another way.
func FuzzOrganization(f *testing.F) {
	for _, seed := range [][4]string{
		{"acme.example.com", "/orgs/acme/x", "acme", "acme"},
		{"acme.example.com.", "/orgs/../acme", "any", ""},
		{"..", "/orgs//acme", "", "x"},
		{"[::1]:80", "/orgs/%2e%2e/x", "{env.HOME}", "{env.HOME}"},
		{"a:b:c", "/orgs/a%2fb", "a,b", "a"},
		{"", `/orgs/a\b`, "ignore", "."},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	byHost, byPath := parseIDs(f, "{http.request.host.labels.2}"), parseIDs(f, "{http.request.uri.path.1}")
	byHeader, byVar := parseIDs(f, "{http.request.header.X-Org}"), parseIDs(f, "pre-{http.vars.org}")
	f.Fuzz(func(t *testing.T, host, target, header, variable string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.URL, r.RequestURI, r.Host = u, target, host
		r.Header["X-Org"] = []string{header}
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), new(caddyhttp.Server))
		caddyhttp.SetVar(r.Context(), "org", variable)

		if wanted := byHost.resolve(r); wanted.resolved {
			name, _, err := net.SplitHostPort(host)
			if err != nil {
				name = host
			}
			labels := strings.Split(strings.ToLower(name), ".")
			if slices.Contains(labels, "") || len(labels) < 3 || wanted.ids[0] != labels[len(labels)-3] {
				t.Errorf("host %q gives %q", host, wanted.ids)
			}
		}
		if wanted := byHeader.resolve(r); wanted.resolved != (header != "") || wanted.resolved && wanted.ids[0] != header {
			t.Errorf("header %q gives %q", header, wanted.ids)
		}
		plain := path.Clean("/"+u.Path) == strings.TrimSuffix("/"+strings.TrimPrefix(u.Path, "/"), "/") || u.Path == "/" || u.Path == ""
		if wanted := byPath.resolve(r); wanted.resolved {
			if segments := strings.Split(strings.TrimPrefix(u.Path, "/"), "/"); !plain || len(segments) < 2 || wanted.ids[0] != segments[1] || strings.ContainsAny(wanted.ids[0], `/\`) {
				t.Errorf("path %q gives %q", target, wanted.ids)
			}
		}
		if wanted := byVar.resolve(r); wanted.resolved && (!plain || variable == "" || wanted.ids[0] != "pre-"+variable) {
			t.Errorf("path %q and variable %q give %q", target, variable, wanted.ids)
		}
	})
}
