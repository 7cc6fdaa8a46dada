package logtoauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/configs"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

const (
	// endedPrefix is the directory in Caddy's storage below which the lists of
	// ended sessions are, one for each issuer.
	endedPrefix = "logto_auth/ended/"

	// endedInterval is how often the newest entries are read, for sessions that
	// ended at another replica.
	endedInterval = 10 * time.Second
)

// endings is what all apps of one tenant share: the list of ended sessions, the
// codes that were exchanged, and the bound on token requests.
type endings struct {
	issuer  string
	list    *session.List
	gate    *session.Gate
	ledger  *session.Ledger[signedIn] // here, since no change of a setting may make a code come twice
	configs configs.Lent[App]
	joined  *joinedLists // the tenant's, this one among them
	life    context.Context
	end     context.CancelFunc

	// longest is the longest lifetime of all sign_in, in nanoseconds: each of
	// them may have to know what another one has ended.
	longest atomic.Int64
}

// lastFor notes that sessions may last so long.
func (e *endings) lastFor(lifetime time.Duration) {
	for {
		known := e.longest.Load()
		if known >= int64(lifetime) || e.longest.CompareAndSwap(known, int64(lifetime)) {
			return
		}
	}
}

func newEndings(issuer string) *endings {
	e := &endings{issuer: issuer, gate: session.NewGate()}
	e.joined = newJoinedLists(e)
	e.life, e.end = context.WithCancel(context.Background())
	e.ledger = session.NewLedger[signedIn](e.life, systemClock)
	digest := sha256.Sum256([]byte(issuer))
	e.list = session.NewList(session.ListOptions{
		Prefix:   endedPrefix + hex.EncodeToString(digest[:16]),
		Storage:  e.storage,
		Interval: e.interval,
		Now:      systemClock,
		Report:   e.report,
	})
	return e
}

// storage is that of the newest live config.
func (e *endings) storage() session.Storage {
	if app := e.configs.Current(); app != nil && app.storage != nil {
		return app.storage
	}
	return nil
}

// interval is how often the newest entries are read.
func (e *endings) interval() time.Duration {
	if e.keep() > 0 {
		return revokedInterval
	}
	return endedInterval
}

// keep is how long entries about tokens are kept, or 0 where none is needed.
func (e *endings) keep() time.Duration {
	if app := e.configs.Current(); app != nil {
		return app.signIn.keeps.of(e.issuer)
	}
	return 0
}

// logger is that of the newest live config.
func (e *endings) logger() *zap.Logger {
	if app := e.configs.Current(); app != nil && app.env.Logger != nil {
		return app.env.Logger
	}
	return zap.NewNop()
}

// report logs what happens to the list, once per change.
func (e *endings) report(event session.Event, err error) {
	logger, cause := e.logger(), zap.Skip()
	if err != nil {
		cause = zap.String("error", legible.Error(err))
	}
	switch event {
	case session.ReadFailed:
		logger.Warn("the list of revocations and ended sessions cannot be read; what was read before counts, and entries that other replicas make do not", cause)
	case session.NeverRead:
		logger.Warn("the list of revocations and ended sessions could not be read since the start; tokens that were revoked and sessions that have ended may be admitted", cause)
	case session.NeverAnswered:
		logger.Warn("the storage of the list of revocations and ended sessions does not answer since the start; requests that are judged by the list get 503", cause)
	case session.ReadRecovered:
		logger.Info("the list of revocations and ended sessions can be read again")
	case session.WriteFailed:
		logger.Warn("an entry of the list of revocations and ended sessions cannot be stored; until it is, it counts here only, and not after a restart", cause)
	case session.WriteRecovered:
		logger.Info("entries of the list of revocations and ended sessions can be stored again")
	case session.EntryUnreadable:
		logger.Warn("an entry of the list of revocations and ended sessions cannot be read and is left out", cause)
	case session.ListIsFull:
		logger.Error("the list of revocations and ended sessions is full; what new entries should end goes on until it expires; use a shorter lifetime in sign_in, or a shorter keep in revocation", cause)
	case session.EntriesFolded:
		logger.Info("more than 32 sessions of one person have ended before their time; one entry stands for the older ones now, and ends all sessions of that person that were signed in before")
	}
}

// Destruct implements caddy.Destructor. What is still to be stored is, unless
// the storage hangs.
func (e *endings) Destruct() error {
	e.end()
	e.list.Join()
	return nil
}

// ended is a context that has ended, with which nothing waits.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// await waits until the list has been read once.
func (e *endings) await(ctx context.Context, timeout time.Duration) error {
	e.list.Start(e.life) // a request may come before the app's Start
	if e.list.Wait(ended) == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return e.list.Wait(ctx)
}

// Interface guard.
var _ caddy.Destructor = (*endings)(nil)
