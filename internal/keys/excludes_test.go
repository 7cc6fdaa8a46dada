package keys

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// Within refresh_cooldown a made-up kid needs no look at the rest of its token
// as soon as the fetch at the end is due, and only then.
func TestSetExcludesAKeyOnceNothingDependsOnIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t)
		expect := func(when, kid string, want bool) {
			t.Helper()
			if got := b.ks.Excludes(kid); got != want {
				t.Errorf("%s: excluded: %t", when, got)
			}
		}
		expect("before anybody asked", "made-up", false)
		b.ask(t.Context(), "made-up") // forces a fetch
		expect("while nothing is due at the cooldown's end", "made-up", false)
		b.ask(t.Context(), "made-up")
		expect("in the cooldown", "made-up", true)
		expect("in the cooldown, a key of the set", b.SigningKID(), false)
		advance(testConfig().RefreshCooldown - time.Millisecond)
		expect("at the last moment of the cooldown", "made-up", true)
		b.SetJWKSFault(devtenant.Slow)
		kid := b.Rotate("")
		advance(time.Millisecond)
		expect("during the fetch at its end", kid, false)
		b.Release()
		synctest.Wait()
		expect("after it, a key that came with it", kid, false)
		expect("after it", "made-up", false)
		b.ask(t.Context(), "made-up")
		expect("in the next cooldown", "made-up", true)
	})
}

// The moments between, which only a set without its refresher shows.
func TestSetExcludesNothingWhileAFetchIsToCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, newTenant(), testConfig(), nil)
		if err := b.ks.Destruct(); err != nil { // then nothing is fetched but by run
			t.Fatal(err)
		}
		b.ks.life, b.ks.closed = t.Context(), false
		expect := func(when string, want bool) {
			t.Helper()
			if got := b.ks.Excludes("made-up"); got != want {
				t.Errorf("%s: excluded: %t", when, got)
			}
		}
		round := func() *round {
			r, _ := b.ks.nextRound(time.Now())
			return r
		}
		b.ks.roundForKey(time.Now(), true)
		b.ks.run(round())
		b.ks.roundForKey(time.Now(), true)
		expect("when a fetch is due at the cooldown's end", true)
		b.ks.request(false)
		expect("when one is to begin at once", false)
		r := round()
		// This one waited for a fetch that was forced, and has seen it end.
		b.ks.roundForKey(time.Now(), false)
		expect("while it is under way", false)
		b.ks.run(r)
		expect("after it", true)
		advance(testConfig().RefreshCooldown)
		expect("when the one at the cooldown's end should begin", false)
	})
}

// Whatever happens to a key set: where it excludes a key, AwaitKey refuses that
// at once and changes nothing.
func TestExcludesIsWhatAwaitKeyWouldSay(t *testing.T) {
	excluded, asked := 0, 0
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			b := ready(t)
			kids := []string{"made-up", b.SigningKID()}
			for range 40 {
				kids = append(kids, b.happen(t, random)...)
				kid := kids[random.IntN(len(kids))]
				asked++
				if !b.ks.Excludes(kid) {
					continue
				}
				excluded++
				before := b.plans()
				if took, found := b.ask(t.Context(), kid); took != 0 || found {
					t.Fatalf("seed %d: an excluded key took %v, found: %t", seed, took, found)
				}
				if after := b.plans(); after != before {
					t.Fatalf("seed %d: asking for an excluded key changed %+v to %+v", seed, before, after)
				}
			}
			b.Release()
		})
	}
	if excluded < asked/20 || excluded > asked/2 {
		t.Errorf("%d of %d were excluded: this test shows little", excluded, asked)
	}
}

// Whatever a flood of made-up kids, outages and refreshes do to a key set: once
// the tenant publishes a key and can be reached, a request that names it is
// admitted within refresh_cooldown.
func TestANewKeyIsAdmittedWithinTheCooldownWhateverElseIsAsked(t *testing.T) {
	const pace = 100 * time.Millisecond
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 2))
			b := ready(t)
			flood, stop := context.WithCancel(t.Context())
			var flooding sync.WaitGroup
			defer flooding.Wait()
			defer stop()
			flooding.Go(func() {
				pauses := rand.New(rand.NewPCG(seed, 3))
				for flood.Err() == nil {
					b.shown(flood, "made-up")
					<-time.After(time.Duration(pauses.Int64N(int64(pace))))
				}
			})
			for range 10 {
				b.happen(t, random)
			}
			kid := b.Rotate("")
			b.Release()
			b.SetJWKSFault(nil)
			began := time.Now()
			for !b.shown(t.Context(), kid) {
				if waited := time.Since(began); waited > testConfig().RefreshCooldown+2*pace {
					t.Fatalf("seed %d: the key is refused for %v", seed, waited)
				}
				<-time.After(pace)
			}
		})
	}
}

// shown reports whether a request is admitted whose token names this key.
func (b *bench) shown(ctx context.Context, kid string) bool {
	if b.ks.Excludes(kid) {
		return false
	}
	_, found := b.ask(ctx, kid)
	return found
}

// happen lets one thing happen that key sets live through, and returns the kids
// that it made known.
func (b *bench) happen(t *testing.T, random *rand.Rand) (kids []string) {
	t.Helper()
	switch random.IntN(8) {
	case 0:
		kids = append(kids, b.Rotate(""))
	case 1:
		go func() { _ = b.ks.RefreshNow(t.Context()) }()
	case 2:
		b.SetJWKSFault(devtenant.Slow)
	case 3:
		b.Release()
		b.SetJWKSFault(nil)
	case 4:
		b.SetJWKSFault(devtenant.ServerError)
	default:
		go b.ks.AwaitKey(t.Context(), "made-up", Nobody)
	}
	if random.IntN(2) == 0 {
		advance(time.Duration(random.Int64N(int64(testConfig().RefreshCooldown))))
	} else {
		synctest.Wait()
	}
	return kids
}

// plans are what an unknown key can change.
type plans struct {
	running, pending     *round
	lastForced, forcedAt time.Time
}

func (b *bench) plans() plans {
	b.ks.mu.Lock()
	defer b.ks.mu.Unlock()
	return plans{b.ks.running, b.ks.pending, b.ks.lastForced, b.ks.forcedAt}
}

// Requests ask while the refresher and others change what they ask about.
func TestExcludesBesideRefreshes(t *testing.T) {
	b := newBench(t, newTenant(), testConfig(), nil)
	b.fetched(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				if b.ks.Excludes(b.SigningKID()) {
					t.Error("the key that signs is excluded")
				}
				if !b.ks.Excludes("made-up") {
					b.ks.AwaitKey(t.Context(), "made-up", Nobody)
				}
			}
		})
	}
	all.Go(func() {
		for range 20 {
			_ = b.ks.RefreshNow(t.Context())
		}
	})
	all.Wait()
}

func TestExcludesAllocatesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t)
		b.ask(t.Context(), "made-up")
		b.ask(t.Context(), "made-up")
		if n := testing.AllocsPerRun(100, func() {
			if !b.ks.Excludes("made-up") {
				t.Error("not excluded")
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}
