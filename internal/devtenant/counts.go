package devtenant

import "context"

// Counts says how many requests have arrived at each endpoint, failed ones
// included, CORS preflights left out.
type Counts struct {
	Discovery int
	JWKS      int
	Token     int
}

// Counts returns the requests that have arrived so far.
func (t *Tenant) Counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.countsLocked()
}

func (t *Tenant) countsLocked() Counts {
	return Counts{
		Discovery: t.requests[discoveryEndpoint],
		JWKS:      t.requests[jwksEndpoint],
		Token:     t.requests[tokenEndpoint],
	}
}

// Wait returns nil once the requests that have arrived satisfy the condition,
// or the context's error. A request counts from its arrival on, so one that a
// fault holds back is seen too. The condition must not call the tenant.
func (t *Tenant) Wait(ctx context.Context, condition func(Counts) bool) error {
	return t.await(ctx, func() bool { return condition(t.countsLocked()) })
}

// await returns nil once the condition, asked with the tenant locked, holds.
func (t *Tenant) await(ctx context.Context, condition func() bool) error {
	for {
		t.mu.Lock()
		if condition() {
			t.mu.Unlock()
			return nil
		}
		// Each waiter brings its own channel and takes it away, so that one
		// tenant can serve several testing/synctest bubbles in turn: a channel
		// of one bubble may not be closed in another.
		changed := make(chan struct{})
		t.waiting[changed] = struct{}{}
		t.mu.Unlock()

		select {
		case <-changed:
		case <-ctx.Done():
			t.mu.Lock()
			delete(t.waiting, changed)
			t.mu.Unlock()
			return ctx.Err()
		}
	}
}

// announceLocked wakes those that wait.
func (t *Tenant) announceLocked() {
	for changed := range t.waiting {
		close(changed)
	}
	clear(t.waiting)
}

// arrive counts a request and says what is to happen to it. Both in one step:
// whoever has seen the request in Counts may Release it.
func (t *Tenant) arrive(ep oidcEndpoint) (fault Fault, released func() bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests[ep]++
	t.announceLocked()
	fault = t.faults[ep]
	if fault == nil {
		fault = None
	}
	before := t.releases
	return fault, func() bool { return t.releases > before }
}
