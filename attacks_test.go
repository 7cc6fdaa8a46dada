package logtoauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

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
