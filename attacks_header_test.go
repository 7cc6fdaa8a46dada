package logtoauth

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// headerAttacks are tokens that do not get as far as their claims.
func headerAttacks() []attack {
	return slices.Concat(
		from("RFC 7515 section 7.1: the compact serialization", shapeAttacks()),
		from("RFC 7515 section 2: one base64url spelling, no padding, no white space", encodingAttacks()),
		from("RFC 7515 sections 4 and 5.2: the header is one JSON object", headerJSONAttacks()),
		from("RFC 8725 sections 3.11 and 3.12: explicit typing; RFC 9068 section 4", typeAttacks()),
		from("RFC 8725 sections 2.1, 3.1 and 3.2; CVE-2026-39999 (APISIX), CVE-2026-22817 (Hono), fixed in jwx 1.2.0: the token chose the algorithm", algorithmAttacks()),
		from("RFC 8725 section 3.10: kid, jku and x5u are the attacker's", keyIDAttacks()),
		from("RFC 7515 section 4.1.11; RFC 7797 section 7", criticalAttacks()),
	)
}

// manySegments made decoders that split a token at every dot reserve sixteen
// times its size.
const manySegments = "CVE-2025-30204 (golang-jwt), CVE-2025-27144 (go-jose)"

func shapeAttacks() []attack {
	opaque := strings.Repeat("x", 43)
	return slices.Concat(from(manySegments, []attack{
		{"dots alone, up to the size", text(strings.Repeat(".", maxTokenSize)), ReasonMalformedToken, "segments", ""},
		{"dots behind a true token", changed(func(h, p, s string) string { return h + "." + p + "." + s + strings.Repeat(".", 8000) }), ReasonMalformedToken, "segments", ""},
	}), []attack{
		{"opaque token", text(opaque), ReasonOpaqueToken, "", ""},
		{"empty segments", text(".."), ReasonMalformedToken, "header encoding", ""},
		{"a dot", text("."), ReasonMalformedToken, "segments", ""},
		{"two segments", changed(func(h, p, _ string) string { return h + "." + p }), ReasonMalformedToken, "segments", ""},
		{"four segments", changed(func(h, p, s string) string { return h + "." + p + "." + s + "." }), ReasonMalformedToken, "segments", ""},
		{"encrypted", changed(func(h, p, s string) string { return h + "." + p + "." + s + "." + s + "." + s }), ReasonMalformedToken, "encrypted", ""},
		{"JSON serialization", text(`{"payload":"e30","signatures":[{"protected":"e30","signature":"AA"}]}.x.y`), ReasonMalformedToken, "header encoding", ""},
		{"over 16 KiB", text(strings.Repeat("x", 16<<10+1)), ReasonTokenTooLarge, "", ""},
		{"a true header and payload over 16 KiB", signed(nil, map[string]any{"x": strings.Repeat("x", maxTokenSize)}), ReasonTokenTooLarge, "", ""},
		{"encrypted and compressed, which would unpack to gigabytes", text(encodeText(`{"alg":"dir","enc":"A128GCM","zip":"DEF"}`) + "..AAAA.AAAA.AAAA"), ReasonMalformedToken, "encrypted", ""},
	})
}

func encodingAttacks() []attack {
	return []attack{
		{"no signature", changed(func(h, p, _ string) string { return h + "." + p + "." }), ReasonMalformedToken, "signature encoding", ""},
		{"no header", changed(func(_, p, s string) string { return "." + p + "." + s }), ReasonMalformedToken, "header encoding", ""},
		{"no payload (detached)", changed(func(h, _, s string) string { return h + ".." + s }), ReasonMalformedToken, "payload encoding", ""},
		{"padded header", resigned(func(h, p string) string { return pad(h) + "." + p }), ReasonMalformedToken, "header encoding", ""},
		{"padded payload", resigned(func(h, p string) string { return h + "." + pad(p) }), ReasonMalformedToken, "payload encoding", ""},
		{"padded signature", changed(func(h, p, s string) string { return h + "." + p + "." + s + "=" }), ReasonMalformedToken, "signature encoding", ""},
		{"line break in the header", resigned(func(h, p string) string { return h[:8] + "\n" + h[8:] + "." + p }), ReasonMalformedToken, "header encoding", ""},
		{"line break in the payload", resigned(func(h, p string) string { return h + "." + p[:8] + "\r\n" + p[8:] }), ReasonMalformedToken, "payload encoding", ""},
		{"line feed before the payload", resigned(func(h, p string) string { return h + ".\n" + p }), ReasonMalformedToken, "payload encoding", ""},
		{"carriage return before the payload", resigned(func(h, p string) string { return h + ".\r" + p }), ReasonMalformedToken, "payload encoding", ""},
		{"line break in the signature", changed(func(h, p, s string) string { return h + "." + p + "." + s[:8] + "\n" + s[8:] }), ReasonMalformedToken, "signature encoding", ""},
		{"line break after the signature", changed(func(h, p, s string) string { return h + "." + p + "." + s + "\n" }), ReasonMalformedToken, "signature encoding", ""},
		{"space before", changed(func(h, p, s string) string { return " " + h + "." + p + "." + s }), ReasonMalformedToken, "header encoding", ""},
		{"space after", changed(func(h, p, s string) string { return h + "." + p + "." + s + " " }), ReasonMalformedToken, "signature encoding", ""},
		{"percent-encoded", changed(func(h, p, s string) string { return "%65" + h[1:] + "." + p + "." + s }), ReasonMalformedToken, "header encoding", ""},
		{"NUL in the header", changed(func(h, p, s string) string { return h + "\x00." + p + "." + s }), ReasonMalformedToken, "header encoding", ""},
		{"second spelling of the signature by its unused bits", resigned(func(h, p string) string {
			// A payload of one octet more than a multiple of three ends in four unused bits.
			payload := encodeText(strings.Repeat(" ", (3-len(decode(p))%3+1)%3) + string(decode(p)))
			last := payload[len(payload)-1]
			return h + "." + payload[:len(payload)-1] + string(last+1)
		}), ReasonMalformedToken, "payload encoding", ""},
		{"standard alphabet in the signature", changed(func(h, p, s string) string { return h + "." + p + ".+/" + s[2:] }), ReasonMalformedToken, "signature encoding", ""},
		{"an octet beyond ASCII", changed(func(h, p, s string) string { return h + "." + p + "." + "é" + s[2:] }), ReasonMalformedToken, "signature encoding", ""},
		{"a dangling character in the header", changed(func(h, p, s string) string { return h + strings.Repeat("A", (5-len(h)%4)%4) + "." + p + "." + s }), ReasonMalformedToken, "header encoding", ""},
	}
}

func headerJSONAttacks() []attack {
	return []attack{
		{"header that is no JSON", resigned(func(_, p string) string { return encodeText("alg=none") + "." + p }), ReasonMalformedToken, "header", ""},
		{"header that is an array", resigned(func(_, p string) string { return encodeText(`[]`) + "." + p }), ReasonMalformedToken, "header", ""},
		{"header that is null", resigned(func(_, p string) string { return encodeText(`null`) + "." + p }), ReasonMalformedToken, "header", ""},
		{"header with something behind it", resigned(func(h, p string) string { return encodeText(string(decode(h))+`{}`) + "." + p }), ReasonMalformedToken, "header", ""},
		{"header in UTF-16", resigned(func(h, p string) string {
			return encodeText("\xff\xfe"+strings.ReplaceAll(string(decode(h)), "", "\x00")) + "." + p
		}), ReasonMalformedToken, "header", ""},
		{"header behind a byte order mark", resigned(func(h, p string) string { return encodeText("\ufeff"+string(decode(h))) + "." + p }), ReasonMalformedToken, "header", ""},
		{"header with a comment", resigned(func(h, p string) string { return encodeText("/**/"+string(decode(h))) + "." + p }), ReasonMalformedToken, "header", ""},
		{"header with a trailing comma", signedText(`{"alg":"ES384","typ":"at+jwt","kid":"%kid%",}`), ReasonMalformedToken, "header", ""},
		{"header in single quotes", signedText(`{'alg':'ES384','typ':'at+jwt','kid':'%kid%'}`), ReasonMalformedToken, "header", ""},
		{"header that is not UTF-8", signedText("{\"alg\":\"ES384\",\"typ\":\"at+jwt\",\"kid\":\"%kid%\",\"x\":\"\xff\"}"), ReasonMalformedToken, "header", ""},
		{"header cut short", resigned(func(h, p string) string { return encodeText(string(decode(h))[:20]) + "." + p }), ReasonMalformedToken, "header", ""},
	}
}

func typeAttacks() []attack {
	return []attack{
		{"no typ, as an ID token", signed(map[string]any{"typ": nil}, nil), ReasonUnsupportedType, "typ", ""},
		{"typ JWT", signed(map[string]any{"typ": "JWT"}, nil), ReasonUnsupportedType, "typ", ""},
		{"typ logout+jwt", signed(map[string]any{"typ": "logout+jwt"}, nil), ReasonUnsupportedType, "typ", ""},
		{"typ any", signed(map[string]any{"typ": "any"}, nil), ReasonUnsupportedType, "typ", ""},
		{"typ with a space", signed(map[string]any{"typ": " at+jwt"}, nil), ReasonUnsupportedType, "typ", ""},
		{"typ with a prefix twice", signed(map[string]any{"typ": "application/application/at+jwt"}, nil), ReasonUnsupportedType, "typ", ""},
		{"typ with a parameter", signed(map[string]any{"typ": "at+jwt;x=y"}, nil), ReasonUnsupportedType, "typ", ""},
		{"typ null", signedText(`{"alg":"ES384","typ":null,"kid":"%kid%"}`), ReasonUnsupportedType, "typ", ""},
		{"typ of the wrong type", signed(map[string]any{"typ": []string{"at+jwt"}}, nil), ReasonMalformedToken, "typ", ""},
		{"TYP", signedText(`{"alg":"ES384","TYP":"at+jwt","kid":"%kid%"}`), ReasonUnsupportedType, "typ", ""},
		{"typ twice, the last one wrong", signedText(`{"alg":"ES384","typ":"at+jwt","typ":"JWT","kid":"%kid%"}`), ReasonUnsupportedType, "typ", ""},
		{"typ secevent+jwt", signed(map[string]any{"typ": "secevent+jwt"}, nil), ReasonUnsupportedType, "typ", ""},
		{"typ dpop+jwt, a proof and no token", signed(map[string]any{"typ": "dpop+jwt"}, nil), ReasonUnsupportedType, "typ", ""},
		{"typ token-introspection+jwt", signed(map[string]any{"typ": "token-introspection+jwt"}, nil), ReasonUnsupportedType, "typ", ""},
		{"typ oauth-authz-req+jwt", signed(map[string]any{"typ": "oauth-authz-req+jwt"}, nil), ReasonUnsupportedType, "typ", ""},
		{"typ with a NUL", signed(map[string]any{"typ": "at+jwt\x00"}, nil), ReasonUnsupportedType, "typ", ""},
		{"typ with a letter that folds to one of its own", signed(map[string]any{"typ": "at+\u0237wt"}, nil), ReasonUnsupportedType, "typ", ""},
		{"typ at jwt, a plus decoded as a space", signed(map[string]any{"typ": "at jwt"}, nil), ReasonUnsupportedType, "typ", ""},
	}
}

func algorithmAttacks() []attack {
	pemOf := func(tb testing.TB) []byte {
		encoded, err := x509.MarshalPKIXPublicKey(rsaKey().Public())
		if err != nil {
			tb.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: encoded})
	}
	hmacWith := func(method *jwt.SigningMethodHMAC, key func(testing.TB) []byte) func(testing.TB, *devtenant.Tenant) string {
		return unsigned(map[string]any{"kid": "rsa", "alg": method.Name}, func(tb testing.TB, tenant *devtenant.Tenant, input string) []byte {
			return signWith(method, key(tb))(tb, tenant, input)
		})
	}
	return []attack{
		{"HS256 with the RSA key's PEM as secret", hmacWith(jwt.SigningMethodHS256, pemOf), ReasonDisallowedAlgorithm, "alg", ""},
		{"HS384 with the RSA key's PEM as secret", hmacWith(jwt.SigningMethodHS384, pemOf), ReasonDisallowedAlgorithm, "alg", ""},
		{"HS512 with the RSA modulus as secret", hmacWith(jwt.SigningMethodHS512, func(testing.TB) []byte { return rsaKey().N.Bytes() }), ReasonDisallowedAlgorithm, "alg", ""},
		{"HS256 with an empty secret", hmacWith(jwt.SigningMethodHS256, func(testing.TB) []byte { return []byte{} }), ReasonDisallowedAlgorithm, "alg", ""},
		{"HS256 with the kid as secret", hmacWith(jwt.SigningMethodHS256, func(testing.TB) []byte { return []byte("rsa") }), ReasonDisallowedAlgorithm, "alg", ""},
		{"PBES2 with a billion rounds", signed(map[string]any{"alg": "PBES2-HS256+A128KW", "p2c": 1_000_000_000}, nil), ReasonDisallowedAlgorithm, "alg", ""},
		{"alg with a space behind", signed(map[string]any{"alg": "ES384 "}, nil), ReasonDisallowedAlgorithm, "alg", ""},
		{"alg with a NUL behind", signed(map[string]any{"alg": "ES384\x00"}, nil), ReasonDisallowedAlgorithm, "alg", ""},
		{"alg null", signedText(`{"alg":null,"typ":"at+jwt","kid":"%kid%"}`), ReasonDisallowedAlgorithm, "alg", ""},
		{"alg of a fully specified name that the key has not", signed(map[string]any{"alg": "Ed448"}, nil), ReasonDisallowedAlgorithm, "alg", ""},
		{"RS1, with SHA-1", signed(map[string]any{"alg": "RS1"}, nil), ReasonDisallowedAlgorithm, "alg", ""},
		{"no alg", signed(map[string]any{"alg": nil}, nil), ReasonDisallowedAlgorithm, "alg", ""},
		{"alg none", signed(map[string]any{"alg": "none"}, nil), ReasonDisallowedAlgorithm, "alg", ""},
		{"alg None", signed(map[string]any{"alg": "None"}, nil), ReasonDisallowedAlgorithm, "alg", ""},
		{"alg nOnE", signed(map[string]any{"alg": "nOnE"}, nil), ReasonDisallowedAlgorithm, "alg", ""},
		{"alg none and an octet as signature", unsigned(map[string]any{"alg": "none"}, signatureOf([]byte{0})), ReasonDisallowedAlgorithm, "alg", ""},
		{"alg in lower case", signed(map[string]any{"alg": "es384"}, nil), ReasonDisallowedAlgorithm, "alg", ""},
		{"alg empty", signed(map[string]any{"alg": ""}, nil), ReasonDisallowedAlgorithm, "alg", ""},
		{"alg of the wrong type", signed(map[string]any{"alg": []string{"ES384"}}, nil), ReasonMalformedToken, "alg", ""},
		{"alg twice, the last one none", signedText(`{"alg":"ES384","typ":"at+jwt","kid":"%kid%","alg":"none"}`), ReasonDisallowedAlgorithm, "alg", ""},
		{"ALG", signedText(`{"ALG":"ES384","typ":"at+jwt","kid":"%kid%"}`), ReasonDisallowedAlgorithm, "alg", ""},
		{"HS256 with the public key set as secret", unsigned(map[string]any{"alg": "HS256"}, func(tb testing.TB, tenant *devtenant.Tenant, input string) []byte {
			return signWith(jwt.SigningMethodHS256, tenant.JWKS())(tb, tenant, input)
		}), ReasonDisallowedAlgorithm, "alg", ""},
		{"an encryption algorithm", signed(map[string]any{"alg": "ECDH-ES"}, nil), ReasonDisallowedAlgorithm, "alg", ""},
		{"a curve that no key here has", signed(map[string]any{"alg": "ES256K"}, nil), ReasonDisallowedAlgorithm, "alg", ""},
	}
}

func keyIDAttacks() []attack {
	return []attack{
		{"no kid", signed(map[string]any{"kid": nil}, nil), ReasonUnknownKey, "kid", ""},
		{"kid empty", signed(map[string]any{"kid": ""}, nil), ReasonUnknownKey, "kid", ""},
		{"kid null", signedText(`{"alg":"ES384","typ":"at+jwt","kid":null}`), ReasonUnknownKey, "kid", ""},
		{"kid of the wrong type", signed(map[string]any{"kid": 1}, nil), ReasonMalformedToken, "kid", ""},
		{"KID", signedText(`{"alg":"ES384","typ":"at+jwt","KID":"%kid%"}`), ReasonUnknownKey, "kid", ""},
		{"kid that is a path", signed(map[string]any{"kid": "../../dev/null"}, nil), ReasonUnknownKey, "kid", ""},
		{"kid that is a query", signed(map[string]any{"kid": "x' OR '1'='1"}, nil), ReasonUnknownKey, "kid", ""},
		{"kid in another case", changed(func(_, p, s string) string { return p + "." + p + "." + s }), ReasonUnsupportedType, "typ", ""},
		{"kid twice, the last one another", signedText(`{"alg":"ES384","typ":"at+jwt","kid":"%kid%","kid":"x"}`), ReasonUnknownKey, "kid", ""},
		{"kid with a NUL behind", signedText(`{"alg":"ES384","typ":"at+jwt","kid":"%kid%\u0000"}`), ReasonUnknownKey, "kid", ""},
		{"kid with a space behind", signedText(`{"alg":"ES384","typ":"at+jwt","kid":"%kid% "}`), ReasonUnknownKey, "kid", ""},
		{"kid that begins as the key's does", signed(map[string]any{"kid": "r"}, nil), ReasonUnknownKey, "kid", ""},
		{"kid of four thousand characters", signed(map[string]any{"kid": strings.Repeat("k", 4000)}, nil), ReasonUnknownKey, "kid", ""},
		{"kid that is a URL", signed(map[string]any{"kid": "https://evil.example/key"}, nil), ReasonUnknownKey, "kid", ""},
		{"kid that is a template", signed(map[string]any{"kid": "{env.HOME}"}, nil), ReasonUnknownKey, "kid", ""},
		{"kid that is a shell command", signed(map[string]any{"kid": "x|/bin/true"}, nil), ReasonUnknownKey, "kid", ""},
	}
}

func criticalAttacks() []attack {
	return []attack{
		{"crit that is a text", signed(map[string]any{"crit": "exp"}, nil), ReasonMalformedToken, "crit", ""},
		{"crit with a name that is not there", signed(map[string]any{"crit": []string{"urn:example:policy"}}, nil), ReasonMalformedToken, "crit", ""},
		{"crit twice, the last one null", signedText(`{"alg":"ES384","typ":"at+jwt","kid":"%kid%","crit":["exp"],"crit":null}`), ReasonMalformedToken, "crit", ""},
		{"crit with an extension", signed(map[string]any{"crit": []string{"exp"}, "exp": 1}, nil), ReasonMalformedToken, "crit", ""},
		{"crit empty", signed(map[string]any{"crit": []string{}}, nil), ReasonMalformedToken, "crit", ""},
		{"crit null", signedText(`{"alg":"ES384","typ":"at+jwt","kid":"%kid%","crit":null}`), ReasonMalformedToken, "crit", ""},
		{"unencoded payload", signed(map[string]any{"b64": false, "crit": []string{"b64"}}, nil), ReasonMalformedToken, "crit", ""},
		{"unencoded payload without crit", signed(map[string]any{"b64": false}, nil), ReasonMalformedToken, "b64", ""},
	}
}
