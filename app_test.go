package logtoauth

import (
	"errors"
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

// provisioned is the app of one config, whose handler has asked for a key
// set before this tenant.
func provisioned(t *testing.T, tenant *devtenant.Tenant, cfg tenantConfig) (*App, *KeySet, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	a := &App{env: environment{logger: zap.New(core)}}
	ks, err := a.keySet(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if source, ok := ks.source.(*tenantSource); ok {
		if _, reached := source.client.Transport.(roundTripper); !reached {
			source.client.Transport = roundTripper(devtenanttest.Transport(tenant).RoundTrip)
		}
	}
	return a, ks, logs
}

func do(t *testing.T, steps ...func() error) {
	t.Helper()
	for _, step := range steps {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

func references(cfg tenantConfig) int {
	n, _ := keySets.References(cfg.key())
	return n
}

func TestValidateFetchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant()
		a, _, _ := provisioned(t, tenant, testConfig())
		advance(time.Hour)
		do(t, a.Cleanup)
		if got := tenant.Counts(); got != (devtenant.Counts{}) || references(testConfig()) != 0 {
			t.Errorf("requests %+v, references %d", got, references(testConfig()))
		}
	})
}

func TestReloadKeepsTheKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant()
		a, ks, _ := provisioned(t, tenant, testConfig())
		do(t, a.Start)
		synctest.Wait()
		before, s := tenant.Counts(), ks.current(time.Now())
		if s == nil {
			t.Fatal("Start fetched nothing")
		}
		tenant.SetFault(devtenant.Down) // a reload must work all the same
		for range 50 {
			next, same, _ := provisioned(t, tenant, testConfig())
			if same != ks {
				t.Fatal("the reload made another key set")
			}
			do(t, next.Start, a.Stop, a.Cleanup)
			a = next
		}
		synctest.Wait()
		if tenant.Counts() != before || ks.current(time.Now()) != s || references(testConfig()) != 1 {
			t.Errorf("after 50 reloads: %+v, %d references", tenant.Counts(), references(testConfig()))
		}
		do(t, a.Stop, a.Cleanup)
		if references(testConfig()) != 0 || ks.life.Err() == nil {
			t.Error("the key set has outlived the last config")
		}
	})
}

// A reload that fails: the new app was started and is stopped, or was only
// provisioned. The old config serves on, with its own logger and storage, and
// its keys are still refreshed.
func TestFailedReloadLeavesTheOldConfigAlone(t *testing.T) {
	for name, fail := range map[string]func(*App) []func() error{
		"while it is provisioned":        func(a *App) []func() error { return []func() error{a.Cleanup} },
		"after the app has been started": func(a *App) []func() error { return []func() error{a.Start, a.Stop, a.Cleanup} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tenant := newTenant()
				old, ks, logs := provisioned(t, tenant, testConfig())
				do(t, old.Start)
				synctest.Wait()
				for range 10 {
					next, _, nextLogs := provisioned(t, tenant, testConfig())
					do(t, fail(next)...)
					if ks.environment() != &old.env || nextLogs.Len() > 0 {
						t.Fatal("the failed config's environment is in use")
					}
				}
				tenant.SetFault(devtenant.Down)
				advance(10 * time.Minute)
				tenant.SetFault(devtenant.None)
				kid := tenant.Rotate("")
				advance(2 * time.Minute)
				if s := ks.current(time.Now()); s == nil || s.key(kid) == nil {
					t.Error("the keys are no longer refreshed")
				}
				if logs.FilterMessage(logServing).Len() != 1 || logs.FilterMessage(logRecovered).Len() != 1 {
					t.Errorf("log: %v", logs.All())
				}
				do(t, old.Stop, old.Cleanup)
			})
		})
	}
}

// A failed reload must not end up as the environment even where it was first
// in: a config is provisioned while no other one is live.
func TestTheNewestLiveConfigLendsItsEnvironment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant()
		first, ks, _ := provisioned(t, tenant, testConfig())
		second, _, _ := provisioned(t, tenant, testConfig())
		for _, tt := range []struct {
			step func() error
			want *environment
		}{
			{first.Start, &first.env},
			{second.Start, &second.env},
			{first.Stop, &second.env},
			{first.Cleanup, &second.env},
			{second.Stop, nil},
		} {
			do(t, tt.step)
			if got := ks.environment(); got != tt.want && (tt.want != nil || got.logger != nil) {
				t.Errorf("environment %p, want %p", got, tt.want)
			}
		}
		// The last requests of a server that shuts down come after Stop.
		if s := ks.await(t.Context(), nobody); s == nil || s.key(tenant.SigningKID()) == nil {
			t.Error("no keys after Stop")
		}
		do(t, second.Cleanup)
	})
}

func TestRequestBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant()
		a, ks, _ := provisioned(t, tenant, testConfig())
		if s := ks.await(t.Context(), nobody); s == nil {
			t.Fatal("the request was not served")
		}
		before := tenant.Counts()
		do(t, a.Start, a.Start)
		synctest.Wait()
		if tenant.Counts() != before {
			t.Error("Start fetched again")
		}
		do(t, a.Stop, a.Cleanup)
	})
}

func TestHandlersShareTheKeySetOfTheirSettings(t *testing.T) {
	base := testConfig()
	base.Issuers = []string{"https://a.example/oidc", "https://b.example/oidc"}
	a := new(App)
	defer func() { do(t, a.Cleanup) }()
	first, err := a.keySet(base)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*tenantConfig)
		shared bool
	}{
		"the same settings":          {func(*tenantConfig) {}, true},
		"issuers in another order":   {func(c *tenantConfig) { c.Issuers = []string{c.Issuers[1], c.Issuers[0]} }, true},
		"an issuer named twice":      {func(c *tenantConfig) { c.Issuers = append(c.Issuers, c.Issuers[0]) }, true},
		"endpoint with /oidc":        {func(c *tenantConfig) { c.Endpoint += "/oidc/" }, true},
		"another endpoint":           {func(c *tenantConfig) { c.Endpoint = "https://other.example" }, false},
		"fewer issuers":              {func(c *tenantConfig) { c.Issuers = c.Issuers[:1] }, false},
		"two issuers as one":         {func(c *tenantConfig) { c.Issuers = []string{strings.Join(c.Issuers, `","`)} }, false},
		"another jwks_uri":           {func(c *tenantConfig) { c.JWKSURI = testEndpoint + "/jwks" }, false},
		"insecure_http":              {func(c *tenantConfig) { c.InsecureHTTP = true }, false},
		"another max_stale":          {func(c *tenantConfig) { c.MaxStale = 0 }, false},
		"another refresh_interval":   {func(c *tenantConfig) { c.RefreshInterval++ }, false},
		"another refresh_cooldown":   {func(c *tenantConfig) { c.RefreshCooldown++ }, false},
		"another fetch_timeout":      {func(c *tenantConfig) { c.FetchTimeout++ }, false},
		"another size of the cache":  {func(c *tenantConfig) { c.CacheSize++ }, false},
		"another file, another keys": {func(c *tenantConfig) { c.JWKSFile = writeJWKS(t, newTenant().JWKS()) }, false},
	} {
		cfg := base
		cfg.Issuers = append([]string(nil), base.Issuers...)
		tt.change(&cfg)
		ks, err := a.keySet(cfg)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if (ks == first) != tt.shared {
			t.Errorf("%s: shared %t", name, ks == first)
		}
	}
	if n := references(base); n != 1 {
		t.Errorf("one app holds %d references", n)
	}
}

func TestSettingsUnderWhichNoKeySetCanWork(t *testing.T) {
	for name, change := range map[string]func(*tenantConfig){
		"no tenant":               func(c *tenantConfig) { c.Endpoint = "" },
		"issuer alone":            func(c *tenantConfig) { c.Endpoint, c.Issuers = "", []string{"https://a.example/oidc"} },
		"plain http":              func(c *tenantConfig) { c.Endpoint = "http://tenant.example" },
		"keys over plain http":    func(c *tenantConfig) { c.JWKSURI = "http://tenant.example/jwks" },
		"no PEM":                  func(c *tenantConfig) { c.TrustedCA = "-----BEGIN NOTHING-----" },
		"no refresh_interval":     func(c *tenantConfig) { c.RefreshInterval = 0 },
		"no fetch_timeout":        func(c *tenantConfig) { c.FetchTimeout = 0 },
		"a negative cooldown":     func(c *tenantConfig) { c.RefreshCooldown = -1 },
		"a negative max_stale":    func(c *tenantConfig) { c.MaxStale = -1 },
		"a file without issuer":   func(c *tenantConfig) { c.JWKSFile = "jwks.json" },
		"userinfo in an endpoint": func(c *tenantConfig) { c.Endpoint = "https://user@tenant.example" },
	} {
		cfg := testConfig()
		change(&cfg)
		a := new(App)
		if _, err := a.keySet(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
		do(t, a.Cleanup)
		if references(cfg) != 0 {
			t.Errorf("%s: the pool keeps it", name)
		}
	}
}

// Two tenants in one server: the key of one never verifies a token of the
// other, even under the same kid.
func TestTenantsAreKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := newTenant(), devtenant.New(devtenant.Options{Issuer: "https://other.example/oidc", Algorithm: "ES256"})
		other.SetJWKS([]byte(replaceKID(other.JWKS(), other.SigningKID(), one.SigningKID())))
		otherConfig := testConfig()
		otherConfig.Endpoint = "https://other.example"
		a, ks, _ := provisioned(t, one, testConfig())
		b, otherKS, _ := provisioned(t, other, otherConfig)
		do(t, a.Start, b.Start)
		s, otherS := ks.await(t.Context(), nobody), otherKS.await(t.Context(), nobody)
		kid := one.SigningKID()
		if s.key(kid) == nil || otherS.key(kid) == nil || s.has(otherS.key(kid)) || otherS.has(s.key(kid)) {
			t.Error("two tenants share a key")
		}
		do(t, a.Stop, b.Stop, a.Cleanup, b.Cleanup)
	})
}

// Configs come and go beside each other, for the race detector and for the
// pool: in the end nothing is left.
func TestConfigsThatComeAndGoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant()
		base, ks, _ := provisioned(t, tenant, testConfig())
		do(t, base.Start)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				a := new(App)
				same, err := a.keySet(testConfig())
				if err != nil || same != ks {
					t.Errorf("another key set: %v", err)
				}
				if err := errors.Join(a.Start(), a.Stop(), a.Cleanup()); err != nil {
					t.Error(err)
				}
			})
			all.Go(func() { ks.await(t.Context(), nobody) })
		}
		all.Wait()
		if references(testConfig()) != 1 {
			t.Errorf("%d references", references(testConfig()))
		}
		do(t, base.Stop, base.Cleanup)
	})
}
