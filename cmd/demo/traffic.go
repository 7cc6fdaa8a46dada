package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// trafficWorkers is how many clients send requests at the same time.
const trafficWorkers = 4

// traffic is a stream of requests that are all to be answered alike, whatever
// happens to the tenant meanwhile.
type traffic struct {
	check   check
	running context.Context // ends when no more requests are to be sent
	end     context.CancelCauseFunc
	workers sync.WaitGroup
	rounds  [trafficWorkers]chan struct{}

	mu              sync.Mutex // guards all below
	sent, different int
	got             answer // the first one that differed, else the wanted one
}

// startTraffic sends the request of a check until stop is called.
func startTraffic(ctx context.Context, s *stack, host string, c check) *traffic {
	t := &traffic{check: c, got: c.want}
	t.running, t.end = context.WithCancelCause(ctx)
	for i := range t.rounds {
		t.rounds[i] = make(chan struct{})
		t.workers.Go(func() {
			for t.running.Err() == nil {
				if err := t.round(ctx, s, host); err != nil {
					t.end(fmt.Errorf("%s: %w", c.name, err))
				}
				select {
				case t.rounds[i] <- struct{}{}:
				default: // nobody is counting
				}
			}
		})
	}
	return t
}

// round sends a token that is new, then once more, when it has been seen.
func (t *traffic) round(ctx context.Context, s *stack, host string) error {
	token := t.check.token(s)
	for range 2 {
		got, err := send(ctx, s, host, t.check, token)
		if err != nil {
			return err
		}
		t.note(got)
	}
	return nil
}

func (t *traffic) note(got answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent++
	if got == t.check.want {
		return
	}
	if t.different == 0 {
		t.got = got
	}
	t.different++
}

// lap returns when each worker has begun and ended a round since the call, so
// that what happened before it was met by requests.
func (t *traffic) lap() error {
	for _, rounds := range t.rounds {
		for range 2 { // the first one may have begun before
			select {
			case <-rounds:
			case <-t.running.Done():
				return context.Cause(t.running)
			}
		}
	}
	return nil
}

// stop lets the requests under way end and tells how all of them were
// answered.
func (t *traffic) stop() (result, error) {
	t.end(errStopped)
	t.workers.Wait()
	if cause := context.Cause(t.running); !errors.Is(cause, errStopped) {
		return result{}, cause
	}
	name := fmt.Sprintf("%s: %d of %d answered otherwise", t.check.name, t.different, t.sent)
	return result{name: name, want: t.check.want, got: t.got}, nil
}

// errStopped is the cause that is no failure.
var errStopped = errors.New("stopped")
