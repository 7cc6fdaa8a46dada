package logtoauth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
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
	source string // where the attack is described, or whom it has hit
}

// from tells the source of attacks.
func from(source string, attacks []attack) []attack {
	for i := range attacks {
		attacks[i].source = source
	}
	return attacks
}

// tokenAttacks are the tokens of all tables.
func tokenAttacks() []attack {
	return slices.Concat(headerAttacks(), signatureAttacks(), claimAttacks())
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

func pad(segment string) string { return segment + "=" }

func decode(segment string) []byte {
	decoded, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		panic(err)
	}
	return decoded
}

// ed25519Key is a key whose public half the attacked tenant publishes.
var ed25519Key = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// publishMore lets a tenant publish keys of other types, so that algorithms
// can be confused.
func publishMore(tenant *devtenant.Tenant) {
	tenant.AddKey(rsaJWK("rsa", nil))
	tenant.AddKey(rsaJWK("rsa-rs256", map[string]any{"alg": "RS256"}))
	tenant.AddKey(rsaJWK("rsa-enc", map[string]any{"use": "enc"}))
	tenant.AddKey(map[string]any{
		"kty": "OKP", "crv": "Ed25519", "kid": "ed25519",
		"x": base64.RawURLEncoding.EncodeToString(ed25519Key.Public().(ed25519.PublicKey)),
	})
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
