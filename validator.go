package logtoauth

import (
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"slices"
	"strings"
	"time"

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

// tokenRules are what a site asks of any access token, whatever it is for.
type tokenRules struct {
	algorithms []string
	types      []string // normalized; empty accepts any type, and tokens without client_id
	issuers    []string
	leeway     int64 // seconds
	maxAge     int64 // seconds; 0 is no limit
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
	return t.decode(decoded)
}

// decode reads a decoded header.
func (h *joseHeader) decode(text string) *Refusal {
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

// checkHeader judges what the token's header says of itself. The key decides
// about the algorithm once more, when it is known.
func (rules *tokenRules) checkHeader(typ, algorithm, keyID string) *Refusal {
	if refusal := rules.checkType(typ); refusal != nil {
		return refusal
	}
	if refusal := rules.checkAlgorithm(algorithm); refusal != nil {
		return refusal
	}
	return checkKeyID(keyID)
}

func (rules *tokenRules) checkType(typ string) *Refusal {
	if len(rules.types) > 0 && !slices.Contains(rules.types, normalizeType(typ)) {
		return refusedType
	}
	return nil
}

func (rules *tokenRules) checkAlgorithm(algorithm string) *Refusal {
	if !slices.Contains(rules.algorithms, algorithm) {
		return refusedAlgorithm
	}
	return nil
}

func checkKeyID(keyID string) *Refusal {
	if keyID == "" {
		return refusedNoKeyID
	}
	return nil
}

// check judges a token that was verified before by the rules of this site,
// which may differ from those of the site that saw it first.
func (rules *tokenRules) check(info *AuthInfo, now time.Time) *Refusal {
	if refusal := rules.checkHeader(info.typ, info.algorithm, info.keyID); refusal != nil {
		return refusal
	}
	return rules.checkClaims(info, now)
}

// normalizeType makes `typ` values comparable: media types have no case, and
// the `application/` prefix may be left out (RFC 7515 section 4.1.9).
func normalizeType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// normalizeTypes makes the configured types comparable. None are left where
// any type will do.
func normalizeTypes(types []string) []string {
	if slices.Equal(types, []string{anyTokenType}) {
		return nil
	}
	normalized := make([]string, 0, len(types))
	for _, typ := range types {
		normalized = append(normalized, normalizeType(typ))
	}
	return normalized
}

// checkClaims judges who a token is from and when it is valid, at the given
// time.
func (rules *tokenRules) checkClaims(info *AuthInfo, now time.Time) *Refusal {
	if refusal := rules.checkIssuer(info); refusal != nil {
		return refusal
	}
	if refusal := rules.checkParties(info); refusal != nil {
		return refusal
	}
	return rules.checkTimes(info, now)
}

// checkTimes judges what may change while a request waits.
func (rules *tokenRules) checkTimes(info *AuthInfo, now time.Time) *Refusal {
	if refusal := rules.checkLifetime(info, now.Unix()); refusal != nil {
		return refusal
	}
	return rules.checkAge(info, now.Unix())
}

func (rules *tokenRules) checkIssuer(info *AuthInfo) *Refusal {
	if !slices.Contains(rules.issuers, info.Issuer) {
		return refusedIssuer
	}
	return nil
}

// checkParties asks who uses the token, and through which client.
func (rules *tokenRules) checkParties(info *AuthInfo) *Refusal {
	if info.Subject == "" {
		return refuseMissingClaim("sub")
	}
	// Logto's ID and logout tokens are signed by the same keys; only access
	// tokens name a client (RFC 9068 section 2.2).
	if len(rules.types) > 0 && info.ClientID == "" {
		return refuseMissingClaim("client_id")
	}
	return nil
}

func (rules *tokenRules) checkLifetime(info *AuthInfo, unix int64) *Refusal {
	if unix >= info.expiresAt+rules.leeway {
		return refuseToken(ReasonExpired, "The token expired "+seconds(unix-info.expiresAt)+" ago", "exp")
	}
	if unix+rules.leeway < info.notBefore {
		return refuseToken(ReasonNotYetValid, "The token is valid in "+seconds(info.notBefore-unix)+" only", "nbf")
	}
	if info.hasIssuedAt && unix+rules.leeway < info.issuedAt {
		return refuseToken(ReasonNotYetValid, "The token was issued "+seconds(info.issuedAt-unix)+" in the future", "iat")
	}
	return nil
}

// checkAge refuses a token that was issued longer ago than max_age.
func (rules *tokenRules) checkAge(info *AuthInfo, unix int64) *Refusal {
	if rules.maxAge == 0 {
		return nil
	}
	if !info.hasIssuedAt {
		return refuseMissingClaim("iat")
	}
	if age := unix - info.issuedAt; age > rules.maxAge+rules.leeway {
		return refuseToken(ReasonTooOld, "The token was issued "+seconds(age)+" ago; at most "+seconds(rules.maxAge)+" are accepted", "iat")
	}
	return nil
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

// validator turns a token string into AuthInfo or a refusal.
type validator struct {
	rules  tokenRules
	keys   *keys.Set
	tokens *tokenCache
}

// validate verifies a token. ctx bounds only how long this request waits for
// keys, and for its turn to have the signature checked. who is asked for the
// requester if it has to wait, so that a request which need not pays nothing;
// nil is nobody. With a refusal it also returns the claims, for the operator's
// log, if they condemn no token.
func (v *validator) validate(ctx context.Context, token string, now clock, who func() keys.Requester) (*AuthInfo, *Refusal) {
	began := now()
	if info := v.cached(token, began); info != nil {
		metrics.cacheHit.Inc()
		return info, v.rules.check(info, began)
	}
	var parsed jws
	info, refusal := v.screen(&parsed, token, began)
	if refusal != nil {
		return nil, refusal
	}
	key, refusal := v.findKey(ctx, &parsed, now, who)
	if refusal == nil {
		info, refusal = v.verify(ctx, token, &parsed, info, key, who)
	}
	// The waits for keys and for a turn may have taken seconds: the key may have
	// been withdrawn since, and a token that was valid then may have expired.
	// What the times say is told first, as before the wait.
	ended := now()
	if refusal == nil {
		refusal = v.checkKey(key, ended)
	}
	if late := v.rules.checkTimes(info, ended); late != nil {
		return info, late
	}
	return info, refusal
}

// findKey returns the key that the token names and may be verified with. It
// waits if there is none yet.
func (v *validator) findKey(ctx context.Context, parsed *jws, now clock, who func() keys.Requester) (selectedKey, *Refusal) {
	snapshot := v.keys.Current(now())
	if snapshot == nil {
		snapshot = v.keys.Await(ctx, identify(who))
	}
	if snapshot != nil && snapshot.Key(parsed.keyID) == nil {
		snapshot = v.keys.AwaitKey(ctx, parsed.keyID, identify(who))
	}
	if snapshot == nil {
		// Also after AwaitKey: if its fetch fails with max_stale 0, no key is
		// held any more.
		return selectedKey{}, refuseKeysUnavailable(v.keys.RetryAfter(now()))
	}
	return parsed.selectKey(snapshot)
}

func identify(who func() keys.Requester) keys.Requester {
	if who == nil {
		return keys.Nobody
	}
	return who()
}

// checkKey refuses a token whose key is no longer the tenant's.
func (v *validator) checkKey(key selectedKey, now time.Time) *Refusal {
	switch snapshot := v.keys.Current(now); {
	case snapshot == nil:
		return refuseKeysUnavailable(v.keys.RetryAfter(now))
	case !snapshot.Has(key.Key):
		return refusedUnknownKey
	}
	return nil
}

// verify verifies the signature, when it is its turn and unless another request
// is at it with the same token. It returns what the token says, which is
// verified if info.key is set.
func (v *validator) verify(ctx context.Context, token string, parsed *jws, info *AuthInfo, key selectedKey, who func() keys.Requester) (*AuthInfo, *Refusal) {
	metrics.cacheMiss.Inc()
	verified, decided := v.tokens.verifyOnce(ctx, token, key.Key, who, func() *AuthInfo {
		started := time.Now()
		held := parsed.verifiedBy(key)
		metrics.signatures.Observe(time.Since(started).Seconds())
		if !held {
			return nil
		}
		info.key = key.Key
		return info
	})
	switch {
	case !decided:
		return info, refuseUndecided()
	case verified == nil:
		return info, refusedSignature
	}
	v.tokens.rememberHeader(parsed)
	return verified, nil
}

// cached returns what the token said when it was verified before, if the key
// that did so is still trusted.
func (v *validator) cached(token string, now time.Time) *AuthInfo {
	if len(token) > maxTokenSize {
		return nil // not worth hashing
	}
	info := v.tokens.lookup(token)
	if info == nil {
		return nil
	}
	if snapshot := v.keys.Current(now); snapshot == nil || !snapshot.Has(info.key) {
		return nil
	}
	return info
}

// screen makes all checks that need no key, so that no signature is computed
// and no key is fetched for a token that condemns itself. What costs least comes
// first, since anybody can send such tokens.
func (v *validator) screen(parsed *jws, token string, now time.Time) (*AuthInfo, *Refusal) {
	if len(token) > maxTokenSize {
		return nil, refusedTooLarge
	}
	if refusal := parsed.split(token); refusal != nil {
		return nil, refusal
	}
	if refusal := v.readHeader(parsed); refusal != nil {
		return nil, refusal
	}
	if refusal := v.rules.checkHeader(parsed.typ, parsed.algorithm, parsed.keyID); refusal != nil {
		return nil, refusal
	}
	// Only a token that passes all checks may have keys fetched, or garbage
	// could. Where no token can, the claims need not be read.
	if v.keys.Excludes(parsed.keyID) {
		return nil, refusedUnknownKey
	}
	var info AuthInfo // on the stack, until it is worth keeping
	if refusal := parsed.readClaims(&info); refusal != nil {
		return nil, refusal
	}
	if refusal := v.rules.checkClaims(&info, now); refusal != nil {
		return nil, refusal
	}
	if refusal := parsed.decodeSignature(); refusal != nil {
		return nil, refusal
	}
	kept := info
	return &kept, nil
}

// readHeader reads the header of a token, unless that is known.
func (v *validator) readHeader(parsed *jws) *Refusal {
	var known bool
	if parsed.joseHeader, known = v.tokens.header(parsed.protected); known {
		return nil
	}
	return parsed.readHeader()
}

// claims reads what the token says, which nobody has vouched for yet.
func (t *jws) claims() (*AuthInfo, *Refusal) {
	info := new(AuthInfo)
	if refusal := t.readClaims(info); refusal != nil {
		return nil, refusal
	}
	return info, nil
}

func (t *jws) readClaims(info *AuthInfo) *Refusal {
	payload, ok := decodeSegment(t.payload)
	if !ok {
		return refuseMalformed("payload encoding")
	}
	info.algorithm, info.typ, info.keyID = t.algorithm, t.typ, t.keyID
	return info.decode(payload)
}
