package logtoauth

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxWaiting bounds how many requests wait for a fetch at a time. Who is
	// not let in is answered at once, from what is there.
	maxWaiting = 1024

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
	waiting  atomic.Int32

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

// round is one fetch, which any number of requests may wait for.
type round struct {
	forced bool          // by an unknown kid
	done   chan struct{} // closed when the snapshot is up to date
	err    error         // readable after done
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
	if s == nil || s.failing && (ks.maxStale == 0 || now.Sub(s.fetchedAt) > ks.maxStale) {
		return nil
	}
	return s
}

// await is for a request that finds no snapshot. It waits for the fetch in
// flight, at most fetch_timeout, and starts the first one: a request may come
// before the app's Start. While failed fetches back off it returns at once.
func (ks *KeySet) await(ctx context.Context) *snapshot {
	if s := ks.current(time.Now()); s != nil {
		return s
	}
	ks.start()
	ks.mu.Lock()
	r := ks.running
	if r == nil {
		r = ks.pending
	}
	ks.mu.Unlock()
	if r != nil {
		ctx, cancel := context.WithTimeout(ctx, ks.cfg.FetchTimeout)
		defer cancel()
		ks.wait(ctx, r)
	}
	return ks.current(time.Now())
}

// awaitKey is for a request whose token names a key that the snapshot lacks.
// It waits for one fetch that begins after the call, shared by everyone who
// asks, and returns the then current snapshot, with the key or without. The
// tenant is asked at most once per refresh_cooldown this way; within it the
// answer is immediate, and one fetch is due at its end, so that a key
// published after a made-up kid is not missed for long.
func (ks *KeySet) awaitKey(ctx context.Context, kid string) *snapshot {
	ks.start()
	mayForce := true
	for {
		s := ks.current(time.Now())
		if s != nil && s.key(kid) != nil {
			return s
		}
		r, fresh := ks.roundForKey(time.Now(), mayForce)
		if r == nil {
			return s
		}
		if !ks.wait(ctx, r) || fresh {
			return ks.current(time.Now())
		}
		// The fetch had begun before this request came, so the key may be
		// newer than its answer. One that nobody forced does not count.
		mayForce = !r.forced
	}
}

// roundForKey returns the fetch to wait for: the one in flight, or a fresh
// one that is yet to begin. It returns nil if neither may be had now; then one
// is due at the end of the cooldown.
func (ks *KeySet) roundForKey(now time.Time, mayForce bool) (r *round, fresh bool) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	switch cooledAt := ks.lastForced.Add(ks.cfg.RefreshCooldown); {
	case ks.closed:
		return nil, false
	case ks.pending != nil:
		return ks.pending, true
	case mayForce && ks.running != nil:
		return ks.running, false
	case mayForce && (ks.lastForced.IsZero() || !now.Before(cooledAt)):
		ks.lastForced = now
		return ks.request(true), true
	case ks.forcedAt.IsZero():
		ks.forcedAt = cooledAt
		ks.poke()
	}
	return nil, false
}

// request asks the refresher for a round. The caller holds mu.
func (ks *KeySet) request(forced bool) *round {
	ks.pending = &round{forced: forced, done: make(chan struct{})}
	ks.poke()
	return ks.pending
}

// poke tells the refresher to look at what it should do next.
func (ks *KeySet) poke() {
	select {
	case ks.wake <- struct{}{}:
	default: // it has been told and has not looked yet
	}
}

// wait tells whether the round ended before the request, its patience or the
// key set did. Too many waiting requests could use up the server's memory, so
// the surplus does not wait.
func (ks *KeySet) wait(ctx context.Context, r *round) bool {
	if ks.waiting.Add(1) > maxWaiting {
		ks.waiting.Add(-1)
		return false
	}
	defer ks.waiting.Add(-1)
	select {
	case <-r.done:
		return true
	case <-ctx.Done():
	case <-ks.life.Done():
	}
	return false
}

// retryAfter returns the seconds after which a request that found no keys may
// try again.
func (ks *KeySet) retryAfter(now time.Time) int {
	ks.mu.Lock()
	next := ks.nextAt
	ks.mu.Unlock()
	return max(1, int(math.Ceil(next.Sub(now).Seconds())))
}

// refreshNow fetches the keys and returns how that went. The fetch begins
// after the call and is not bound to ctx, only the waiting is.
func (ks *KeySet) refreshNow(ctx context.Context) error {
	ks.start()
	ks.mu.Lock()
	r := ks.pending
	if r == nil && !ks.closed {
		r = ks.request(false)
	}
	ks.mu.Unlock()
	if r == nil {
		return context.Canceled
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
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
	if ks.held.Load() == nil {
		ks.request(false)
	} else { // read from a file when the config was loaded
		ks.nextAt = time.Now().Add(refreshDelay(ks.cfg.RefreshInterval))
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
	now := time.Now()
	got, err := file.fetch(ks.life, true)
	if err != nil {
		return err
	}
	ks.publish(got.keys, "", originFile, now)
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
