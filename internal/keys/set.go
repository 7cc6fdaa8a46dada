package logtoauth

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// destructGrace bounds how long the end of a key set waits for storage
	// that does not heed its context. Fetches do.
	destructGrace = 2 * time.Second

	forever time.Duration = math.MaxInt64
)

// snapshot is what a key set knew at one moment. It never changes.
type snapshot struct {
	issuers   []string // accepted values of `iss`
	keys      map[string]*verificationKey
	fetchedAt time.Time // when the last successful fetch began
	source    keyOrigin
	jwksURI   string
	failing   bool // the last fetch failed; only then max_stale counts
}

// keyOrigin says where the keys of a snapshot came from.
type keyOrigin string

const (
	originTenant  keyOrigin = "tenant"
	originStorage keyOrigin = "storage"
	originFile    keyOrigin = "file"
)

// key returns the key with this ID, or nil.
func (s *snapshot) key(kid string) *verificationKey { return s.keys[kid] }

// has tells whether this very key is still in the set. A key that was
// withdrawn, or replaced by another under the same ID, is not.
func (s *snapshot) has(k *verificationKey) bool { return s.keys[k.kid] == k }

// KeySet holds the keys of one tenant under one site's trust settings. It
// lives in a pool, outlasts config reloads and ends with the last config that
// refers to it. Requests read an immutable snapshot through an atomic
// pointer; one goroutine fetches, whoever asks for it.
type KeySet struct {
	cfg    tenantConfig
	source keySource
	store  *keyStore // nil if keys are never stored
	tokens *tokenCache

	maxStale time.Duration
	held     atomic.Pointer[snapshot]
	waiting  waitingRoom

	life       context.Context // ends with the key set
	end        context.CancelFunc
	goroutines sync.WaitGroup
	wake       chan struct{}

	mu               sync.Mutex // guards all below
	started, closed  bool
	environments     []attachment
	running, pending *round
	lastForced       time.Time // start of the last fetch that an unknown kid forced
	forcedAt         time.Time // when the one that was put off is due; zero if none was
	nextAt           time.Time
	progress         progress
}

// newKeySet does no I/O: it also runs in `caddy validate`.
func newKeySet(cfg tenantConfig) (*KeySet, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	ks := &KeySet{cfg: cfg, tokens: newTokenCache(cfg.CacheSize), maxStale: cfg.MaxStale, wake: make(chan struct{}, 1)}
	if cfg.JWKSFile != "" {
		ks.source = fileSource{path: cfg.JWKSFile}
		// A file has no outage to wait out; its last good keys stay.
		ks.maxStale = forever
	} else {
		source, err := newTenantSource(cfg)
		if err != nil {
			return nil, err
		}
		ks.source = source
		if cfg.MaxStale > 0 {
			ks.store = &keyStore{cfg: cfg}
		}
	}
	ks.life, ks.end = context.WithCancel(context.Background())
	return ks, nil
}

// current returns the snapshot that requests are judged by, or nil if there
// is none, or only one that has outlived max_stale while fetches fail. It
// takes no lock.
func (ks *KeySet) current(now time.Time) *snapshot {
	s := ks.held.Load()
	if s == nil || s.failing && (ks.maxStale == 0 || now.Sub(s.fetchedAt) >= ks.maxStale) {
		return nil
	}
	return s
}

// start starts the refresher, once. Everyone who needs it calls this: the
// app's Start, and a request that is earlier.
func (ks *KeySet) start() {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if ks.started || ks.closed {
		return
	}
	ks.started = true
	if ks.held.Load() == nil { // else it was read from a file when the config was loaded
		ks.request(false)
	}
	ks.goroutines.Go(ks.refresh)
}

// Destruct implements caddy.Destructor. It is the only end of a key set: a
// reload that fails half-way stops the new app while the old config serves.
func (ks *KeySet) Destruct() error {
	ks.mu.Lock()
	ks.closed = true
	ks.mu.Unlock()
	ks.end()
	ended := make(chan struct{})
	go func() {
		ks.goroutines.Wait()
		close(ended)
	}()
	grace := time.NewTimer(destructGrace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
	}
	ks.source.close()
	return nil
}

// readFile reads the keys of a jwks_file when a config is loaded: without a
// usable key the config is refused. Other key sets do nothing here.
func (ks *KeySet) readFile() error {
	file, ok := ks.source.(fileSource)
	if !ok {
		return nil
	}
	began := time.Now()
	got, err := file.fetch(ks.life, true)
	if err != nil {
		return err
	}
	ks.succeeded(got, began, ks.environment())
	return nil
}

// publish replaces the snapshot by one of these keys.
func (ks *KeySet) publish(keys map[string]*verificationKey, jwksURI string, from keyOrigin, at time.Time) *snapshot {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s := &snapshot{issuers: ks.cfg.acceptedIssuers(), fetchedAt: at, source: from, jwksURI: jwksURI, failing: from == originStorage}
	var previous map[string]*verificationKey
	if old := ks.held.Load(); old != nil {
		previous = old.keys
	}
	s.keys = adopt(keys, previous)
	ks.held.Store(s)
	return s
}
