package logtoauth

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// someInfo is what a verified token might say, with the key that verified it.
func someInfo(key *keys.Key) *AuthInfo {
	const payload = `{"sub":"user-1","scope":"read:products","aud":["https://api.example.com"]}`
	return &AuthInfo{key: key, payload: payload, expiresAt: time.Now().Unix() + 3600, claims: new(atomic.Pointer[map[string]any])}
}

// remember puts a token into the cache the way requests do.
func remember(c *tokenCache, token string, info *AuthInfo) {
	c.verifyOnce(context.Background(), token, info.key, nil, func() *AuthInfo { return info })
}

// kept is how many tokens are remembered.
func (c *tokenCache) kept() int {
	count, _ := c.verified.Size()
	return count
}

func TestTokenCacheIsBounded(t *testing.T) {
	key := new(keys.Key)
	one := cacheCost("token-0000", someInfo(key))
	for name, test := range map[string]struct {
		maxTokens, maxBytes int
		want                int
	}{
		"by count":             {10, maxCacheBytes, 10},
		"by octets":            {10, 4*one + one/2, 4},
		"to one":               {1, maxCacheBytes, 1},
		"to none":              {0, maxCacheBytes, 0},
		"smaller than a token": {10, one - 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTokenCacheOf(test.maxTokens, test.maxBytes)
			for i := range 1000 {
				remember(c, fmt.Sprintf("token-%04d", i), someInfo(key))
				if count, bytes := c.verified.Size(); count > test.maxTokens || bytes > test.maxBytes {
					t.Fatalf("%d tokens of %d octets are kept", count, bytes)
				}
			}
			if c.kept() != test.want {
				t.Errorf("%d tokens are kept, not %d", c.kept(), test.want)
			}
			if test.want > 0 && c.lookup("token-0999") == nil {
				t.Error("the newest token is not kept")
			}
		})
	}
}

func TestTokenCacheComparesTheWholeToken(t *testing.T) {
	c := newTokenCache(10)
	info := someInfo(new(keys.Key))
	remember(c, "header.payload.signature", info)
	if c.lookup("header.payload.signature") != info {
		t.Error("the token is not found")
	}
	for _, other := range []string{"header.payload.signaturE", "header.payload.signatur", "header.payload.signaturex", "", "HEADER.payload.signature"} {
		if c.lookup(other) != nil {
			t.Errorf("%q is taken for another token", other)
		}
	}
}

func TestTokensShownOncePushOutNoneInUse(t *testing.T) {
	c := newTokenCache(100)
	key := new(keys.Key)
	popular := make([]string, 50)
	for i := range popular {
		popular[i] = "popular-" + strconv.Itoa(i)
		remember(c, popular[i], someInfo(key))
	}
	for i := range 2000 {
		for _, token := range popular[:1+i%len(popular)] {
			c.lookup(token)
		}
		remember(c, "once-"+strconv.Itoa(i), someInfo(key))
	}
	for _, token := range popular {
		if c.lookup(token) == nil {
			t.Errorf("%s was forgotten", token)
		}
	}
}

func TestSweepForgetsExpiredTokensAndThoseOfWithdrawnKeys(t *testing.T) {
	set := snapshotOf(t, "kept", "replaced")
	kept, replaced := set.Key("kept"), snapshotOf(t, "replaced").Key("replaced")
	withdrawn := snapshotOf(t, "withdrawn").Key("withdrawn")
	now := time.Now()
	expiring := func(key *keys.Key, in time.Duration) *AuthInfo {
		info := someInfo(key)
		info.expiresAt = now.Add(in).Unix()
		return info
	}
	fill := func() *tokenCache {
		c := newTokenCache(10)
		remember(c, "good", expiring(kept, time.Second))
		remember(c, "expired", expiring(kept, 0))
		remember(c, "withdrawn", expiring(withdrawn, time.Hour))
		remember(c, "replaced", expiring(replaced, time.Hour))
		return c
	}
	for name, test := range map[string]struct {
		set  *keys.Snapshot
		left []string
	}{
		"with keys":                {set, []string{"good"}},
		"while there are none yet": {nil, []string{"good", "withdrawn", "replaced"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := fill()
			c.sweep(test.set, now)
			if c.kept() != len(test.left) {
				t.Errorf("%d tokens are left, not %q", c.kept(), test.left)
			}
			for _, token := range test.left {
				if c.lookup(token) == nil {
					t.Errorf("%s was forgotten", token)
				}
			}
		})
	}
}

func TestConcurrentFirstSightsVerifyOnce(t *testing.T) {
	for name, holds := range map[string]bool{"genuine": true, "forged": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTokenCache(10)
				c.turns = turnsOf(100)
				key, rotated := new(keys.Key), new(keys.Key)
				var checks atomic.Int32
				finish := make(chan struct{})
				show := func(token string, key *keys.Key) {
					want := someInfo(key)
					got, _ := c.verifyOnce(t.Context(), token, key, nil, func() *AuthInfo {
						checks.Add(1)
						<-finish
						if !holds {
							return nil
						}
						return want
					})
					if (got != nil) != holds || got != nil && got.key != key {
						t.Errorf("%s is admitted as %v", token, got)
					}
				}
				for range 50 {
					go show("one", key)
					go show("other", key)
					go show("one", rotated)
				}
				synctest.Wait()
				if got := checks.Load(); got != 3 {
					t.Errorf("%d checks for two tokens, one of them with two keys", got)
				}
				close(finish)
				synctest.Wait()
				if holds {
					show("other", key)
					if got := checks.Load(); got != 3 {
						t.Error("a token that is kept was checked again")
					}
				}
				if len(c.verifying) != 0 {
					t.Error("checks are noted that have ended")
				}
			})
		})
	}
}

func TestACheckThatPanicsAdmitsNobodyAndHoldsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTokenCache(10)
		c.turns = turnsOf(2)
		key := new(keys.Key)
		fail := make(chan struct{})
		go func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			c.verifyOnce(t.Context(), "token", key, nil, func() *AuthInfo { <-fail; panic("fault") })
		}()
		synctest.Wait()
		admitted := someInfo(key)
		go func() {
			admitted, _ = c.verifyOnce(t.Context(), "token", key, nil, func() *AuthInfo { return someInfo(key) })
		}()
		synctest.Wait()
		close(fail)
		synctest.Wait()
		if admitted != nil || c.lookup("token") != nil {
			t.Error("a token was admitted whose check did not end")
		}
	})
}

func TestTokenCacheUnderConcurrentUse(t *testing.T) {
	c := newTokenCache(20)
	sets := []*keys.Snapshot{snapshotOf(t, "a"), snapshotOf(t, "b")}
	verifiers := []*keys.Key{sets[0].Key("a"), sets[1].Key("b")}
	var workers sync.WaitGroup
	for worker := range uint64(4) {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(worker, 1))
			for range 2000 {
				token := strconv.Itoa(random.IntN(40))
				key := verifiers[random.IntN(2)]
				switch random.IntN(20) {
				case 0:
					c.sweep(sets[random.IntN(2)], time.Now())
				case 1, 2, 3, 4, 5:
					c.verifyOnce(t.Context(), token, key, nil, func() *AuthInfo { return nil })
				case 6, 7, 8, 9, 10, 11:
					remember(c, token, someInfo(key))
				default:
					c.lookup(token)
				}
			}
		})
	}
	workers.Wait()
	if c.kept() > 20 || len(c.verifying) != 0 {
		t.Errorf("%d tokens are kept, %d are being verified", c.kept(), len(c.verifying))
	}
}

// snapshotOf is a snapshot with keys of these IDs.
func snapshotOf(tb testing.TB, kids ...string) *keys.Snapshot {
	tb.Helper()
	jwks := make([]any, 0, len(kids))
	for _, kid := range kids {
		jwks = append(jwks, rsaJWK(kid, nil))
	}
	return tenantOf(tb, mustJSON(tb, map[string]any{"keys": jwks}), capturedIssuer).keys.Held()
}

// admitted validates a token that must be admitted.
func admitted(tb testing.TB, v *validator, token string) *AuthInfo {
	tb.Helper()
	info, refusal := v.validate(tb.Context(), token, time.Now, nil)
	if refusal != nil {
		tb.Fatalf("refused as %s (%s)", refusal.Reason, refusal.Detail)
	}
	return info
}

func TestCachedTokenIsJudgedAnewByEverySite(t *testing.T) {
	tenant := newCachedTenant(t, "ES256", 100)
	token := tenant.token("read:products")
	first := admitted(t, tenant.validator(), token)
	for name, test := range map[string]struct {
		change func(*tokenRules)
		later  time.Duration
		want   Reason
	}{
		"the same rules":           {},
		"within leeway":            {later: time.Hour + 5*time.Second},
		"after exp":                {later: time.Hour + 11*time.Second, want: ReasonExpired},
		"before iat":               {later: -12 * time.Second, want: ReasonNotYetValid},
		"another issuer":           {change: func(r *tokenRules) { r.issuers = []string{"https://other.example/oidc"} }, want: ReasonWrongIssuer},
		"other algorithms":         {change: func(r *tokenRules) { r.algorithms = []string{"ES384"} }, want: ReasonDisallowedAlgorithm},
		"another type":             {change: func(r *tokenRules) { r.types = []string{"jwt"} }, want: ReasonUnsupportedType},
		"any type":                 {change: func(r *tokenRules) { r.types = nil }},
		"max_age":                  {change: func(r *tokenRules) { r.maxAge = 60 }, later: 72 * time.Second, want: ReasonTooOld},
		"max_age not yet exceeded": {change: func(r *tokenRules) { r.maxAge = 60 }, later: 60 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			v := tenant.validator()
			if test.change != nil {
				test.change(&v.rules)
			}
			info, refusal := v.validate(t.Context(), token, fixed(time.Now().Add(test.later)), nil)
			var got Reason
			if refusal != nil {
				got = refusal.Reason
			}
			if got != test.want {
				t.Errorf("refused as %q, not %q", got, test.want)
			}
			if info != first {
				t.Error("the token was verified once more")
			}
		})
	}
}

func TestCachedTokenOfAWithdrawnKeyIsRefused(t *testing.T) {
	tenant := newCachedTenant(t, "ES256", 100)
	token := tenant.token("")
	v := tenant.validator()
	admitted(t, v, token)
	tenant.Rotate("")
	tenant.publish(t, tenant.JWKS())
	admitted(t, v, token) // the previous key is still published
	tenant.Rotate("")
	tenant.publish(t, tenant.JWKS())
	if _, refusal := v.validate(t.Context(), token, time.Now, nil); refusal == nil || refusal.Reason != ReasonUnknownKey {
		t.Errorf("refused as %v, not %s", refusal, ReasonUnknownKey)
	}
}

func TestCachedTokenIsRefusedWhenItsKIDNamesAnotherKey(t *testing.T) {
	tenant, other := newCachedTenant(t, "ES256", 100), newCachedTenant(t, "ES256", 100)
	token := tenant.token("")
	v := tenant.validator()
	admitted(t, v, token)
	kid := tenant.SigningKID()
	tenant.publish(t, []byte(replaceKID(other.JWKS(), other.SigningKID(), kid)))
	if _, refusal := v.validate(t.Context(), token, time.Now, nil); refusal == nil || refusal.Reason != ReasonBadSignature {
		t.Errorf("refused as %v, not %s", refusal, ReasonBadSignature)
	}
}

func TestCachedTokenOutlivesARefreshThatChangesNothing(t *testing.T) {
	tenant := newCachedTenant(t, "ES256", 100)
	token := tenant.token("")
	v := tenant.validator()
	first := admitted(t, v, token)
	tenant.publish(t, tenant.JWKS())
	if admitted(t, v, token) != first {
		t.Error("the token was verified once more")
	}
}

func TestCachedTokenIsRefusedWhenTheKeysAreStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, exampleTenant(), exampleConfig())
		b.fetched(t)
		v := waitingValidator(b)
		token := b.lasting(48 * time.Hour)
		first := admitted(t, v, token)
		b.SetFault(devtenant.Down)
		advance(23 * time.Hour)
		if b.keys.LastError() == nil || admitted(t, v, token) != first {
			t.Error("the token was verified once more, or the keys were fetched")
		}
		advance(2 * time.Hour) // max_stale is 24
		if _, refusal := v.validate(t.Context(), token, time.Now, nil); refusal == nil || refusal.Reason != ReasonKeysUnavailable {
			t.Errorf("refused as %v, not %s", refusal, ReasonKeysUnavailable)
		}
	})
}

// Nobody asks for these tokens again: each round gives their memory back.
func TestTokensAreSweptAfterEachRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, exampleTenant(), exampleConfig())
		b.fetched(t)
		v := waitingValidator(b)
		admitted(t, v, b.lasting(time.Minute))
		lasting := b.lasting(time.Hour)
		admitted(t, v, lasting)
		advance(15 * time.Minute) // the keys are fetched anew after 10
		if b.tokens.kept() != 1 || b.tokens.lookup(lasting) == nil {
			t.Errorf("%d tokens are kept", b.tokens.kept())
		}
	})
}

func TestForgedTokensAreNotKept(t *testing.T) {
	tenant := newCachedTenant(t, "ES256", 3)
	v := tenant.validator()
	genuine := []string{tenant.token("a"), tenant.token("b"), tenant.token("c")}
	infos := make([]*AuthInfo, 0, len(genuine))
	for _, token := range genuine {
		infos = append(infos, admitted(t, v, token))
	}
	// Signed under the tenant's kid by somebody else's key.
	thief := devtenant.New(devtenant.Options{Issuer: tenant.Issuer(), Algorithm: "ES256"})
	for i := range 20 {
		forged := thief.Sign(map[string]any{"kid": tenant.SigningKID()}, thief.Claims(devtenant.TokenRequest{Resource: "https://api.example.com", Subject: strconv.Itoa(i)}))
		info, refusal := v.validate(t.Context(), forged, time.Now, nil)
		if refusal == nil || refusal.Reason != ReasonBadSignature {
			t.Fatalf("refused as %v, not %s", refusal, ReasonBadSignature)
		}
		if info == nil || info.key != nil {
			t.Fatal("the claims of a forged token are missing, or count as verified")
		}
	}
	for i, token := range genuine {
		if admitted(t, v, token) != infos[i] {
			t.Errorf("token %d was verified once more", i)
		}
	}
}

func TestCacheSizeZeroKeepsNoToken(t *testing.T) {
	tenant := newCachedTenant(t, "ES256", 0)
	v := tenant.validator()
	token := tenant.token("")
	first, second := admitted(t, v, token), admitted(t, v, token)
	if first == second {
		t.Error("the token was not verified anew")
	}
	if kept := tenant.cache.kept(); kept != 0 {
		t.Errorf("%d tokens are kept", kept)
	}
}

func TestTokenCacheOutlivesAReload(t *testing.T) {
	tenant := newCachedTenant(t, "ES256", 100)
	cfg := keys.Config{
		Issuers: []string{tenant.Issuer()}, JWKSFile: tenant.path,
		RefreshInterval: time.Minute, FetchTimeout: time.Second, MaxStale: time.Hour,
	}
	reload := func() (*App, *validator) {
		app := new(App)
		shared, err := app.tenant(cfg, 100)
		if err != nil {
			t.Fatal(err)
		}
		return app, validatorOf(shared)
	}
	before, site := reload()
	token := tenant.token("")
	first := admitted(t, site, token)
	after, site := reload()
	if err := before.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if admitted(t, site, token) != first {
		t.Error("the token was verified once more after the reload")
	}
	if err := after.Cleanup(); err != nil {
		t.Fatal(err)
	}
}

func TestCachedTokenIsValidatedWithoutAllocation(t *testing.T) {
	tenant := newCachedTenant(t, "ES256", 100)
	v := tenant.validator()
	token := tenant.token("read:products write:products")
	admitted(t, v, token)
	ctx, now := t.Context(), fixed(time.Now())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody)
	if got := testing.AllocsPerRun(100, func() {
		// As the handler calls it: who waits is not asked where nobody waits.
		_, _ = v.validate(ctx, token, now, func() keys.Requester { return requesterOf(r) })
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func TestCacheCostIsNotBelowTheHeap(t *testing.T) {
	repeat := func(element string, n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]"
	}
	members := func(n int) string {
		var object strings.Builder
		for i := range n {
			fmt.Fprintf(&object, `,"%d":0`, i)
		}
		return "{" + strings.TrimPrefix(object.String(), ",") + "}"
	}
	for name, custom := range map[string]string{
		"a bare token":       `{"exp":1999999999}`,
		"Logto's own claims": `null`,
		"roles":              `{"roles":["admin","editor"],"plan":"pro"}`,
		"long text":          `"` + strings.Repeat("a", 9000) + `"`,
		"nested objects":     strings.Repeat(`{"":`, 1500) + "1" + strings.Repeat("}", 1500),
		"nested arrays":      strings.Repeat("[", 4000) + strings.Repeat("]", 4000),
		"empty objects":      repeat(`{}`, 3000),
		"small objects":      repeat(`{"":0}`, 1200),
		"objects of nine":    repeat(members(9), 180),
		"an object of 9":     members(9),
		"an object of 15":    members(15),
		"beside small ones":  "[" + members(700) + strings.Repeat(",{}", 120) + "]",
		"an object of 900":   members(900),
		"an object of 1100":  members(1100),
		"numbers":            repeat(`0`, 4500),
		"long numbers":       repeat(`1234567`, 1000),
		"texts":              repeat(`"ab"`, 1800),
		"arrays of one":      repeat(`[0]`, 2500),
		"arrays of five":     repeat(`[0,0,0,0,0]`, 800),
		"many scopes":        `null,"scope":"` + strings.Repeat("a ", 4500) + `"`,
		"many audiences":     `null,"aud":` + repeat(`"ab"`, 1800),
	} {
		t.Run(name, func(t *testing.T) {
			payload := `{"jti":"wV7xYbZq1s0aQe9mKc3pTgHnLr5uJd8f2oXiB6yN4kA","sub":"7tqk2gv0w9d1","iat":1795189979,"exp":1999999999,` +
				`"scope":"read:products write:products","client_id":"0n6gz1m8r4cjkx3tqwvye","iss":"https://tenant.example/oidc",` +
				`"aud":"https://api.example.com","custom":` + custom + `}`
			rest := "." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + "." + strings.Repeat("s", 128)
			if name == "a bare token" {
				payload = custom
			}
			tokens := 40
			if len(payload) < 1000 {
				tokens = 400
			}
			// A token may be a small part of what a client sent.
			padding := strings.Repeat("x", 1<<16)
			c := newTokenCacheOf(tokens, 1<<40)
			before := heapInUse()
			for i := range tokens {
				info, refusal := decodeClaims(payload)
				if refusal != nil {
					t.Fatal(refusal.Detail)
				}
				sent := fmt.Sprintf("%s%0150d%s", padding, i, rest)
				remember(c, sent[len(padding):], info)
				info.allClaims()
			}
			runtime.KeepAlive(padding)
			_, estimated := c.verified.Size()
			if taken := heapInUse() - before; int64(estimated) < taken {
				t.Errorf("%d octets each are estimated, %d are taken", estimated/tokens, int(taken)/tokens)
			}
		})
	}
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // the first only queues what finalizers and pools still hold
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return int64(memory.HeapAlloc)
}
