package keys

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// ready is a bench whose keys have been fetched.
func ready(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, newTenant(), testConfig(), nil)
	b.fetched(t)
	return b
}

// ask is what a request does whose token names this key. It returns how long
// that took and whether the key was there in the end.
func (b *bench) ask(ctx context.Context, kid string) (time.Duration, bool) {
	began := time.Now()
	s := b.ks.Current(began)
	if s == nil || s.Key(kid) == nil {
		s = b.ks.AwaitKey(ctx, kid, Nobody)
	}
	return time.Since(began), s != nil && s.Key(kid) != nil
}

func TestImmediateRotationRefusesNoGoodToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t)
		before := b.Counts().JWKS
		old := b.SigningKID()
		kid := b.Rotate("")
		var refused atomic.Int32
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				asked := kid
				if i%2 == 0 {
					asked = old
				}
				if _, ok := b.ask(t.Context(), asked); !ok {
					refused.Add(1)
				}
			})
		}
		all.Wait()
		if n := refused.Load(); n > 0 {
			t.Errorf("%d of 200 good tokens refused", n)
		}
		if fetches := b.Counts().JWKS - before; fetches != 1 {
			t.Errorf("%d fetches for one rotation", fetches)
		}
	})
}

// A made-up kid arrived just before the key was rotated, so the fetch in
// flight may have been answered too early for the good token that joins it.
func TestRotationDuringAFetchInFlight(t *testing.T) {
	for name, forced := range map[string]bool{"periodic": false, "forced by a made-up kid": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := ready(t)
				var answers atomic.Int32
				b.SetJWKSFault(func(e *devtenant.Exchange) {
					if answers.Add(1) > 1 {
						devtenant.None(e)
						return
					}
					stale := e.Answer() // made before the rotation, sent after it
					select {
					case <-time.After(2 * time.Second):
					case <-e.Request.Context().Done():
					}
					_, _ = e.Writer.Write(stale.Body)
				})
				if forced {
					go b.ks.AwaitKey(t.Context(), "made-up", Nobody)
				} else {
					go func() { _ = b.ks.RefreshNow(t.Context()) }()
				}
				advance(time.Second)
				kid := b.Rotate("")
				_, found := b.ask(t.Context(), kid)
				if found == forced {
					t.Errorf("found: %t", found)
				}
				advance(4 * time.Second) // the cooldown's end
				if !b.serves(kid) {
					t.Error("the new key is still unknown after the cooldown")
				}
			})
		})
	}
}

func TestKeysComeAndGo(t *testing.T) {
	for name, tt := range map[string]func(t *testing.T, b *bench, first string){
		"after two rotations the first key is refused": func(t *testing.T, b *bench, first string) {
			t.Helper()
			b.Rotate("")
			b.fetched(t)
			if !b.serves(first) {
				t.Error("refused after one rotation")
			}
			b.Rotate("")
			b.fetched(t)
			if b.serves(first) {
				t.Error("the first key still serves")
			}
		},
		"a staged key costs no fetch when it starts to sign": func(t *testing.T, b *bench, first string) {
			t.Helper()
			staged := b.Stage("")
			advance(10 * time.Minute)
			before := b.Counts().JWKS
			b.Activate(staged)
			if waited, found := b.ask(t.Context(), staged); !found || waited != 0 || b.Counts().JWKS != before {
				t.Errorf("found %t after %v", found, waited)
			}
			if !b.serves(first) {
				t.Error("the previous key is gone")
			}
		},
		"from EC to RSA without alg": func(t *testing.T, b *bench, _ string) {
			t.Helper()
			kid := b.Rotate("RS256")
			b.fetched(t)
			key := b.ks.Current(time.Now()).Key(kid)
			if key == nil || !key.Allows("RS256") || !key.Allows("PS512") || key.Allows("ES256") {
				t.Errorf("key %+v", key)
			}
		},
		"a removed key is refused with the next snapshot": func(t *testing.T, b *bench, first string) {
			t.Helper()
			key := b.ks.Current(time.Now()).Key(first)
			b.Rotate("")
			b.RemoveKey(first)
			advance(10 * time.Minute)
			if s := b.ks.Current(time.Now()); s.Has(key) || s.Key(first) != nil {
				t.Error("the removed key still serves")
			}
		},
		"an unchanged key keeps its identity": func(t *testing.T, b *bench, first string) {
			t.Helper()
			key := b.ks.Current(time.Now()).Key(first)
			b.Rotate("")
			if s := b.fetched(t); !s.Has(key) {
				t.Error("the key became another one")
			}
			if s := b.fetched(t); !s.Has(key) { // 304
				t.Error("the key became another one")
			}
		},
		"other material under the same kid is another key": func(t *testing.T, b *bench, first string) {
			t.Helper()
			key := b.ks.Current(time.Now()).Key(first)
			other := newTenant()
			b.SetJWKS([]byte(replaceKID(other.JWKS(), other.SigningKID(), first)))
			if s := b.fetched(t); s.Has(key) || s.Key(first) == nil {
				t.Errorf("has the old one: %t", s.Has(key))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := ready(t)
				tt(t, b, b.SigningKID())
			})
		})
	}
}

// 10,000 made-up kids in ten seconds beside 100 good requests a second: one
// fetch per cooldown, and the good ones never wait, although the tenant takes
// long to answer.
func TestFloodOfMadeUpKids(t *testing.T) {
	for name, fault := range map[string]devtenant.Fault{
		"before a quick tenant":           devtenant.None,
		"before a tenant that is down":    devtenant.Down,
		"before one that answers nothing": devtenant.Hang,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := ready(t)
				b.SetFault(fault)
				before := b.Counts().JWKS
				good := b.SigningKID()
				var all sync.WaitGroup
				for tick := range 1000 {
					for i := range 10 {
						all.Go(func() { b.ask(t.Context(), fmt.Sprint("made-up-", tick, "-", i)) })
					}
					if waited, found := b.ask(t.Context(), good); !found || waited != 0 {
						t.Fatalf("a good token waited %v, found %t", waited, found)
					}
					<-time.After(10 * time.Millisecond)
				}
				all.Wait()
				// At 0, 5 and 10 s; what a failing tenant is asked anyway comes on top.
				most := 3
				if name != "before a quick tenant" {
					most += 8
				}
				if fetches := b.Counts().JWKS - before; fetches < 2 || fetches > most {
					t.Errorf("%d fetches", fetches)
				}
			})
		})
	}
}

func TestEachRotationAfterTheCooldownIsFoundAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t)
		for range 3 {
			kid := b.Rotate("")
			if waited, found := b.ask(t.Context(), kid); !found || waited != 0 {
				t.Errorf("found %t after %v", found, waited)
			}
			advance(5 * time.Second)
		}
	})
}

// Whatever else fetches within the cooldown answers the fetch that was put off
// to its end.
func TestFetchWithinTheCooldownReplacesTheOneAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t)
		b.ask(t.Context(), "made-up")
		b.ask(t.Context(), "made-up")
		advance(2 * time.Second)
		b.fetched(t)
		before := b.Counts().JWKS
		advance(time.Minute)
		if fetches := b.Counts().JWKS - before; fetches != 0 {
			t.Errorf("%d more fetches", fetches)
		}
	})
}

func TestMadeUpKidWithinTheCooldownIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t)
		before := b.Counts().JWKS
		b.ask(t.Context(), "made-up")
		for i := range 5 {
			if waited, _ := b.ask(t.Context(), fmt.Sprint("made-up-", i)); waited != 0 {
				t.Errorf("waited %v", waited)
			}
		}
		if fetches := b.Counts().JWKS - before; fetches != 1 {
			t.Errorf("%d fetches within the cooldown", fetches)
		}
		advance(5 * time.Second)
		if fetches := b.Counts().JWKS - before; fetches != 2 {
			t.Errorf("%d fetches, one of them at the cooldown's end", fetches)
		}
		advance(time.Minute)
		if fetches := b.Counts().JWKS - before; fetches != 2 {
			t.Errorf("%d fetches although nobody asked any more", fetches)
		}
	})
}

// An attacker keeps the cooldown running, so that no good token ever finds
// the moment to force a fetch.
func TestMadeUpKidEveryHalfCooldownDuringARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t)
		before := b.Counts().JWKS
		var kid string
		var rotated time.Time
		for tick := range 40 {
			b.ask(t.Context(), fmt.Sprint("made-up-", tick))
			<-time.After(100 * time.Millisecond)
			if tick == 10 {
				kid, rotated = b.Rotate(""), time.Now()
			}
			if kid != "" {
				if _, found := b.ask(t.Context(), kid); !found && time.Since(rotated) > 5*time.Second {
					t.Fatal("a good token refused for longer than a cooldown")
				}
			}
			<-time.After(2400 * time.Millisecond)
		}
		if fetches := b.Counts().JWKS - before; fetches > 21 {
			t.Errorf("%d fetches in 100 s", fetches)
		}
	})
}

func TestProberThatDisconnectsDoesNotEndTheSharedFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t)
		kid := b.Rotate("")
		b.SetJWKSFault(devtenant.Slow)
		ctx, disconnect := context.WithCancel(t.Context())
		go b.ks.AwaitKey(ctx, "made-up", Nobody)
		synctest.Wait()
		found := make(chan bool)
		go func() {
			_, ok := b.ask(t.Context(), kid)
			found <- ok
		}()
		synctest.Wait()
		disconnect()
		synctest.Wait()
		b.Release()
		if !<-found {
			t.Error("the good token was refused")
		}
	})
}

func TestKnownKeysAreNotDelayedByAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t)
		b.SetFault(devtenant.Hang)
		go b.ks.AwaitKey(t.Context(), "made-up", Nobody)
		synctest.Wait()
		if waited, found := b.ask(t.Context(), b.SigningKID()); !found || waited != 0 {
			t.Errorf("waited %v, found %t", waited, found)
		}
	})
}

func TestRequestThatGaveUpWaitsNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant()
		tenant.SetFault(devtenant.Hang)
		b := newBench(t, tenant, testConfig(), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		b.ks.Await(ctx, Nobody)
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %v", waited)
		}
		if after := b.ks.RetryAfter(time.Now()); after != 1 {
			t.Errorf("Retry-After: %d", after)
		}
	})
}

// Sixteen of everything at once, for the race detector.
func TestRequestsBesideRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t)
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				for range 20 {
					if err := b.ks.RefreshNow(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
			all.Go(func() {
				for i := range 20 {
					b.ask(t.Context(), fmt.Sprint("made-up-", i))
					b.ks.Status()
					b.ks.RetryAfter(time.Now())
				}
			})
			all.Go(func() {
				for range 20 {
					if _, found := b.ask(t.Context(), b.SigningKID()); !found {
						t.Error("a good token was refused")
					}
				}
			})
		}
		all.Wait()
	})
}

func TestSeveralIssuersShareOneKeySet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Issuers = []string{"https://login.example.com/oidc", testEndpoint + "/oidc"}
		b := newBench(t, newTenant(), cfg, nil)
		if s := b.fetched(t); !slices.Equal(s.issuers, cfg.Issuers) {
			t.Errorf("accepted issuers: %v", s.issuers)
		}
	})
}

// An internal endpoint: the discovery document names the public issuer, and
// its keys are fetched from wherever it says, on a host that was configured.
func TestInternalEndpointWithAPublicIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := devtenant.New(devtenant.Options{Issuer: "https://login.example.com/oidc", Endpoint: "http://logto:3001", Algorithm: "ES256"})
		cfg := testConfig()
		cfg.Endpoint, cfg.InsecureHTTP = "http://logto:3001", true
		b := newBench(t, tenant, cfg, nil)
		if b.ks.Await(t.Context(), Nobody) != nil {
			t.Fatal("an issuer that nobody configured was accepted")
		}
		cfg.Issuers = []string{"https://login.example.com/oidc"}
		b = newBench(t, tenant, cfg, nil)
		if s := b.ks.Await(t.Context(), Nobody); s == nil || s.jwksURI != "http://logto:3001/oidc/jwks" {
			t.Errorf("snapshot %+v: %s", s, b.ks.Status().LastError)
		}
	})
}

func TestNoDiscoveryWithIssuerAndJWKSURI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Endpoint, cfg.Issuers, cfg.JWKSURI = "", []string{testEndpoint + "/oidc"}, testEndpoint+"/oidc/jwks"
		b := newBench(t, newTenant(), cfg, nil)
		b.fetched(t)
		b.SetJWKSFault(devtenant.ServerError)
		advance(time.Hour)
		if got := b.Counts().Discovery; got != 0 {
			t.Errorf("%d discovery requests", got)
		}
	})
}

func TestUnchangedKeysAreConfirmedWithoutABody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t)
		var conditions []string
		b.SetJWKSFault(func(e *devtenant.Exchange) {
			conditions = append(conditions, e.Request.Header.Get("If-None-Match"))
			devtenant.None(e)
		})
		b.fetched(t)
		s := b.fetched(t)
		if len(conditions) != 2 || conditions[0] == "" || conditions[0] != conditions[1] {
			t.Errorf("If-None-Match: %q", conditions)
		}
		if !s.fetchedAt.Equal(time.Now()) || !b.serves(b.SigningKID()) {
			t.Errorf("a 304 did not renew the snapshot: %+v", s)
		}
	})
}

// staleETag answers 304 to everyone who has any copy, as a proxy or tenant does
// whose ETag stays the same when the keys change.
func staleETag(e *devtenant.Exchange) {
	if e.Request.Header.Get("If-None-Match") != "" {
		e.Writer.WriteHeader(http.StatusNotModified)
		return
	}
	devtenant.None(e)
}

// slowAndStale is staleETag after a second.
func slowAndStale(e *devtenant.Exchange) {
	time.Sleep(time.Second)
	staleETag(e)
}

// A key that was rotated in must be found although whoever answers says that
// nothing has changed.
func TestStaleETagDoesNotHideARotation(t *testing.T) {
	for name, meet := range map[string]func(t *testing.T, b *bench) (kid string, atOnce bool){
		"at rest": func(_ *testing.T, b *bench) (string, bool) { return b.Rotate(""), true },
		"while a fetch that nobody forced is in flight": func(t *testing.T, b *bench) (string, bool) {
			t.Helper()
			b.SetJWKSFault(slowAndStale)
			go func() { _ = b.ks.RefreshNow(t.Context()) }()
			synctest.Wait()
			return b.Rotate(""), true
		},
		"while a fetch that nobody forced is about to begin": func(t *testing.T, b *bench) (string, bool) {
			t.Helper()
			b.SetJWKSFault(slowAndStale)
			for range 2 {
				go func() { _ = b.ks.RefreshNow(t.Context()) }()
				synctest.Wait()
			}
			return b.Rotate(""), true
		},
		"within the cooldown": func(t *testing.T, b *bench) (string, bool) {
			t.Helper()
			b.ask(t.Context(), "made-up")
			return b.Rotate(""), false
		},
		"within the cooldown, with a fetch that nobody forced before its end": func(t *testing.T, b *bench) (string, bool) {
			t.Helper()
			b.ask(t.Context(), "made-up")
			kid := b.Rotate("")
			b.ask(t.Context(), kid)
			_ = b.ks.RefreshNow(t.Context())
			return kid, true
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := ready(t)
				b.SetJWKSFault(staleETag)
				kid, atOnce := meet(t, b)
				if _, found := b.ask(t.Context(), kid); found != atOnce {
					t.Errorf("found: %t", found)
				}
				advance(5 * time.Second)
				if !b.serves(kid) {
					t.Error("the rotation is hidden")
				}
			})
		})
	}
}

// The tenant rotates its keys, and a token of the new key comes, at every
// moment around the very first fetch: before it, during it, between the
// publication of its answer and its end, and after it. No such token is
// refused, since nobody has forced a fetch yet.
func TestRotationAtAnyMomentOfTheFirstFetch(t *testing.T) {
	const slow = 5 // milliseconds that the tenant, and what follows, take
	for at := range 4 * slow {
		synctest.Test(t, func(t *testing.T) {
			tenant := newTenant()
			tenant.SetFault(func(e *devtenant.Exchange) {
				answer := e.Answer() // made before a rotation, sent after it
				time.Sleep(slow * time.Millisecond)
				_, _ = e.Writer.Write(answer.Body)
			})
			b := newBench(t, tenant, testConfig(), nil)
			// The observer is called when the snapshot is there and the round
			// has not ended.
			b.env.Observer = func(FetchReport) { time.Sleep(slow * time.Millisecond) }
			b.ks.Start()
			time.Sleep(time.Duration(at) * time.Millisecond)
			kid := b.Rotate("")
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() { // what the validator does
					s := b.ks.Await(t.Context(), Nobody)
					if s != nil && s.Key(kid) == nil {
						s = b.ks.AwaitKey(t.Context(), kid, Nobody)
					}
					if s == nil || s.Key(kid) == nil {
						t.Errorf("%d ms after the start: %+v", at, s)
					}
				})
			}
			all.Wait()
			if fetches := b.ks.Status().Fetches; fetches > 2 {
				t.Errorf("%d ms after the start: %d fetches", at, fetches)
			}
		})
	}
}

// One instance must not ask at the same moment as all the others, and no
// instance less often than it was told to.
func TestRefreshIntervalHasJitter(t *testing.T) {
	seen := make(map[time.Duration]bool)
	for range 100 {
		d := refreshDelay(10 * time.Minute)
		if d < 9*time.Minute || d > 10*time.Minute {
			t.Fatalf("delay %v", d)
		}
		seen[d] = true
	}
	if len(seen) < 50 {
		t.Errorf("%d different delays", len(seen))
	}
}

func TestRetriesBackOff(t *testing.T) {
	for n, most := range map[int]time.Duration{
		1: 250 * time.Millisecond, 2: 500 * time.Millisecond, 3: time.Second, 5: 4 * time.Second, 6: 5 * time.Second, 1 << 40: 5 * time.Second,
	} {
		for range 100 {
			if d := retryDelay(n, maxRetryKeyless); d < most/2 || d > most {
				t.Fatalf("delay %v after %d failures", d, n)
			}
		}
	}
}
