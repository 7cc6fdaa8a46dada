package logtoauth

import (
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-logto/caddy-logto-auth/internal/jsonobject"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// maxTokenSize bounds what is looked at. Logto's tokens are about 600 octets;
// most servers refuse header lines of more than 8 to 16 KiB anyway.
const maxTokenSize = 16 << 10

// signingMethods are golang-jwt's implementations of the algorithms that this
// module knows. Its own registry is behind a lock and holds HS256 and none.
var signingMethods = map[string]jwt.SigningMethod{
	"ES256": jwt.SigningMethodES256, "ES384": jwt.SigningMethodES384, "ES512": jwt.SigningMethodES512,
	"RS256": jwt.SigningMethodRS256, "RS384": jwt.SigningMethodRS384, "RS512": jwt.SigningMethodRS512,
	"PS256": strictPSS(jwt.SigningMethodPS256), "PS384": strictPSS(jwt.SigningMethodPS384), "PS512": strictPSS(jwt.SigningMethodPS512),
	"EdDSA": jwt.SigningMethodEdDSA,
}

// strictPSS is a method of golang-jwt that asks for a salt as long as the hash
// (RFC 7518 section 3.5). The library's own methods verify with a salt of any
// length, none included (PSSSaltLengthAuto), so that one token would have many
// signatures, some of them weaker than the algorithm promises.
func strictPSS(method *jwt.SigningMethodRSAPSS) *jwt.SigningMethodRSAPSS {
	return &jwt.SigningMethodRSAPSS{
		SigningMethodRSA: method.SigningMethodRSA,
		Options:          method.Options,
		VerifyOptions:    &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash},
	}
}

// jws is a compact JWS whose signature has not been verified yet.
type jws struct {
	// The parts as they stand in the token.
	signingInput, protected, payload, encodedSignature string

	joseHeader        // empty until readHeader
	signature  []byte // nil until decodeSignature
}

// joseHeader is what the protected header of a JWS says (RFC 7515 section 4).
type joseHeader struct{ algorithm, typ, keyID string }

// parseJWS takes a token apart (RFC 7515 section 5.2 steps 1 to 7), but for its
// claims, and refuses every spelling but the canonical one.
func parseJWS(token string) (*jws, *Refusal) {
	if len(token) > maxTokenSize {
		return nil, refusedTooLarge
	}
	return splitJWS(token)
}

// splitJWS is parseJWS for tokens of any size.
func splitJWS(token string) (*jws, *Refusal) {
	t := new(jws)
	if refusal := t.split(token); refusal != nil {
		return nil, refusal
	}
	if refusal := t.readHeader(); refusal != nil {
		return nil, refusal
	}
	if refusal := t.decodeSignature(); refusal != nil {
		return nil, refusal
	}
	return t, nil
}

// split finds the parts of a token.
func (t *jws) split(token string) *Refusal {
	var rest string
	var ok bool
	if t.protected, rest, ok = strings.Cut(token, "."); !ok {
		return refusedOpaque
	}
	t.payload, t.encodedSignature, ok = strings.Cut(rest, ".")
	if !ok || strings.IndexByte(t.encodedSignature, '.') >= 0 {
		if strings.Count(token, ".") == 4 {
			return refuseMalformed(detailEncrypted)
		}
		return refuseMalformed(detailSegments)
	}
	t.signingInput = token[:len(t.protected)+1+len(t.payload)]
	return nil
}

func (t *jws) readHeader() *Refusal {
	decoded, ok := decodeSegment(t.protected)
	if !ok {
		return refuseMalformed("header encoding")
	}
	return t.parse(decoded)
}

// parse reads a decoded header.
func (h *joseHeader) parse(text string) *Refusal {
	var alg, typ, kid, crit, b64 jsonobject.Value
	if !jsonobject.Walk(text, func(name string, value jsonobject.Value) {
		switch name {
		case "alg":
			alg = value
		case "typ":
			typ = value
		case "kid":
			kid = value
		case "crit":
			crit = value
		case "b64":
			b64 = value
		}
	}) {
		return refuseMalformed("header")
	}
	// This module knows no extension, so that every `crit` names one that is
	// not understood (RFC 7515 section 4.1.11); `b64` is only valid with it
	// (RFC 7797 section 6).
	if crit != "" {
		return refuseMalformed("crit")
	}
	if b64 != "" {
		return refuseMalformed("b64")
	}
	var usable bool
	if h.algorithm, _, usable = alg.Text(); !usable {
		return refuseMalformed("alg")
	}
	if h.typ, _, usable = typ.Text(); !usable {
		return refuseMalformed("typ")
	}
	if h.keyID, _, usable = kid.Text(); !usable {
		return refuseMalformed("kid")
	}
	return nil
}

// decodeSignature makes the signature ready to be verified. It is done last:
// most tokens that are refused need none.
func (t *jws) decodeSignature() *Refusal {
	if !isOneLine(t.encodedSignature) {
		return refuseMalformed("signature encoding")
	}
	signature, err := base64url.DecodeString(t.encodedSignature)
	if err != nil {
		return refuseMalformed("signature encoding")
	}
	t.signature = signature
	return nil
}

// base64url is the canonical, unpadded one (RFC 7515 section 2).
var base64url = base64.RawURLEncoding.Strict()

// decodeSegment decodes a part of a token that is a text.
func decodeSegment(segment string) (string, bool) {
	if !isOneLine(segment) {
		return "", false
	}
	var onStack [1024]byte // a usual payload needs no other memory than its string
	decoded, err := base64url.AppendDecode(onStack[:0], []byte(segment))
	return string(decoded), err == nil
}

// isOneLine reports whether a segment is there and has no CR and LF. Go's decoder
// skips those even when strict, so that one token would have many spellings.
func isOneLine(segment string) bool {
	return segment != "" && strings.IndexByte(segment, '\r') < 0 && strings.IndexByte(segment, '\n') < 0
}

// claims reads what the token says, which nobody has vouched for yet.
func (t *jws) claims() (*AuthInfo, *Refusal) {
	payload, values, refusal := t.readClaims()
	if refusal != nil {
		return nil, refusal
	}
	info := &AuthInfo{joseHeader: t.joseHeader}
	if refusal := info.decode(payload, &values); refusal != nil {
		return nil, refusal
	}
	return info, nil
}

// readClaims finds the claims in the payload, and judges none.
func (t *jws) readClaims() (payload string, values claimValues, refusal *Refusal) {
	payload, ok := decodeSegment(t.payload)
	if !ok {
		return "", values, refuseMalformed("payload encoding")
	}
	values, refusal = readClaimValues(payload)
	return payload, values, refusal
}

// header is the token's header for the libraries, whose Parser is not used: it
// accepts CR and LF inside a signature, ignores `crit`, and judges claims after
// the signature.
func (t *jws) header() *jwt.Token {
	return &jwt.Token{Header: map[string]any{"alg": t.algorithm, "kid": t.keyID}}
}

// selectedKey is the key that a token names, and what keyfunc has selected to
// verify the signature with.
type selectedKey struct {
	*keys.Key // nil if there is none
	public    crypto.PublicKey
}

// selectKey returns the token's key if that may verify the token's algorithm.
// A key that may not is returned with the refusal.
func (t *jws) selectKey(snapshot *keys.Snapshot) (selectedKey, *Refusal) {
	key, public, err := snapshot.Select(t.header())
	switch {
	case key == nil:
		return selectedKey{}, refusedUnknownKey
	case err != nil:
		return selectedKey{Key: key}, refuseToken(ReasonDisallowedAlgorithm, "The token's signature algorithm is not its key's", "alg")
	}
	return selectedKey{key, public}, nil
}

// verifiedBy reports whether the signature is that of the key, which must allow
// the token's algorithm: a key's type and curve decide what it may verify,
// never the token alone (RFC 8725 sections 2.1 and 3.1).
func (t *jws) verifiedBy(key selectedKey) bool {
	method, known := signingMethods[t.algorithm]
	return known && key.Allows(t.algorithm) && method.Verify(t.signingInput, t.signature, key.public) == nil
}
