package logtoauth

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// tokenRules are what a site asks of any access token, whatever it is for.
type tokenRules struct {
	algorithms []string
	types      []string // normalized; empty accepts any type, and tokens without client_id
	issuers    []string
	leeway     int64 // seconds
	maxAge     int64 // seconds; 0 is no limit
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
		return refuseToken(ReasonExpired, describeSeconds("The token expired ", unix-info.expiresAt, " ago"), "exp")
	}
	if unix+rules.leeway < info.notBefore {
		return refuseToken(ReasonNotYetValid, describeSeconds("The token is valid in ", info.notBefore-unix, " only"), "nbf")
	}
	if info.hasIssuedAt && unix+rules.leeway < info.issuedAt {
		return refuseToken(ReasonNotYetValid, describeSeconds("The token was issued ", info.issuedAt-unix, " in the future"), "iat")
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
// log, unless the token condemns itself: then the log reads them once more.
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
		return info, refuseUndecided(ctx)
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
	payload, values, refusal := parsed.readClaims()
	if refusal != nil {
		return nil, refusal
	}
	// On the stack until it is worth keeping, and without what the token is for
	// until it is known whose it is.
	info := AuthInfo{joseHeader: parsed.joseHeader}
	if refusal := info.decodeParties(&values); refusal != nil {
		return nil, refusal
	}
	if refusal := v.rules.checkClaims(&info, now); refusal != nil {
		return nil, refusal
	}
	if refusal := info.decodeGrant(payload, &values); refusal != nil {
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
