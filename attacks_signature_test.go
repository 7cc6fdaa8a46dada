package logtoauth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// signatureAttacks are tokens whose signature does not hold.
func signatureAttacks() []attack {
	flip := func(segment string, at int) string {
		octets := decode(segment)
		octets[at] ^= 1
		return base64.RawURLEncoding.EncodeToString(octets)
	}
	thief := newECKey(elliptic.P384())
	halves := func(r, s byte) []byte {
		octets := make([]byte, 96)
		octets[47], octets[95] = r, s
		return octets
	}
	return slices.Concat(saltAttacks(), from("RFC 8725 section 3.4; CVE-2022-21449 (Java): numbers out of range", []attack{
		{"signature r = 0, s = 1", unsigned(nil, signatureOf(halves(0, 1))), ReasonBadSignature, "", ""},
		{"signature r = 1, s = 0", unsigned(nil, signatureOf(halves(1, 0))), ReasonBadSignature, "", ""},
		{"signature r = s = 1", unsigned(nil, signatureOf(halves(1, 1))), ReasonBadSignature, "", ""},
		{"signature of octets 255", unsigned(nil, signatureOf(bytes.Repeat([]byte{255}, 96))), ReasonBadSignature, "", ""},
		{"an Ed25519 signature with S beyond the group's order", unsigned(map[string]any{"kid": "ed25519", "alg": "EdDSA"}, signBeyondOrder), ReasonBadSignature, "", ""},
		{"an Ed25519 signature of zeros", unsigned(map[string]any{"kid": "ed25519", "alg": "EdDSA"}, signatureOf(make([]byte, 64))), ReasonBadSignature, "", ""},
		{"an Ed25519 signature of the neutral element", unsigned(map[string]any{"kid": "ed25519", "alg": "EdDSA"}, signatureOf(append([]byte{1}, make([]byte, 63)...))), ReasonBadSignature, "", ""},
	}), from("RFC 8017 section 8.2.2: the encoding is compared whole, and the signature is as long as the key", []attack{
		{"an RSA signature behind a zero octet", unsigned(map[string]any{"kid": "rsa", "alg": "RS256"}, func(tb testing.TB, tenant *devtenant.Tenant, input string) []byte {
			return append([]byte{0}, signWith(jwt.SigningMethodRS256, rsaKey())(tb, tenant, input)...)
		}), ReasonBadSignature, "", ""},
		{"an RSA signature that is empty of content", unsigned(map[string]any{"kid": "rsa", "alg": "RS256"}, signatureOf([]byte{0})), ReasonBadSignature, "", ""},
		{"an RSA signature of one, whose cube is one", unsigned(map[string]any{"kid": "rsa", "alg": "RS256"}, signatureOf(append(make([]byte, 255), 1))), ReasonBadSignature, "", ""},
		{"an RSA signature that is the modulus", unsigned(map[string]any{"kid": "rsa", "alg": "RS256"}, signatureOf(rsaKey().N.Bytes())), ReasonBadSignature, "", ""},
	}), from("RFC 7515 section 5.2 and RFC 8725 sections 2.1, 3.3 and 3.10", []attack{
		{"halves of the signature exchanged", changed(func(h, p, s string) string {
			octets := decode(s)
			return h + "." + p + "." + base64.RawURLEncoding.EncodeToString(append(slices.Clone(octets[48:]), octets[:48]...))
		}), ReasonBadSignature, "", ""},
		{"each half of the signature behind a zero octet", changed(func(h, p, s string) string {
			octets := decode(s)
			longer := slices.Concat([]byte{0}, octets[:48], []byte{0}, octets[48:])
			return h + "." + p + "." + base64.RawURLEncoding.EncodeToString(longer)
		}), ReasonBadSignature, "", ""},
		{"the signature of the payload alone", func(tb testing.TB, tenant *devtenant.Tenant) string {
			header, payload, _ := split(signed(nil, nil)(tb, tenant))
			_, _, signature := split("x." + tenant.SignInput(payload))
			return header + "." + payload + "." + signature
		}, ReasonBadSignature, "", ""},
		{"the signature of the decoded text", func(tb testing.TB, tenant *devtenant.Tenant) string {
			header, payload, _ := split(signed(nil, nil)(tb, tenant))
			decoded := tenant.SignInput(string(decode(header)) + "." + string(decode(payload)))
			return header + "." + payload + decoded[strings.LastIndexByte(decoded, '.'):]
		}, ReasonBadSignature, "", ""},
		{"a thief's certificate in the header", unsigned(map[string]any{"x5c": []string{"AAAA"}, "x5t#S256": "AAAA"}, signWith(jwt.SigningMethodES384, thief)), ReasonBadSignature, "", ""},
		{"a thief's key set behind the tenant's kid", unsigned(map[string]any{"jku": "https://evil.example/jwks"}, signWith(jwt.SigningMethodES384, thief)), ReasonBadSignature, "", ""},
		{"a bit of the signature changed", changed(func(h, p, s string) string { return h + "." + p + "." + flip(s, 0) }), ReasonBadSignature, "", ""},
		{"the last bit of the signature changed", changed(func(h, p, s string) string { return h + "." + p + "." + flip(s, 95) }), ReasonBadSignature, "", ""},
		{"signature cut", changed(func(h, p, s string) string { return h + "." + p + "." + s[:len(s)-4] }), ReasonBadSignature, "", ""},
		{"signature longer", changed(func(h, p, s string) string { return h + "." + p + "." + s + "AAAA" }), ReasonBadSignature, "", ""},
		{"signature of zeros", unsigned(nil, signatureOf(make([]byte, 96))), ReasonBadSignature, "", ""},
		{"signature r = s = n", unsigned(nil, func(testing.TB, *devtenant.Tenant, string) []byte {
			n := elliptic.P384().Params().N.Bytes()
			return append(slices.Clone(n), n...)
		}), ReasonBadSignature, "", ""},
		{"signature in ASN.1, as TLS has it", unsigned(nil, func(tb testing.TB, _ *devtenant.Tenant, input string) []byte {
			digest := crypto.SHA384.New()
			digest.Write([]byte(input))
			signature, err := ecdsa.SignASN1(rand.Reader, thief, digest.Sum(nil))
			if err != nil {
				tb.Fatal(err)
			}
			return signature
		}), ReasonBadSignature, "", ""},
		{"claims changed", changed(func(h, p, s string) string {
			return h + "." + encodeText(strings.Replace(string(decode(p)), "user-1", "admin1", 1)) + "." + s
		}), ReasonBadSignature, "", ""},
		{"claims written in another way", changed(func(h, p, s string) string { return h + "." + encodeText(" "+string(decode(p))) + "." + s }), ReasonBadSignature, "", ""},
		{"header written in another way", changed(func(h, p, s string) string { return encodeText(" "+string(decode(h))) + "." + p + "." + s }), ReasonBadSignature, "", ""},
		{"another token's signature", func(tb testing.TB, tenant *devtenant.Tenant) string {
			_, _, signature := split(signed(nil, nil)(tb, tenant))
			header, payload, _ := split(signed(nil, nil)(tb, tenant))
			return header + "." + payload + "." + signature
		}, ReasonBadSignature, "", ""},
		{"a thief's key under the tenant's kid", unsigned(nil, signWith(jwt.SigningMethodES384, thief)), ReasonBadSignature, "", ""},
		{"a thief's key in the header", unsigned(map[string]any{"jwk": ecJWK(thief, "x")}, signWith(jwt.SigningMethodES384, thief)), ReasonBadSignature, "", ""},
		{"a thief's key and kid in the header", unsigned(map[string]any{"kid": "x", "jwk": ecJWK(thief, "x")}, signWith(jwt.SigningMethodES384, thief)), ReasonUnknownKey, "kid", ""},
		{"a thief's key behind a URL", unsigned(map[string]any{"kid": "x", "jku": "https://evil.example/jwks", "x5u": "https://evil.example/x5u"}, signWith(jwt.SigningMethodES384, thief)), ReasonUnknownKey, "kid", ""},

		{"ES256 under a P-384 key", unsigned(map[string]any{"alg": "ES256"}, signWith(jwt.SigningMethodES256, newECKey(elliptic.P256()))), ReasonDisallowedAlgorithm, "alg", ""},
		{"RS256 under an EC key", unsigned(map[string]any{"alg": "RS256"}, signWith(jwt.SigningMethodRS256, rsaKey())), ReasonDisallowedAlgorithm, "alg", ""},
		{"EdDSA under an EC key", unsigned(map[string]any{"alg": "EdDSA"}, signatureOf(make([]byte, 64))), ReasonDisallowedAlgorithm, "alg", ""},
		{"the EC key's signature said to be RSA", signed(map[string]any{"alg": "PS384"}, nil), ReasonDisallowedAlgorithm, "alg", ""},
		{"ES384 under an RSA key", unsigned(map[string]any{"kid": "rsa"}, signWith(jwt.SigningMethodES384, thief)), ReasonDisallowedAlgorithm, "alg", ""},
		{"PS256 under a key for RS256", unsigned(map[string]any{"kid": "rsa-rs256", "alg": "PS256"}, signWith(jwt.SigningMethodPS256, rsaKey())), ReasonDisallowedAlgorithm, "alg", ""},
		{"RS384 said to be RS256", unsigned(map[string]any{"kid": "rsa", "alg": "RS256"}, signWith(jwt.SigningMethodRS384, rsaKey())), ReasonBadSignature, "", ""},
		{"PS256 said to be RS256", unsigned(map[string]any{"kid": "rsa", "alg": "RS256"}, signWith(jwt.SigningMethodPS256, rsaKey())), ReasonBadSignature, "", ""},
		{"an RSA signature of zeros", unsigned(map[string]any{"kid": "rsa", "alg": "RS256"}, signatureOf(make([]byte, 256))), ReasonBadSignature, "", ""},
		{"a key that the set has for encryption", unsigned(map[string]any{"kid": "rsa-enc", "alg": "RS256"}, signWith(jwt.SigningMethodRS256, rsaKey())), ReasonUnknownKey, "kid", ""},
	}))
}

// saltAttacks are RSA-PSS signatures of the right key whose salt is not as long
// as the hash.
func saltAttacks() []attack {
	var attacks []attack
	for _, method := range []*jwt.SigningMethodRSAPSS{jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512} {
		hash := method.Hash.Size()
		for name, length := range map[string]int{
			"without a salt":                 0,
			"with a salt an octet too short": hash - 1,
			"with a salt an octet too long":  hash + 1,
			"with the longest salt":          rsaKey().Size() - hash - 2,
		} {
			attacks = append(attacks, attack{
				name:   method.Alg() + " " + name,
				token:  unsigned(map[string]any{"kid": "rsa", "alg": method.Alg()}, signSalted(method.Hash, length)),
				reason: ReasonBadSignature,
			})
		}
	}
	return from("RFC 7518 section 3.5: the salt is as long as the hash; golang-jwt takes any", attacks)
}

// signSalted signs with rsaKey and a salt of this length, as RFC 8017 section
// 9.1.1 has it. crypto/rsa cannot sign without a salt: it takes a length of 0
// for the longest one.
func signSalted(hash crypto.Hash, saltLength int) func(testing.TB, *devtenant.Tenant, string) []byte {
	return func(_ testing.TB, _ *devtenant.Tenant, input string) []byte {
		sum := func(parts ...[]byte) []byte {
			h := hash.New()
			for _, part := range parts {
				h.Write(part)
			}
			return h.Sum(nil)
		}
		salt := bytes.Repeat([]byte{7}, saltLength)
		digest := sum(make([]byte, 8), sum([]byte(input)), salt)
		block := make([]byte, rsaKey().Size()-hash.Size()-1)
		copy(block[len(block)-saltLength-1:], append([]byte{1}, salt...))
		for counter, at := byte(0), 0; at < len(block); counter++ { // MGF1
			for _, octet := range sum(digest, []byte{0, 0, 0, counter}) {
				if at < len(block) {
					block[at] ^= octet
					at++
				}
			}
		}
		block[0] &= 0x7f // the key has a multiple of 8 bits
		encoded := new(big.Int).SetBytes(slices.Concat(block, digest, []byte{0xbc}))
		return encoded.Exp(encoded, rsaKey().D, rsaKey().N).FillBytes(make([]byte, rsaKey().Size()))
	}
}

// What the attacks with odd salts show is only so much worth if the same
// function signs well with the right one, and if golang-jwt still takes them.
func TestPSSNeedsASaltAsLongAsTheHash(t *testing.T) {
	for _, library := range []*jwt.SigningMethodRSAPSS{jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512} {
		hash := library.Hash.Size()
		for _, length := range []int{0, 1, hash - 1, hash, hash + 1, rsaKey().Size() - hash - 2} {
			signature := signSalted(library.Hash, length)(t, nil, "input")
			if err := library.Verify("input", signature, &rsaKey().PublicKey); err != nil {
				t.Errorf("%s, salt of %d: golang-jwt does not verify it: %v", library.Alg(), length, err)
			}
			ours := signingMethods[library.Alg()]
			if err := ours.Verify("input", signature, &rsaKey().PublicKey); (err == nil) != (length == hash) {
				t.Errorf("%s, salt of %d: %v", library.Alg(), length, err)
			}
			if _, same := ours.(*jwt.SigningMethodRSAPSS); !same {
				t.Errorf("%s is not a method of golang-jwt's", library.Alg())
			}
		}
	}
}

// signBeyondOrder signs with ed25519Key and adds the group's order to S, which
// makes a second signature where a library does not compare the two (RFC 8032
// section 5.1.7).
func signBeyondOrder(_ testing.TB, _ *devtenant.Tenant, input string) []byte {
	signature := ed25519.Sign(ed25519Key, []byte(input))
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := new(big.Int).Add(new(big.Int).SetBytes(reversed(signature[32:])), order)
	return append(signature[:32:32], reversed(s.FillBytes(make([]byte, 32)))...)
}

func reversed(octets []byte) []byte {
	octets = slices.Clone(octets)
	slices.Reverse(octets)
	return octets
}
