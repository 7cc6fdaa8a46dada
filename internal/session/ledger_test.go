package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestACodeIsExchangedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLedger[string](t.Context(), time.Now)
		var runs atomic.Int32
		exchange := func(ctx context.Context) (string, error) {
			runs.Add(1)
			time.Sleep(time.Second)
			return "a session", ctx.Err()
		}
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				if got, err := l.Do(t.Context(), "id", exchange); got != "a session" || err != nil {
					t.Errorf("a double click gets %q, %v", got, err)
				}
			})
		}
		group.Wait()
		time.Sleep(resultKept - time.Millisecond)
		if got, err := l.Do(t.Context(), "id", exchange); got != "a session" || err != nil {
			t.Errorf("a reload gets %q, %v", got, err)
		}
		time.Sleep(time.Millisecond)
		if got, err := l.Do(t.Context(), "id", exchange); got != "" || !errors.Is(err, ErrStateUsed) {
			t.Errorf("after a minute one gets %q, %v", got, err)
		}
		time.Sleep(time.Hour - 2*resultKept)
		if _, err := l.Do(t.Context(), "id", exchange); !errors.Is(err, ErrStateUsed) {
			t.Errorf("after most of an hour one gets %v", err)
		}
		time.Sleep(time.Minute - time.Second) // a state opens for this long
		if _, err := l.Do(t.Context(), "id", exchange); !errors.Is(err, ErrStateUsed) {
			t.Errorf("after an hour one gets %v", err)
		}
		if runs.Load() != 1 {
			t.Errorf("the code was sent %d times", runs.Load())
		}
		if _, err := l.Do(t.Context(), "other", exchange); err != nil || runs.Load() != 2 {
			t.Errorf("another sign-in: %v", err)
		}
	})
}

func TestAFailedExchangeIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLedger[int](t.Context(), time.Now)
		failed := errors.New("no answer")
		for range 3 {
			if _, err := l.Do(t.Context(), "id", func(context.Context) (int, error) { return 0, failed }); !errors.Is(err, failed) {
				t.Errorf("the error is %v", err)
			}
		}
		if got, err := l.Do(t.Context(), "id", func(context.Context) (int, error) { return 1, nil }); !errors.Is(err, failed) {
			t.Errorf("another attempt gets %d, %v", got, err)
		}
		for range 2 {
			if _, err := l.Do(t.Context(), "panics", func(context.Context) (int, error) { panic("x") }); err == nil {
				t.Error("a panic is no error")
			}
		}
	})
}

// Who leaves while the code is on its way, and reloads, finds the session.
func TestWhoLeavesDoesNotCancelTheExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLedger[string](t.Context(), time.Now)
		exchange := func(ctx context.Context) (string, error) {
			select {
			case <-time.After(3 * time.Second):
				return "a session", nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Do(ctx, "id", exchange); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who leaves gets %v", err)
		}
		if got, err := l.Do(t.Context(), "id", exchange); got != "a session" || err != nil {
			t.Errorf("a reload gets %q, %v", got, err)
		}
	})
}

func TestTheLedgerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLedger[int](t.Context(), time.Now)
		l.limit = 100
		blocked := make(chan struct{})
		quick := func(context.Context) (int, error) { return 1, nil }
		do := func(id string) error {
			_, err := l.Do(t.Context(), id, quick)
			return err
		}
		for i := range 1000 {
			if err := do(fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		if len(l.known) > 100 || len(l.ids) > 100 {
			t.Errorf("%d ids are known, %d in order", len(l.known), len(l.ids))
		}
		time.Sleep(time.Hour + time.Second)
		go func() {
			_, _ = l.Do(t.Context(), "slow", func(context.Context) (int, error) { <-blocked; return 2, nil })
		}()
		synctest.Wait()
		if len(l.known) != 1 || len(l.results) != 0 {
			t.Errorf("after an hour %d ids and %d results are known", len(l.known), len(l.results))
		}
		for i := range 200 {
			if err := do(fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		if l.known["slow"] == nil {
			t.Error("an exchange that runs was forgotten")
		}
		close(blocked)
		synctest.Wait()
		if err := do("slow"); err != nil {
			t.Error(err)
		}
		if err := do("last"); err != nil || len(l.known) > 100 {
			t.Errorf("%d ids are known afterwards, %v", len(l.known), err)
		}
	})
}

func TestResultsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLedger[int](t.Context(), time.Now)
		for i := range maxResults + 10 {
			_, _ = l.Do(t.Context(), fmt.Sprint(i), func(context.Context) (int, error) { return i, nil })
		}
		if _, err := l.Do(t.Context(), "0", nil); !errors.Is(err, ErrStateUsed) {
			t.Errorf("the oldest result: %v", err)
		}
		if got, err := l.Do(t.Context(), fmt.Sprint(maxResults), nil); got != maxResults || err != nil {
			t.Errorf("a newer result: %d, %v", got, err)
		}
	})
}
