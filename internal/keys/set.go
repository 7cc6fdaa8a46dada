package keys

import (
	"context"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/keyfunc/v3"

	"github.com/caddy-logto/caddy-logto-auth/internal/configs"
)

const (
	// destructGrace bounds how long the end of a key set waits for storage
	// that does not heed its context. Fetches do.
	destructGrace = 2 * time.Second

	forever time.Duration = math.MaxInt64
)

// Snapshot is what a key set knew at one moment. It never changes.
type Snapshot struct {
	issuers   []string // accepted values of `iss`
	keys      map[string]*Key
	selector  keyfunc.Keyfunc // over the keys
	fetchedAt time.Time       // when the last successful fetch began
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

// Key returns the key with this ID, or nil.
func (s *Snapshot) Key(kid string) *Key { return s.keys[kid] }

// Has reports whether this very key is still in the set. A key that was
// withdrawn, or replaced by another under the same ID, is not.
func (s *Snapshot) Has(k *Key) bool { return s.keys[k.kid] == k }

// Issuers returns the accepted values of `iss`.
func (s *Snapshot) Issuers() []string { return slices.Clone(s.issuers) }

// Len returns how many keys there are.
func (s *Snapshot) Len() int { return len(s.keys) }

// FetchedAt returns when the last successful fetch began.
func (s *Snapshot) FetchedAt() time.Time { return s.fetchedAt }

// Set holds the keys of one tenant under one site's trust settings. It
// lives in a pool, outlasts config reloads and ends with the last config that
// refers to it. Requests read an immutable snapshot through an atomic
// pointer; one goroutine fetches, whoever asks for it.
type Set struct {
	cfg    Config
	client *http.Client
	source keySource
	store  *keyStore // nil if keys are never stored

	// afterRound is called after each fetch, whatever came of it.
	afterRound func(s *Snapshot, now time.Time)

	maxStale time.Duration
	held     atomic.Pointer[Snapshot]
	waiting  waitingRoom

	environments configs.Lent[Environment]

	life       context.Context // ends with the key set
	end        context.CancelFunc
	goroutines sync.WaitGroup
	wake       chan struct{}

	mu               sync.Mutex // guards all below
	started, closed  bool
	running, pending *round
	lastForced       time.Time // start of the last fetch that an unknown kid forced
	forcedAt         time.Time // when the one that was put off is due; zero if none was
	nextAt           time.Time
	progress         progress

	// settledUntil is what Excludes reads without mu: settle sets it.
	settledUntil atomic.Pointer[time.Time]
}

// New makes a key set. It does no I/O: it also runs in `caddy validate`.
// afterRound, if any, is called after each fetch with the snapshot that serves
// now, or nil. It lasts as long as the key set, so it must hold on to nothing
// of one config.
func New(cfg Config, afterRound func(s *Snapshot, now time.Time)) (*Set, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	client, err := newTenantClient(cfg)
	if err != nil {
		return nil, err
	}
	ks := &Set{cfg: cfg, client: client, afterRound: afterRound, maxStale: cfg.MaxStale, wake: make(chan struct{}, 1)}
	if cfg.JWKSFile != "" {
		ks.source = fileSource{path: cfg.JWKSFile}
		// A file has no outage to wait out; its last good keys stay.
		ks.maxStale = forever
	} else {
		ks.source = &tenantSource{cfg: cfg, client: client}
		if cfg.MaxStale > 0 {
			ks.store = &keyStore{cfg: cfg}
		}
	}
	ks.life, ks.end = context.WithCancel(context.Background())
	return ks, nil
}

// Current returns the snapshot that requests are judged by, or nil if there
// is none, or only one that has outlived max_stale while fetches fail. It
// takes no lock.
func (ks *Set) Current(now time.Time) *Snapshot {
	s := ks.held.Load()
	if s == nil || s.failing && (ks.maxStale == 0 || now.Sub(s.fetchedAt) >= ks.maxStale) {
		return nil
	}
	return s
}

// Held returns the last snapshot, one that no longer serves included, or nil.
func (ks *Set) Held() *Snapshot { return ks.held.Load() }

// Start starts the refresher, once. Everyone who needs it calls this: the
// app's Start, and a request that is earlier.
func (ks *Set) Start() {
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

// Serving reports whether the key set has been started and has not ended.
func (ks *Set) Serving() bool {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	return ks.started && !ks.closed
}

// HTTPClient returns the client for all requests to the tenant: it has the
// tenant's own connections, CA and proxy, and bounds how long the header of an
// answer may be and how long it may take. There is one also where the keys
// come from a file, since a sign-in talks to the tenant then, too. Its idle
// connections are closed when the set ends.
//
// internal/tokenendpoint uses its Transport only: the redirect policy is made
// for keys.
func (ks *Set) HTTPClient() *http.Client { return ks.client }

// ReachThrough replaces how the tenant is reached, before anything is fetched
// and before anybody has taken the Transport of HTTPClient. Tests put a tenant
// in memory there.
func (ks *Set) ReachThrough(transport http.RoundTripper) { ks.client.Transport = transport }

// Destruct implements caddy.Destructor. It is the only end of a key set: a
// reload that fails half-way stops the new app while the old config serves.
func (ks *Set) Destruct() error {
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
	ks.client.CloseIdleConnections()
	return nil
}

// ReadFile reads the keys of a jwks_file when a config is loaded: without a
// usable key the config is refused. Other key sets do nothing here.
func (ks *Set) ReadFile() error {
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
func (ks *Set) publish(keys map[string]*Key, jwksURI string, from keyOrigin, at time.Time) *Snapshot {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	s := &Snapshot{issuers: ks.cfg.AcceptedIssuers(), fetchedAt: at, source: from, jwksURI: jwksURI, failing: from == originStorage}
	var previous map[string]*Key
	if old := ks.held.Load(); old != nil {
		previous = old.keys
	}
	s.keys = adopt(keys, previous)
	s.selector = newSelector(s.keys)
	ks.held.Store(s)
	return s
}
