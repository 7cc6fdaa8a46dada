package logtoauth

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

const exampleEndpoint = "https://tenant.example"

// exampleConfig has the defaults of the Caddyfile.
func exampleConfig() keys.Config {
	return keys.Config{
		Endpoint: exampleEndpoint, RefreshInterval: 10 * time.Minute, RefreshCooldown: 5 * time.Second,
		MaxStale: 24 * time.Hour, FetchTimeout: 5 * time.Second,
	}
}

func exampleTenant() *devtenant.Tenant {
	return devtenant.New(devtenant.Options{Issuer: exampleEndpoint + "/oidc", Algorithm: "ES256"})
}

// bench is a tenant in memory and what a site holds of it. It belongs into a
// synctest bubble: nothing takes real time.
type bench struct {
	*devtenant.Tenant
	*tenant
}

func newBench(tb testing.TB, served *devtenant.Tenant, cfg keys.Config) *bench {
	tb.Helper()
	shared, err := newTenant(cfg, 100)
	if err != nil {
		tb.Fatal(err)
	}
	shared.keys.ReachThrough(devtenanttest.Transport(served))
	tb.Cleanup(func() {
		if err := shared.Destruct(); err != nil {
			tb.Errorf("Destruct: %v", err)
		}
	})
	return &bench{served, shared}
}

// fetched makes the key set fetch now and expects that to succeed.
func (b *bench) fetched(t *testing.T) {
	t.Helper()
	if err := b.keys.RefreshNow(t.Context()); err != nil {
		t.Fatalf("fetching: %v", err)
	}
}

// advance lets the time of the bubble pass, and everything that is due in it
// happen.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// replaceKID gives the key of a set another ID.
func replaceKID(document []byte, old, kid string) string {
	return strings.Replace(string(document), old, kid, 1)
}

// waitingValidator is the validator of a site with default settings but no
// leeway, before the tenant of a bench.
func waitingValidator(b *bench) *validator {
	v := validatorOf(b.tenant)
	v.rules.issuers = []string{b.Issuer()}
	v.rules.leeway = 0
	return v
}

// lasting is a token that is valid for some time from now.
func (b *bench) lasting(d time.Duration) string {
	return b.Token(devtenant.TokenRequest{Subject: "alice", ClientID: "spa", Resource: testAPI, ExpiresIn: d})
}

// A token is judged when it comes. If its request then waits for seconds until
// there are keys, it may have expired in the meantime.
func TestTimesAreJudgedAgainAfterAWait(t *testing.T) {
	slow := func(_ *testing.T, b *bench) { b.SetJWKSFault(devtenant.Slow) }
	// hide makes the key set fetch keys that do not have the tenant's own.
	hide := func(t *testing.T, b *bench) {
		t.Helper()
		b.SetJWKS([]byte(replaceKID(b.JWKS(), b.SigningKID(), "another")))
		b.fetched(t)
	}
	for name, wait := range map[string]struct {
		before    func(t *testing.T, b *bench)
		otherwise Reason // what is told if the token lives longer
	}{
		"for the first keys":       {slow, ""},
		"for keys that never come": {func(_ *testing.T, b *bench) { b.SetFault(devtenant.Hang) }, ReasonKeysUnavailable},
		"for a key that was unknown": {func(t *testing.T, b *bench) {
			t.Helper()
			hide(t, b)
			b.SetJWKS(nil)
			slow(t, b)
		}, ""},
		"for a key that stays unknown": {func(t *testing.T, b *bench) {
			t.Helper()
			hide(t, b)
			slow(t, b)
		}, ReasonUnknownKey},
	} {
		for times, test := range map[string]struct {
			lives  time.Duration
			maxAge int64
			want   Reason
		}{
			"expired by then":    {lives: 2 * time.Second, want: ReasonExpired},
			"too old by then":    {lives: time.Hour, maxAge: 2, want: ReasonTooOld},
			"valid nevertheless": {lives: time.Hour, maxAge: 60, want: wait.otherwise},
		} {
			t.Run(name+"/"+times, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, exampleTenant(), exampleConfig())
					v := waitingValidator(b)
					v.rules.maxAge = test.maxAge
					wait.before(t, b)
					token := b.lasting(test.lives)
					answered := make(chan Reason, 1)
					go func() {
						_, refusal := v.validate(t.Context(), token, time.Now, nil)
						answered <- reasonOf(refusal)
					}()
					advance(3 * time.Second)
					select {
					case reason := <-answered:
						t.Fatalf("it did not wait, %q", reason)
					default:
					}
					b.Release()
					if got := <-answered; got != test.want {
						t.Errorf("after 3 s %q, not %q", got, test.want)
					}
				})
			})
		}
	}
}

// The same token came a moment earlier, and the processors were busy.
func TestTimesAreJudgedAgainAfterAnotherRequestsVerification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, exampleTenant(), exampleConfig())
		b.fetched(t)
		v := waitingValidator(b)
		token := b.lasting(2 * time.Second)
		key := b.keys.Current(time.Now()).Key(b.SigningKID())
		finish := make(chan struct{})
		go b.tokens.verifyOnce(t.Context(), token, key, nil, func() *AuthInfo {
			<-finish
			info, _ := mustParse(t, token).claims()
			info.key = key
			return info
		})
		synctest.Wait()
		answered := make(chan *Refusal, 1)
		go func() {
			info, refusal := v.validate(t.Context(), token, time.Now, nil)
			if info == nil || info.key != key {
				t.Error("the log would not say that the token was verified")
			}
			answered <- refusal
		}()
		advance(3 * time.Second)
		close(finish)
		if refusal := <-answered; reasonOf(refusal) != ReasonExpired || refusal.Description != "The token expired 1 s ago" {
			t.Errorf("a second after its end the token is %+v", refusal)
		}
	})
}

// Retry-After counts from the answer, not from when the request came.
func TestRetryAfterCountsFromTheEndOfTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, exampleTenant(), exampleConfig())
		b.SetFault(devtenant.Hang)
		token := b.lasting(time.Hour)
		_, refusal := waitingValidator(b).validate(t.Context(), token, time.Now, nil)
		// The fetch took 5 s; the next one comes within firstRetry.
		if reasonOf(refusal) != ReasonKeysUnavailable || refusal.RetryAfter != 1 {
			t.Errorf("refused as %+v", refusal)
		}
	})
}

// With max_stale 0 the fetch that an unknown kid forces may take away the
// keys. Then nobody can say that the token is a bad one.
func TestKeysLostWhileAnUnknownKeyIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := exampleConfig()
		cfg.MaxStale = 0
		b := newBench(t, exampleTenant(), cfg)
		b.fetched(t)
		b.Rotate("")
		b.SetFault(devtenant.ServerError)
		token := b.Token(devtenant.TokenRequest{Subject: "alice", ClientID: "spa", Resource: "https://api.example.com"})
		if _, refusal := waitingValidator(b).validate(t.Context(), token, time.Now, nil); reasonOf(refusal) != ReasonKeysUnavailable {
			t.Errorf("refused as %q, not %q", reasonOf(refusal), ReasonKeysUnavailable)
		}
	})
}

func mustParse(tb testing.TB, token string) *jws {
	tb.Helper()
	parsed, refusal := parseJWS(token)
	if refusal != nil {
		tb.Fatal(refusal)
	}
	return parsed
}
