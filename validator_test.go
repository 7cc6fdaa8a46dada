package logtoauth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

func TestValidatorAcceptsEveryAsymmetricAlgorithm(t *testing.T) {
	for _, algorithm := range defaultAlgorithms {
		t.Run(algorithm, func(t *testing.T) {
			tenant := devtenant.New(devtenant.Options{Algorithm: algorithm})
			v := validatorOf(tenantOf(t, tenant.JWKS(), tenant.Issuer()))
			token := tenant.Token(devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", Resource: testAPI, Scope: "read"})
			info, refusal := v.validate(t.Context(), token, time.Now, nil)
			if refusal != nil {
				t.Fatalf("refused as %s (%s)", refusal.Reason, refusal.Detail)
			}
			if info.Subject != "user-1" || info.ClientID != "app-1" || info.key == nil || info.key.Status().KID != tenant.SigningKID() {
				t.Errorf("the token says %+v", info)
			}
			if info.algorithm != algorithm || info.typ != "at+jwt" || info.keyID != tenant.SigningKID() {
				t.Errorf("the header says %q %q %q", info.algorithm, info.typ, info.keyID)
			}
			// The key is right and the algorithm is known; the site wants others.
			v.rules.algorithms = slices.DeleteFunc(slices.Clone(defaultAlgorithms), func(a string) bool { return a == algorithm })
			if _, refusal = v.validate(t.Context(), token, time.Now, nil); reasonOf(refusal) != ReasonDisallowedAlgorithm {
				t.Errorf("not on the list and yet %q", reasonOf(refusal))
			}
		})
	}
}

// descriptions are what clients are told, where no time or name stands in it.
var descriptions = map[Reason][]string{
	ReasonTokenTooLarge:       {"The token is larger than 16 KiB"},
	ReasonOpaqueToken:         {"The token is no JWT: request an access token for a resource"},
	ReasonUnsupportedType:     {"The token is no access token"},
	ReasonDisallowedAlgorithm: {"The token's signature algorithm is not accepted", "The token's signature algorithm is not its key's"},
	ReasonUnknownKey:          {"The token does not name its key", "The token's signing key is unknown"},
	ReasonBadSignature:        {"The token's signature is invalid"},
	ReasonWrongIssuer:         {"The token's issuer is not accepted"},
	ReasonBoundToken:          {"The token is bound to a key and is no bearer token"},
}

func TestValidatorRefuses(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	publishMore(tenant)
	v := validatorOf(tenantOf(t, tenant.JWKS(), tenant.Issuer()))
	if _, refusal := v.validate(t.Context(), signed(nil, nil)(t, tenant), time.Now, nil); refusal != nil {
		t.Fatalf("a true token is refused as %s", refusal.Reason)
	}
	for _, attack := range tokenAttacks() {
		t.Run(attack.name, func(t *testing.T) {
			token := attack.token(t, tenant)
			info, refusal := v.validate(t.Context(), token, time.Now, nil)
			if reasonOf(refusal) != attack.reason || string(refusal.Detail) != attack.detail {
				t.Fatalf("refused as %+v, not %s (%s)", refusal, attack.reason, attack.detail)
			}
			if refusal.Status != 401 || refusal.Text != "Invalid token" || refusal.code != "invalid_token" {
				t.Errorf("the refusal is %+v", refusal)
			}
			if info != nil && info.key != nil {
				t.Error("the claims are said to be verified")
			}
			if told, fixed := descriptions[attack.reason]; fixed && !slices.Contains(told, refusal.Description) {
				t.Errorf("the client is told %q", refusal.Description)
			}
			// Neither the token nor what only the operator knows goes out.
			for _, secret := range []string{"user-1", "admin", tenant.SigningKID(), tenant.Issuer(), testAPI, "evil"} {
				if strings.Contains(refusal.Description, secret) {
					t.Errorf("the description %q holds %q", refusal.Description, secret)
				}
			}
		})
	}
}

func TestValidatorAcceptsOtherSpellings(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	v := validatorOf(tenantOf(t, tenant.JWKS(), "https://auth.example.com/oidc", tenant.Issuer()))
	for _, test := range []struct {
		name  string
		token func(testing.TB, *devtenant.Tenant) string
	}{
		{"typ with its prefix", signed(map[string]any{"typ": "application/at+jwt"}, nil)},
		{"typ in upper case", signed(map[string]any{"typ": "AT+JWT"}, nil)},
		{"typ with its prefix in upper case", signed(map[string]any{"typ": "Application/AT+jwt"}, nil)},
		{"typ twice, the last one right", signedText(`{"typ":"JWT","alg":"none","alg":"ES384","typ":"at+jwt","kid":"%kid%"}`)},
		{"white space in the JSON", signedText(" {\r\n\t\"alg\" : \"ES384\" , \"typ\" : \"at+jwt\", \"kid\": \"%kid%\" } ")},
		{"unknown header members", signed(map[string]any{"cty": "x", "jku": "https://evil.example", "Crit": []string{"x"}}, nil)},
		{"an escaped kid", signedText(`{"alg":"\u0045S384","typ":"at+jwt","kid":"%kid%"}`)},
		{"custom domain", signed(nil, map[string]any{"iss": "https://auth.example.com/oidc"})},
		{"nbf in the past", signed(nil, map[string]any{"nbf": 1})},
		{"cnf null", signed(nil, map[string]any{"cnf": json.RawMessage("null")})},
		{"no iat", signed(nil, map[string]any{"iat": nil})},
		{"no jti, no scope", signed(nil, map[string]any{"jti": nil, "scope": nil})},
		{"fractions of seconds", signed(nil, map[string]any{"exp": float64(time.Now().Unix()) + 60.5, "iat": float64(time.Now().Unix()) - 0.5})},
		{"client that is a URL", signed(nil, map[string]any{"client_id": "https://client.example/metadata.json"})},
	} {
		if _, refusal := v.validate(t.Context(), test.token(t, tenant), time.Now, nil); refusal != nil {
			t.Errorf("%s: refused as %s (%s)", test.name, refusal.Reason, refusal.Detail)
		}
	}
}

func TestValidatorSizeLimitIsExact(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	v := validatorOf(tenantOf(t, tenant.JWKS(), tenant.Issuer()))
	claims, err := json.Marshal(tenant.Claims(devtenant.TokenRequest{Resource: testAPI}))
	if err != nil {
		t.Fatal(err)
	}
	header := `{"alg":"ES384","typ":"at+jwt","kid":"` + tenant.SigningKID() + `"}`
	// Base64 has no text of every length, so blanks in both parts are needed.
	const signature = 128
	sized := func(size int) string {
		for before := range 3 {
			input := encodeText(strings.Repeat(" ", before)+header) + "."
			for blanks := range maxTokenSize {
				if len(input)+base64.RawURLEncoding.EncodedLen(blanks+len(claims))+1+signature == size {
					return tenant.SignInput(input + encodeText(strings.Repeat(" ", blanks)+string(claims)))
				}
			}
		}
		t.Fatalf("there is no token of %d octets", size)
		return ""
	}
	for size, want := range map[int]Reason{16383: "", 16384: "", 16385: ReasonTokenTooLarge} {
		token := sized(size)
		if _, refusal := v.validate(t.Context(), token, time.Now, nil); len(token) != size || reasonOf(refusal) != want {
			t.Errorf("a token of %d octets: %q, not %q", len(token), reasonOf(refusal), want)
		}
	}
}

func TestValidatorTimes(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	shared := tenantOf(t, tenant.JWKS(), tenant.Issuer())
	const issued = 1_800_000_000
	for _, test := range []struct {
		name           string
		claims         map[string]any // beside iat = issued and exp = issued+3600
		leeway, maxAge int64
		now            int64 // seconds after issued
		want           Reason
		description    string
	}{
		{"at once", nil, 10, 0, 0, "", ""},
		{"the last second", nil, 0, 0, 3599, "", ""},
		{"at exp", nil, 0, 0, 3600, ReasonExpired, "The token expired 0 s ago"},
		{"within leeway", nil, 10, 0, 3609, "", ""},
		{"at the end of leeway", nil, 10, 0, 3610, ReasonExpired, "The token expired 10 s ago"},
		{"long ago", nil, 10, 0, 3612, ReasonExpired, "The token expired 12 s ago"},
		{"issued in the future, within leeway", nil, 10, 0, -10, "", ""},
		{"issued in the future", nil, 10, 0, -11, ReasonNotYetValid, "The token was issued 11 s in the future"},
		{"issued in the future without leeway", nil, 0, 0, -1, ReasonNotYetValid, "The token was issued 1 s in the future"},
		{"nbf now", map[string]any{"nbf": issued + 60}, 0, 0, 60, "", ""},
		{"nbf within leeway", map[string]any{"nbf": issued + 60}, 10, 0, 50, "", ""},
		{"nbf beyond leeway", map[string]any{"nbf": issued + 60}, 10, 0, 49, ReasonNotYetValid, "The token is valid in 11 s only"},
		{"nbf long to come", map[string]any{"nbf": int64(1) << 53}, 10, 0, 0, ReasonNotYetValid, ""},
		{"max_age reached", nil, 0, 60, 60, "", ""},
		{"max_age passed", nil, 0, 60, 61, ReasonTooOld, "The token was issued 61 s ago; at most 60 s are accepted"},
		{"max_age within leeway", nil, 10, 60, 70, "", ""},
		{"max_age beyond leeway", nil, 10, 60, 71, ReasonTooOld, "The token was issued 71 s ago; at most 60 s are accepted"},
		{"max_age without iat", map[string]any{"iat": nil}, 10, 60, 0, ReasonMissingClaim, "The token lacks the claim iat"},
		{"max_age with iat null", map[string]any{"iat": json.RawMessage("null")}, 10, 60, 0, ReasonMissingClaim, "The token lacks the claim iat"},
		{"max_age with iat 0", map[string]any{"iat": 0}, 10, 60, 0, ReasonTooOld, ""},
		{"no max_age, old token", map[string]any{"iat": 0}, 10, 0, 0, "", ""},
		{"expired and too old", nil, 10, 60, 4000, ReasonExpired, "The token expired 400 s ago"},
		{"exp at the end of time", map[string]any{"exp": int64(1) << 53}, 3600, 0, 0, "", ""},
		{"exp at the beginning of time", map[string]any{"exp": -(int64(1) << 53)}, 3600, 0, 0, ReasonExpired, ""},
	} {
		v := validatorOf(shared)
		v.rules.leeway, v.rules.maxAge = test.leeway, test.maxAge
		claims := map[string]any{"iat": issued, "exp": issued + 3600}
		maps.Copy(claims, test.claims)
		token := tenant.Sign(nil, tenant.Claims(devtenant.TokenRequest{Resource: testAPI, Extra: claims}))
		// A clock has fractions of seconds, which a token has not.
		for _, fraction := range []time.Duration{0, time.Second - 1} {
			_, refusal := v.validate(t.Context(), token, fixed(time.Unix(issued+test.now, int64(fraction))), nil)
			if reasonOf(refusal) != test.want {
				t.Errorf("%s, and %v: %q, not %q", test.name, fraction, reasonOf(refusal), test.want)
			} else if test.description != "" && refusal.Description != test.description {
				t.Errorf("%s: %q, not %q", test.name, refusal.Description, test.description)
			}
		}
	}
}

func TestValidatorTokenTypes(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	shared := tenantOf(t, tenant.JWKS(), tenant.Issuer())
	idToken := tenant.IDToken("user-1", "app-1")
	access := signed(nil, nil)(t, tenant)
	plain := signed(map[string]any{"typ": "JWT"}, nil)(t, tenant)
	plainNoClient := signed(map[string]any{"typ": "JWT"}, map[string]any{"client_id": nil})(t, tenant)
	for _, test := range []struct {
		name  string
		types []string
		token string
		want  Reason
	}{
		{"ID token by default", []string{"at+jwt"}, idToken, ReasonUnsupportedType},
		{"ID token with any", []string{"any"}, idToken, ""},
		{"access token with any", []string{"any"}, access, ""},
		{"several types", []string{"at+jwt", "application/JWT"}, plain, ""},
		{"several types still need a client", []string{"at+jwt", "JWT"}, plainNoClient, ReasonMissingClaim},
		{"another type only", []string{"JWT"}, access, ReasonUnsupportedType},
		{"any among others is no keyword", []string{"any", "at+jwt"}, idToken, ReasonUnsupportedType},
	} {
		v := validatorOf(shared)
		v.rules.types = normalizeTypes(test.types)
		if _, refusal := v.validate(t.Context(), test.token, time.Now, nil); reasonOf(refusal) != test.want {
			t.Errorf("%s: %q, not %q", test.name, reasonOf(refusal), test.want)
		}
	}
}

// A token that condemns itself costs neither a signature nor a fetch, and says
// why it is refused although no key is there.
func TestValidatorNeedsNoKeyToRefuse(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	ended, err := newTenant(keys.Config{Endpoint: "http://localhost:3001", RefreshInterval: time.Hour, FetchTimeout: time.Minute}, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Whoever waits for a fetch is told at once that there is none.
	if err := ended.Destruct(); err != nil {
		t.Fatal(err)
	}
	v := validatorOf(ended)
	v.rules = validatorOf(tenantOf(t, tenant.JWKS(), tenant.Issuer())).rules
	for _, attack := range slices.Concat(headerAttacks(), claimAttacks()) {
		token := attack.token(t, tenant)
		_, refusal := v.validate(t.Context(), token, time.Now, nil)
		want := attack.reason
		if attack.reason == ReasonUnknownKey {
			encoded, _, _ := split(token)
			var header map[string]any // whose names keep their case
			if err := json.Unmarshal(decode(encoded), &header); err != nil {
				t.Fatal(err)
			}
			if kid, ok := header["kid"].(string); ok && kid != "" {
				want = ReasonKeysUnavailable // only the keys can tell
			}
		}
		if reasonOf(refusal) != want {
			t.Errorf("%s: %q, not %q", attack.name, reasonOf(refusal), want)
		}
	}
	_, refusal := v.validate(t.Context(), signed(nil, nil)(t, tenant), time.Now, nil)
	if reasonOf(refusal) != ReasonKeysUnavailable || refusal.Status != 503 || refusal.RetryAfter < 1 {
		t.Errorf("a true token without keys: %+v", refusal)
	}
}

func TestAgeOfATokenThatDoesNotTellIt(t *testing.T) {
	rules := tokenRules{maxAge: 60}
	refusal := rules.checkAge(&AuthInfo{}, 1_800_000_000)
	if old := rules.checkAge(&AuthInfo{hasIssuedAt: true, issuedAt: 1}, 1_800_000_000); reasonOf(old) != ReasonTooOld || old.Detail != "iat" {
		t.Errorf("%+v", old)
	}
	if reasonOf(refusal) != ReasonMissingClaim || refusal.Detail != "iat" || refusal.Description != "The token lacks the claim iat" {
		t.Errorf("%+v", refusal)
	}
}

// With several faults the cheapest to find is told, and a signature that does
// not hold is told before anything of the row below.
func TestValidatorOrder(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	v := validatorOf(tenantOf(t, tenant.JWKS(), tenant.Issuer()))
	v.rules.issuers = append(v.rules.issuers, "https://other.example/oidc")
	bad := func(token string) string {
		header, payload, _ := split(token)
		return header + "." + payload + "." + encodeText(strings.Repeat("x", 96))
	}
	for _, test := range []struct {
		name  string
		token string
		want  Reason
	}{
		{"type before algorithm", bad(signed(map[string]any{"typ": "JWT", "alg": "none"}, nil)(t, tenant)), ReasonUnsupportedType},
		{"algorithm before kid", bad(signed(map[string]any{"alg": "none", "kid": nil}, nil)(t, tenant)), ReasonDisallowedAlgorithm},
		{"header before claims", bad(signed(map[string]any{"kid": nil}, map[string]any{"exp": 1})(t, tenant)), ReasonUnknownKey},
		{"claims before an unknown kid", bad(signed(map[string]any{"kid": "x"}, map[string]any{"exp": 1})(t, tenant)), ReasonExpired},
		{"claims before the signature", bad(signed(nil, map[string]any{"exp": 1})(t, tenant)), ReasonExpired},
		{"kid before the signature", bad(signed(map[string]any{"kid": "x"}, nil)(t, tenant)), ReasonUnknownKey},
	} {
		if _, refusal := v.validate(t.Context(), test.token, time.Now, nil); reasonOf(refusal) != test.want {
			t.Errorf("%s: %q, not %q", test.name, reasonOf(refusal), test.want)
		}
	}
}

// What a site has switched off must not be switched off by an empty list.
func TestValidatorRulesAreNeverEmpty(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	shared := tenantOf(t, tenant.JWKS(), tenant.Issuer())
	token := signed(nil, nil)(t, tenant)
	for name, empty := range map[string]func(*tokenRules){
		"no algorithms": func(r *tokenRules) { r.algorithms = nil },
		"no issuers":    func(r *tokenRules) { r.issuers = nil },
	} {
		v := validatorOf(shared)
		empty(&v.rules)
		if _, refusal := v.validate(t.Context(), token, time.Now, nil); refusal == nil {
			t.Errorf("%s: everything is accepted", name)
		}
	}
	h := &Handler{Endpoint: "https://t.example", Audiences: []string{testAPI}, Algorithms: []string{}, TokenTypes: []string{}, Issuers: []string{}}
	h.applyDefaults()
	if !slices.Equal(h.Algorithms, defaultAlgorithms) || !slices.Equal(h.TokenTypes, []string{"at+jwt"}) {
		t.Errorf("empty lists in JSON leave %q and %q", h.Algorithms, h.TokenTypes)
	}
	if got := (keys.Config{Endpoint: h.Endpoint, Issuers: h.Issuers}).AcceptedIssuers(); !slices.Equal(got, []string{"https://t.example/oidc"}) {
		t.Errorf("an empty list of issuers accepts %q", got)
	}
}

// A key decides for itself which signatures it can make, whoever asks.
func TestSignatureOfAnAlgorithmThatTheKeyDoesNotAllow(t *testing.T) {
	shared := tenantOf(t, []byte(`{"keys":[`+string(mustJSON(t, rsaJWK("any", nil)))+`,`+string(mustJSON(t, rsaJWK("bound", map[string]any{"alg": "RS256"})))+`]}`), capturedIssuer)
	snapshot := shared.keys.Current(time.Now())
	for _, test := range []struct {
		method jwt.SigningMethod
		kid    string
		want   bool
	}{
		{jwt.SigningMethodRS256, "any", true},
		{jwt.SigningMethodPS512, "any", true},
		{jwt.SigningMethodRS256, "bound", true},
		{jwt.SigningMethodRS384, "bound", false},
		{jwt.SigningMethodPS256, "bound", false},
	} {
		token := forge(t, map[string]any{"alg": test.method.Alg(), "kid": test.kid}, map[string]any{}, func(input string) []byte {
			return signWith(test.method, rsaKey())(t, nil, input)
		})
		parsed, refusal := parseJWS(token)
		if refusal != nil {
			t.Fatal(refusal.Detail)
		}
		key, refusal := parsed.selectKey(snapshot)
		if got := refusal == nil; got != test.want {
			t.Errorf("%s with the key %q: refused as %q", test.method.Alg(), test.kid, reasonOf(refusal))
		}
		key.public = &rsaKey().PublicKey // whoever selected it
		if got := parsed.verifiedBy(key); got != test.want {
			t.Errorf("%s with the key %q: %v", test.method.Alg(), test.kid, got)
		}
	}
	for _, algorithm := range []string{"none", "HS256", ""} {
		if signingMethods[algorithm] != nil || (&jws{joseHeader: joseHeader{algorithm: algorithm}}).verifiedBy(selectedKey{snapshot.Key("any"), &rsaKey().PublicKey}) {
			t.Errorf("%q verifies", algorithm)
		}
	}
}

// A client that goes away must not keep its request waiting for keys.
func TestValidatorHeedsTheRequestsEnd(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	v := validatorOf(tenantOf(t, tenant.JWKS(), tenant.Issuer()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, refusal := v.validate(ctx, signed(nil, nil)(t, tenant), time.Now, nil); refusal != nil {
		t.Errorf("a token with a known key needs no waiting and is refused as %s", refusal.Reason)
	}
	if _, refusal := v.validate(ctx, signed(map[string]any{"kid": "x"}, nil)(t, tenant), time.Now, nil); reasonOf(refusal) != ReasonUnknownKey {
		t.Errorf("unknown kid: %q", reasonOf(refusal))
	}
}
