package keys

import (
	"crypto/elliptic"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// threeKeys is a key set in the middle of a rotation, with one more key that
// is staged.
func threeKeys(tb testing.TB) *devtenant.Tenant {
	tb.Helper()
	tenant := devtenant.New(devtenant.Options{Issuer: testEndpoint + "/oidc"})
	tenant.Rotate("")
	tenant.Stage("")
	return tenant
}

// The read path: what a request does to find its token's key. Refreshers that
// fetch as fast as they can must not be felt, except for the processor they
// take.
func BenchmarkKeyLookup(b *testing.B) {
	for _, refreshers := range []int{0, 2} {
		b.Run(fmt.Sprintf("refreshers=%d", refreshers), func(b *testing.B) {
			s := newBench(b, threeKeys(b), testConfig(), nil)
			if err := s.ks.RefreshNow(b.Context()); err != nil {
				b.Fatal(err)
			}
			kid, now := s.SigningKID(), time.Now()
			var all sync.WaitGroup
			stop := make(chan struct{})
			for range refreshers {
				all.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if err := s.ks.RefreshNow(b.Context()); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			b.ReportAllocs()
			for b.Loop() {
				if s.ks.Current(now).Key(kid) == nil {
					b.Fatal("the key is gone")
				}
			}
			b.StopTimer()
			close(stop)
			all.Wait()
		})
	}
}

func TestKeyLookupAllocatesNothing(t *testing.T) {
	s := newBench(t, threeKeys(t), testConfig(), nil)
	if err := s.ks.RefreshNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	kid, now := s.SigningKID(), time.Now()
	key := s.ks.Current(now).Key(kid)
	if n := testing.AllocsPerRun(1000, func() {
		if snapshot := s.ks.Current(now); snapshot.Key(kid) == nil || !snapshot.Has(key) || !key.Allows("ES384") {
			t.Error("the key is gone")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// How long a set takes to be read: once per refresh, and never on the path of
// a request.
func BenchmarkParseJWKS(b *testing.B) {
	document := threeKeys(b).JWKS()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseJWKS(document); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMemoryOf100Tenants reports what one tenant of 100 holds in memory
// between two refreshes: three keys and their text, the HTTP client with a CA
// of its own, the goroutine.
func BenchmarkMemoryOf100Tenants(b *testing.B) {
	const tenants = 100
	server := devtenanttest.NewTLSServer(b, devtenant.Options{})
	server.SetJWKS(jwksOf(b,
		curveJWK(b, elliptic.P384()).with(jwk{"kid": "one"}),
		curveJWK(b, elliptic.P384()).with(jwk{"kid": "two"}),
		modulusJWK(b, 2048).with(jwk{"kid": "three"}),
	))
	live := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	var perTenant float64
	for b.Loop() {
		before := live()
		held := make([]*Set, tenants)
		for i := range held {
			cfg := overHTTPS(server.Server)
			cfg.Issuers = []string{server.Issuer(), fmt.Sprintf("https://%d.example/oidc", i)}
			var err error
			if held[i], err = New(cfg, nil); err != nil {
				b.Fatal(err)
			}
			if err := held[i].RefreshNow(b.Context()); err != nil {
				b.Fatal(err)
			}
			held[i].client.CloseIdleConnections() // what idleConnTimeout does
		}
		server.CloseClientConnections()
		perTenant = float64(live()-before) / tenants
		for _, ks := range held {
			if err := ks.Destruct(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(perTenant, "B/tenant")
}

// BenchmarkSelect is what keyfunc costs the first sight of a token.
func BenchmarkSelect(b *testing.B) {
	s := newBench(b, threeKeys(b), testConfig(), nil)
	if err := s.ks.RefreshNow(b.Context()); err != nil {
		b.Fatal(err)
	}
	snapshot, kid := s.ks.Current(time.Now()), s.SigningKID()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := snapshot.Select(naming(map[string]any{"kid": kid, "alg": "ES384"})); err != nil {
			b.Fatal(err)
		}
	}
}
