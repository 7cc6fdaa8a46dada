package keys

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

const (
	// storageTimeout bounds one visit to Caddy's storage. No request waits
	// for it that long.
	storageTimeout = 30 * time.Second

	// storedFormat is raised when older versions could misread what is stored.
	storedFormat = 1

	maxStoredSize = maxResponseBody + 64<<10
)

// Storage is what keys are stored in: the part of Caddy's storage, certmagic's,
// that this takes. A key that is not there is an error that is
// [fs.ErrNotExist].
type Storage interface {
	Load(ctx context.Context, key string) ([]byte, error)
	Store(ctx context.Context, key string, value []byte) error
	Lock(ctx context.Context, name string) error
	Unlock(ctx context.Context, name string) error
}

// keyStore keeps the last good keys of a key set in Caddy's storage, for a
// restart or a new replica while the tenant is down. What is stored is a
// fallback and never a trust root that renews itself: it keeps the time at
// which the tenant was asked, and no ETag, so that the first fetch after it
// is answered in full.
//
// Its methods are called by the refresher; storage is visited in goroutines
// of its own, at most one to read and one to write, because it may hang.
type keyStore struct {
	cfg     Config
	loading chan storedResult
	lastErr string // of reading, as last logged

	mu         sync.Mutex
	saving     bool
	saveFailed bool
	saved      []byte // the set that was stored last
	savedAt    time.Time
	storages   int // how many configs have lent theirs
}

// storedKeys is what is stored. Trust repeats the digest in the path: a file
// that is copied to another tenant's place is not believed there.
type storedKeys struct {
	Format    int       `json:"format"`
	Trust     string    `json:"trust"`
	Tenant    string    `json:"tenant"` // for people
	JWKSURI   string    `json:"jwks_uri"`
	FetchedAt time.Time `json:"fetched_at"`
	JWKS      struct {
		Keys []json.RawMessage `json:"keys"`
	} `json:"jwks"`
}

type storedResult struct {
	data []byte
	err  error
}

// storagePath is where the keys of these trust settings are. Key sets that
// differ in the rest only (intervals, max_stale) share it: what the tenant
// said is the same, and each judges its age by its own max_stale.
func storagePath(cfg Config) string {
	return "logto_auth/keys/" + cfg.trust() + ".json"
}

// beginLoad starts to read the storage beside a fetch, so that a tenant that
// never answers and the storage are not waited for in turn.
func (st *keyStore) beginLoad(ks *Set, storage Storage) {
	if st.loading != nil && len(st.loading) == 0 {
		return // the last reading has not ended
	}
	st.loading = nil
	if storage == nil {
		return
	}
	loading := make(chan storedResult, 1)
	st.loading = loading
	ks.goroutines.Go(func() {
		ctx, cancel := context.WithTimeout(ks.life, storageTimeout)
		defer cancel()
		data, err := storage.Load(ctx, storagePath(st.cfg))
		loading <- storedResult{data, err}
	})
}

// await returns what was read, or nil if it has not come by the end of the
// context.
func (st *keyStore) await(ctx context.Context) *storedResult {
	if st.loading == nil {
		return nil
	}
	select {
	case r := <-st.loading: // also when the fetch has used up the context
		st.loading = nil
		return &r
	default:
	}
	select {
	case r := <-st.loading:
		st.loading = nil
		return &r
	case <-ctx.Done():
		return nil
	}
}

// accept validates what was stored like an answer of the tenant, and its
// time. It returns nil where nothing was stored.
func (r *storedResult) accept(cfg Config, now time.Time) (*Snapshot, error) {
	if errors.Is(r.err, fs.ErrNotExist) {
		return nil, nil
	}
	if r.err != nil {
		return nil, r.err
	}
	stored, err := decodeStored(r.data, cfg)
	if err != nil {
		return nil, err
	}
	age := now.Sub(stored.FetchedAt)
	switch {
	case age < 0:
		return nil, errors.New("they claim to have been fetched in the future")
	case age >= cfg.MaxStale:
		return nil, errors.New("they are older than max_stale")
	case cfg.JWKSURI == "":
		err = checkJWKSURI(stored.JWKSURI, cfg)
	case stored.JWKSURI != cfg.JWKSURI:
		err = errors.New("not the configured one")
	}
	if err != nil {
		return nil, fmt.Errorf("their jwks_uri: %w", err)
	}
	document, err := json.Marshal(stored.JWKS)
	if err != nil {
		return nil, err
	}
	set, err := parseJWKS(document)
	if err != nil {
		return nil, err
	}
	// Counted back from now, the time keeps its monotonic clock: a step of
	// the wall clock does not age the keys.
	return &Snapshot{keys: set.keys, jwksURI: stored.JWKSURI, fetchedAt: now.Add(-age)}, nil
}

func decodeStored(data []byte, cfg Config) (*storedKeys, error) {
	if len(data) > maxStoredSize {
		return nil, errors.New("they are too large")
	}
	var stored storedKeys
	if err := json.Unmarshal(data, &stored); err != nil {
		return nil, fmt.Errorf("they are no valid JSON: %w", err)
	}
	if stored.Format != storedFormat {
		return nil, errors.New("they have an unknown format")
	}
	if stored.Trust != cfg.trust() {
		return nil, errors.New("they were fetched under other trust settings")
	}
	return &stored, nil
}

// renewAfter is the age at which what is stored is written anew even if no
// key has changed, so that it serves for nearly max_stale after any crash.
func (st *keyStore) renewAfter() time.Duration { return st.cfg.MaxStale / 10 }

// isDue tells whether the next fetch should end in a write. Only an answer
// with 200 may be written, so that fetch has to be unconditional.
func (st *keyStore) isDue(now time.Time) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.saved == nil || now.Sub(st.savedAt) >= st.renewAfter()
}

// storageChanged makes a write due: a new config may have a new storage.
func (st *keyStore) storageChanged() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.saved = nil
	st.storages++
}

// beginSave starts to write a set that the tenant has just answered with 200,
// if it says more than what was written last.
func (st *keyStore) beginSave(ks *Set, got *fetched, fetchedAt time.Time, env *Environment) {
	if env.Storage == nil {
		return
	}
	record := storedKeys{
		Format: storedFormat, Trust: st.cfg.trust(), Tenant: st.cfg.name(),
		JWKSURI: got.jwksURI, FetchedAt: fetchedAt.UTC(),
	}
	record.JWKS.Keys = got.raw
	set, err := json.Marshal(record.JWKS)
	if err != nil {
		return // raw members of a parsed document always encode
	}
	due := st.isDue(fetchedAt)
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.saving || !due && bytes.Equal(set, st.saved) {
		return
	}
	st.saving = true
	storages := st.storages
	ks.goroutines.Go(func() {
		ctx, cancel := context.WithTimeout(ks.life, storageTimeout)
		defer cancel()
		err := saveNewer(ctx, env.Storage, record, st.cfg)
		st.mu.Lock()
		defer st.mu.Unlock()
		st.saving = false
		if err == nil && storages == st.storages {
			st.saved, st.savedAt = set, fetchedAt
		}
		if ks.life.Err() == nil {
			st.reportSave(err, env)
		}
	})
}

// saveNewer writes a set unless a newer one is there. Replicas share the
// storage: one whose request was slow must not bring back a key that the
// tenant has withdrawn since. Hence the lock.
func saveNewer(ctx context.Context, storage Storage, record storedKeys, cfg Config) (err error) {
	path := storagePath(cfg)
	if err = storage.Lock(ctx, path); err != nil {
		return fmt.Errorf("locking: %w", err)
	}
	defer func() {
		unlockErr := storage.Unlock(context.WithoutCancel(ctx), path)
		if err == nil && unlockErr != nil {
			err = fmt.Errorf("unlocking: %w", unlockErr)
		}
	}()
	// What is not there or cannot be read is no reason not to write.
	data, _ := storage.Load(ctx, path)
	if there, invalid := decodeStored(data, cfg); invalid == nil {
		// A time in the future is never believed, so it protects nothing.
		if there.FetchedAt.After(record.FetchedAt) && !there.FetchedAt.After(time.Now()) {
			return nil
		}
	}
	if data, err = json.Marshal(record); err != nil {
		return err
	}
	return storage.Store(ctx, path, data)
}

// reportLoad logs trouble with reading once per change; storage is read in
// every attempt while no key is held.
func (st *keyStore) reportLoad(err error, env *Environment) {
	text := ""
	if err != nil {
		text = legible.Error(err)
	}
	if text != "" && text != st.lastErr {
		env.log().Warn("stored keys cannot be used", zap.String("tenant", st.cfg.name()), zap.String("error", text))
	}
	st.lastErr = text
}

// reportSave logs that keys cannot be stored, and that they can be again,
// once each: the texts of file systems hold names that are new every time.
// The caller holds mu.
func (st *keyStore) reportSave(err error, env *Environment) {
	switch {
	case err != nil && !st.saveFailed:
		env.log().Warn("keys cannot be stored; a restart while the tenant is down would have none",
			zap.String("tenant", st.cfg.name()), zap.String("error", legible.Error(err)))
	case err == nil && st.saveFailed:
		env.log().Info("keys are stored again", zap.String("tenant", st.cfg.name()))
	}
	st.saveFailed = err != nil
}
