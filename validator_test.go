package logtoauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// keySetOf is a key set that reads these keys from a file and remembers a few
// tokens.
func keySetOf(tb testing.TB, jwks []byte, issuers ...string) *KeySet {
	tb.Helper()
	return cachingKeySet(tb, 100, jwks, issuers...)
}

// cachingKeySet is keySetOf for another number of tokens.
func cachingKeySet(tb testing.TB, cacheSize int, jwks []byte, issuers ...string) *KeySet {
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
	keys, err := app.keySet(tenantConfig{
		Issuers: issuers, JWKSFile: path,
		RefreshInterval: time.Hour, RefreshCooldown: time.Minute, FetchTimeout: time.Minute, MaxStale: time.Hour, CacheSize: cacheSize,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

// validatorOf is the validator of a site with default settings, whose issuers
// are those of the key set.
func validatorOf(keys *KeySet) *validator {
	return &validator{keys: keys, rules: tokenRules{
		algorithms: defaultAlgorithms,
		types:      normalizeTypes([]string{defaultTokenType}),
		issuers:    keys.cfg.Issuers,
		leeway:     10,
	}}
}

// forge encodes a header and claims and lets sign make the signature.
func forge(tb testing.TB, header, claims map[string]any, sign func(input string) []byte) string {
	tb.Helper()
	input := encodeJSON(tb, header) + "." + encodeJSON(tb, claims)
	return input + "." + base64.RawURLEncoding.EncodeToString(sign(input))
}

func encodeJSON(tb testing.TB, value any) string {
	tb.Helper()
	return base64.RawURLEncoding.EncodeToString(mustJSON(tb, value))
}

func mustJSON(tb testing.TB, value any) []byte {
	tb.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func encodeText(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// rsaKey is made once: it takes a while.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// rsaJWK is the JWK of rsaKey under a kid, with more members.
func rsaJWK(kid string, more map[string]any) map[string]any {
	public := rsaKey().PublicKey
	encode := base64.RawURLEncoding.EncodeToString
	jwk := map[string]any{
		"kty": "RSA", "use": "sig", "kid": kid,
		"n": encode(public.N.Bytes()), "e": encode(big.NewInt(int64(public.E)).Bytes()),
	}
	maps.Copy(jwk, more)
	return jwk
}

func TestValidatorAcceptsEveryAsymmetricAlgorithm(t *testing.T) {
	for _, algorithm := range defaultAlgorithms {
		t.Run(algorithm, func(t *testing.T) {
			tenant := devtenant.New(devtenant.Options{Algorithm: algorithm})
			v := validatorOf(keySetOf(t, tenant.JWKS(), tenant.Issuer()))
			token := tenant.Token(devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", Resource: testAPI, Scope: "read"})
			info, refusal := v.validate(t.Context(), token, time.Now())
			if refusal != nil {
				t.Fatalf("refused as %s (%s)", refusal.Reason, refusal.Detail)
			}
			if info.Subject != "user-1" || info.ClientID != "app-1" || info.key == nil || info.key.kid != tenant.SigningKID() {
				t.Errorf("the token says %+v", info)
			}
			if info.algorithm != algorithm || info.typ != "at+jwt" || info.keyID != tenant.SigningKID() {
				t.Errorf("the header says %q %q %q", info.algorithm, info.typ, info.keyID)
			}
			// The key is right and the algorithm is known; the site wants others.
			v.rules.algorithms = slices.DeleteFunc(slices.Clone(defaultAlgorithms), func(a string) bool { return a == algorithm })
			if _, refusal = v.validate(t.Context(), token, time.Now()); reasonOf(refusal) != ReasonDisallowedAlgorithm {
				t.Errorf("not on the list and yet %q", reasonOf(refusal))
			}
		})
	}
}

// attack is a token that must be refused, and why.
type attack struct {
	name   string
	token  func(testing.TB, *devtenant.Tenant) string
	reason Reason
	detail string
}

// signed is a token signed with the tenant's key: a true one but for what the
// maps change, where nil deletes.
func signed(header, claims map[string]any) func(testing.TB, *devtenant.Tenant) string {
	return func(_ testing.TB, tenant *devtenant.Tenant) string {
		return tenant.Sign(header, tenant.Claims(devtenant.TokenRequest{Resource: testAPI, Subject: "user-1", Extra: claims}))
	}
}

// signedText is signed with the header given as JSON text, in which %kid%
// stands for the key's ID.
func signedText(header string) func(testing.TB, *devtenant.Tenant) string {
	return func(tb testing.TB, tenant *devtenant.Tenant) string {
		claims, err := json.Marshal(tenant.Claims(devtenant.TokenRequest{Resource: testAPI}))
		if err != nil {
			tb.Fatal(err)
		}
		return tenant.SignRaw([]byte(strings.ReplaceAll(header, "%kid%", tenant.SigningKID())), claims)
	}
}

// changed is a true token after a change.
func changed(change func(header, payload, signature string) string) func(testing.TB, *devtenant.Tenant) string {
	return func(tb testing.TB, tenant *devtenant.Tenant) string {
		header, payload, signature := split(signed(nil, nil)(tb, tenant))
		return change(header, payload, signature)
	}
}

// resigned is a token of which the changed signing input is signed anew.
func resigned(change func(header, payload string) string) func(testing.TB, *devtenant.Tenant) string {
	return func(tb testing.TB, tenant *devtenant.Tenant) string {
		header, payload, _ := split(signed(nil, nil)(tb, tenant))
		return tenant.SignInput(change(header, payload))
	}
}

func text(token string) func(testing.TB, *devtenant.Tenant) string {
	return func(testing.TB, *devtenant.Tenant) string { return token }
}

func split(token string) (header, payload, signature string) {
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, _ = strings.Cut(rest, ".")
	return header, payload, signature
}

// unsigned is a token with a signature of the attacker's.
func unsigned(header map[string]any, sign func(testing.TB, *devtenant.Tenant, string) []byte) func(testing.TB, *devtenant.Tenant) string {
	return func(tb testing.TB, tenant *devtenant.Tenant) string {
		full := map[string]any{"alg": "ES384", "typ": "at+jwt", "kid": tenant.SigningKID()}
		maps.Copy(full, header)
		return forge(tb, full, tenant.Claims(devtenant.TokenRequest{Resource: testAPI, Subject: "admin"}),
			func(input string) []byte { return sign(tb, tenant, input) })
	}
}

// signWith signs with an algorithm and a key of the attacker's.
func signWith(method jwt.SigningMethod, key any) func(testing.TB, *devtenant.Tenant, string) []byte {
	return func(tb testing.TB, _ *devtenant.Tenant, input string) []byte {
		signature, err := method.Sign(input, key)
		if err != nil {
			tb.Fatal(err)
		}
		return signature
	}
}

func signatureOf(octets []byte) func(testing.TB, *devtenant.Tenant, string) []byte {
	return func(testing.TB, *devtenant.Tenant, string) []byte { return octets }
}

// newECKey is a key that no tenant has.
func newECKey(curve elliptic.Curve) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// headerAttacks are tokens that do not get as far as their claims.
func headerAttacks() []attack {
	opaque := strings.Repeat("x", 43)
	return []attack{
		{"opaque token", text(opaque), ReasonOpaqueToken, ""},
		{"empty segments", text(".."), ReasonMalformedToken, "header encoding"},
		{"a dot", text("."), ReasonMalformedToken, "segments"},
		{"two segments", changed(func(h, p, _ string) string { return h + "." + p }), ReasonMalformedToken, "segments"},
		{"four segments", changed(func(h, p, s string) string { return h + "." + p + "." + s + "." }), ReasonMalformedToken, "segments"},
		{"encrypted", changed(func(h, p, s string) string { return h + "." + p + "." + s + "." + s + "." + s }), ReasonMalformedToken, "encrypted"},
		{"JSON serialization", text(`{"payload":"e30","signatures":[{"protected":"e30","signature":"AA"}]}.x.y`), ReasonMalformedToken, "header encoding"},
		{"over 16 KiB", text(strings.Repeat("x", 16<<10+1)), ReasonTokenTooLarge, ""},

		{"no signature", changed(func(h, p, _ string) string { return h + "." + p + "." }), ReasonMalformedToken, "signature encoding"},
		{"no header", changed(func(_, p, s string) string { return "." + p + "." + s }), ReasonMalformedToken, "header encoding"},
		{"no payload (detached)", changed(func(h, _, s string) string { return h + ".." + s }), ReasonMalformedToken, "payload encoding"},
		{"padded header", resigned(func(h, p string) string { return pad(h) + "." + p }), ReasonMalformedToken, "header encoding"},
		{"padded payload", resigned(func(h, p string) string { return h + "." + pad(p) }), ReasonMalformedToken, "payload encoding"},
		{"padded signature", changed(func(h, p, s string) string { return h + "." + p + "." + s + "=" }), ReasonMalformedToken, "signature encoding"},
		{"line break in the header", resigned(func(h, p string) string { return h[:8] + "\n" + h[8:] + "." + p }), ReasonMalformedToken, "header encoding"},
		{"line break in the payload", resigned(func(h, p string) string { return h + "." + p[:8] + "\r\n" + p[8:] }), ReasonMalformedToken, "payload encoding"},
		{"line break in the signature", changed(func(h, p, s string) string { return h + "." + p + "." + s[:8] + "\n" + s[8:] }), ReasonMalformedToken, "signature encoding"},
		{"line break after the signature", changed(func(h, p, s string) string { return h + "." + p + "." + s + "\n" }), ReasonMalformedToken, "signature encoding"},
		{"space before", changed(func(h, p, s string) string { return " " + h + "." + p + "." + s }), ReasonMalformedToken, "header encoding"},
		{"space after", changed(func(h, p, s string) string { return h + "." + p + "." + s + " " }), ReasonMalformedToken, "signature encoding"},
		{"percent-encoded", changed(func(h, p, s string) string { return "%65" + h[1:] + "." + p + "." + s }), ReasonMalformedToken, "header encoding"},
		{"NUL in the header", changed(func(h, p, s string) string { return h + "\x00." + p + "." + s }), ReasonMalformedToken, "header encoding"},
		{"second spelling of the signature by its unused bits", resigned(func(h, p string) string {
			// A payload of one octet more than a multiple of three ends in four unused bits.
			payload := encodeText(strings.Repeat(" ", (3-len(decode(p))%3+1)%3) + string(decode(p)))
			last := payload[len(payload)-1]
			return h + "." + payload[:len(payload)-1] + string(last+1)
		}), ReasonMalformedToken, "payload encoding"},

		{"header that is no JSON", resigned(func(_, p string) string { return encodeText("alg=none") + "." + p }), ReasonMalformedToken, "header"},
		{"header that is an array", resigned(func(_, p string) string { return encodeText(`[]`) + "." + p }), ReasonMalformedToken, "header"},
		{"header that is null", resigned(func(_, p string) string { return encodeText(`null`) + "." + p }), ReasonMalformedToken, "header"},
		{"header with something behind it", resigned(func(h, p string) string { return encodeText(string(decode(h))+`{}`) + "." + p }), ReasonMalformedToken, "header"},

		{"no typ, as an ID token", signed(map[string]any{"typ": nil}, nil), ReasonUnsupportedType, "typ"},
		{"typ JWT", signed(map[string]any{"typ": "JWT"}, nil), ReasonUnsupportedType, "typ"},
		{"typ logout+jwt", signed(map[string]any{"typ": "logout+jwt"}, nil), ReasonUnsupportedType, "typ"},
		{"typ any", signed(map[string]any{"typ": "any"}, nil), ReasonUnsupportedType, "typ"},
		{"typ with a space", signed(map[string]any{"typ": " at+jwt"}, nil), ReasonUnsupportedType, "typ"},
		{"typ with a prefix twice", signed(map[string]any{"typ": "application/application/at+jwt"}, nil), ReasonUnsupportedType, "typ"},
		{"typ with a parameter", signed(map[string]any{"typ": "at+jwt;x=y"}, nil), ReasonUnsupportedType, "typ"},
		{"typ null", signedText(`{"alg":"ES384","typ":null,"kid":"%kid%"}`), ReasonUnsupportedType, "typ"},
		{"typ of the wrong type", signed(map[string]any{"typ": []string{"at+jwt"}}, nil), ReasonMalformedToken, "typ"},
		{"TYP", signedText(`{"alg":"ES384","TYP":"at+jwt","kid":"%kid%"}`), ReasonUnsupportedType, "typ"},
		{"typ twice, the last one wrong", signedText(`{"alg":"ES384","typ":"at+jwt","typ":"JWT","kid":"%kid%"}`), ReasonUnsupportedType, "typ"},

		{"no alg", signed(map[string]any{"alg": nil}, nil), ReasonDisallowedAlgorithm, "alg"},
		{"alg none", signed(map[string]any{"alg": "none"}, nil), ReasonDisallowedAlgorithm, "alg"},
		{"alg None", signed(map[string]any{"alg": "None"}, nil), ReasonDisallowedAlgorithm, "alg"},
		{"alg nOnE", signed(map[string]any{"alg": "nOnE"}, nil), ReasonDisallowedAlgorithm, "alg"},
		{"alg none and an octet as signature", unsigned(map[string]any{"alg": "none"}, signatureOf([]byte{0})), ReasonDisallowedAlgorithm, "alg"},
		{"alg in lower case", signed(map[string]any{"alg": "es384"}, nil), ReasonDisallowedAlgorithm, "alg"},
		{"alg empty", signed(map[string]any{"alg": ""}, nil), ReasonDisallowedAlgorithm, "alg"},
		{"alg of the wrong type", signed(map[string]any{"alg": []string{"ES384"}}, nil), ReasonMalformedToken, "alg"},
		{"alg twice, the last one none", signedText(`{"alg":"ES384","typ":"at+jwt","kid":"%kid%","alg":"none"}`), ReasonDisallowedAlgorithm, "alg"},
		{"ALG", signedText(`{"ALG":"ES384","typ":"at+jwt","kid":"%kid%"}`), ReasonDisallowedAlgorithm, "alg"},
		{"HS256 with the public key set as secret", unsigned(map[string]any{"alg": "HS256"}, func(tb testing.TB, tenant *devtenant.Tenant, input string) []byte {
			return signWith(jwt.SigningMethodHS256, tenant.JWKS())(tb, tenant, input)
		}), ReasonDisallowedAlgorithm, "alg"},
		{"an encryption algorithm", signed(map[string]any{"alg": "ECDH-ES"}, nil), ReasonDisallowedAlgorithm, "alg"},
		{"a curve that no key here has", signed(map[string]any{"alg": "ES256K"}, nil), ReasonDisallowedAlgorithm, "alg"},

		{"no kid", signed(map[string]any{"kid": nil}, nil), ReasonUnknownKey, "kid"},
		{"kid empty", signed(map[string]any{"kid": ""}, nil), ReasonUnknownKey, "kid"},
		{"kid null", signedText(`{"alg":"ES384","typ":"at+jwt","kid":null}`), ReasonUnknownKey, "kid"},
		{"kid of the wrong type", signed(map[string]any{"kid": 1}, nil), ReasonMalformedToken, "kid"},
		{"KID", signedText(`{"alg":"ES384","typ":"at+jwt","KID":"%kid%"}`), ReasonUnknownKey, "kid"},
		{"kid that is a path", signed(map[string]any{"kid": "../../dev/null"}, nil), ReasonUnknownKey, "kid"},
		{"kid that is a query", signed(map[string]any{"kid": "x' OR '1'='1"}, nil), ReasonUnknownKey, "kid"},
		{"kid in another case", changed(func(_, p, s string) string { return p + "." + p + "." + s }), ReasonUnsupportedType, "typ"},

		{"crit with an extension", signed(map[string]any{"crit": []string{"exp"}, "exp": 1}, nil), ReasonMalformedToken, "crit"},
		{"crit empty", signed(map[string]any{"crit": []string{}}, nil), ReasonMalformedToken, "crit"},
		{"crit null", signedText(`{"alg":"ES384","typ":"at+jwt","kid":"%kid%","crit":null}`), ReasonMalformedToken, "crit"},
		{"unencoded payload", signed(map[string]any{"b64": false, "crit": []string{"b64"}}, nil), ReasonMalformedToken, "crit"},
		{"unencoded payload without crit", signed(map[string]any{"b64": false}, nil), ReasonMalformedToken, "b64"},
	}
}

func pad(segment string) string { return segment + "=" }

func decode(segment string) []byte {
	decoded, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		panic(err)
	}
	return decoded
}

// signatureAttacks are tokens whose signature does not hold.
func signatureAttacks() []attack {
	flip := func(segment string, at int) string {
		octets := decode(segment)
		octets[at] ^= 1
		return base64.RawURLEncoding.EncodeToString(octets)
	}
	thief := newECKey(elliptic.P384())
	return []attack{
		{"a bit of the signature changed", changed(func(h, p, s string) string { return h + "." + p + "." + flip(s, 0) }), ReasonBadSignature, ""},
		{"the last bit of the signature changed", changed(func(h, p, s string) string { return h + "." + p + "." + flip(s, 95) }), ReasonBadSignature, ""},
		{"signature cut", changed(func(h, p, s string) string { return h + "." + p + "." + s[:len(s)-4] }), ReasonBadSignature, ""},
		{"signature longer", changed(func(h, p, s string) string { return h + "." + p + "." + s + "AAAA" }), ReasonBadSignature, ""},
		{"signature of zeros", unsigned(nil, signatureOf(make([]byte, 96))), ReasonBadSignature, ""},
		{"signature r = s = n", unsigned(nil, func(testing.TB, *devtenant.Tenant, string) []byte {
			n := elliptic.P384().Params().N.Bytes()
			return append(slices.Clone(n), n...)
		}), ReasonBadSignature, ""},
		{"signature in ASN.1, as TLS has it", unsigned(nil, func(tb testing.TB, _ *devtenant.Tenant, input string) []byte {
			digest := crypto.SHA384.New()
			digest.Write([]byte(input))
			signature, err := ecdsa.SignASN1(rand.Reader, thief, digest.Sum(nil))
			if err != nil {
				tb.Fatal(err)
			}
			return signature
		}), ReasonBadSignature, ""},
		{"claims changed", changed(func(h, p, s string) string {
			return h + "." + encodeText(strings.Replace(string(decode(p)), "user-1", "admin1", 1)) + "." + s
		}), ReasonBadSignature, ""},
		{"claims written in another way", changed(func(h, p, s string) string { return h + "." + encodeText(" "+string(decode(p))) + "." + s }), ReasonBadSignature, ""},
		{"header written in another way", changed(func(h, p, s string) string { return encodeText(" "+string(decode(h))) + "." + p + "." + s }), ReasonBadSignature, ""},
		{"another token's signature", func(tb testing.TB, tenant *devtenant.Tenant) string {
			_, _, signature := split(signed(nil, nil)(tb, tenant))
			header, payload, _ := split(signed(nil, nil)(tb, tenant))
			return header + "." + payload + "." + signature
		}, ReasonBadSignature, ""},
		{"a thief's key under the tenant's kid", unsigned(nil, signWith(jwt.SigningMethodES384, thief)), ReasonBadSignature, ""},
		{"a thief's key in the header", unsigned(map[string]any{"jwk": ecJWK(thief, "x")}, signWith(jwt.SigningMethodES384, thief)), ReasonBadSignature, ""},
		{"a thief's key and kid in the header", unsigned(map[string]any{"kid": "x", "jwk": ecJWK(thief, "x")}, signWith(jwt.SigningMethodES384, thief)), ReasonUnknownKey, "kid"},
		{"a thief's key behind a URL", unsigned(map[string]any{"kid": "x", "jku": "https://evil.example/jwks", "x5u": "https://evil.example/x5u"}, signWith(jwt.SigningMethodES384, thief)), ReasonUnknownKey, "kid"},

		{"ES256 under a P-384 key", unsigned(map[string]any{"alg": "ES256"}, signWith(jwt.SigningMethodES256, newECKey(elliptic.P256()))), ReasonDisallowedAlgorithm, "alg"},
		{"RS256 under an EC key", unsigned(map[string]any{"alg": "RS256"}, signWith(jwt.SigningMethodRS256, rsaKey())), ReasonDisallowedAlgorithm, "alg"},
		{"EdDSA under an EC key", unsigned(map[string]any{"alg": "EdDSA"}, signatureOf(make([]byte, 64))), ReasonDisallowedAlgorithm, "alg"},
		{"the EC key's signature said to be RSA", signed(map[string]any{"alg": "PS384"}, nil), ReasonDisallowedAlgorithm, "alg"},
		{"ES384 under an RSA key", unsigned(map[string]any{"kid": "rsa"}, signWith(jwt.SigningMethodES384, thief)), ReasonDisallowedAlgorithm, "alg"},
		{"PS256 under a key for RS256", unsigned(map[string]any{"kid": "rsa-rs256", "alg": "PS256"}, signWith(jwt.SigningMethodPS256, rsaKey())), ReasonDisallowedAlgorithm, "alg"},
		{"RS384 said to be RS256", unsigned(map[string]any{"kid": "rsa", "alg": "RS256"}, signWith(jwt.SigningMethodRS384, rsaKey())), ReasonBadSignature, ""},
		{"PS256 said to be RS256", unsigned(map[string]any{"kid": "rsa", "alg": "RS256"}, signWith(jwt.SigningMethodPS256, rsaKey())), ReasonBadSignature, ""},
		{"an RSA signature of zeros", unsigned(map[string]any{"kid": "rsa", "alg": "RS256"}, signatureOf(make([]byte, 256))), ReasonBadSignature, ""},
		{"a key that the set has for encryption", unsigned(map[string]any{"kid": "rsa-enc", "alg": "RS256"}, signWith(jwt.SigningMethodRS256, rsaKey())), ReasonUnknownKey, "kid"},
	}
}

// ecJWK is the JWK of an EC key.
func ecJWK(key *ecdsa.PrivateKey, kid string) map[string]any {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	encode, half := base64.RawURLEncoding.EncodeToString, 1+len(point)/2
	return map[string]any{"kty": "EC", "kid": kid, "crv": key.Params().Name, "x": encode(point[1:half]), "y": encode(point[half:])}
}

// claimAttacks are tokens that the tenant signed for something else.
func claimAttacks() []attack {
	in := func(seconds int) int64 { return time.Now().Add(time.Duration(seconds) * time.Second).Unix() }
	extra := func(name string, value any) func(testing.TB, *devtenant.Tenant) string {
		return signed(nil, map[string]any{name: value})
	}
	null := json.RawMessage("null")
	return []attack{
		{"claims that are no object", func(_ testing.TB, tenant *devtenant.Tenant) string {
			return tenant.SignRaw([]byte(`{"alg":"ES384","typ":"at+jwt","kid":"`+tenant.SigningKID()+`"}`), []byte(`[]`))
		}, ReasonMalformedToken, "the claims are not a JSON object"},
		{"another tenant's issuer", extra("iss", "https://evil.example/oidc"), ReasonWrongIssuer, "iss"},
		{"issuer with a trailing slash", extra("iss", devtenant.New(devtenant.Options{}).Issuer()+"/"), ReasonWrongIssuer, "iss"},
		{"issuer in another case", extra("iss", "HTTP://localhost:3001/oidc"), ReasonWrongIssuer, "iss"},
		{"no issuer", extra("iss", nil), ReasonWrongIssuer, "iss"},
		{"issuer null", extra("iss", null), ReasonWrongIssuer, "iss"},
		{"issuer among others", extra("iss", []string{"http://localhost:3001/oidc"}), ReasonMalformedToken, "iss"},
		{"no subject", extra("sub", nil), ReasonMissingClaim, "sub"},
		{"empty subject", extra("sub", ""), ReasonMissingClaim, "sub"},
		{"subject null", extra("sub", null), ReasonMissingClaim, "sub"},
		{"no client, as an ID token", extra("client_id", nil), ReasonMissingClaim, "client_id"},
		{"empty client", extra("client_id", ""), ReasonMissingClaim, "client_id"},
		{"no expiry", extra("exp", nil), ReasonMissingClaim, "exp"},
		{"expired", extra("exp", in(-60)), ReasonExpired, "exp"},
		{"expired in 1970", extra("exp", 0), ReasonExpired, "exp"},
		{"expired before 1970", extra("exp", -1), ReasonExpired, "exp"},
		{"not yet valid", extra("nbf", in(60)), ReasonNotYetValid, "nbf"},
		{"issued in the future", extra("iat", in(60)), ReasonNotYetValid, "iat"},
		{"issued in milliseconds", extra("iat", time.Now().UnixMilli()), ReasonNotYetValid, "iat"},
		{"bound to a key", extra("cnf", map[string]any{"jkt": "x"}), ReasonBoundToken, "cnf"},
		{"line break in the subject", extra("sub", "a\nb"), ReasonMalformedToken, "sub"},
		{"audience of the wrong type", extra("aud", 1), ReasonMalformedToken, "aud"},
	}
}

func TestValidatorRefuses(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	tenant.AddKey(rsaJWK("rsa", nil))
	tenant.AddKey(rsaJWK("rsa-rs256", map[string]any{"alg": "RS256"}))
	tenant.AddKey(rsaJWK("rsa-enc", map[string]any{"use": "enc"}))
	v := validatorOf(keySetOf(t, tenant.JWKS(), tenant.Issuer()))
	if _, refusal := v.validate(t.Context(), signed(nil, nil)(t, tenant), time.Now()); refusal != nil {
		t.Fatalf("a true token is refused as %s", refusal.Reason)
	}
	for _, attack := range slices.Concat(headerAttacks(), signatureAttacks(), claimAttacks()) {
		t.Run(attack.name, func(t *testing.T) {
			token := attack.token(t, tenant)
			info, refusal := v.validate(t.Context(), token, time.Now())
			if reasonOf(refusal) != attack.reason || refusal.Detail != attack.detail {
				t.Fatalf("refused as %+v, not %s (%s)", refusal, attack.reason, attack.detail)
			}
			if refusal.Status != 401 || refusal.Text != "Invalid token" || refusal.code != "invalid_token" {
				t.Errorf("the refusal is %+v", refusal)
			}
			if info != nil && info.key != nil {
				t.Error("the claims are said to be verified")
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
	v := validatorOf(keySetOf(t, tenant.JWKS(), "https://auth.example.com/oidc", tenant.Issuer()))
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
		if _, refusal := v.validate(t.Context(), test.token(t, tenant), time.Now()); refusal != nil {
			t.Errorf("%s: refused as %s (%s)", test.name, refusal.Reason, refusal.Detail)
		}
	}
}

func TestValidatorSizeLimitIsExact(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	v := validatorOf(keySetOf(t, tenant.JWKS(), tenant.Issuer()))
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
		if _, refusal := v.validate(t.Context(), token, time.Now()); len(token) != size || reasonOf(refusal) != want {
			t.Errorf("a token of %d octets: %q, not %q", len(token), reasonOf(refusal), want)
		}
	}
}

func TestValidatorTimes(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	keys := keySetOf(t, tenant.JWKS(), tenant.Issuer())
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
		v := validatorOf(keys)
		v.rules.leeway, v.rules.maxAge = test.leeway, test.maxAge
		claims := map[string]any{"iat": issued, "exp": issued + 3600}
		maps.Copy(claims, test.claims)
		token := tenant.Sign(nil, tenant.Claims(devtenant.TokenRequest{Resource: testAPI, Extra: claims}))
		// A clock has fractions of seconds, which a token has not.
		for _, fraction := range []time.Duration{0, time.Second - 1} {
			_, refusal := v.validate(t.Context(), token, time.Unix(issued+test.now, int64(fraction)))
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
	keys := keySetOf(t, tenant.JWKS(), tenant.Issuer())
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
		v := validatorOf(keys)
		v.rules.types = normalizeTypes(test.types)
		if _, refusal := v.validate(t.Context(), test.token, time.Now()); reasonOf(refusal) != test.want {
			t.Errorf("%s: %q, not %q", test.name, reasonOf(refusal), test.want)
		}
	}
}

// A token that condemns itself costs neither a signature nor a fetch, and says
// why it is refused although no key is there.
func TestValidatorNeedsNoKeyToRefuse(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	keys, err := newKeySet(tenantConfig{Endpoint: "http://localhost:3001", RefreshInterval: time.Hour, FetchTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	keys.end() // whoever waits for a fetch is told at once that there is none
	v := &validator{keys: keys, rules: validatorOf(keySetOf(t, tenant.JWKS(), tenant.Issuer())).rules}
	for _, attack := range slices.Concat(headerAttacks(), claimAttacks()) {
		token := attack.token(t, tenant)
		_, refusal := v.validate(t.Context(), token, time.Now())
		want := attack.reason
		if attack.reason == ReasonUnknownKey && strings.Contains(attack.name, "that is a") {
			want = ReasonKeysUnavailable // the kid is well-formed, so only the keys can tell
		}
		if reasonOf(refusal) != want {
			t.Errorf("%s: %q, not %q", attack.name, reasonOf(refusal), want)
		}
	}
	_, refusal := v.validate(t.Context(), signed(nil, nil)(t, tenant), time.Now())
	if reasonOf(refusal) != ReasonKeysUnavailable || refusal.Status != 503 || refusal.RetryAfter < 1 {
		t.Errorf("a true token without keys: %+v", refusal)
	}
}

// With several faults the cheapest to find is told, and a signature that does
// not hold is told before anything of the row below.
func TestValidatorOrder(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	v := validatorOf(keySetOf(t, tenant.JWKS(), tenant.Issuer()))
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
		if _, refusal := v.validate(t.Context(), test.token, time.Now()); reasonOf(refusal) != test.want {
			t.Errorf("%s: %q, not %q", test.name, reasonOf(refusal), test.want)
		}
	}
}

// What a site has switched off must not be switched off by an empty list.
func TestValidatorRulesAreNeverEmpty(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	keys := keySetOf(t, tenant.JWKS(), tenant.Issuer())
	token := signed(nil, nil)(t, tenant)
	for name, empty := range map[string]func(*tokenRules){
		"no algorithms": func(r *tokenRules) { r.algorithms = nil },
		"no issuers":    func(r *tokenRules) { r.issuers = nil },
	} {
		v := validatorOf(keys)
		empty(&v.rules)
		if _, refusal := v.validate(t.Context(), token, time.Now()); refusal == nil {
			t.Errorf("%s: everything is accepted", name)
		}
	}
	h := &Handler{Endpoint: "https://t.example", Audiences: []string{testAPI}, Algorithms: []string{}, TokenTypes: []string{}, Issuers: []string{}}
	h.applyDefaults()
	if !slices.Equal(h.Algorithms, defaultAlgorithms) || !slices.Equal(h.TokenTypes, []string{"at+jwt"}) {
		t.Errorf("empty lists in JSON leave %q and %q", h.Algorithms, h.TokenTypes)
	}
	if got := (tenantConfig{Endpoint: h.Endpoint, Issuers: h.Issuers}).acceptedIssuers(); !slices.Equal(got, []string{"https://t.example/oidc"}) {
		t.Errorf("an empty list of issuers accepts %q", got)
	}
}

// A key decides for itself which signatures it can make, whoever asks.
func TestSignatureOfAnAlgorithmThatTheKeyDoesNotAllow(t *testing.T) {
	keys := keySetOf(t, []byte(`{"keys":[`+string(mustJSON(t, rsaJWK("any", nil)))+`,`+string(mustJSON(t, rsaJWK("bound", map[string]any{"alg": "RS256"})))+`]}`), capturedIssuer)
	snapshot := keys.current(time.Now())
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
		if got := parsed.verifiedBy(snapshot.key(test.kid)); got != test.want {
			t.Errorf("%s with the key %q: %v", test.method.Alg(), test.kid, got)
		}
	}
	for _, algorithm := range []string{"none", "HS256", ""} {
		if (&jws{algorithm: algorithm}).verifiedBy(&verificationKey{algorithms: []string{algorithm}, public: &rsaKey().PublicKey}) {
			t.Errorf("%q verifies", algorithm)
		}
	}
}

// A client that goes away must not keep its request waiting for keys.
func TestValidatorHeedsTheRequestsEnd(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	v := validatorOf(keySetOf(t, tenant.JWKS(), tenant.Issuer()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, refusal := v.validate(ctx, signed(nil, nil)(t, tenant), time.Now()); refusal != nil {
		t.Errorf("a token with a known key needs no waiting and is refused as %s", refusal.Reason)
	}
	if _, refusal := v.validate(ctx, signed(map[string]any{"kid": "x"}, nil)(t, tenant), time.Now()); reasonOf(refusal) != ReasonUnknownKey {
		t.Errorf("unknown kid: %q", reasonOf(refusal))
	}
}
