package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// resultKept is how long a repeated callback gets the first one's result:
	// a reload, a double click, a browser that tries again.
	resultKept = time.Minute

	// maxExchanges and maxResults bound the ids in memory, which are kept as
	// long as a state is good for, and of these the results.
	maxExchanges = 100_000
	maxResults   = 10_000
)

// ErrStateUsed says that a sign-in with this state has ended over a minute ago.
var ErrStateUsed = errors.New("the state has been used")

// Ledger lets every sign-in exchange its code once. Logto ends the whole grant
// when a code comes twice: the sessions of other tabs too. T is what a callback
// answers with.
type Ledger[T any] struct {
	life  context.Context // the process's: an exchange outlives the request that began it
	now   func() time.Time
	limit int // maxExchanges

	mu      sync.Mutex
	known   map[string]*exchange[T] // by state id; nil: used, and the result is forgotten
	ids     []usedID                // all of known, in the order of their start
	results []*exchange[T]          // those of known that have ended, in the order of their end
}

type usedID struct {
	id      string
	started time.Time
}

// exchange is one sign-in's. Its result can be read once done is closed.
type exchange[T any] struct {
	id     string
	done   chan struct{}
	result T
	err    error
	ended  time.Time // zero while it runs; guarded by the ledger's mu
}

// NewLedger makes a ledger. Exchanges that run end with the context.
func NewLedger[T any](life context.Context, now func() time.Time) *Ledger[T] {
	return &Ledger[T]{life: life, now: now, limit: maxExchanges, known: make(map[string]*exchange[T])}
}

// Do runs an exchange the first time that it sees the id of a state. Repeats
// wait for it and for a minute get the same result; then they get
// ErrStateUsed. The exchange is not bound to the request's context: who leaves
// and comes back finds it done. Its error is part of the result: a failed
// exchange is not tried again, the person starts a new sign-in.
func (l *Ledger[T]) Do(ctx context.Context, id string, run func(context.Context) (T, error)) (T, error) {
	var none T
	e := l.begin(id, run)
	if e == nil {
		return none, ErrStateUsed
	}
	select {
	case <-e.done:
		return e.result, e.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// begin returns the exchange with this id, which it starts if there is none,
// or nil if its result is forgotten.
func (l *Ledger[T]) begin(id string, run func(context.Context) (T, error)) *exchange[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.tidy(now)
	if e, ok := l.known[id]; ok {
		return e
	}
	e := &exchange[T]{id: id, done: make(chan struct{})}
	l.known[id] = e
	l.ids = append(l.ids, usedID{id, now})
	go l.run(e, run)
	return e
}

func (l *Ledger[T]) run(e *exchange[T], run func(context.Context) (T, error)) {
	defer func() {
		// Nobody else would recover it here, and all of Caddy would end.
		if cause := recover(); cause != nil {
			e.err = fmt.Errorf("the exchange panicked: %v", cause)
		}
		l.mu.Lock()
		e.ended = l.now()
		l.results = append(l.results, e)
		l.mu.Unlock()
		close(e.done)
	}()
	e.result, e.err = run(l.life)
}

// tidy forgets results after a minute and ids after an hour. Over the bounds
// the oldest go first: a code that is older than a minute has expired at Logto,
// so its id is the one that protects least. The caller holds mu.
func (l *Ledger[T]) tidy(now time.Time) {
	for len(l.results) > 0 {
		oldest := l.results[0]
		if now.Sub(oldest.ended) < resultKept && len(l.results) <= maxResults {
			break
		}
		l.results[0] = nil
		l.results = l.results[1:]
		if l.known[oldest.id] == oldest {
			l.known[oldest.id] = nil
		}
	}
	for len(l.ids) > 0 {
		oldest := l.ids[0]
		if now.Sub(oldest.started) <= flowLifetime && len(l.ids) < l.limit {
			break
		}
		if e := l.known[oldest.id]; e != nil && e.ended.IsZero() {
			break // it still runs, and must not run twice
		}
		l.ids = l.ids[1:]
		delete(l.known, oldest.id)
	}
}
