package keys

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// memoryStorage is a Caddy storage that can be told to fail.
type memoryStorage struct {
	lock chan struct{}

	mu     sync.Mutex
	files  map[string][]byte
	visits map[string]int
	faults map[string]error
	hang   chan struct{} // until it is closed, whatever the context says
}

func newMemoryStorage() *memoryStorage {
	return &memoryStorage{
		lock: make(chan struct{}, 1), files: make(map[string][]byte),
		visits: make(map[string]int), faults: make(map[string]error),
	}
}

// fail makes an operation fail; nil mends it.
func (s *memoryStorage) fail(operation string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[operation] = err
}

func (s *memoryStorage) visit(operation string) error {
	s.mu.Lock()
	s.visits[operation]++
	err, hang := s.faults[operation], s.hang
	s.mu.Unlock()
	if hang != nil {
		<-hang
	}
	return err
}

func (s *memoryStorage) Load(_ context.Context, key string) ([]byte, error) {
	if err := s.visit("load"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.files[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return data, nil
}

func (s *memoryStorage) Store(_ context.Context, key string, value []byte) error {
	if err := s.visit("store"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[key] = value
	return nil
}

func (s *memoryStorage) Lock(ctx context.Context, _ string) error {
	if err := s.visit("lock"); err != nil {
		return err
	}
	select {
	case s.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *memoryStorage) Unlock(context.Context, string) error {
	<-s.lock
	return s.visit("unlock")
}

func (s *memoryStorage) counts() (loads, stores int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.visits["load"], s.visits["store"]
}

// edit changes what is stored for this config.
func (s *memoryStorage) edit(t *testing.T, cfg Config, change func(*storedKeys)) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var stored storedKeys
	if err := json.Unmarshal(s.files[storagePath(cfg)], &stored); err != nil {
		t.Fatalf("nothing good is stored: %v", err)
	}
	change(&stored)
	data, err := json.Marshal(stored)
	if err != nil {
		t.Fatal(err)
	}
	s.files[storagePath(cfg)] = data
}

// stored returns a storage in which an earlier process has left the keys of
// this tenant.
func stored(t *testing.T, tenant *devtenant.Tenant, cfg Config) *memoryStorage {
	t.Helper()
	storage := newMemoryStorage()
	b := newBench(t, tenant, cfg, storage)
	b.fetched(t)
	synctest.Wait()
	if err := b.ks.Destruct(); err != nil {
		t.Fatal(err)
	}
	if _, stores := storage.counts(); stores != 1 {
		t.Fatalf("stored %d times", stores)
	}
	return storage
}

func TestRestartWhileTheTenantIsDown(t *testing.T) {
	for name, tt := range map[string]struct {
		fault devtenant.Fault
		first time.Duration // what the first request waits
	}{
		"refusing":  {devtenant.Down, 0},
		"answering": {devtenant.ServerError, 0},
		"hanging":   {devtenant.Hang, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tenant := newTenant()
				storage := stored(t, tenant, testConfig())
				advance(time.Hour)
				tenant.SetFault(tt.fault)
				b := newBench(t, tenant, testConfig(), storage)
				began := time.Now()
				s := b.ks.Await(t.Context(), Nobody)
				if s == nil || s.Key(b.SigningKID()) == nil || s.source != originStorage {
					t.Fatalf("no stored keys: %+v", b.ks.Status())
				}
				if waited := time.Since(began); waited != tt.first {
					t.Errorf("the first request waited %v", waited)
				}
				if waited, found := b.ask(t.Context(), b.SigningKID()); waited != 0 || !found {
					t.Errorf("the second request waited %v", waited)
				}
				advance(23*time.Hour - 10*time.Second)
				if !b.serves(b.SigningKID()) {
					t.Error("gone before max_stale")
				}
				advance(20 * time.Second)
				if b.ks.Current(time.Now()) != nil {
					t.Error("max_stale begins anew with the restart")
				}
				if _, stores := storage.counts(); stores != 1 {
					t.Error("stored keys were written back")
				}
				tenant.SetFault(devtenant.None)
				advance(11 * time.Second)
				if s := b.ks.Current(time.Now()); s == nil || s.source != originTenant {
					t.Errorf("not recovered: %+v", b.ks.Status())
				}
			})
		})
	}
}

// The tenant has withdrawn a key since it was stored. While the tenant can
// still answer, the withdrawn key serves at no moment.
func TestFreshKeysWinOverStoredOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant()
		storage := stored(t, tenant, testConfig())
		withdrawn := tenant.SigningKID()
		tenant.Rotate("")
		tenant.Rotate("")
		tenant.SetFault(devtenant.Slow)
		b := newBench(t, tenant, testConfig(), storage)
		b.ks.Start()
		for range 4 {
			advance(time.Second)
			if b.ks.Current(time.Now()) != nil {
				t.Fatal("stored keys serve although the tenant may yet answer")
			}
		}
		tenant.SetFault(devtenant.None)
		tenant.Release()
		if s := b.ks.Await(t.Context(), Nobody); s == nil || s.Key(withdrawn) != nil || s.source != originTenant {
			t.Errorf("snapshot: %+v", s)
		}
		synctest.Wait()
		storage.edit(t, testConfig(), func(s *storedKeys) {
			if len(s.JWKS.Keys) != 2 {
				t.Errorf("%d keys are stored", len(s.JWKS.Keys))
			}
		})
	})
}

// Whatever is in the storage: without the tenant it is refused, logged once
// and not fatal; with the tenant it is overwritten.
func TestStorageThatCannotBeBelieved(t *testing.T) {
	edit := func(change func(*storedKeys)) func(*testing.T, *memoryStorage) {
		return func(t *testing.T, s *memoryStorage) {
			t.Helper()
			s.edit(t, testConfig(), change)
		}
	}
	write := func(text string) func(*testing.T, *memoryStorage) {
		return func(_ *testing.T, s *memoryStorage) { s.files[storagePath(testConfig())] = []byte(text) }
	}
	for name, tt := range map[string]struct {
		spoil func(*testing.T, *memoryStorage)
		says  string
	}{
		"garbage":            {write("\x00\xff garbage"), "no valid JSON"},
		"an empty file":      {write(""), "no valid JSON"},
		"another document":   {write(`{"keys":[]}`), "unknown format"},
		"too large":          {write(strings.Repeat(" ", maxStoredSize) + "{}"), "too large"},
		"another version":    {edit(func(s *storedKeys) { s.Format = 2 }), "unknown format"},
		"another tenant's":   {edit(func(s *storedKeys) { s.Trust = Config{Endpoint: "https://evil.example"}.trust() }), "other trust settings"},
		"from the future":    {edit(func(s *storedKeys) { s.FetchedAt = time.Now().Add(2 * time.Hour) }), "future"},
		"without a time":     {edit(func(s *storedKeys) { s.FetchedAt = time.Time{} }), "older than max_stale"},
		"too old":            {edit(func(s *storedKeys) { s.FetchedAt = time.Now().Add(-24*time.Hour - time.Second) }), "older than max_stale"},
		"keys from afar":     {edit(func(s *storedKeys) { s.JWKSURI = "https://evil.example/oidc/jwks" }), "jwks_uri"},
		"no key":             {edit(func(s *storedKeys) { s.JWKS.Keys = nil }), "no usable signing key"},
		"a private key":      {edit(func(s *storedKeys) { s.JWKS.Keys[0] = []byte(`{"kty":"EC","kid":"k","d":"AA"}`) }), "private"},
		"storage that fails": {func(_ *testing.T, s *memoryStorage) { s.fail("load", errors.New("disk on fire")) }, "disk on fire"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tenant := newTenant()
				storage := stored(t, tenant, testConfig())
				tt.spoil(t, storage)
				tenant.SetFault(devtenant.Down)
				b := newBench(t, tenant, testConfig(), storage)
				if b.ks.Await(t.Context(), Nobody) != nil {
					t.Fatalf("believed: %+v", b.ks.Status())
				}
				advance(time.Minute)
				entries := b.logs.FilterMessage(logUnusable).All()
				if len(entries) != 1 {
					t.Fatalf("logged %d times", len(entries))
				}
				if text, ok := entries[0].ContextMap()["error"].(string); !ok || !strings.Contains(text, tt.says) {
					t.Errorf("error %q does not say %q", text, tt.says)
				}
				tenant.SetFault(devtenant.None)
				storage.fail("load", nil)
				advance(5 * time.Second)
				storage.edit(t, testConfig(), func(s *storedKeys) {
					if !b.serves(b.SigningKID()) || s.FetchedAt.Before(time.Now().Add(-5*time.Second)) {
						t.Errorf("not overwritten: %+v", s)
					}
				})
			})
		})
	}
}

// Whoever can write the storage can add a key while the tenant is down. With
// the tenant's first answer it is gone, although the tenant's ETag is the one
// under which the rest was stored.
func TestKeyAddedToTheStorageDoesNotOutliveTheTenantsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant()
		storage := stored(t, tenant, testConfig())
		evil := newTenant()
		storage.edit(t, testConfig(), func(s *storedKeys) {
			var set struct {
				Keys []json.RawMessage `json:"keys"`
			}
			if err := json.Unmarshal(evil.JWKS(), &set); err != nil {
				t.Fatal(err)
			}
			s.JWKS.Keys = append(s.JWKS.Keys, set.Keys...)
		})
		var conditions []string
		tenant.SetJWKSFault(func(e *devtenant.Exchange) {
			conditions = append(conditions, e.Request.Header.Get("If-None-Match"))
			devtenant.Down(e)
		})
		b := newBench(t, tenant, testConfig(), storage)
		b.ks.Await(t.Context(), Nobody)
		if !b.serves(evil.SigningKID()) {
			t.Fatal("the test shows nothing: the added key was not read")
		}
		advance(5 * time.Minute)
		for _, condition := range conditions {
			if condition != "" {
				t.Errorf("If-None-Match: %s", condition)
			}
		}
		tenant.SetFault(devtenant.None)
		advance(time.Minute)
		if b.serves(evil.SigningKID()) || !b.serves(b.SigningKID()) {
			t.Error("the added key still serves")
		}
		storage.edit(t, testConfig(), func(s *storedKeys) {
			if len(s.JWKS.Keys) != 1 {
				t.Errorf("%d keys are stored", len(s.JWKS.Keys))
			}
		})
	})
}

// The tenant answers, the storage does not take the keys: that is logged once
// and costs nothing else.
func TestStorageThatCannotBeWritten(t *testing.T) {
	for name, operation := range map[string]string{
		"read-only": "store", "no lock": "lock", "a lock that stays": "unlock",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage := newMemoryStorage()
				storage.fail(operation, errors.New("read-only file system"))
				b := newBench(t, newTenant(), testConfig(), storage)
				b.ks.Start()
				advance(time.Hour)
				if !b.serves(b.SigningKID()) || b.logged(logNotStored) != 1 || b.logs.Len() != 1 {
					t.Errorf("log: %v", b.logs.All())
				}
				storage.fail(operation, nil)
				advance(time.Hour)
				if b.logged("keys are stored again") != 1 || b.logs.Len() != 2 {
					t.Errorf("log: %v", b.logs.All())
				}
			})
		})
	}
}

// A storage that hangs and does not heed its context: no request waits longer
// than for the tenant, goroutines do not pile up, and the end of the key set
// does not wait for it for ever.
func TestStorageThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newMemoryStorage()
		storage.hang = make(chan struct{})
		b := newBench(t, newTenant(), testConfig(), storage)
		b.SetFault(devtenant.Hang)
		began := time.Now()
		b.ks.Await(t.Context(), Nobody)
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("a request waited %v", waited)
		}
		advance(time.Hour)
		b.SetFault(devtenant.None)
		advance(10 * time.Second)
		if !b.serves(b.SigningKID()) {
			t.Error("no keys although the tenant answers")
		}
		for range 3 {
			b.Rotate("")
			b.fetched(t)
		}
		began = time.Now()
		if err := b.ks.Destruct(); err != nil {
			t.Error(err)
		}
		if waited := time.Since(began); waited != destructGrace {
			t.Errorf("the end took %v", waited)
		}
		close(storage.hang)
		synctest.Wait()
		if storage.visits["load"] > 2 || storage.visits["lock"] != 1 || storage.visits["store"] > 1 {
			t.Errorf("visits that piled up: %v", storage.visits)
		}
	})
}

// A replica that starts while the tenant is down reads what another one
// stored, even if that came later.
func TestReplicaReadsWhatAnotherStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant, storage := newTenant(), newMemoryStorage()
		cut := newBenchOver(t, tenant, unreachable, testConfig(), storage)
		if cut.ks.Await(t.Context(), Nobody) != nil {
			t.Fatal("keys out of nowhere")
		}
		connected := newBench(t, tenant, testConfig(), storage)
		connected.fetched(t)
		advance(5 * time.Second)
		if s := cut.ks.Current(time.Now()); s == nil || s.source != originStorage {
			t.Errorf("the replica has no keys: %+v", cut.ks.Status())
		}
	})
}

// Two replicas store; the one whose request was slow must not bring back what
// the tenant has withdrawn.
func TestNewerStoredKeysAreNotOverwritten(t *testing.T) {
	for name, tt := range map[string]struct {
		there time.Duration // its fetched_at, from now
		kept  bool
	}{
		"newer":           {time.Second, true},
		"older":           {-time.Second, false},
		"from the future": {time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tenant := newTenant()
				storage := stored(t, tenant, testConfig())
				storage.edit(t, testConfig(), func(s *storedKeys) {
					s.FetchedAt, s.Tenant = time.Now().Add(tt.there), "other replica"
				})
				b := newBench(t, tenant, testConfig(), storage)
				b.SetJWKSFault(devtenant.Slow)
				b.ks.Start()
				advance(2 * time.Second)
				b.Release()
				synctest.Wait()
				if !b.serves(b.SigningKID()) {
					t.Fatal("the slow answer did not come")
				}
				storage.edit(t, testConfig(), func(s *storedKeys) {
					if kept := s.Tenant == "other replica"; kept != tt.kept {
						t.Errorf("kept: %t", kept)
					}
				})
			})
		})
	}
}

// Only what came with a 200 is written. So that the stored time does not grow
// old beside unchanged keys, a 200 is asked for now and then.
func TestStoredKeysAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newMemoryStorage()
		b := newBench(t, newTenant(), testConfig(), storage)
		b.ks.Start()
		advance(2 * time.Hour)
		// Read at the start, and by the write before it.
		if loads, stores := storage.counts(); stores != 1 || loads != 2 {
			t.Errorf("written %d times and read %d times in two hours without a change", stores, loads)
		}
		b.Rotate("")
		advance(10 * time.Minute)
		if _, stores := storage.counts(); stores != 2 {
			t.Errorf("written %d times after a rotation", stores)
		}
		for range 24 {
			advance(time.Hour)
			storage.edit(t, testConfig(), func(s *storedKeys) {
				if age := time.Since(s.FetchedAt); age > 3*time.Hour {
					t.Errorf("the stored keys are %v old", age)
				}
			})
		}
		if _, stores := storage.counts(); stores > 13 {
			t.Errorf("written %d times in a day", stores)
		}
	})
}

func TestMaxStaleZeroNeverTouchesTheStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		tenant := newTenant()
		storage := stored(t, tenant, cfg)
		loads, stores := storage.counts()
		cfg.MaxStale = 0
		b := newBench(t, tenant, cfg, storage)
		b.fetched(t)
		b.SetFault(devtenant.Down)
		advance(time.Hour)
		if b.ks.Current(time.Now()) != nil {
			t.Error("keys serve")
		}
		if l, s := storage.counts(); l != loads || s != stores {
			t.Errorf("%d loads, %d stores", l-loads, s-stores)
		}
	})
}

// Two sites of one tenant with different max_stale share what is stored, and
// each judges its age by itself.
func TestTwoSitesWithDifferentMaxStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		patient, strict := testConfig(), testConfig()
		strict.MaxStale = time.Hour
		tenant := newTenant()
		storage := stored(t, tenant, patient)
		advance(2 * time.Hour)
		tenant.SetFault(devtenant.Down)
		if s := newBench(t, tenant, patient, storage).ks.Await(t.Context(), Nobody); s == nil {
			t.Error("the patient site has no keys")
		}
		if s := newBench(t, tenant, strict, storage).ks.Await(t.Context(), Nobody); s != nil {
			t.Error("the strict site serves keys that are two hours old")
		}
	})
}

// A reload may bring another storage. It gets the keys with the next refresh,
// and the reload itself costs no fetch.
func TestNewStorageAfterAReloadGetsTheKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, newTenant(), testConfig(), newMemoryStorage())
		b.fetched(t)
		synctest.Wait()
		before := b.Counts()
		next := newMemoryStorage()
		env := &Environment{Storage: next}
		b.ks.Attach(env)
		b.ks.GoLive(env)
		b.ks.Detach(b.env)
		synctest.Wait()
		if b.Counts() != before {
			t.Error("the reload cost a fetch")
		}
		advance(10 * time.Minute)
		if len(next.files) != 1 {
			t.Errorf("files: %v", maps.Keys(next.files))
		}
	})
}

// A 304 says nothing that may be written, not even if a storage that has
// nothing yet comes while it is on its way.
func TestOnlyFullAnswersAreStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newMemoryStorage()
		b := newBench(t, newTenant(), testConfig(), storage)
		b.fetched(t)
		synctest.Wait()
		b.SetJWKSFault(devtenant.Slow)
		go func() { _ = b.ks.RefreshNow(t.Context()) }()
		synctest.Wait()
		next := newMemoryStorage()
		env := &Environment{Storage: next}
		b.ks.Attach(env)
		b.ks.GoLive(env)
		b.ks.Detach(b.env)
		b.SetJWKSFault(devtenant.None)
		b.Release()
		synctest.Wait()
		if _, stores := storage.counts(); stores != 1 || len(next.files) != 0 {
			t.Error("a 304 was stored")
		}
		b.fetched(t)
		synctest.Wait()
		if len(next.files) != 1 {
			t.Error("a 200 was not stored")
		}
	})
}

// A write to the old storage ends after a reload has brought a new one. It
// must not count as a write to that.
func TestWriteThatEndsAfterAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newMemoryStorage()
		b := newBench(t, newTenant(), testConfig(), storage)
		storage.hang = make(chan struct{})
		b.ks.Start()
		synctest.Wait()
		next := newMemoryStorage()
		env := &Environment{Storage: next}
		b.ks.Attach(env)
		b.ks.GoLive(env)
		b.ks.Detach(b.env)
		close(storage.hang)
		synctest.Wait()
		if len(storage.files) != 1 {
			t.Fatal("the test shows nothing: nothing was being written")
		}
		advance(10 * time.Minute)
		if len(next.files) != 1 {
			t.Error("the new storage has no keys")
		}
	})
}

func TestStoredKeysOfAnotherAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.JWKSURI = testEndpoint + "/oidc/jwks"
		tenant := newTenant()
		storage := stored(t, tenant, cfg)
		tenant.SetFault(devtenant.Down)
		if newBench(t, tenant, cfg, storage).ks.Await(t.Context(), Nobody) == nil {
			t.Fatal("the test shows nothing: what was stored is not read")
		}
		storage.edit(t, cfg, func(s *storedKeys) { s.JWKSURI = testEndpoint + "/other" })
		if newBench(t, tenant, cfg, storage).ks.Await(t.Context(), Nobody) != nil {
			t.Error("keys of an address that is not configured were believed")
		}
	})
}

// The wall clock was wrong and is set right. What is held in memory does not
// age by that; what is stored is judged by the clock as it is.
func TestClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant()
		storage := stored(t, tenant, testConfig())
		tenant.SetFault(devtenant.Down)
		b := newBench(t, tenant, testConfig(), storage)
		if b.ks.Await(t.Context(), Nobody) == nil {
			t.Fatal("no stored keys")
		}
		// Round drops the monotonic reading, as only a clock that was set does.
		back := time.Now().Add(-48 * time.Hour).Round(0)
		if b.ks.Current(back) == nil {
			t.Error("keys are gone after the clock was set back")
		}
		stale := &storedResult{data: storage.files[storagePath(testConfig())]}
		if set, err := stale.accept(testConfig(), back); set != nil || err == nil {
			t.Error("keys from the future were believed")
		}
		if set, err := stale.accept(testConfig(), time.Now().Add(25*time.Hour)); set != nil || err == nil {
			t.Error("keys older than max_stale were believed")
		}
	})
}

// Outside of a bubble, which has no monotonic clock.
func TestAgeOfStoredKeysIsCountedByTheMonotonicClock(t *testing.T) {
	cfg := testConfig()
	record := storedKeys{
		Format: storedFormat, Trust: cfg.trust(), JWKSURI: testEndpoint + "/oidc/jwks",
		FetchedAt: time.Now().Add(-time.Hour),
	}
	if err := json.Unmarshal(newTenant().JWKS(), &record.JWKS); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	set, err := (&storedResult{data: data}).accept(cfg, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(set.fetchedAt).Round(time.Minute); age != time.Hour || !strings.Contains(set.fetchedAt.String(), " m=") {
		t.Errorf("fetched at %v, %v ago", set.fetchedAt, age)
	}
}

func TestStoredKeysAreBoundToTheTrustSettings(t *testing.T) {
	base := testConfig()
	for name, change := range map[string]func(*Config){
		"endpoint":      func(c *Config) { c.Endpoint = "https://other.example" },
		"issuers":       func(c *Config) { c.Issuers = []string{"https://other.example/oidc"} },
		"jwks_uri":      func(c *Config) { c.JWKSURI = testEndpoint + "/other" },
		"CA":            func(c *Config) { c.TrustedCA = "PEM" },
		"insecure_http": func(c *Config) { c.InsecureHTTP = true },
	} {
		cfg := base
		change(&cfg)
		if storagePath(cfg) == storagePath(base) {
			t.Errorf("%s does not separate what is stored", name)
		}
	}
	for name, change := range map[string]func(*Config){
		"refresh_interval": func(c *Config) { c.RefreshInterval++ },
		"max_stale":        func(c *Config) { c.MaxStale++ },
	} {
		cfg := base
		change(&cfg)
		if storagePath(cfg) != storagePath(base) {
			t.Errorf("%s separates what is stored", name)
		}
	}
}
