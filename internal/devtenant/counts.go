package devtenant

import "context"

// Counts says how many requests have arrived at each endpoint, failed ones
// included, CORS preflights left out.
type Counts struct {
	Discovery     int
	JWKS          int
	Token         int
	Authorization int // without the return from the sign-in page
	Revocation    int
	EndSession    int // without the confirmations

	// How many of the token requests were for a code, how many for a refresh.
	Exchanges int
	Refreshes int
}

// Counts returns the requests that have arrived so far.
func (t *Tenant) Counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.countsLocked()
}

func (t *Tenant) countsLocked() Counts {
	return Counts{
		Discovery:     t.requests[discoveryEndpoint],
		JWKS:          t.requests[jwksEndpoint],
		Token:         t.requests[tokenEndpoint],
		Authorization: t.requests[authorizationEndpoint],
		Revocation:    t.requests[revocationEndpoint],
		EndSession:    t.requests[endSessionEndpoint],
		Exchanges:     t.exchanges,
		Refreshes:     t.refreshes,
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

// arrival is what is to happen to a request.
type arrival struct {
	number   int // of all requests, from one on
	fault    Fault
	released func() bool
}

// arrive counts a request and says what is to happen to it. Both in one step:
// whoever has seen the request in Counts may Release it. The steps within a
// sign-in or sign-out are no requests of their own to those who count.
func (t *Tenant) arrive(ep oidcEndpoint, path, grantType string) arrival {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.arrivals++
	if path != endSessionConfirmPath && path != endSessionSuccessPath && !resumes(path) {
		t.requests[ep]++
	}
	if ep == tokenEndpoint {
		switch grantType {
		case authorizationCodeGrant:
			t.exchanges++
		case refreshTokenGrant:
			t.refreshes++
		}
	}
	t.announceLocked()
	fault := t.faults[ep]
	if fault == nil {
		fault = None
	}
	before := t.releases
	return arrival{number: t.arrivals, fault: fault, released: func() bool { return t.releases > before }}
}
