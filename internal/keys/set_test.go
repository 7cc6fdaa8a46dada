package keys

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

const testEndpoint = "https://tenant.example"

// testConfig has the defaults of the Caddyfile.
func testConfig() Config {
	return Config{
		Endpoint: testEndpoint, RefreshInterval: 10 * time.Minute, RefreshCooldown: 5 * time.Second,
		MaxStale: 24 * time.Hour, FetchTimeout: 5 * time.Second,
	}
}

func newTenant() *devtenant.Tenant {
	return devtenant.New(devtenant.Options{Issuer: testEndpoint + "/oidc", Algorithm: "ES256"})
}

// bench is a key set before an in-memory tenant, with an environment of its
// own. It belongs into a synctest bubble: nothing takes real time.
type bench struct {
	*devtenant.Tenant
	ks   *Set
	env  *Environment
	logs *observer.ObservedLogs
}

func newBench(tb testing.TB, tenant *devtenant.Tenant, cfg Config, storage Storage) *bench {
	tb.Helper()
	if tenant == nil { // keys of a file
		return newBenchOver(tb, nil, unreachable, cfg, storage)
	}
	return newBenchOver(tb, tenant, devtenanttest.Transport(tenant), cfg, storage)
}

func newBenchOver(tb testing.TB, tenant *devtenant.Tenant, transport http.RoundTripper, cfg Config, storage Storage) *bench {
	tb.Helper()
	ks, err := New(cfg, nil)
	if err != nil {
		tb.Fatalf("New: %v", err)
	}
	ks.ReachThrough(transport)
	core, logs := observer.New(zapcore.InfoLevel)
	b := &bench{Tenant: tenant, ks: ks, env: &Environment{Logger: zap.New(core), Storage: storage}, logs: logs}
	ks.Attach(b.env)
	ks.GoLive(b.env)
	tb.Cleanup(func() {
		if err := ks.Destruct(); err != nil {
			tb.Errorf("Destruct: %v", err)
		}
	})
	return b
}

// serves tells whether a request would find this key now.
func (b *bench) serves(kid string) bool {
	s := b.ks.Current(time.Now())
	return s != nil && s.Key(kid) != nil
}

// fetched makes the key set fetch now and expects that to succeed.
func (b *bench) fetched(t *testing.T) *Snapshot {
	t.Helper()
	if err := b.ks.RefreshNow(t.Context()); err != nil {
		t.Fatalf("fetching: %v", err)
	}
	return b.ks.Current(time.Now())
}

// logged counts the log entries of this message.
func (b *bench) logged(message string) int { return b.logs.FilterMessage(message).Len() }

// reason is what the first log entry names as the reason of a failure.
func (b *bench) reason() failureKind {
	logs := b.logs.All()
	for i := range logs {
		if reason, ok := logs[i].ContextMap()["reason"].(string); ok {
			return failureKind(reason)
		}
	}
	return ""
}

const (
	logServing   = "fetching keys failed; the last good keys serve on"
	logKeyless   = "fetching keys failed; there are none to verify tokens with"
	logRecovered = "keys can be fetched again"
	logLeftOut   = "keys of the tenant were left out"
	logNotStored = "keys cannot be stored; a restart while the tenant is down would have none"
	logUnusable  = "stored keys cannot be used"
)

// advance lets the time of the bubble pass, and everything that is due in it
// happen.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestTenantSettingsAndTheirMends(t *testing.T) {
	const durations = "refresh_interval and fetch_timeout must be positive, refresh_cooldown and max_stale not negative"
	const plain = " is plain http: who can change its answers on the way can mint identities; use https, or add insecure_http"
	for name, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no interval":           {func(c *Config) { c.RefreshInterval = 0 }, durations},
		"no timeout":            {func(c *Config) { c.FetchTimeout = 0 }, durations},
		"cooldown before now":   {func(c *Config) { c.RefreshCooldown = -1 }, durations},
		"stale before now":      {func(c *Config) { c.MaxStale = -1 }, durations},
		"no tenant":             {func(c *Config) { c.Endpoint = "" }, "one of endpoint and issuer is needed"},
		"a file of nobody's":    {func(c *Config) { c.JWKSFile = "keys.json" }, "jwks_file needs issuer"},
		"no way to the keys":    {func(c *Config) { c.Endpoint, c.Issuers = "", []string{"https://a.example/oidc"} }, "endpoint is needed, or issuer and jwks_uri"},
		"an endpoint over http": {func(c *Config) { c.Endpoint = "http://tenant.example" }, "endpoint: http://tenant.example" + plain},
		"keys over http":        {func(c *Config) { c.JWKSURI = "http://tenant.example/jwks" }, "jwks_uri: http://tenant.example/jwks" + plain},
		"cooldown of nought":    {func(c *Config) { c.RefreshCooldown = 0 }, ""},
		"nothing may be stale":  {func(c *Config) { c.MaxStale = 0 }, ""},
		"a file and its issuer": {func(c *Config) {
			c.Endpoint, c.JWKSFile, c.Issuers = "", "keys.json", []string{"https://a.example/oidc"}
		}, ""},
		"issuer and keys, no endpoint": {
			func(c *Config) {
				c.Endpoint, c.Issuers, c.JWKSURI = "", []string{"https://a.example/oidc"}, "https://a.example/jwks"
			}, "",
		},
	} {
		cfg := testConfig()
		cfg.Endpoint = "https://tenant.example"
		test.change(&cfg)
		switch err := cfg.validate(); {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (err == nil || err.Error() != test.want):
			t.Errorf("%s: %v, not %s", name, err, test.want)
		}
	}
}

func TestWhenTheDiscoveryDocumentIsNeeded(t *testing.T) {
	const keys, issuer = "https://a.example/jwks", "https://a.example/oidc"
	for _, test := range []struct {
		cfg  Config
		want bool
	}{
		{Config{}, true},
		{Config{Issuers: []string{issuer}}, true}, // for the keys' address
		{Config{JWKSURI: keys}, true},             // to confirm the issuer
		{Config{JWKSURI: keys, Issuers: []string{issuer}}, false},
	} {
		if got := test.cfg.discovers(); got != test.want {
			t.Errorf("%+v: %t", test.cfg, got)
		}
	}
}

func TestKeysAreFetchedWhenStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, newTenant(), testConfig(), nil)
		if got := b.Counts(); got.Discovery+got.JWKS != 0 {
			t.Fatalf("fetched before the start: %+v", got)
		}
		b.ks.Start()
		s := b.ks.Await(t.Context(), Nobody)
		if s == nil {
			t.Fatal("no snapshot")
		}
		if !b.serves(b.SigningKID()) || !slices.Equal(s.issuers, []string{b.Issuer()}) || s.source != originTenant {
			t.Errorf("snapshot: %+v", s)
		}
		if got := b.Counts(); got.Discovery != 1 || got.JWKS != 1 {
			t.Errorf("requests: %+v", got)
		}
	})
}

// The age of keys counts from before the request: of two answers, the one
// that was asked for later is the newer.
func TestKeysAreAsOldAsTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant()
		tenant.SetJWKSFault(devtenant.Slow)
		b := newBench(t, tenant, testConfig(), nil)
		asked := time.Now()
		b.ks.Start()
		advance(2 * time.Second)
		b.Release()
		synctest.Wait()
		if s := b.ks.Current(time.Now()); s == nil || !s.fetchedAt.Equal(asked) {
			t.Errorf("asked at %v: %+v", asked, s)
		}
	})
}

func TestTokenOfAFreshlyRotatedKeyIsFoundAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, newTenant(), testConfig(), nil)
		b.ks.Await(t.Context(), Nobody)
		kid := b.Rotate("")
		began := time.Now()
		if s := b.ks.AwaitKey(t.Context(), kid, Nobody); s == nil || s.Key(kid) == nil {
			t.Fatal("the new key is unknown")
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestNoGoroutineOutlivesTheKeySet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fails by itself on a goroutine left over
		tenant := newTenant()
		tenant.SetFault(devtenant.Hang)
		b := newBench(t, tenant, testConfig(), nil)
		b.ks.Start()
		synctest.Wait()
		if err := b.ks.Destruct(); err != nil {
			t.Error(err)
		}
		if b.ks.Await(t.Context(), Nobody) != nil || b.ks.AwaitKey(t.Context(), "x", Nobody) != nil || b.ks.RefreshNow(t.Context()) == nil {
			t.Error("an ended key set serves keys")
		}
	})
}

// The last config is gone while requests still wait, one of them for a fetch
// that will never begin.
func TestEndReleasesRequestsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant()
		tenant.SetFault(devtenant.Hang)
		b := newBench(t, tenant, testConfig(), nil)
		began := time.Now()
		var all sync.WaitGroup
		all.Go(func() { b.ks.Await(t.Context(), Nobody) })
		synctest.Wait()
		all.Go(func() { _ = b.ks.RefreshNow(t.Context()) })
		synctest.Wait()
		all.Go(func() { b.ks.AwaitKey(t.Context(), "x", Nobody) })
		synctest.Wait()
		if err := b.ks.Destruct(); err != nil {
			t.Error(err)
		}
		all.Wait()
		if waited := time.Since(began); waited != 0 {
			t.Errorf("the requests waited %v", waited)
		}
	})
}

// replaceKID gives the key of a set another ID.
func replaceKID(document []byte, old, kid string) string {
	return strings.Replace(string(document), old, kid, 1)
}

// unreachable is a tenant behind a cut cable.
var unreachable = roundTripper(func(*http.Request) (*http.Response, error) {
	return nil, errors.New("network is unreachable")
})
