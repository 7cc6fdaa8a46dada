package logtoauth

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// condemned are tokens with a made-up kid, each of which is refused for
// something else, too.
func condemned(b *bench) map[string]string {
	made := func(header map[string]any, change devtenant.TokenRequest) string {
		if header == nil {
			header = make(map[string]any)
		}
		header["kid"] = "made-up"
		change.Subject, change.ClientID, change.Resource = "alice", "spa", testAPI
		return b.Sign(header, b.Claims(change))
	}
	good := made(nil, devtenant.TokenRequest{})
	header, payload, signature := split(good)
	with := func(claim string, value any) string {
		claims := b.Claims(devtenant.TokenRequest{Subject: "alice", ClientID: "spa", Resource: testAPI})
		claims[claim] = value
		return b.Sign(map[string]any{"kid": "made-up"}, claims)
	}
	return map[string]string{
		"another type":                 made(map[string]any{"typ": "JWT"}, devtenant.TokenRequest{}),
		"another algorithm":            made(map[string]any{"alg": "HS256"}, devtenant.TokenRequest{}),
		"another issuer":               made(nil, devtenant.TokenRequest{Issuer: "https://other.example/oidc"}),
		"expired":                      made(nil, devtenant.TokenRequest{ExpiresIn: -time.Hour}),
		"a scope that is a number":     with("scope", 1),
		"bound to a key of its client": with("cnf", map[string]any{"jkt": "x"}),
		"claims that are none":         header + "." + encodeText("[]") + "." + signature,
		"claims in another encoding":   header + "." + payload + "=." + signature,
		"no signature":                 header + "." + payload + ".",
		"a padded signature":           good + "==",
		"a signature with a line feed": header + "." + payload + "." + signature[:9] + "\n" + signature[9:],
	}
}

// Anybody can make up a kid. Only a token that nothing else is wrong with may
// have the tenant asked for its key, now or when the cooldown is over.
func TestGarbageHasNoKeysFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, exampleTenant(), exampleConfig())
		b.fetched(t)
		v := waitingValidator(b)
		flood := func() {
			t.Helper()
			for name, token := range condemned(b) {
				if _, refusal := v.validate(t.Context(), token, time.Now, nil); !refusal.condemnsToken() {
					t.Errorf("%s: %+v", name, refusal)
				}
			}
		}
		before := b.Counts().JWKS
		flood()
		if n := b.Counts().JWKS - before; n != 0 {
			t.Errorf("%d fetches at once", n)
		}
		b.keys.AwaitKey(t.Context(), "made-up", identify(nil)) // starts the cooldown
		before = b.Counts().JWKS
		flood()
		advance(time.Minute)
		if n := b.Counts().JWKS - before; n != 0 {
			t.Errorf("%d fetches after the cooldown", n)
		}
	})
}

// In the cooldown, and once a fetch is due at its end, nothing depends on what
// else a token with a made-up kid says.
func TestUnknownKeyInTheCooldownIsToldByTheHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, exampleTenant(), exampleConfig())
		b.fetched(t)
		v := waitingValidator(b)
		token := condemned(b)["claims that are none"]
		reason := func() Reason {
			_, refusal := v.validate(t.Context(), token, time.Now, nil)
			return reasonOf(refusal)
		}
		if got := reason(); got != ReasonMalformedToken {
			t.Errorf("before the cooldown %q", got)
		}
		for range 2 {
			b.keys.AwaitKey(t.Context(), "made-up", identify(nil))
		}
		if got := reason(); got != ReasonUnknownKey {
			t.Errorf("in the cooldown %q", got)
		}
		kid := b.Rotate("")
		rotated := b.lasting(time.Hour)
		advance(exampleConfig().RefreshCooldown)
		if _, refusal := v.validate(t.Context(), rotated, time.Now, nil); refusal != nil || b.keys.Excludes(kid) {
			t.Errorf("after it the new key's token is refused as %q", reasonOf(refusal))
		}
	})
}

// What costs least is judged first, so that a flood costs least.
func TestHeaderIsJudgedFirst(t *testing.T) {
	tenant := newCachedTenant(t, "ES256", 10)
	v := tenant.validator()
	for want, change := range map[Reason]map[string]any{
		ReasonUnsupportedType:     {"typ": "JWT"},
		ReasonDisallowedAlgorithm: {"alg": "HS256"},
		ReasonMalformedToken:      {"crit": []string{"x"}},
	} {
		header, _, _ := split(tenant.Sign(change, map[string]any{}))
		for _, rest := range []string{".!.!", "..", "." + encodeText("{}") + ".AB"} {
			if _, refusal := v.validate(t.Context(), header+rest, time.Now, nil); reasonOf(refusal) != want {
				t.Errorf("%v%s is refused as %q", change, rest, reasonOf(refusal))
			}
		}
	}
}

// Headers of admitted tokens are remembered: all tokens of one key share theirs.
// Whoever makes up headers must not fill that memory.
func TestOnlyHeadersOfVerifiedTokensAreRemembered(t *testing.T) {
	tenant := newCachedTenant(t, "ES256", 10)
	v := tenant.validator()
	thief := devtenant.New(devtenant.Options{Issuer: tenant.Issuer(), Algorithm: "ES256"})
	claims := tenant.Claims(devtenant.TokenRequest{Resource: testAPI})
	for name, token := range map[string]string{
		"forged":      thief.Sign(map[string]any{"kid": tenant.SigningKID()}, claims),
		"unknown kid": tenant.Sign(map[string]any{"kid": "made-up"}, claims),
		"expired":     tenant.Token(devtenant.TokenRequest{Resource: testAPI, ExpiresIn: -time.Hour}),
	} {
		if _, refusal := v.validate(t.Context(), token, time.Now, nil); refusal == nil {
			t.Errorf("%s: admitted", name)
		}
		if n, _ := v.tokens.headers.Size(); n != 0 {
			t.Errorf("%s: its header is remembered", name)
		}
	}
	admit := func(header map[string]any, subject string) string {
		t.Helper()
		token := tenant.Sign(header, tenant.Claims(devtenant.TokenRequest{Resource: testAPI, Subject: subject}))
		if _, refusal := v.validate(t.Context(), token, time.Now, nil); refusal != nil {
			t.Fatal(refusal.Reason)
		}
		return token
	}
	first := admit(nil, "alice")
	admit(nil, "bob")
	if n, _ := v.tokens.headers.Size(); n != 1 {
		t.Errorf("%d headers are remembered of one key", n)
	}
	protected, _, _ := split(first)
	remembered, ok := v.tokens.header(protected)
	if want := mustParse(t, first).joseHeader; !ok || remembered != want {
		t.Errorf("%+v is remembered as %+v", want, remembered)
	}
	if _, ok := v.tokens.header(strings.ToLower(protected)); ok {
		t.Error("another text has the same header")
	}
	// A tenant that writes another header each time.
	for i := range 2 * maxHeaders {
		admit(map[string]any{"x": strings.Repeat("x", i)}, "alice")
	}
	if n, size := v.tokens.headers.Size(); n > maxHeaders || size > maxHeaderBytes {
		t.Errorf("%d headers are remembered in %d octets", n, size)
	}
}

// What is known of the header spares no other check.
func TestTokenWithAKnownHeaderIsCheckedLikeAnyOther(t *testing.T) {
	tenant := newCachedTenant(t, "ES256", 10)
	v := tenant.validator()
	good := tenant.token("read")
	if _, refusal := v.validate(t.Context(), good, time.Now, nil); refusal != nil {
		t.Fatal(refusal.Reason)
	}
	header, payload, signature := split(good)
	other := tenant.token("write")
	_, otherPayload, _ := split(other)
	for name, test := range map[string]struct {
		token string
		want  Reason
	}{
		"another token's signature": {header + "." + otherPayload + "." + signature, ReasonBadSignature},
		"a padded signature":        {good + "==", ReasonMalformedToken},
		"no signature":              {header + "." + payload + ".", ReasonMalformedToken},
		"no claims":                 {header + ".." + signature, ReasonMalformedToken},
		"a fourth segment":          {good + ".x", ReasonMalformedToken},
	} {
		if _, refusal := v.validate(t.Context(), test.token, time.Now, nil); reasonOf(refusal) != test.want {
			t.Errorf("%s is refused as %q", name, reasonOf(refusal))
		}
	}
	strict := tenant.validator()
	strict.rules.algorithms = []string{"ES384"}
	if _, refusal := strict.validate(t.Context(), other, time.Now, nil); reasonOf(refusal) != ReasonDisallowedAlgorithm {
		t.Errorf("at a site that wants another algorithm: %q", reasonOf(refusal))
	}
}
