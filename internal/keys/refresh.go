package keys

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// Failed fetches are repeated after firstRetry, then twice as long each
	// time, up to a bound that is tighter while there is nothing to verify
	// tokens with.
	firstRetry        = 250 * time.Millisecond
	maxRetryKeyless   = 5 * time.Second
	maxRetryWithKeys  = time.Minute
	maxRetryDoublings = 16
)

// refreshDelay is the time to the next fetch after a good one. Jitter keeps
// many instances from asking at the same moment and only ever shortens.
func refreshDelay(interval time.Duration) time.Duration {
	return interval - rand.N(interval/10+1) //nolint:gosec // nobody gains by guessing it
}

// retryDelay is the time to the next fetch after n failed ones in a row.
func retryDelay(n int, bound time.Duration) time.Duration {
	delay := min(bound, firstRetry<<min(n-1, maxRetryDoublings))
	return delay - rand.N(delay/2+1) //nolint:gosec // nobody gains by guessing it
}

// refresh is the goroutine of a key set. All fetches happen here, one at a
// time, from the first start to the pool's destructor.
func (ks *Set) refresh() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ks.life.Err() == nil {
		r, delay := ks.nextRound(time.Now())
		if r != nil {
			ks.run(r)
			continue
		}
		timer.Reset(delay)
		select {
		case <-timer.C:
		case <-ks.wake:
		case <-ks.life.Done():
		}
	}
}

// nextRound returns the round that is due, or how long there is none.
func (ks *Set) nextRound(now time.Time) (*round, time.Duration) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	putOff := !ks.forcedAt.IsZero()
	due := ks.nextAt
	if putOff && ks.forcedAt.Before(due) {
		due = ks.forcedAt
	}
	r := ks.pending
	if r == nil {
		if delay := due.Sub(now); delay > 0 {
			return nil, delay
		}
		r = &round{forced: putOff && !now.Before(ks.forcedAt), done: make(chan struct{})}
	}
	// Whatever made this fetch due, it answers the one that was put off, and
	// that was for an unknown kid.
	r.unconditional = r.unconditional || putOff
	ks.forcedAt = time.Time{}
	if r.forced {
		ks.lastForced = now
	}
	ks.pending, ks.running = nil, r
	ks.settle()
	return r, 0
}

// run fetches once and ends the round.
func (ks *Set) run(r *round) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ks.life, ks.cfg.FetchTimeout)
	defer cancel()
	env := ks.environment()
	if ks.store != nil && ks.Current(began) == nil {
		ks.store.beginLoad(ks, env.Storage)
	}
	toStore := ks.store != nil && env.Storage != nil && ks.store.isDue(began)
	got, err := ks.source.fetch(ctx, r.unconditional || toStore)
	switch {
	case ks.life.Err() != nil:
		r.err = ks.life.Err()
	case err != nil:
		r.err = err
		ks.failed(ctx, err, env)
	default:
		ks.succeeded(got, began, env)
	}
	ks.mu.Lock()
	ks.running = nil
	ks.settle()
	ks.mu.Unlock()
	close(r.done)
	if ks.afterRound != nil {
		now := time.Now()
		ks.afterRound(ks.Current(now), now)
	}
}

// succeeded publishes what was fetched and sets the clock for the next time.
func (ks *Set) succeeded(got *fetched, began time.Time, env *Environment) {
	from := originTenant
	if _, ok := ks.source.(fileSource); ok {
		from = originFile
	}
	old := ks.held.Load()
	s := ks.publish(got.keys, got.jwksURI, from, began)
	ks.mu.Lock()
	ks.nextAt = time.Now().Add(refreshDelay(ks.cfg.RefreshInterval))
	ks.mu.Unlock()
	if ks.store != nil && !got.unchanged {
		ks.store.beginSave(ks, got, began, env)
	}
	ks.reportSuccess(old, s, got, env)
}

// failed keeps the last good keys, or falls back on stored ones, and sets the
// clock for the next attempt.
func (ks *Set) failed(ctx context.Context, err error, env *Environment) {
	ks.markFailing()
	if ks.store != nil && ks.Current(time.Now()) == nil {
		ks.fallBack(ctx, env)
	}
	now := time.Now()
	s := ks.Current(now)
	ks.mu.Lock()
	ks.progress.failures++
	bound := maxRetryKeyless
	if s != nil {
		bound = min(maxRetryWithKeys, max(ks.cfg.RefreshInterval, firstRetry))
	}
	ks.nextAt = now.Add(retryDelay(ks.progress.failures, bound))
	if s != nil && ks.maxStale < forever {
		// No long pause may begin just before the keys go stale.
		if staleAt := s.fetchedAt.Add(ks.maxStale); staleAt.After(now) && staleAt.Before(ks.nextAt) {
			ks.nextAt = staleAt
		}
	}
	ks.mu.Unlock()
	ks.reportFailure(err, s, env)
}

// markFailing starts the count of max_stale for the keys that are held.
func (ks *Set) markFailing() {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if s := ks.held.Load(); s != nil && !s.failing {
		failing := *s
		failing.failing = true
		ks.held.Store(&failing)
	}
}

// fallBack publishes stored keys, if there are any to be had before the
// requests that wait for this round lose their patience. Until the tenant has
// answered they are the best there is; they are not read before it had its
// chance, since a key that it has withdrawn may still be in them.
func (ks *Set) fallBack(ctx context.Context, env *Environment) {
	stored := ks.store.await(ctx)
	if stored == nil {
		return
	}
	set, err := stored.accept(ks.cfg, time.Now())
	ks.store.reportLoad(err, env)
	if set != nil { // then it is newer than what is held, which has gone stale
		ks.publish(set.keys, set.jwksURI, originStorage, set.fetchedAt)
	}
}
