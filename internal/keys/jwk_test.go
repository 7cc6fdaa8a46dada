package keys

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// jwk is a JWK in the making.
type jwk map[string]any

// with returns a copy with some members changed; nil deletes.
func (j jwk) with(members jwk) jwk {
	changed := maps.Clone(j)
	for name, value := range members {
		changed[name] = value
		if value == nil {
			delete(changed, name)
		}
	}
	return changed
}

func (j jwk) raw(tb testing.TB) json.RawMessage {
	tb.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func b64(octets []byte) string { return base64.RawURLEncoding.EncodeToString(octets) }

func curveJWK(tb testing.TB, curve elliptic.Curve) jwk {
	tb.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		tb.Fatal(err)
	}
	x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
	return jwk{"kty": "EC", "kid": "ec", "use": "sig", "crv": curve.Params().Name, "x": b64(x), "y": b64(y)}
}

func ed25519JWK(tb testing.TB) jwk {
	tb.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return jwk{"kty": "OKP", "kid": "okp", "use": "sig", "crv": "Ed25519", "x": b64(public)}
}

// modulusJWK has a modulus of so many bits. It is a product of no primes that
// anyone knows; nothing here signs with it.
func modulusJWK(tb testing.TB, bits int) jwk {
	tb.Helper()
	octets := make([]byte, (bits+7)/8)
	if _, err := rand.Read(octets); err != nil {
		tb.Fatal(err)
	}
	n := new(big.Int).SetBytes(octets)
	n.SetBit(n, 0, 1)
	n.SetBit(n, bits-1, 1)
	for i := n.BitLen() - 1; i >= bits; i-- {
		n.SetBit(n, i, 0)
	}
	return jwk{"kty": "RSA", "kid": "rsa", "use": "sig", "n": b64(n.Bytes()), "e": "AQAB"}
}

func TestUsableKeysAndTheirAlgorithms(t *testing.T) {
	p256, rsa2048 := curveJWK(t, elliptic.P256()), modulusJWK(t, 2048)
	all := []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	for name, tt := range map[string]struct {
		key        jwk
		algorithms []string
	}{
		"P-256":                  {p256, []string{"ES256"}},
		"P-256 with its alg":     {p256.with(jwk{"alg": "ES256"}), []string{"ES256"}},
		"P-384":                  {curveJWK(t, elliptic.P384()), []string{"ES384"}},
		"P-521":                  {curveJWK(t, elliptic.P521()), []string{"ES512"}},
		"Ed25519":                {ed25519JWK(t), []string{"EdDSA"}},
		"Ed25519 with alg EdDSA": {ed25519JWK(t).with(jwk{"alg": "EdDSA"}), []string{"EdDSA"}},
		"Ed25519 with its newer": {ed25519JWK(t).with(jwk{"alg": "Ed25519"}), []string{"EdDSA"}},
		"RSA without alg":        {rsa2048, all},
		"RSA with alg":           {rsa2048.with(jwk{"alg": "PS256"}), []string{"PS256"}},
		"RSA of 8192 bits":       {modulusJWK(t, 8192), all},
		"without use":            {p256.with(jwk{"use": nil}), []string{"ES256"}},
		"key_ops verify":         {p256.with(jwk{"key_ops": []string{"sign", "verify"}}), []string{"ES256"}},
		"members nobody knows":   {p256.with(jwk{"D": "x", "x5u": "https://evil.example", "x5c": []string{"!"}, "n": "AQAB"}), []string{"ES256"}},
		"kid of 256 bytes":       {p256.with(jwk{"kid": strings.Repeat("k", 256)}), []string{"ES256"}},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := parseJWK(tt.key.raw(t))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(key.algorithms, tt.algorithms) || key.kty != tt.key["kty"] || key.kid != tt.key["kid"] {
				t.Errorf("%+v", key)
			}
			for _, alg := range append(all, "ES256", "ES384", "ES512", "EdDSA", "HS256", "none", "") {
				if key.Allows(alg) != slices.Contains(tt.algorithms, alg) {
					t.Errorf("allows(%q): %t", alg, key.Allows(alg))
				}
			}
		})
	}
}

func TestUnusableKeysAreLeftOut(t *testing.T) {
	p256, okp, rsa2048 := curveJWK(t, elliptic.P256()), ed25519JWK(t), modulusJWK(t, 2048)
	even := modulusJWK(t, 2048)
	n, err := base64.RawURLEncoding.DecodeString(even["n"].(string))
	if err != nil {
		t.Fatal(err)
	}
	n[len(n)-1] &^= 1
	x := p256["x"].(string)
	const (
		leaked   = "it holds private or symmetric key material"
		notSig   = "its use is not sig"
		noVerify = "its key_ops do not hold verify"
		noRSA    = "it is no valid RSA key"
	)
	for name, test := range map[string]struct {
		key  jwk
		want string // "" is whatever jwkset says
	}{
		"a private EC key":                   {p256.with(jwk{"d": x}), leaked},
		"a private key, emptied":             {p256.with(jwk{"d": ""}), leaked},
		"a private key, null":                {p256.with(jwk{"d": json.RawMessage("null")}), leaked},
		"a private Ed25519 key":              {okp.with(jwk{"d": okp["x"]}), leaked},
		"a private RSA key":                  {rsa2048.with(jwk{"d": "AQAB"}), leaked},
		"the first prime of an RSA key":      {rsa2048.with(jwk{"p": "AQAB"}), leaked},
		"the second prime of an RSA key":     {rsa2048.with(jwk{"q": "AQAB"}), leaked},
		"the first exponent of an RSA key":   {rsa2048.with(jwk{"dp": "AQAB"}), leaked},
		"the second exponent of an RSA key":  {rsa2048.with(jwk{"dq": "AQAB"}), leaked},
		"a private RSA key's further primes": {rsa2048.with(jwk{"oth": []any{}}), leaked},
		"a modulus that is a number":         {rsa2048.with(jwk{"n": 5}), `"n" is not a string`},
		"a carriage return in a value":       {p256.with(jwk{"y": "\r" + x}), `"y" holds a line break`},
		"half a private RSA key":             {rsa2048.with(jwk{"qi": "AQAB"}), leaked},
		"a symmetric key":                    {jwk{"kty": "oct", "kid": "s", "k": "c2VjcmV0"}, leaked},
		"a symmetric key as EC":              {p256.with(jwk{"k": "c2VjcmV0"}), leaked},
		"an encryption key":                  {p256.with(jwk{"use": "enc"}), notSig},
		"use in capitals":                    {p256.with(jwk{"use": "SIG"}), notSig},
		"use null":                           {p256.with(jwk{"use": json.RawMessage("null")}), notSig},
		"key_ops without verify":             {p256.with(jwk{"key_ops": []string{"sign", "encrypt"}}), noVerify},
		"no key_ops at all":                  {p256.with(jwk{"key_ops": []string{}}), noVerify},
		"key_ops as text":                    {p256.with(jwk{"key_ops": "verify"}), noVerify},
		"no kid":                             {p256.with(jwk{"kid": nil}), "no kid"},
		"an empty kid":                       {p256.with(jwk{"kid": ""}), "no kid"},
		"a kid that is a number":             {p256.with(jwk{"kid": 7}), `"kid" is not a string`},
		"a kid that is too long":             {p256.with(jwk{"kid": strings.Repeat("k", 257)}), "its kid is longer than 256 bytes"},
		"a kid with a line break":            {p256.with(jwk{"kid": "a\nb"}), "its kid holds a control character"},
		"a kid with a C1 control":            {p256.with(jwk{"kid": "a\u0085b"}), "its kid holds a control character"},
		"KID is not kid":                     {p256.with(jwk{"kid": nil, "KID": "k"}), "no kid"},
		"RSA of 2047 bits":                   {modulusJWK(t, 2047), "its RSA modulus has 2047 bits, not 2048 to 8192"},
		"RSA of 8193 bits":                   {modulusJWK(t, 8193), "its RSA modulus has 8193 bits, not 2048 to 8192"},
		"RSA of 512 bits":                    {modulusJWK(t, 512), "its RSA modulus has 512 bits, not 2048 to 8192"},
		"RSA of 16385 bits":                  {modulusJWK(t, 16385), "its RSA modulus has 16385 bits, not 2048 to 8192"},
		"RSA with exponent 1":                {rsa2048.with(jwk{"e": "AQ"}), ""},
		"RSA with exponent 2":                {rsa2048.with(jwk{"e": "Ag"}), noRSA},
		"RSA with an even exponent":          {rsa2048.with(jwk{"e": "AQAA"}), noRSA},
		"RSA with exponent 0":                {rsa2048.with(jwk{"e": "AA"}), ""},
		"RSA with an exponent of 72":         {rsa2048.with(jwk{"e": "AQAAAAAAAQAB"}), ""},
		"RSA with an even modulus":           {rsa2048.with(jwk{"n": b64(n)}), noRSA},
		"RSA with leading zeros":             {rsa2048.with(jwk{"n": b64(append([]byte{0}, n...))}), ""},
		"RSA without modulus":                {rsa2048.with(jwk{"n": nil}), ""},
		"a padded value":                     {p256.with(jwk{"x": x + "="}), ""},
		"a line break in a value":            {p256.with(jwk{"x": x[:9] + "\n" + x[9:]}), `"x" holds a line break`},
		"standard base64":                    {p256.with(jwk{"x": "+/" + x[2:]}), ""},
		"bits beyond the last octet":         {p256.with(jwk{"x": x[:len(x)-1] + lastBits(x)}), ""},
		"a point beside the curve":           {p256.with(jwk{"y": x}), ""},
		"a short coordinate":                 {p256.with(jwk{"x": "AQ"}), ""},
		"a point of another curve":           {p256.with(jwk{"crv": "P-384"}), ""},
		"secp256k1":                          {p256.with(jwk{"crv": "secp256k1"}), ""},
		"no curve":                           {p256.with(jwk{"crv": nil}), ""},
		"X25519":                             {okp.with(jwk{"crv": "X25519"}), "its key type or curve is not one for signatures"},
		"Ed448":                              {okp.with(jwk{"crv": "Ed448"}), ""},
		"a short Ed25519 key":                {okp.with(jwk{"x": "AQAB"}), ""},
		"an EC key that says RSA":            {p256.with(jwk{"kty": "RSA"}), ""},
		"kty in small letters":               {p256.with(jwk{"kty": "ec"}), ""},
		"no kty":                             {p256.with(jwk{"kty": nil}), ""},
		"alg of another curve":               {p256.with(jwk{"alg": "ES384"}), `its alg "ES384" is not a signature algorithm of its key type`},
		"alg of another type":                {p256.with(jwk{"alg": "RS256"}), `its alg "RS256" is not a signature algorithm of its key type`},
		"alg for encryption":                 {rsa2048.with(jwk{"alg": "RSA-OAEP"}), `its alg "RSA-OAEP" is not a signature algorithm of its key type`},
		"alg HS256":                          {rsa2048.with(jwk{"alg": "HS256"}), `its alg "HS256" is not a signature algorithm of its key type`},
		"alg none":                           {p256.with(jwk{"alg": "none"}), `its alg "none" is not a signature algorithm of its key type`},
		"an empty alg":                       {p256.with(jwk{"alg": ""}), `its alg "" is not a signature algorithm of its key type`},
		"alg null":                           {p256.with(jwk{"alg": json.RawMessage("null")}), `"alg" is not a string`},
		"Ed25519 as a name for P-256":        {p256.with(jwk{"alg": "Ed25519"}), `its alg "Ed25519" is not a signature algorithm of its key type`},
		"EdDSA with an algorithm of X":       {okp.with(jwk{"alg": "ES256"}), `its alg "ES256" is not a signature algorithm of its key type`},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := parseJWK(test.key.raw(t))
			if err == nil {
				t.Errorf("accepted: %+v", key)
			} else if test.want != "" && err.Error() != test.want {
				t.Errorf("left out because %v, not %s", err, test.want)
			}
		})
	}
	for _, raw := range []string{"", "null", "7", `"key"`, "[]", "{", `{"kid":"a"}{}`} {
		if key, err := parseJWK(json.RawMessage(raw)); err == nil || err.Error() != "not a JSON object" {
			t.Errorf("%q: %+v, %v", raw, key, err)
		}
	}
}

// lastBits returns another last character that decodes to the same octets in
// a lenient decoder.
func lastBits(value string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, value[len(value)-1])|1])
}

func TestCapturedKeySets(t *testing.T) {
	for file, kids := range map[string][]string{
		"jwks.json":                    {"FIc7JSkgI5ExJls5t0b3gKDQDmgUceEyuLPAY_ysKMc"},
		"jwks-after-rotate-1-ec.json":  {"kNTKvNDREZHb-6pGGsf3qPlqtjkLfjfWu6K1tz2oUNY", "FIc7JSkgI5ExJls5t0b3gKDQDmgUceEyuLPAY_ysKMc"},
		"jwks-after-rotate-2-rsa.json": {"U2z-2fBUNYyUBP5OCTvLSVG7GxKqloD6obe92j3NO-I", "kNTKvNDREZHb-6pGGsf3qPlqtjkLfjfWu6K1tz2oUNY"},
		"jwks-seeded-prime256v1.json":  {"eCODbkJ5dX3r8r5LxUi8CEr34d1p2cjEWC_Jh_7u_X4"},
		"jwks-seeded-rsa2048.json":     {"PDT8VY45tO4yCovVXrpDaMlsnof3IugSelv1lv3d4gc"},
		"jwks-seeded-secp521r1.json":   {"IKq3GIfiExMtYPrSDmPgqozO4Yarbj9rHZpJkZ7Qjzk"},
	} {
		t.Run(file, func(t *testing.T) {
			document, err := os.ReadFile(filepath.Join("..", "..", "testdata", "logto", file))
			if err != nil {
				t.Fatal(err)
			}
			set, err := parseJWKS(document)
			if err != nil {
				t.Fatal(err)
			}
			if len(set.keys) != len(kids) || len(set.leftOut) > 0 {
				t.Errorf("keys %v, left out %v", slices.Collect(maps.Keys(set.keys)), set.leftOut)
			}
			for _, kid := range kids {
				if set.keys[kid] == nil {
					t.Errorf("no key %s", kid)
				}
			}
		})
	}
}

func jwksOf(tb testing.TB, keys ...jwk) []byte {
	tb.Helper()
	return jwk{"keys": keys}.raw(tb)
}

func TestOneBrokenKeyAmongGoodOnes(t *testing.T) {
	good, other := curveJWK(t, elliptic.P256()), modulusJWK(t, 2048)
	for name, broken := range map[string]jwk{
		"a short RSA key": modulusJWK(t, 1024).with(jwk{"kid": "short"}),
		"a private key":   ed25519JWK(t).with(jwk{"d": "AQAB"}),
		"no key at all":   nil,
	} {
		for at := range 3 {
			set, err := parseJWKS(jwksOf(t, slices.Insert([]jwk{good, other}, at, broken)...))
			if err != nil {
				t.Fatal(err)
			}
			if len(set.keys) != 2 || len(set.raw) != 2 || len(set.leftOut) != 1 || set.leftOut[0].position != at {
				t.Errorf("%s at %d: keys %v, left out %v", name, at, set.keys, set.leftOut)
			}
		}
	}
}

func TestKeySetsWithoutAUsableKey(t *testing.T) {
	for document, want := range map[string]string{
		"<html>":                            "the key set is no JSON object: invalid character '<' looking for beginning of value",
		`[]`:                                "the key set is no JSON object: json: cannot unmarshal array into Go value of type map[string]json.RawMessage",
		`{}`:                                `the key set has no array "keys"`,
		`{"keys":{}}`:                       `the key set has no array "keys"`,
		`{"KEYS":[]}`:                       `the key set has no array "keys"`,
		`{"keys":[]}`:                       "the key set has no usable signing key",
		`{"keys":[{}]}`:                     "the key set has no usable signing key; key 0: no kid",
		`{"keys":[1]}`:                      "the key set has no usable signing key; key 0: not a JSON object",
		`{"keys":[{"kid":7}]}`:              `the key set has no usable signing key; key 0: "kid" is not a string`,
		`{"keys":[{"kid":"a","d":"AQAB"}]}`: `the key set has no usable signing key; key 0 ("a"): it holds private or symmetric key material`,
	} {
		if set, err := parseJWKS([]byte(document)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, %v, not %s", document, set, err, want)
		}
	}
}

// Two keys with one kid: the token must not choose between them.
func TestFirstOfTwoKeysWithOneKIDCounts(t *testing.T) {
	first, second := curveJWK(t, elliptic.P256()), modulusJWK(t, 2048).with(jwk{"kid": "ec"})
	set, err := parseJWKS(jwksOf(t, first, second))
	if err != nil {
		t.Fatal(err)
	}
	if key := set.keys["ec"]; len(set.keys) != 1 || key.kty != "EC" || len(set.leftOut) != 1 {
		t.Errorf("keys %v, left out %v", set.keys, set.leftOut)
	} else if text := set.leftOut[0].String(); text != `key 1 ("ec"): an earlier key has the same kid` {
		t.Errorf("the second is left out as %s", text)
	}
	// A broken first one does not take the place of a good second one.
	set, err = parseJWKS(jwksOf(t, modulusJWK(t, 1024).with(jwk{"kid": "ec"}), first))
	if err != nil || set.keys["ec"] == nil {
		t.Errorf("keys %v: %v", set, err)
	}
}

func TestKeyKeepsItsIdentityOnlyWhileItsJWKIsUnchanged(t *testing.T) {
	original := modulusJWK(t, 2048)
	previous, err := parseJWKS(jwksOf(t, original))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key  jwk
		same bool
	}{
		"unchanged":           {original, true},
		"another use of text": {original.with(jwk{"use": nil}), true},
		"bound to an alg":     {original.with(jwk{"alg": "RS256"}), false},
		"another exponent":    {original.with(jwk{"e": "Aw"}), false},
		"another modulus":     {modulusJWK(t, 2048), false},
		"another type":        {curveJWK(t, elliptic.P256()).with(jwk{"kid": "rsa"}), false},
	} {
		t.Run(name, func(t *testing.T) {
			next, err := parseJWKS(jwksOf(t, tt.key))
			if err != nil {
				t.Fatal(err)
			}
			s := Snapshot{keys: adopt(next.keys, previous.keys)}
			if s.Has(previous.keys["rsa"]) != tt.same {
				t.Errorf("same: %t", !tt.same)
			}
		})
	}
}

// What a tenant writes into its keys must not flood the log.
func TestLeftOutKeysAreBoundedInTheLog(t *testing.T) {
	keys := []jwk{curveJWK(t, elliptic.P256())}
	for i := range 100 {
		keys = append(keys, jwk{"kty": strings.Repeat("y", 5000), "kid": strings.Repeat(fmt.Sprint(i), 100)}, jwk{"kid": "a\nb"})
	}
	set, err := parseJWKS(jwksOf(t, keys...))
	if err != nil {
		t.Fatal(err)
	}
	if len(set.leftOut) != maxLeftOut {
		t.Errorf("%d keys are told of", len(set.leftOut))
	}
	if text := leftOutText(set.leftOut); len(text) > 4096 || strings.Contains(text, "\n") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

// Whatever a tenant serves, what is accepted of it is a public key that may
// verify signatures, under an ID that can stand in a log.
func FuzzParseJWKS(f *testing.F) {
	for _, key := range []jwk{curveJWK(f, elliptic.P256()), curveJWK(f, elliptic.P521()), ed25519JWK(f), modulusJWK(f, 2048)} {
		f.Add(jwksOf(f, key))
		f.Add(jwksOf(f, key.with(jwk{"d": "AQAB"}), key.with(jwk{"alg": "ES256"}), key))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		set, err := parseJWKS(document)
		if err != nil {
			return
		}
		if len(set.keys) == 0 || len(set.keys) != len(set.raw) {
			t.Fatalf("%d keys of %d JWKs", len(set.keys), len(set.raw))
		}
		for kid, key := range set.keys {
			if kid != key.kid || kid == "" || len(kid) > maxKIDLength || len(key.algorithms) == 0 {
				t.Errorf("key %q: %+v", kid, key)
			}
			for _, alg := range []string{"none", "HS256", "HS384", "HS512", ""} {
				if key.Allows(alg) {
					t.Errorf("%T allows %q", key.public, alg)
				}
			}
			switch public := key.public.(type) {
			case *rsa.PublicKey:
				if bits := public.N.BitLen(); bits < MinRSABits || bits > maxRSABits {
					t.Errorf("RSA of %d bits", bits)
				}
			case *ecdsa.PublicKey, ed25519.PublicKey:
			default:
				t.Errorf("a %T", public)
			}
		}
		// What was accepted is accepted again when it was stored.
		if again, err := parseJWKS(jwk{"keys": set.raw}.raw(t)); err != nil || len(again.keys) != len(set.keys) {
			t.Errorf("not accepted again: %v", err)
		}
	})
}
