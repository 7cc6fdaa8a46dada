package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/memory"
)

const (
	// maxRecords and maxRecordBytes bound what is known of sessions.
	maxRecords     = 10_000
	maxRecordBytes = 32 << 20

	// maxQueued bounds the targets of one session that wait for their turn: a
	// client may name organizations as it likes.
	maxQueued = 32

	sweepInterval = time.Minute
)

// RefresherOptions is what a Refresher needs. All of it is mandatory, but for
// Ended and Report.
type RefresherOptions struct {
	// Endpoint refreshes tokens; Gate bounds how many requests it gets at once.
	Endpoint TokenEndpoint
	Gate     *Gate
	// Timeout bounds one refresh, and the wait of a request for one.
	Timeout time.Duration
	Now     func() time.Time
	// Ended reports whether a session is in the list of ended ones, by now.
	Ended func(*Session) bool
	// Report is told of every token request, with nil if it succeeded. It is
	// called from several goroutines.
	Report func(target Target, failure *TokenError)
}

// Refresher gets a session's tokens, and keeps them in memory by the session's
// id until they expire. It sends one request at a time for one session, so for
// one refresh token: refreshes for other organizations wait for their turn.
type Refresher struct {
	RefresherOptions
	life  context.Context // the process's: a refresh outlives the request that began it
	known *memory.Memory[*record]

	mu      sync.Mutex // guards changes of records, and all below
	flights map[string]*flights
	swept   time.Time
}

// flights are the refreshes of one session. The first target in the queue is
// the one under way.
type flights struct {
	cookie  *Session // the newest that a request has shown
	queue   []Target
	waiting map[Target]*flight
}

// flight is one refresh. Its failure can be read once done is closed.
type flight struct {
	done    chan struct{}
	failure *TokenError
}

// NewRefresher makes a refresher. Refreshes that are under way end with the
// context.
func NewRefresher(life context.Context, options RefresherOptions) *Refresher {
	return &Refresher{
		RefresherOptions: options, life: life,
		known:   memory.New[*record](maxRecords, maxRecordBytes),
		flights: make(map[string]*flights),
	}
}

// over is why the session has ended, or nil.
func (r *Refresher) over(known *record, cookie *Session, now time.Time) *TokenError {
	if r.Ended != nil && r.Ended(cookie) {
		return &TokenError{Kind: Ended}
	}
	if known != nil && now.Before(known.overUntil) {
		return known.over
	}
	return nil
}

func (r *Refresher) record(id string) *record {
	known, _ := r.known.Get(id)
	return known
}

// join returns the refresh to wait for, which it starts if there is none. It
// returns neither a refresh nor an error if the request should go on with the
// token that it has.
func (r *Refresher) join(cookie *Session, target Target, refused Token, now time.Time, usable bool) (*flight, *TokenError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.record(cookie.ID)
	// Whoever was first may be done since the caller looked.
	if known.token(cookie, target, refused).IsFresh(now) {
		return nil, nil
	}
	if known != nil && now.Before(known.paused) {
		return nil, &TokenError{Kind: Unavailable, RetryAfter: known.paused.Sub(now), Err: errors.New("a refresh failed a moment ago")}
	}
	under := r.flights[cookie.ID]
	if under != nil {
		f := under.waiting[target]
		switch {
		case f != nil && usable:
			return nil, nil
		case f != nil:
			return f, nil
		case len(under.queue) >= maxQueued:
			return nil, &TokenError{Kind: Busy, RetryAfter: time.Second}
		}
	}
	f := &flight{done: make(chan struct{})}
	if under != nil {
		if cookie.SealedAt.After(under.cookie.SealedAt) {
			under.cookie = cookie
		}
		under.waiting[target] = f
		under.queue = append(under.queue, target)
		return f, nil
	}
	under = &flights{cookie: cookie, queue: []Target{target}, waiting: map[Target]*flight{target: f}}
	r.flights[cookie.ID] = under
	go r.fly(under)
	return f, nil
}

// wait waits for a refresh as long as a request may.
func (r *Refresher) wait(ctx context.Context, f *flight) *TokenError {
	timer := time.NewTimer(r.Timeout)
	defer timer.Stop()
	select {
	case <-f.done:
		return f.failure
	case <-timer.C:
		return &TokenError{Kind: Unavailable, RetryAfter: time.Second, Err: errors.New("the refresh takes too long")}
	case <-ctx.Done():
		return &TokenError{Kind: Unavailable, Err: ctx.Err()}
	}
}

// fly works the queue of one session off. The queue is in the map for as long
// as this runs, so that there is one of it for a session.
func (r *Refresher) fly(under *flights) {
	for more := true; more; {
		r.mu.Lock()
		cookie, target := under.cookie, under.queue[0]
		r.mu.Unlock()
		failure := r.refresh(cookie, target)
		r.mu.Lock()
		f := under.waiting[target]
		f.failure = failure
		delete(under.waiting, target)
		under.queue = under.queue[1:]
		if more = len(under.queue) > 0; !more {
			delete(r.flights, cookie.ID)
		}
		r.mu.Unlock()
		close(f.done)
	}
}

// refresh sends one request and records what it brought.
func (r *Refresher) refresh(cookie *Session, target Target) *TokenError {
	now := r.Now()
	known := r.record(cookie.ID)
	// What the one before in the queue has found out holds for this one too.
	if failure := r.over(known, cookie, now); failure != nil {
		return failure
	}
	if known != nil && now.Before(known.paused) {
		return &TokenError{Kind: Unavailable, RetryAfter: known.paused.Sub(now), Err: errors.New("a refresh failed a moment ago")}
	}
	sent := known.newer(cookie)
	grant, failure := r.request(sent, target)
	r.mu.Lock()
	defer r.mu.Unlock()
	now = r.Now()
	known = r.record(cookie.ID) // a cookie may have been written meanwhile
	var changed *record
	switch {
	case failure == nil:
		changed = known.withGrant(sent, target, grant, now)
	case grant.RefreshToken != "" && grant.RefreshToken != sent.RefreshToken:
		changed = known.withFailure(target, failure, now).withRefreshToken(sent, grant.RefreshToken, now)
	default:
		changed = known.withFailure(target, failure, now)
	}
	r.keep(cookie.ID, changed, now)
	return failure
}

// request asks the tenant, once, and checks that the answer is about the same
// person. With a failure, all that counts of the answer is its refresh token.
func (r *Refresher) request(sent *Session, target Target) (grant Grant, failure *TokenError) {
	if !r.Gate.Enter() {
		return Grant{}, r.reported(target, &TokenError{Kind: Busy, RetryAfter: time.Second})
	}
	defer r.Gate.Leave()
	defer func() {
		// Nobody else would recover it here, and all of Caddy would end.
		if cause := recover(); cause != nil {
			grant, failure = Grant{}, &TokenError{Kind: Unavailable, Err: fmt.Errorf("the refresh panicked: %v", cause)}
		}
		failure = r.reported(target, failure)
	}()
	ctx, cancel := context.WithTimeout(r.life, r.Timeout)
	defer cancel()
	grant, err := r.Endpoint.Refresh(ctx, RefreshRequest{RefreshToken: sent.RefreshToken, Target: target})
	switch {
	case err != nil:
		failure = asTokenError(err)
	case grant.Subject != sent.Subject:
		// Not said whose it is counts as somebody else's.
		failure = &TokenError{Kind: WrongSubject, Err: errors.New("the answer is about another person")}
	case grant.Token.IsZero():
		failure = &TokenError{Kind: Unavailable, Err: errors.New("the answer has no token")}
	}
	if failure != nil && failure.Kind == WrongSubject {
		return Grant{}, failure // not even the refresh token, which is somebody else's
	}
	return grant, failure
}

func (r *Refresher) reported(target Target, failure *TokenError) *TokenError {
	if r.Report != nil {
		r.Report(target, failure)
	}
	return failure
}

// keep replaces the record of a session. The caller holds mu.
func (r *Refresher) keep(id string, changed *record, now time.Time) {
	r.known.Put(id, changed, changed.size()+len(id))
	if now.Sub(r.swept) >= sweepInterval {
		r.swept = now
		r.known.Sweep(func(known *record) bool { return !now.Before(known.expires()) })
	}
}

// Remember keeps the token of a sign-in, which may not fit into the cookie.
func (r *Refresher) Remember(s *Session, target Target, token Token) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep(s.ID, r.record(s.ID).withToken(target, token), r.Now())
}

// Newest is the newest state of a session that is known, for its refresh
// token.
func (r *Refresher) Newest(cookie *Session) *Session { return r.record(cookie.ID).newer(cookie) }

// LongestLife is the longest life of the tokens that are known of a session.
// Other cookies of it may hold any of them.
func (r *Refresher) LongestLife(cookie *Session) time.Duration {
	longest := cookie.Token.life()
	if known := r.record(cookie.ID); known != nil {
		longest = max(longest, known.newer(cookie).Token.life())
		for _, token := range known.tokens {
			longest = max(longest, token.life())
		}
	}
	return longest
}

// MayWrite reports whether a session's cookie may be written on the answer to
// a request that came then, whose header goes out now with this status, and
// records that it is. Base is when the state was sealed that s was made of, if
// s is only renewed, else when s was. Listed says that the session is in the
// list of ended ones ([List.Listed]).
func (r *Refresher) MayWrite(s *Session, base, came time.Time, status int, listed bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, now := r.record(s.ID), r.Now()
	write := Write{Came: came, Now: now, Status: status, Listed: listed, Base: base}
	if known != nil {
		write.Newest = known.written
		write.Listed = listed || now.Before(known.overUntil)
	}
	if !write.Allowed() {
		return false
	}
	changed := known.clone()
	changed.written = s.SealedAt
	r.keep(s.ID, changed, now)
	return true
}
