package logtoauth

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// forTheAPI is a site whose sessions show access tokens.
var forTheAPI = strings.Replace(smallest, "SIGN_IN", "audience "+testAPI+"\n\t\tSIGN_IN", 1)

func TestRefreshPast80PercentOfATokensLife(t *testing.T) {
	p := newMembers(t, forTheAPI).browser()
	p.signIn("/", alice)
	refreshes := p.recordRefreshes()
	pass(t, 47*time.Minute)
	if p.fetch("/"); len(refreshes()) != 0 {
		t.Error("refreshed before 80 %")
	}
	pass(t, 2*time.Minute)
	if answer := p.fetch("/"); answer.StatusCode != http.StatusOK || len(refreshes()) != 1 {
		t.Errorf("past 80 %%: %d, %d refreshes", answer.StatusCode, len(refreshes()))
	}
	// Without a scope an ID token comes back, whose sub is compared.
	for _, form := range refreshes() {
		want := url.Values{"grant_type": {"refresh_token"}, "refresh_token": form["refresh_token"], "resource": {testAPI}}
		if !maps.EqualFunc(form, want, func(a, b []string) bool { return strings.Join(a, " ") == strings.Join(b, " ") }) {
			t.Errorf("sent %v", form)
		}
	}
}

// However many pages are open: when the token has expired, one request is sent,
// and all wait for it.
func TestHundredRequestsAtExpiryAreOneRefresh(t *testing.T) {
	p := newMembers(t, forTheAPI).browser()
	p.signIn("/", alice)
	pass(t, time.Hour+time.Second)
	counted := counting(t, metrics.sessionRefreshes)
	header := p.cookieHeader()
	p.tenant.SetTokenFault(devtenant.Slow)
	var answered atomic.Int32
	go func() {
		_ = p.tenant.Wait(p.tb.Context(), func(c devtenant.Counts) bool { return c.Refreshes == 1 })
		if answered.Load() > 0 {
			t.Error("an expired token was let in")
		}
		p.tenant.Release()
	}()
	together(100, func(int) {
		answer := p.Get("/", caddytest.Header("Host", testHost), caddytest.Header("Cookie", header))
		answered.Add(1)
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%d %s", answer.StatusCode, answer.Body)
		}
	})
	if got := p.tenant.Counts().Refreshes; got != 1 || !maps.Equal(counted(), map[string]float64{"ok": 1}) {
		t.Errorf("%d refreshes, counted %v", got, counted())
	}
}

// Only the request that begins a refresh waits while the token is good.
func TestOthersDoNotWaitForARefresh(t *testing.T) {
	p := newMembers(t, forTheAPI).browser()
	p.signIn("/", alice)
	pass(t, 50*time.Minute)
	p.tenant.SetTokenFault(devtenant.Slow)
	var first sync.WaitGroup
	header := p.cookieHeader()
	first.Go(func() {
		answer := p.Get("/", caddytest.Header("Host", testHost), caddytest.Header("Cookie", header))
		if answer.StatusCode != http.StatusOK || len(answer.Cookies()) != 1 {
			t.Errorf("the first: %d, cookies %v", answer.StatusCode, answer.Cookies())
		}
	})
	if err := p.tenant.Wait(t.Context(), func(c devtenant.Counts) bool { return c.Refreshes == 1 }); err != nil {
		t.Fatal(err)
	}
	for range 3 { // would hang
		if answer := p.fetch("/"); answer.StatusCode != http.StatusOK {
			t.Errorf("another: %d", answer.StatusCode)
		}
	}
	p.tenant.Release()
	first.Wait()
	if got := p.tenant.Counts().Refreshes; got != 1 {
		t.Errorf("%d refreshes", got)
	}
}

// Who leaves does not undo the refresh for others, and a rotated refresh token
// is not lost.
func TestClientThatLeavesDoesNotCancelTheRefresh(t *testing.T) {
	p := newMembers(t, forTheAPI).browser()
	p.signIn("/", alice)
	pass(t, 2*time.Hour)
	p.tenant.SetTokenFault(devtenant.Slow)
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = testHost
	request.Header.Set("Cookie", p.cookieHeader())
	left := make(chan struct{})
	go func() {
		defer close(left)
		if answer, err := p.Client.Do(request); err == nil {
			answer.Body.Close()
			t.Error("it did not leave")
		}
	}()
	if err := p.tenant.Wait(t.Context(), func(c devtenant.Counts) bool { return c.Refreshes == 1 }); err != nil {
		t.Fatal(err)
	}
	leave()
	<-left
	p.tenant.SetTokenFault(nil)
	p.tenant.Release()
	if answer := p.fetch("/"); answer.StatusCode != http.StatusOK || p.tenant.Counts().Refreshes != 1 {
		t.Errorf("the next: %d %s, %d refreshes", answer.StatusCode, answer.Body, p.tenant.Counts().Refreshes)
	}
}

// While the tenant cannot refresh, the old token serves until it expires; then
// 503, for pages too: a redirect would lead to a tenant that is down.
func TestTenantThatCannotRefresh(t *testing.T) {
	for name, test := range map[string]struct {
		fault      devtenant.Fault
		result     string
		retryAfter string
	}{
		"429":               {devtenant.TooManyRequests(30 * time.Second), "unavailable", "30"},
		"500":               {devtenant.Status(http.StatusInternalServerError), "unavailable", "5"},
		"503 invalid_grant": {devtenant.Refused(http.StatusServiceUnavailable, "invalid_grant", "a proxy"), "unavailable", "5"},
		"connection lost":   {devtenant.Down, "unavailable", "5"},
		"no answer":         {devtenant.Hang, "unavailable", "5"},
		"garbage":           {devtenant.Garbage, "unavailable", "5"},
		"a login page":      {devtenant.HTML, "unavailable", "5"},
		"huge":              {devtenant.Huge, "unavailable", "5"},
		"invalid_client":    {devtenant.Refused(http.StatusUnauthorized, "invalid_client", ""), "wrong_client", "5"},
		"unknown error":     {devtenant.Refused(http.StatusBadRequest, "invalid_request", ""), "unavailable", "5"},
		"opaque token":      {devtenant.AlterTokens(func(r map[string]any) { r["access_token"] = "opaque" }), "unavailable", "5"},
		"bad ID token":      {devtenant.IDTokenClaim("aud", "another-app"), "unavailable", "5"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newMembers(t, strings.Replace(forTheAPI, "endpoint", "fetch_timeout 200ms\n\t\tendpoint", 1)).browser()
			p.signIn("/", alice)
			counted, requests := counting(t, metrics.sessionRefreshes), counting(t, metrics.requests)
			// A request stops waiting when the refresh does, which may be a bit later.
			refreshed := func(times int) {
				t.Helper()
				eventually(t, "the refresh is over", func() bool { return counted()[test.result] >= float64(times) })
				if want := map[string]float64{test.result: float64(times)}; !maps.Equal(counted(), want) {
					t.Errorf("counted %v, want %v", counted(), want)
				}
				if got := p.tenant.Counts().Refreshes; got != times {
					t.Errorf("the tenant got %d refreshes, want %d", got, times)
				}
			}
			p.tenant.SetTokenFault(test.fault)
			pass(t, 50*time.Minute)
			for range 3 { // one refresh: after a failure nobody waits for the next 5 s
				if answer := p.fetch("/"); answer.StatusCode != http.StatusOK {
					t.Errorf("the old token: %d %s", answer.StatusCode, answer.Body)
				}
			}
			refreshed(1)
			pass(t, 11*time.Minute)
			for _, answer := range []*caddytest.Response{p.open("/"), p.fetch("/"), p.open("/")} {
				if answer.StatusCode != http.StatusServiceUnavailable || answer.Body != refusedWith("Sign-in is temporarily unavailable") ||
					answer.Header.Get("Cache-Control") != "no-store" || answer.Header["Www-Authenticate"] != nil {
					t.Errorf("expired: %d %s %v", answer.StatusCode, answer.Body, answer.Header)
				}
				if got := answer.Header.Get("Retry-After"); got != test.retryAfter && got != "1" {
					t.Errorf("Retry-After: %q", got)
				}
			}
			refreshed(2)
			if want := map[string]float64{"admitted ": 3, "refused tenant_unavailable": 3}; !maps.Equal(requests(), want) {
				t.Errorf("counted %v, want %v", requests(), want)
			}
			p.tenant.SetTokenFault(nil)
			pass(t, time.Minute)
			if answer := p.fetch("/"); answer.StatusCode != http.StatusOK {
				t.Errorf("the tenant is back: %d %s", answer.StatusCode, answer.Body)
			}
		})
	}
}

// What the tenant says of a person ends the session.
func TestRefusedRefreshEndsTheSession(t *testing.T) {
	for name, test := range map[string]struct {
		fault  devtenant.Fault
		reason string
		cause  string
	}{
		"invalid_grant":        {devtenant.Refused(http.StatusBadRequest, "invalid_grant", ""), "refresh_refused", "refused"},
		"access_denied":        {devtenant.Refused(http.StatusBadRequest, "access_denied", ""), "refresh_refused", "refused"},
		"another's ID token":   {devtenant.IDTokenClaim("sub", bob), "refresh_refused", "wrong_subject"},
		"another's ID token 2": {devtenant.AlterIDToken(func(c map[string]any) { c["sub"] = "Alice" }), "refresh_refused", "wrong_subject"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newMembers(t, forTheAPI).browser()
			p.signIn("/", alice)
			counted, ended, requests := counting(t, metrics.sessionRefreshes), counting(t, metrics.sessionsEnded), counting(t, metrics.requests)
			p.tenant.SetTokenFault(test.fault)
			pass(t, 50*time.Minute) // the token itself is good for ten minutes more
			if answer := p.fetch("/"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
				t.Errorf("%d %s", answer.StatusCode, answer.Body)
			}
			if want := map[string]float64{"refused " + test.reason: 1}; !maps.Equal(requests(), want) {
				t.Errorf("counted %v, want %v", requests(), want)
			}
			p.tenant.SetTokenFault(nil)
			for range 2 {
				if answer := p.fetch("/"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
					t.Errorf("after that: %d %s", answer.StatusCode, answer.Body)
				}
			}
			if answer := p.open("/"); answer.StatusCode != http.StatusFound {
				t.Errorf("a page: %d %s", answer.StatusCode, answer.Body)
			}
			if !maps.Equal(counted(), map[string]float64{test.cause: 1}) || !maps.Equal(ended(), map[string]float64{test.cause: 1}) {
				t.Errorf("refreshes %v, ended %v", counted(), ended())
			}
		})
	}
}

// Many requests that learn together that a session is over count it once.
func TestSessionsEndOnce(t *testing.T) {
	p := newMembers(t, forTheAPI).browser()
	p.signIn("/", alice)
	ended := counting(t, metrics.sessionsEnded)
	p.tenant.Suspend(alice)
	pass(t, 2*time.Hour)
	header := p.cookieHeader()
	together(50, func(int) {
		answer := p.Get("/", caddytest.Header("Host", testHost), caddytest.Header("Cookie", header))
		if answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d %s", answer.StatusCode, answer.Body)
		}
	})
	if !maps.Equal(ended(), map[string]float64{"refused": 1}) {
		t.Errorf("counted %v", ended())
	}
}

// Logto changes the refresh token past 70 % of its life. One that is used again
// later ends the grant.
func TestRotatedRefreshTokenIsUsedFromThenOn(t *testing.T) {
	p := newMembers(t, within("audience "+testAPI, "idle 30d\nlifetime 60d")+"respond ok\n}").browser()
	p.signIn("/", alice)
	refreshes := p.recordRefreshes()
	const day = 24 * time.Hour
	used := map[string]bool{}
	for _, after := range []time.Duration{day, 9 * day, time.Hour, 8 * day, 3 * day, time.Hour} {
		pass(t, after)
		header := p.cookieHeader()
		together(5, func(int) {
			answer := p.Get("/", caddytest.Header("Host", testHost), caddytest.Header("Cookie", header))
			if answer.StatusCode != http.StatusOK {
				t.Errorf("after %s more: %d %s", after, answer.StatusCode, answer.Body)
			}
		})
		pass(t, 5*time.Second)
		// The cookie of before still comes: from a tab that was restored.
		if answer := p.fetch("/"); answer.StatusCode != http.StatusOK {
			t.Errorf("later: %d %s", answer.StatusCode, answer.Body)
		}
	}
	for _, form := range refreshes() {
		used[form.Get("refresh_token")] = true
	}
	if len(used) != 3 {
		t.Errorf("%d refresh tokens in %d refreshes, want 3", len(used), len(refreshes()))
	}
}

// A refresh token that came with tokens that cannot be used is not lost: the
// cookie gets it even on a 503.
func TestRotatedRefreshTokenOfAnUnusableAnswer(t *testing.T) {
	p := newMembers(t, within("audience "+testAPI, "idle 30d\nlifetime 60d")+"respond ok\n}").browser()
	p.signIn("/", alice)
	pass(t, 10*24*time.Hour)
	p.tenant.SetTokenFault(devtenant.IDTokenClaim("aud", "another-app"))
	before := p.cookieHeader()
	if answer := p.fetch("/"); answer.StatusCode != http.StatusServiceUnavailable || p.cookieHeader() == before {
		t.Errorf("%d %s, cookie written: %t", answer.StatusCode, answer.Body, p.cookieHeader() != before)
	}
	p.tenant.SetTokenFault(nil)
	pass(t, time.Minute)
	p.restart(within("audience "+testAPI, "idle 30d\nlifetime 60d") + "respond ok\n}")
	if answer := p.fetch("/"); answer.StatusCode != http.StatusOK {
		t.Errorf("another process: %d %s", answer.StatusCode, answer.Body)
	}
}

// Without a refresh token the session ends with its token.
func TestSessionWithoutARefreshToken(t *testing.T) {
	for name, settings := range map[string]string{"audience": "audience " + testAPI, "identity": ""} {
		t.Run(name, func(t *testing.T) {
			p := newMembers(t, within(settings, "offline off")+"respond ok\n}").browser()
			if started := p.start("/"); strings.Contains(started, "offline_access") || strings.Contains(started, "prompt=") {
				t.Errorf("asked with %s", started)
			}
			p.signIn("/", alice)
			pass(t, 59*time.Minute)
			if answer := p.fetch("/"); answer.StatusCode != http.StatusOK {
				t.Errorf("%d %s", answer.StatusCode, answer.Body)
			}
			pass(t, time.Minute+time.Second)
			if answer := p.fetch("/"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
				t.Errorf("expired: %d %s", answer.StatusCode, answer.Body)
			}
			if page, signIns := p.visit("/", alice); page.StatusCode != http.StatusOK || signIns != 1 {
				t.Errorf("a page: %d after %d sign-ins", page.StatusCode, signIns)
			}
		})
	}
}
