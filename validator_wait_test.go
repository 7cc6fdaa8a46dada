package logtoauth

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// waitingValidator is the validator of a site with default settings but no
// leeway, before the tenant of a bench.
func waitingValidator(b *bench) *validator {
	v := validatorOf(b.ks)
	v.rules.issuers = b.ks.cfg.acceptedIssuers()
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
					b := newBench(t, newTenant(), testConfig(), nil)
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
		b := ready(t)
		v := waitingValidator(b)
		token := b.lasting(2 * time.Second)
		key := b.ks.current(time.Now()).key(b.SigningKID())
		finish := make(chan struct{})
		go b.ks.tokens.verifyOnce(token, key, func() *AuthInfo {
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
		b := newBench(t, newTenant(), testConfig(), nil)
		b.SetFault(devtenant.Hang)
		token := b.lasting(time.Hour)
		_, refusal := waitingValidator(b).validate(t.Context(), token, time.Now, nil)
		// The fetch took 5 s; the next one comes within firstRetry.
		if reasonOf(refusal) != ReasonKeysUnavailable || refusal.RetryAfter != 1 {
			t.Errorf("refused as %+v", refusal)
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
