package logtoauth

import (
	"errors"
	"os"
	"path/filepath"
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
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// provisioned is the app of one config, whose handler has asked for a key
// set before this tenant.
func provisioned(t *testing.T, served *devtenant.Tenant, cfg keys.Config) (*App, *keys.Set, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	a := &App{env: keys.Environment{Logger: zap.New(core)}}
	before := references(cfg)
	shared, err := a.tenant(cfg, 100)
	if err != nil {
		t.Fatal(err)
	}
	if before == 0 {
		shared.keys.ReachThrough(devtenanttest.Transport(served))
	}
	return a, shared.keys, logs
}

func do(t *testing.T, steps ...func() error) {
	t.Helper()
	for _, step := range steps {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

func references(cfg keys.Config) int {
	n, _ := tenants.References(tenantKey{cfg.ID(), 100})
	return n
}

func TestValidateFetchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := exampleTenant()
		a, _, _ := provisioned(t, tenant, exampleConfig())
		advance(time.Hour)
		do(t, a.Cleanup)
		if got := tenant.Counts(); got != (devtenant.Counts{}) || references(exampleConfig()) != 0 {
			t.Errorf("requests %+v, references %d", got, references(exampleConfig()))
		}
	})
}

func TestReloadKeepsTheKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := exampleTenant()
		a, ks, _ := provisioned(t, tenant, exampleConfig())
		do(t, a.Start)
		synctest.Wait()
		before, s := tenant.Counts(), ks.Current(time.Now())
		if s == nil {
			t.Fatal("Start fetched nothing")
		}
		tenant.SetFault(devtenant.Down) // a reload must work all the same
		for range 50 {
			next, same, _ := provisioned(t, tenant, exampleConfig())
			if same != ks {
				t.Fatal("the reload made another key set")
			}
			do(t, next.Start, a.Stop, a.Cleanup)
			a = next
		}
		synctest.Wait()
		if tenant.Counts() != before || ks.Current(time.Now()) != s || references(exampleConfig()) != 1 {
			t.Errorf("after 50 reloads: %+v, %d references", tenant.Counts(), references(exampleConfig()))
		}
		do(t, a.Stop, a.Cleanup)
		if references(exampleConfig()) != 0 || ks.RefreshNow(t.Context()) == nil {
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
				tenant := exampleTenant()
				old, ks, logs := provisioned(t, tenant, exampleConfig())
				do(t, old.Start)
				synctest.Wait()
				for range 10 {
					next, _, nextLogs := provisioned(t, tenant, exampleConfig())
					do(t, fail(next)...)
					if nextLogs.Len() > 0 {
						t.Fatal("the failed config's environment is in use")
					}
				}
				tenant.SetFault(devtenant.Down)
				advance(10 * time.Minute)
				tenant.SetFault(devtenant.None)
				kid := tenant.Rotate("")
				advance(2 * time.Minute)
				if s := ks.Current(time.Now()); s == nil || s.Key(kid) == nil {
					t.Error("the keys are no longer refreshed")
				}
				if logs.FilterMessage("fetching keys failed; the last good keys serve on").Len() != 1 || logs.FilterMessage("keys can be fetched again").Len() != 1 {
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
		tenant := exampleTenant()
		first, ks, _ := provisioned(t, tenant, exampleConfig())
		second, _, _ := provisioned(t, tenant, exampleConfig())
		var told *App // of the last fetch
		for _, a := range []*App{first, second} {
			a.env.Observer = func(keys.FetchReport) { told = a }
		}
		for i, tt := range []struct {
			step func() error
			want *App
		}{
			{first.Start, first},
			{second.Start, second},
			{first.Stop, second},
			{first.Cleanup, second},
			{second.Stop, nil},
		} {
			do(t, tt.step)
			synctest.Wait()
			told = nil
			if err := ks.RefreshNow(t.Context()); err != nil || told != tt.want {
				t.Errorf("after step %d: told %p, not %p; %v", i, told, tt.want, err)
			}
		}
		// The last requests of a server that shuts down come after Stop.
		if s := ks.Await(t.Context(), keys.Nobody); s == nil || s.Key(tenant.SigningKID()) == nil {
			t.Error("no keys after Stop")
		}
		do(t, second.Cleanup)
	})
}

func TestRequestBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := exampleTenant()
		a, ks, _ := provisioned(t, tenant, exampleConfig())
		if s := ks.Await(t.Context(), keys.Nobody); s == nil {
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
	base := exampleConfig()
	base.Issuers = []string{"https://a.example/oidc", "https://b.example/oidc"}
	a := new(App)
	defer func() { do(t, a.Cleanup) }()
	first, err := a.tenant(base, 100)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, exampleTenant().JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*keys.Config)
		shared bool
	}{
		"the same settings":          {func(*keys.Config) {}, true},
		"issuers in another order":   {func(c *keys.Config) { c.Issuers = []string{c.Issuers[1], c.Issuers[0]} }, true},
		"an issuer named twice":      {func(c *keys.Config) { c.Issuers = append(c.Issuers, c.Issuers[0]) }, true},
		"endpoint with /oidc":        {func(c *keys.Config) { c.Endpoint += "/oidc/" }, true},
		"another endpoint":           {func(c *keys.Config) { c.Endpoint = "https://other.example" }, false},
		"fewer issuers":              {func(c *keys.Config) { c.Issuers = c.Issuers[:1] }, false},
		"two issuers as one":         {func(c *keys.Config) { c.Issuers = []string{strings.Join(c.Issuers, `","`)} }, false},
		"another jwks_uri":           {func(c *keys.Config) { c.JWKSURI = exampleEndpoint + "/jwks" }, false},
		"insecure_http":              {func(c *keys.Config) { c.InsecureHTTP = true }, false},
		"another max_stale":          {func(c *keys.Config) { c.MaxStale = 0 }, false},
		"another refresh_interval":   {func(c *keys.Config) { c.RefreshInterval++ }, false},
		"another refresh_cooldown":   {func(c *keys.Config) { c.RefreshCooldown++ }, false},
		"another fetch_timeout":      {func(c *keys.Config) { c.FetchTimeout++ }, false},
		"another file, another keys": {func(c *keys.Config) { c.JWKSFile = file }, false},
	} {
		cfg := base
		cfg.Issuers = append([]string(nil), base.Issuers...)
		tt.change(&cfg)
		shared, err := a.tenant(cfg, 100)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if (shared == first) != tt.shared {
			t.Errorf("%s: shared %t", name, shared == first)
		}
	}
	if other, err := a.tenant(base, 101); err != nil || other == first {
		t.Errorf("another size of the cache: shared %t, %v", other == first, err)
	}
	if n := references(base); n != 1 {
		t.Errorf("one app holds %d references", n)
	}
}

func TestSettingsUnderWhichNoKeySetCanWork(t *testing.T) {
	for name, change := range map[string]func(*keys.Config){
		"no tenant":               func(c *keys.Config) { c.Endpoint = "" },
		"issuer alone":            func(c *keys.Config) { c.Endpoint, c.Issuers = "", []string{"https://a.example/oidc"} },
		"plain http":              func(c *keys.Config) { c.Endpoint = "http://tenant.example" },
		"keys over plain http":    func(c *keys.Config) { c.JWKSURI = "http://tenant.example/jwks" },
		"no PEM":                  func(c *keys.Config) { c.TrustedCA = "-----BEGIN NOTHING-----" },
		"no refresh_interval":     func(c *keys.Config) { c.RefreshInterval = 0 },
		"no fetch_timeout":        func(c *keys.Config) { c.FetchTimeout = 0 },
		"a negative cooldown":     func(c *keys.Config) { c.RefreshCooldown = -1 },
		"a negative max_stale":    func(c *keys.Config) { c.MaxStale = -1 },
		"a file without issuer":   func(c *keys.Config) { c.JWKSFile = "jwks.json" },
		"userinfo in an endpoint": func(c *keys.Config) { c.Endpoint = "https://user@tenant.example" },
	} {
		cfg := exampleConfig()
		change(&cfg)
		a := new(App)
		if _, err := a.tenant(cfg, 100); err == nil {
			t.Errorf("%s: accepted", name)
		}
		do(t, a.Cleanup)
		if references(cfg) != 0 {
			t.Errorf("%s: the pool keeps it", name)
		}
	}
}

// A file without a usable key: the config is refused, and nothing of it stays.
func TestJWKSFileWithoutAUsableKeyLeavesNothingBehind(t *testing.T) {
	cfg := exampleConfig()
	cfg.Endpoint, cfg.Issuers, cfg.JWKSFile = "", []string{exampleEndpoint + "/oidc"}, filepath.Join(t.TempDir(), "absent.json")
	a := new(App)
	for range 2 { // two handlers with the same mistake
		if _, err := a.tenant(cfg, 100); err == nil || !strings.Contains(err.Error(), "jwks_file "+cfg.JWKSFile) {
			t.Errorf("error %v", err)
		}
	}
	do(t, a.Cleanup)
	if references(cfg) != 0 {
		t.Error("the pool keeps the tenant")
	}
}

// A config with a jwks_file reads it again although its keys are in the pool.
func TestReloadReadsTheJWKSFileAgain(t *testing.T) {
	tenant, path := exampleTenant(), filepath.Join(t.TempDir(), "jwks.json")
	cfg := exampleConfig()
	cfg.Endpoint, cfg.Issuers, cfg.JWKSFile = "", []string{tenant.Issuer()}, path
	var apps []*App
	for range 2 {
		kid := tenant.Rotate("")
		if err := os.WriteFile(path, tenant.JWKS(), 0o600); err != nil {
			t.Fatal(err)
		}
		a := new(App)
		apps = append(apps, a)
		shared, err := a.tenant(cfg, 100)
		if err != nil || shared.keys.Held().Key(kid) == nil {
			t.Errorf("not read: %v", err)
		}
	}
	if references(cfg) != 2 {
		t.Errorf("%d references", references(cfg))
	}
	for _, a := range apps {
		do(t, a.Cleanup)
	}
}

// Two tenants in one server: the key of one never verifies a token of the
// other, even under the same kid.
func TestTenantsAreKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := exampleTenant(), devtenant.New(devtenant.Options{Issuer: "https://other.example/oidc", Algorithm: "ES256"})
		other.SetJWKS([]byte(replaceKID(other.JWKS(), other.SigningKID(), one.SigningKID())))
		otherConfig := exampleConfig()
		otherConfig.Endpoint = "https://other.example"
		a, ks, _ := provisioned(t, one, exampleConfig())
		b, otherKS, _ := provisioned(t, other, otherConfig)
		do(t, a.Start, b.Start)
		s, otherS := ks.Await(t.Context(), keys.Nobody), otherKS.Await(t.Context(), keys.Nobody)
		kid := one.SigningKID()
		if s.Key(kid) == nil || otherS.Key(kid) == nil || s.Has(otherS.Key(kid)) || otherS.Has(s.Key(kid)) {
			t.Error("two tenants share a key")
		}
		do(t, a.Stop, b.Stop, a.Cleanup, b.Cleanup)
	})
}

// Configs come and go beside each other, for the race detector and for the
// pool: in the end nothing is left.
func TestConfigsThatComeAndGoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := exampleTenant()
		base, ks, _ := provisioned(t, tenant, exampleConfig())
		do(t, base.Start)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				a := new(App)
				same, err := a.tenant(exampleConfig(), 100)
				if err != nil || same.keys != ks {
					t.Errorf("another key set: %v", err)
				}
				if err := errors.Join(a.Start(), a.Stop(), a.Cleanup()); err != nil {
					t.Error(err)
				}
			})
			all.Go(func() { ks.Await(t.Context(), keys.Nobody) })
		}
		all.Wait()
		if references(exampleConfig()) != 1 {
			t.Errorf("%d references", references(exampleConfig()))
		}
		do(t, base.Stop, base.Cleanup)
	})
}
