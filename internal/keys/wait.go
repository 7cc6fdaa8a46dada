package keys

import (
	"context"
	"math"
	"time"
)

// roundGrace is what a fetch that used up its fetch_timeout may take to put
// stored keys in place, before those who wait for it give up.
const roundGrace = time.Second

// round is one fetch, which any number of requests may wait for.
type round struct {
	forced bool // by an unknown kid; starts the cooldown

	// unconditional is set if the answer must be the keys in full. For an
	// unknown kid it must: a proxy or tenant whose ETag stays the same when
	// the keys change would hide a rotation for ever by answering 304.
	unconditional bool

	done chan struct{} // closed when the snapshot is up to date
	err  error         // readable after done
}

// Await is for a request that finds no snapshot. It waits for the fetch in
// flight, which takes at most fetch_timeout, and starts the first one: a request may come
// before the app's Start. While failed fetches back off it returns at once.
func (ks *Set) Await(ctx context.Context, who Requester) *Snapshot {
	if s := ks.Current(time.Now()); s != nil {
		return s
	}
	ks.Start()
	ks.mu.Lock()
	r := ks.running
	if r == nil {
		r = ks.pending
	}
	ks.mu.Unlock()
	if r != nil {
		patience, cancel := context.WithTimeout(ctx, ks.cfg.FetchTimeout+roundGrace)
		defer cancel()
		ks.wait(patience, r, who, true)
	}
	return ks.Current(time.Now())
}

// AwaitKey is for a request whose token names a key that the snapshot lacks.
// It waits for one fetch that begins after the call, shared by everyone who
// asks, and returns the then current snapshot, with the key or without. The
// tenant is asked at most once per refresh_cooldown this way; within it the
// answer is immediate, and one fetch is due at its end, so that a key
// published after a made-up kid is not missed for long.
func (ks *Set) AwaitKey(ctx context.Context, kid string, who Requester) *Snapshot {
	ks.Start()
	mayForce := true
	for {
		s := ks.Current(time.Now())
		if s != nil && s.Key(kid) != nil {
			return s
		}
		r, fresh := ks.roundForKey(time.Now(), mayForce)
		if r == nil {
			// A fetch may have ended since s was read.
			return ks.Current(time.Now())
		}
		if !ks.wait(ctx, r, who, false) || fresh {
			return ks.Current(time.Now())
		}
		// The fetch had begun before this request came, so the key may be
		// newer than its answer. One that nobody forced does not count.
		mayForce = !r.forced
	}
}

// roundForKey returns the fetch to wait for: the one in flight, or a fresh
// one that is yet to begin. It returns nil if neither may be had now; then one
// is due at the end of the cooldown.
func (ks *Set) roundForKey(now time.Time, mayForce bool) (r *round, fresh bool) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	switch cooledAt := ks.lastForced.Add(ks.cfg.RefreshCooldown); {
	case ks.closed:
		return nil, false
	case ks.pending != nil:
		// It has not begun yet, so it can still become what this request needs.
		ks.pending.unconditional = true
		return ks.pending, true
	case mayForce && ks.running != nil:
		return ks.running, false
	case mayForce && (ks.lastForced.IsZero() || !now.Before(cooledAt)):
		ks.lastForced = now
		return ks.request(true), true
	case ks.forcedAt.IsZero():
		ks.forcedAt = cooledAt
		ks.settle()
		ks.poke()
	}
	return nil, false
}

// settle notes until when the next unknown key changes nothing. Whoever changes
// running, pending or forcedAt calls it, and holds mu.
func (ks *Set) settle() {
	if ks.running != nil || ks.pending != nil {
		ks.settledUntil.Store(nil)
		return
	}
	until := ks.forcedAt // if no fetch was put off, long ago
	ks.settledUntil.Store(&until)
}

// Excludes reports whether AwaitKey would answer at once that there is no such
// key, and change nothing: no fetch is under way, refresh_cooldown is not over,
// and the fetch at its end is due already. Then nothing depends on what else the
// token says. It takes no lock, since a flood of made-up kids comes this way.
//
// A set that holds no keys excludes none.
func (ks *Set) Excludes(kid string) bool {
	// In this order: keys that come after it was settled are seen.
	until := ks.settledUntil.Load()
	if until == nil {
		return false
	}
	now := time.Now()
	s := ks.Current(now)
	return s != nil && s.Key(kid) == nil && now.Before(*until)
}

// CooledIn is how long no unknown kid can force a fetch: what is left of
// refresh_cooldown.
func (ks *Set) CooledIn(now time.Time) time.Duration {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if ks.lastForced.IsZero() {
		return 0
	}
	return max(0, ks.lastForced.Add(ks.cfg.RefreshCooldown).Sub(now))
}

// request asks the refresher for a round. The caller holds mu.
func (ks *Set) request(forced bool) *round {
	ks.pending = &round{forced: forced, unconditional: forced, done: make(chan struct{})}
	ks.settle()
	ks.poke()
	return ks.pending
}

// poke tells the refresher to look at what it should do next.
func (ks *Set) poke() {
	select {
	case ks.wake <- struct{}{}:
	default: // it has been told and has not looked yet
	}
}

// wait reports whether the round ended before the request, its patience or the
// key set did. Who finds no place does not wait.
func (ks *Set) wait(ctx context.Context, r *round, who Requester, keyless bool) bool {
	if !ks.waiting.enter(who, keyless) {
		return false
	}
	defer ks.waiting.leave(who)
	select {
	case <-r.done:
		return true
	case <-ctx.Done():
	case <-ks.life.Done():
	}
	return false
}

// RetryAfter returns the seconds after which a request that found no keys may
// try again.
func (ks *Set) RetryAfter(now time.Time) int {
	ks.mu.Lock()
	next := ks.nextAt
	ks.mu.Unlock()
	return max(1, int(math.Ceil(next.Sub(now).Seconds())))
}

// RefreshNow fetches the keys and returns how that went. The fetch begins
// after the call and is not bound to ctx, only the waiting is.
func (ks *Set) RefreshNow(ctx context.Context) error {
	ks.Start()
	ks.mu.Lock()
	r := ks.pending
	if r == nil {
		r = ks.request(false)
	}
	ks.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	case <-ks.life.Done():
		return ks.life.Err()
	}
}
