package logtoauth

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// claimAttacks are tokens that the tenant signed for something else.
func claimAttacks() []attack {
	in := func(seconds int) int64 { return time.Now().Add(time.Duration(seconds) * time.Second).Unix() }
	extra := func(name string, value any) func(testing.TB, *devtenant.Tenant) string {
		return signed(nil, map[string]any{name: value})
	}
	null := json.RawMessage("null")
	raw := func(payload string) func(testing.TB, *devtenant.Tenant) string {
		return func(_ testing.TB, tenant *devtenant.Tenant) string {
			return tenant.SignRaw([]byte(`{"alg":"ES384","typ":"at+jwt","kid":"`+tenant.SigningKID()+`"}`), []byte(payload))
		}
	}
	number := func(text string) json.RawMessage { return json.RawMessage(text) }
	issuer := devtenant.New(devtenant.Options{}).Issuer()
	return slices.Concat(from("RFC 7519 section 7.2; RFC 8259 sections 4 and 8: one JSON object", []attack{
		{"claims that are null", raw(`null`), ReasonMalformedToken, "the claims are not a JSON object", ""},
		{"claims that are a text", raw(`"{}"`), ReasonMalformedToken, "the claims are not a JSON object", ""},
		{"claims that are nothing", raw(` `), ReasonMalformedToken, "the claims are not a JSON object", ""},
		{"claims with something behind them", raw(`{"exp":4000000000} {}`), ReasonMalformedToken, "the claims are not a JSON object", ""},
		{"claims behind a byte order mark", raw("\ufeff" + `{"exp":4000000000}`), ReasonMalformedToken, "the claims are not a JSON object", ""},
		{"claims that are not UTF-8", raw("{\"exp\":4000000000,\"x\":\"\xff\"}"), ReasonMalformedToken, "the claims are not a JSON object", ""},
		{"claims with a control character in a text", raw("{\"exp\":4000000000,\"x\":\"\x01\"}"), ReasonMalformedToken, "the claims are not a JSON object", ""},
		{"exp twice, the last one past", raw(`{"exp":4000000000,"sub":"user-1","client_id":"app-1","iss":"` + issuer + `","aud":"` + testAPI + `","exp":1}`), ReasonExpired, "exp", ""},
		{"iss twice, the last one another's", raw(`{"exp":4000000000,"sub":"user-1","client_id":"app-1","iss":"` + issuer + `","aud":"` + testAPI + `","iss":"https://evil.example/oidc"}`), ReasonWrongIssuer, "iss", ""},
		{"exp in upper case only", raw(`{"EXP":4000000000,"sub":"user-1","client_id":"app-1","iss":"` + issuer + `"}`), ReasonMissingClaim, "exp", ""},
		{"sub in another case only", raw(`{"exp":4000000000,"Sub":"user-1","client_id":"app-1","iss":"` + issuer + `"}`), ReasonMissingClaim, "sub", ""},
		{"sub in letters that fold to its own", raw(`{"exp":4000000000,"\u017fub":"user-1","client_id":"app-1","iss":"` + issuer + `"}`), ReasonMissingClaim, "sub", ""},
	}), from("RFC 7519 section 2: a NumericDate is a number", []attack{
		{"exp as a text", extra("exp", "4000000000"), ReasonMalformedToken, "exp", ""},
		{"exp true", extra("exp", true), ReasonMalformedToken, "exp", ""},
		{"exp null", extra("exp", null), ReasonMissingClaim, "exp", ""},
		{"exp in an array", extra("exp", []int64{4000000000}), ReasonMalformedToken, "exp", ""},
		{"exp beyond every number", extra("exp", number("1e400")), ReasonMalformedToken, "exp", ""},
		{"exp beyond whole numbers", extra("exp", number("9007199254740994")), ReasonMalformedToken, "exp", ""},
		{"exp that overflows 64 bits", extra("exp", number("18446744073709551616")), ReasonMalformedToken, "exp", ""},
		{"exp a hair above nought", extra("exp", number("1e-300")), ReasonExpired, "exp", ""},
		{"nbf as a text", extra("nbf", "0"), ReasonMalformedToken, "nbf", ""},
		{"nbf in an object", extra("nbf", map[string]any{"now": 0}), ReasonMalformedToken, "nbf", ""},
		{"iat as a text", extra("iat", "0"), ReasonMalformedToken, "iat", ""},
		{"iat beyond every number", extra("iat", number("1e400")), ReasonMalformedToken, "iat", ""},
	}), from("RFC 8725 section 3.8; RFC 9068 section 4: the issuer is compared exactly", []attack{
		{"issuer with a port of its own", extra("iss", "http://localhost:3002/oidc"), ReasonWrongIssuer, "iss", ""},
		{"issuer over https", extra("iss", "https://localhost:3001/oidc"), ReasonWrongIssuer, "iss", ""},
		{"issuer with user and password", extra("iss", "http://localhost:3001@evil.example/oidc"), ReasonWrongIssuer, "iss", ""},
		{"issuer as the beginning of a host", extra("iss", "http://localhost:3001.evil.example/oidc"), ReasonWrongIssuer, "iss", ""},
		{"issuer with a longer path", extra("iss", "http://localhost:3001/oidc/evil"), ReasonWrongIssuer, "iss", ""},
		{"issuer with a path that climbs back", extra("iss", "http://localhost:3001/x/../oidc"), ReasonWrongIssuer, "iss", ""},
		{"issuer with an encoded letter", extra("iss", "http://localhost:3001/%6fidc"), ReasonWrongIssuer, "iss", ""},
		{"issuer with a query", extra("iss", issuer+"?x"), ReasonWrongIssuer, "iss", ""},
		{"issuer with a fragment", extra("iss", issuer+"#x"), ReasonWrongIssuer, "iss", ""},
		{"issuer with a space behind", extra("iss", issuer+" "), ReasonWrongIssuer, "iss", ""},
		{"issuer with a letter of another alphabet", extra("iss", "http://l\u043ecalhost:3001/oidc"), ReasonWrongIssuer, "iss", ""},
		{"issuer without /oidc", extra("iss", "http://localhost:3001"), ReasonWrongIssuer, "iss", ""},
		{"issuer empty", extra("iss", ""), ReasonWrongIssuer, "iss", ""},
		{"issuer in an object", extra("iss", map[string]any{"url": issuer}), ReasonMalformedToken, "iss", ""},
	}), from("RFC 9068 sections 2.2 and 4; RFC 8705 section 3 and RFC 9449 section 6: bound tokens; CVE-2020-26160 (jwt-go): claims of unforeseen types", []attack{
		{"subject that is a number", extra("sub", 1), ReasonMalformedToken, "sub", ""},
		{"subject that is an array", extra("sub", []string{"user-1"}), ReasonMalformedToken, "sub", ""},
		{"subject with a NUL", extra("sub", "user-1\x00"), ReasonMalformedToken, "sub", ""},
		{"subject with a line separator", extra("sub", "user-1\u0085"), ReasonMalformedToken, "sub", ""},
		{"client that is a number", extra("client_id", 1), ReasonMalformedToken, "client_id", ""},
		{"client that is an array", extra("client_id", []string{"app-1"}), ReasonMalformedToken, "client_id", ""},
		{"client null", extra("client_id", null), ReasonMissingClaim, "client_id", ""},
		{"client with a line break", extra("client_id", "a\nb"), ReasonMalformedToken, "client_id", ""},
		{"audience that is an object", extra("aud", map[string]any{testAPI: true}), ReasonMalformedToken, "aud", ""},
		{"audience with a number among texts", extra("aud", []any{testAPI, 1}), ReasonMalformedToken, "aud", ""},
		{"audience with an array within", extra("aud", []any{[]string{testAPI}}), ReasonMalformedToken, "aud", ""},
		{"audience true", extra("aud", true), ReasonMalformedToken, "aud", ""},
		{"organization with a NUL behind", extra("organization_id", "org-1\x00"), ReasonMalformedToken, "organization_id", ""},
		{"bound to a certificate", extra("cnf", map[string]any{"x5t#S256": "AAAA"}), ReasonBoundToken, "cnf", ""},
		{"bound in a form that nobody knows", extra("cnf", true), ReasonBoundToken, "cnf", ""},
		{"bound to nothing", extra("cnf", map[string]any{}), ReasonBoundToken, "cnf", ""},
		{"claims that are no object", func(_ testing.TB, tenant *devtenant.Tenant) string {
			return tenant.SignRaw([]byte(`{"alg":"ES384","typ":"at+jwt","kid":"`+tenant.SigningKID()+`"}`), []byte(`[]`))
		}, ReasonMalformedToken, "the claims are not a JSON object", ""},
		{"another tenant's issuer", extra("iss", "https://evil.example/oidc"), ReasonWrongIssuer, "iss", ""},
		{"issuer with a trailing slash", extra("iss", devtenant.New(devtenant.Options{}).Issuer()+"/"), ReasonWrongIssuer, "iss", ""},
		{"issuer in another case", extra("iss", "HTTP://localhost:3001/oidc"), ReasonWrongIssuer, "iss", ""},
		{"no issuer", extra("iss", nil), ReasonWrongIssuer, "iss", ""},
		{"issuer null", extra("iss", null), ReasonWrongIssuer, "iss", ""},
		{"issuer among others", extra("iss", []string{"http://localhost:3001/oidc"}), ReasonMalformedToken, "iss", ""},
		{"no subject", extra("sub", nil), ReasonMissingClaim, "sub", ""},
		{"empty subject", extra("sub", ""), ReasonMissingClaim, "sub", ""},
		{"subject null", extra("sub", null), ReasonMissingClaim, "sub", ""},
		{"no client, as an ID token", extra("client_id", nil), ReasonMissingClaim, "client_id", ""},
		{"empty client", extra("client_id", ""), ReasonMissingClaim, "client_id", ""},
		{"no expiry", extra("exp", nil), ReasonMissingClaim, "exp", ""},
		{"expired", extra("exp", in(-60)), ReasonExpired, "exp", ""},
		{"expired in 1970", extra("exp", 0), ReasonExpired, "exp", ""},
		{"expired before 1970", extra("exp", -1), ReasonExpired, "exp", ""},
		{"not yet valid", extra("nbf", in(60)), ReasonNotYetValid, "nbf", ""},
		{"issued in the future", extra("iat", in(60)), ReasonNotYetValid, "iat", ""},
		{"issued in milliseconds", extra("iat", time.Now().UnixMilli()), ReasonNotYetValid, "iat", ""},
		{"bound to a key", extra("cnf", map[string]any{"jkt": "x"}), ReasonBoundToken, "cnf", ""},
		{"line break in the subject", extra("sub", "a\nb"), ReasonMalformedToken, "sub", ""},
		{"audience of the wrong type", extra("aud", 1), ReasonMalformedToken, "aud", ""},
	}))
}
