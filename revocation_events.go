package logtoauth

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// storeTimeout is how long whoever tells of a revocation waits until it is
// stored. Logto sends a webhook again that was not answered well.
const storeTimeout = 5 * time.Second

// The values of the label source of revocation_events_total.
const (
	fromWebhook     = "webhook"
	fromBackChannel = "back_channel"
	fromAdmin       = "admin"
)

// The values of its label result.
const (
	eventListed   = "ok"      // something is on the list now
	eventIgnored  = "ignored" // it says nothing that ends a token
	eventRefused  = "refused" // it is not from Logto, or unreadable
	eventUnstored = "failed"  // it counts here, but could not be stored
)

// answerEvent counts a message that should end tokens or sessions, and answers
// it. Nothing is said but the status.
func answerEvent(w http.ResponseWriter, r *http.Request, source string, status int, result string) {
	metrics.revocationEvents.WithLabelValues(source, result).Inc()
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	if r.ProtoMajor == 1 && status >= http.StatusBadRequest {
		header.Set("Connection", "close") // the body may not have been read
	}
	w.WriteHeader(status)
}

// tell puts what Logto says on the list. An entry's end follows from what it
// says and not from when it came, so that one that comes again is no news. One
// that an administrator has taken back since has been obeyed.
func (e *endings) tell(ctx context.Context, entries []session.Entry) error {
	var errs []error
	for i := range entries {
		entries[i].Expires = entries[i].NotBefore.Add(e.lasts(entries[i].Kind))
	}
	for _, err := range e.add(ctx, entries) {
		if !errors.Is(err, session.ErrTakenBack) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// lasts is how long an entry of a kind is kept.
func (e *endings) lasts(kind session.EntryKind) time.Duration {
	keep := cmp.Or(e.keep(), time.Duration(defaultKeep))
	switch kind {
	case session.ByMember, session.ByOrganization, session.ByToken:
		return keep
	}
	return max(keep, time.Duration(e.longest.Load()))
}

// add puts entries on the list and waits until they are stored. All are on it
// before any is waited for: a slow storage must not hold the last one back.
func (e *endings) add(ctx context.Context, entries []session.Entry) []error {
	e.list.Start(e.life)
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	errs := make([]error, len(entries))
	var adding sync.WaitGroup
	for i, entry := range entries {
		adding.Go(func() { errs[i] = e.list.Add(ctx, entry) })
	}
	adding.Wait()
	return errs
}
