package session

import (
	"maps"
	"time"
)

const (
	// maxTokens bounds the tokens of one session in memory, and what is known
	// of targets that it has none for.
	maxTokens = 32

	// refusalKept is how long the tenant is not asked again whether a person
	// is in an organization.
	refusalKept = time.Minute

	// overKept is how long a session is known to be over without asking again,
	// and replacedKept how long a refresh token is known that the cookie may
	// not hold yet.
	overKept     = time.Hour
	replacedKept = 24 * time.Hour

	// pauseAfterFailure is how long nobody waits for the tenant again.
	pauseAfterFailure = 5 * time.Second
)

// record is what this process knows of a session beyond its cookies. It is
// never changed, but replaced by a copy.
type record struct {
	// newest is the state that a refresh made, or nil.
	newest *Session
	// replaced is the refresh token that newest's came instead of.
	replaced string

	tokens   map[Target]Token
	refusals map[Target]refusal
	paused   time.Time // nobody waits for a refresh before

	over      *TokenError // the session has ended
	overUntil time.Time   // afterwards the tenant is asked once more

	// written is the SealedAt of the newest cookie that this process wrote.
	written time.Time
}

// refusal is what the tenant has said of a target, for a while.
type refusal struct {
	failure *TokenError
	until   time.Time
}

// newer is the newer one of what a cookie holds and what memory knows. A
// refresh token that this process has seen replaced is never used again,
// however late another process has sealed it: that would end the grant.
func (r *record) newer(cookie *Session) *Session {
	if r == nil || r.newest == nil {
		return cookie
	}
	if !cookie.SealedAt.After(r.newest.SealedAt) {
		return r.newest
	}
	if cookie.RefreshToken != r.replaced {
		return cookie
	}
	return r.newest.Renewed(cookie.SealedAt)
}

// token is the session's token for a target that lives longest, but for one
// that was refused: what came in its place may live shorter.
func (r *record) token(cookie *Session, target Target, refused Token) Token {
	var best Token
	if cookie.Target == target && cookie.Token != refused {
		best = cookie.Token
	}
	if r == nil {
		return best
	}
	held, ok := r.tokens[target]
	switch {
	case !ok:
	case held == refused:
		if !cookie.SealedAt.After(newestSeal(r.newest)) {
			return Token{} // a cookie from before, whose answer was lost
		}
	case held.ExpiresAt >= best.ExpiresAt:
		best = held
	}
	return best
}

// refused is why the tenant gave no token for a target a short time ago, or
// nil.
func (r *record) refused(target Target, now time.Time) *TokenError {
	if r == nil {
		return nil
	}
	if said, ok := r.refusals[target]; ok && now.Before(said.until) {
		return said.failure
	}
	return nil
}

// clone returns a copy that can be changed.
func (r *record) clone() *record {
	if r == nil {
		return &record{tokens: make(map[Target]Token), refusals: make(map[Target]refusal)}
	}
	changed := *r
	changed.tokens, changed.refusals = maps.Clone(r.tokens), maps.Clone(r.refusals)
	return &changed
}

// withToken is the record after a token was obtained.
func (r *record) withToken(target Target, token Token) *record {
	changed := r.clone()
	delete(changed.refusals, target)
	if _, held := changed.tokens[target]; !held && len(changed.tokens) >= maxTokens {
		delete(changed.tokens, firstToGo(changed.tokens, func(t Token) int64 { return t.ExpiresAt }))
	}
	changed.tokens[target] = token
	return changed
}

// withGrant is the record after a refresh: the answer to one that was sent
// for this session, with its refresh token.
func (r *record) withGrant(sent *Session, target Target, grant Grant, now time.Time) *record {
	changed := r.withToken(target, grant.Token)
	state := *sent
	state.Target, state.Token = target, grant.Token
	changed.advance(sent, &state, grant.RefreshToken, now)
	return changed
}

// withRefreshToken is the record after a refresh that brought a new refresh
// token, but no token to use. The tenant takes the old one for three seconds
// more; later it would end the whole grant.
func (r *record) withRefreshToken(sent *Session, refreshToken string, now time.Time) *record {
	changed, state := r.clone(), *sent
	changed.advance(sent, &state, refreshToken, now)
	return changed
}

// advance makes a state the newest, with the refresh token to use from now on;
// empty if it stays the same. The record and the state are not shared yet.
func (r *record) advance(sent, state *Session, refreshToken string, now time.Time) {
	if refreshToken != "" && refreshToken != sent.RefreshToken {
		state.RefreshToken = refreshToken
		r.replaced = sent.RefreshToken
	}
	before := latest(sent.SealedAt, latest(r.written, newestSeal(r.newest)))
	state.SealedAt = nextSeal(before, now)
	r.newest = state
}

func newestSeal(s *Session) time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.SealedAt
}

// withFailure is the record after a refresh that failed.
func (r *record) withFailure(target Target, failure *TokenError, now time.Time) *record {
	changed := r.clone()
	switch {
	case failure.Kind.EndsSession():
		changed.over, changed.overUntil = failure, now.Add(overKept)
	case failure.Kind == Busy: // says nothing about the tenant
	case failure.Kind.isTemporary():
		changed.paused = now.Add(max(pauseAfterFailure, min(failure.RetryAfter, time.Minute)))
	default:
		// The tenant says that there is no such token: an old one must not
		// serve any longer.
		delete(changed.tokens, target)
		if _, known := changed.refusals[target]; !known && len(changed.refusals) >= maxTokens {
			delete(changed.refusals, firstToGo(changed.refusals, func(r refusal) int64 { return r.until.UnixMilli() }))
		}
		changed.refusals[target] = refusal{failure, now.Add(refusalKept)}
	}
	return changed
}

// firstToGo is the target whose entry ends first.
func firstToGo[V any](entries map[Target]V, end func(V) int64) Target {
	var first Target
	least := int64(-1)
	for target, entry := range entries {
		if at := end(entry); least < 0 || at < least {
			first, least = target, at
		}
	}
	return first
}

// expires is when a record says nothing more that a cookie does not: its
// tokens and refusals are over, and no answer that could write a cookie is
// still under way.
func (r *record) expires() time.Time {
	keep := writeWindow
	if r.replaced != "" {
		keep = replacedKept
	}
	last := latest(r.paused, r.overUntil)
	last = latest(last, r.written.Add(writeWindow))
	last = latest(last, newestSeal(r.newest).Add(keep))
	for _, token := range r.tokens {
		last = latest(last, time.Unix(token.ExpiresAt, 0))
	}
	for _, said := range r.refusals {
		last = latest(last, said.until)
	}
	return last
}

// size is about what a record needs in memory.
func (r *record) size() int {
	const fixed, each = 600, 100
	size := fixed + len(r.replaced)
	if r.newest != nil {
		size += r.newest.size()
	}
	for target, token := range r.tokens {
		size += each + len(target.Resource) + len(target.Organization) + token.size()
	}
	for target := range r.refusals {
		size += each + len(target.Resource) + len(target.Organization)
	}
	return size
}
