package devtenant_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

func TestTokenTimes(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	tenant := devtenant.New(devtenant.Options{Now: func() time.Time { return now }, TokenTTL: time.Minute})
	for name, test := range map[string]struct {
		expiresIn time.Duration
		want      time.Time
	}{
		"the tenant's": {0, now.Add(time.Minute)},
		"its own":      {time.Second, now.Add(time.Second)},
		"expired":      {-time.Hour, now.Add(-time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			_, payload := decode(t, tenant.Token(devtenant.TokenRequest{Resource: api, ExpiresIn: test.expiresIn}))
			if payload["iat"] != float64(now.Unix()) || payload["exp"] != float64(test.want.Unix()) {
				t.Errorf("iat %v, exp %v, want %d and %d", payload["iat"], payload["exp"], now.Unix(), test.want.Unix())
			}
		})
	}
}

func TestExtraClaimsReplaceDeleteAndNull(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	_, payload := decode(t, tenant.Token(devtenant.TokenRequest{Resource: api, Scope: "a", Extra: map[string]any{
		"aud":   []string{api, "other"},
		"scope": nil,
		"cnf":   json.RawMessage("null"),
	}}))
	if aud, isArray := payload["aud"].([]any); !isArray || len(aud) != 2 {
		t.Errorf("aud is %v", payload["aud"])
	}
	if _, given := payload["scope"]; given {
		t.Error("scope was not deleted")
	}
	if cnf, given := payload["cnf"]; !given || cnf != nil {
		t.Errorf("cnf is %v, given %v, want null", cnf, given)
	}
}

func TestTokenOfACustomDomain(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	const custom = "https://auth.example.com/oidc"
	_, payload := decode(t, tenant.Token(devtenant.TokenRequest{Resource: api, Issuer: custom}))
	if payload["iss"] != custom || tenant.Issuer() == custom {
		t.Errorf("iss is %v, the tenant's own %s", payload["iss"], tenant.Issuer())
	}
}

func TestSetIssuerMovesTheEndpointUnlessThatIsSet(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	tenant.SetIssuer("https://one.example/oidc")
	if got := tenant.Endpoint(); got != "https://one.example" {
		t.Errorf("the endpoint is %s", got)
	}
	tenant.SetEndpoint("http://logto:3001/")
	tenant.SetIssuer("https://two.example/oidc")
	var document map[string]any
	unmarshal(t, tenant.Discovery(), &document)
	if document["issuer"] != "https://two.example/oidc" || document["jwks_uri"] != "http://logto:3001/oidc/jwks" {
		t.Errorf("issuer %v, jwks_uri %v", document["issuer"], document["jwks_uri"])
	}
}

func TestSignMergesTheHeader(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	for name, test := range map[string]struct {
		header map[string]any
		want   map[string]any
	}{
		"none":    {nil, map[string]any{"alg": "ES384", "typ": "at+jwt", "kid": tenant.SigningKID()}},
		"changed": {map[string]any{"alg": "none", "crit": "b64"}, map[string]any{"alg": "none", "crit": "b64", "typ": "at+jwt", "kid": tenant.SigningKID()}},
		"deleted": {map[string]any{"typ": nil, "kid": nil}, map[string]any{"alg": "ES384"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := maps.Clone(test.header)
			header, payload := decode(t, tenant.Sign(test.header, map[string]any{"sub": nil}))
			if !maps.Equal(header, test.want) {
				t.Errorf("header %v, want %v", header, test.want)
			}
			if len(payload) != 1 || payload["sub"] != nil {
				t.Errorf("payload %v, want exactly the null sub", payload)
			}
			if !maps.Equal(before, test.header) {
				t.Error("the caller's header was changed")
			}
		})
	}
}

func TestSignRawKeepsDuplicateMembers(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	const payload = `{"sub":"a", "sub":"b"}`
	segments := strings.Split(tenant.SignRaw([]byte(`{}`), []byte(payload)), ".")
	if got := member(t, map[string]any{"payload": segments[1]}, "payload"); string(got) != payload {
		t.Errorf("payload %s, want %s", got, payload)
	}
}

func TestTokenIDsDiffer(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	seen := map[any]bool{}
	for range 8 {
		_, payload := decode(t, tenant.Token(devtenant.TokenRequest{Resource: api}))
		if seen[payload["jti"]] {
			t.Errorf("two tokens have the jti %v", payload["jti"])
		}
		seen[payload["jti"]] = true
	}
}
