package logtoauth

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

func init() { caddy.RegisterModule(new(heldAnswer)) }

// heldAnswer is a handler that answers a request for /slow only when it is told
// to, as a slow upstream does.
type heldAnswer struct{}

var held struct {
	sync.Mutex
	came, release chan struct{}
}

// hold lets the next request for /slow wait, and returns what tells that it has
// come and what lets it go on.
func hold() (came <-chan struct{}, release func()) {
	held.Lock()
	defer held.Unlock()
	held.came, held.release = make(chan struct{}), make(chan struct{})
	let := held.release
	return held.came, func() { close(let) }
}

// CaddyModule returns the Caddy module information.
func (*heldAnswer) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_held_answer", New: func() caddy.Module { return new(heldAnswer) }}
}

// ServeHTTP waits, and passes the request on.
func (*heldAnswer) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.URL.Path != "/slow" {
		return next.ServeHTTP(w, r)
	}
	held.Lock()
	came, release := held.came, held.release
	held.Unlock()
	close(came)
	select {
	case <-release:
	case <-r.Context().Done():
	}
	if early := r.URL.Query().Get("early"); early != "" {
		w.WriteHeader(http.StatusEarlyHints)
	}
	return next.ServeHTTP(w, r)
}

// slowSite is a site with a slow path.
func slowSite(t *testing.T, settings string) *members {
	t.Helper()
	m := newMembers(t, forTheAPI)
	loadSlow(t, m, strings.Replace(m.text(forTheAPI), "sign_in", settings+"\nsign_in", 1), `{"body":"hello`)
	return m
}

// loadSlow loads a config with a slow path before a handler that begins with
// this in its JSON.
func loadSlow(t *testing.T, m *members, text, handler string) {
	t.Helper()
	adapted := string(caddytest.Adapt(t, text))
	slow := strings.Replace(adapted, handler, `{"handler":"test_held_answer"},`+handler, 1)
	if slow == adapted {
		t.Fatalf("no place for the slow handler in %s", adapted)
	}
	if err := m.LoadJSON([]byte(slow)); err != nil {
		t.Fatal(err)
	}
}

// slowly requests a slow path with the cookies of now, runs what happens
// meanwhile, and returns the answer.
func (p *person) slowly(path string, meanwhile func()) *caddytest.Response {
	p.tb.Helper()
	came, release := hold()
	var answer *caddytest.Response
	var request sync.WaitGroup
	header := p.cookieHeader()
	request.Go(func() {
		answer = p.Get(path, caddytest.Header("Host", testHost), caddytest.Header("Cookie", header))
	})
	<-came
	meanwhile()
	release()
	request.Wait()
	return answer
}

// The answer to a request that came before the person signed out, or somebody
// else signed in, brings nobody back.
func TestSlowAnswerBringsNobodyBack(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile func(t *testing.T, p *person)
		writes    bool   // the slow answer writes the cookie
		then      string // who is signed in after it
	}{
		"nothing": {func(*testing.T, *person) {}, true, alice},
		"the person signs out": {func(_ *testing.T, p *person) {
			p.open("/.logto/sign-out", caddytest.Header("Sec-Fetch-Site", "same-origin"))
		}, false, ""},
		"somebody else signs in": {func(t *testing.T, p *person) {
			p.logto = p.browser().logto
			if answer := p.open(p.callback(p.start("/.logto/sign-in"), bob)); answer.StatusCode != http.StatusSeeOther {
				t.Errorf("Bob: %d", answer.StatusCode)
			}
		}, false, bob},
		"the same person signs in": {func(t *testing.T, p *person) {
			if answer := p.open(p.callback(p.start("/.logto/sign-in"), alice)); answer.StatusCode != http.StatusSeeOther {
				t.Errorf("again: %d", answer.StatusCode)
			}
		}, false, alice},
		"the session endpoint was asked": {func(t *testing.T, p *person) {
			pass(t, 3*time.Second)
			if answer := p.fetch("/.logto/session"); answer.StatusCode != http.StatusOK || len(answer.Cookies()) != 0 {
				t.Errorf("the endpoint counts as activity: %d, %d cookies", answer.StatusCode, len(answer.Cookies()))
			}
		}, true, alice},
		// What both write is the state after the one refresh.
		"another request has written the cookie": {func(t *testing.T, p *person) {
			pass(t, 3*time.Second)
			if answer := p.fetch("/"); answer.StatusCode != http.StatusOK || len(answer.Cookies()) != 1 {
				t.Errorf("the other request: %d, %d cookies", answer.StatusCode, len(answer.Cookies()))
			}
		}, true, alice},
		"eleven seconds": {func(t *testing.T, _ *person) { pass(t, 11*time.Second) }, false, alice},
		"nine seconds":   {func(t *testing.T, _ *person) { pass(t, 9*time.Second) }, true, alice},
	} {
		t.Run(name, func(t *testing.T) {
			p := slowSite(t, "").browser()
			p.signIn("/", alice)
			pass(t, 50*time.Minute) // so that the slow request refreshes
			answer := p.slowly("/slow", func() { test.meanwhile(t, p) })
			if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Body, "hello alice") {
				t.Errorf("%d %s", answer.StatusCode, answer.Body)
			}
			if got := answer.Header["Set-Cookie"]; len(got) > 0 != test.writes {
				t.Errorf("the slow answer writes %.60q", got)
			}
			p.keep(answer)
			next := p.fetch("/")
			if who, _, _ := strings.Cut(strings.TrimPrefix(next.Body, "hello "), " "); (next.StatusCode == http.StatusOK) != (test.then != "") || test.then != "" && who != test.then {
				t.Errorf("after it: %d %s, want %q signed in", next.StatusCode, next.Body, test.then)
			}
			if got := p.tenant.Counts().Refreshes; got != 1 {
				t.Errorf("%d refreshes", got)
			}
		})
	}
}

// Of two answers the older state does not replace the newer one.
func TestOlderStateDoesNotReplaceANewerOne(t *testing.T) {
	p := slowSite(t, "max_age 10m").browser()
	p.signIn("/", alice)
	pass(t, 11*time.Minute)
	answer := p.slowly("/slow", func() {
		before := p.tenant.Counts().Refreshes
		pass(t, 9*time.Second)
		p.tenant.Rotate("")
		p.tenant.Rotate("")
		fresh := p.tenant.Token(devtenant.TokenRequest{Subject: bob, ClientID: testApp, Resource: testAPI})
		p.browser().fetch("/", caddytest.Bearer(fresh)) // makes the site fetch the keys
		if newer := p.fetch("/"); newer.StatusCode != http.StatusOK || len(newer.Cookies()) != 1 || p.tenant.Counts().Refreshes != before+1 {
			t.Errorf("meanwhile: %d, cookies %d, refreshes %d", newer.StatusCode, len(newer.Cookies()), p.tenant.Counts().Refreshes)
		}
	})
	if answer.StatusCode != http.StatusOK || len(answer.Cookies()) != 0 {
		t.Errorf("%d, writes %d cookies", answer.StatusCode, len(answer.Cookies()))
	}
}

// dueInTwelveMinutes is a site whose cookies are renewed after so long.
var dueInTwelveMinutes = within("audience "+testAPI, "idle 2h") + "respond hello\n}"

// A cookie that is only renewed is sealed last of all. What another request has
// got since it came is not replaced by that.
func TestRenewalDoesNotReplaceANewerState(t *testing.T) {
	for name, test := range map[string]struct {
		age       time.Duration // of the session, when the slow request comes
		refreshes int
	}{
		"a renewed one":   {15 * time.Minute, 0},
		"a refreshed one": {47*time.Minute + 55*time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(t, dueInTwelveMinutes)
			loadSlow(t, m, m.text(dueInTwelveMinutes), `{"body":"hello`)
			p := m.browser()
			p.signIn("/", alice)
			pass(t, test.age)
			answer := p.slowly("/slow", func() {
				pass(t, 9*time.Second)
				if newer := p.fetch("/"); newer.StatusCode != http.StatusOK || len(newer.Cookies()) != 1 {
					t.Errorf("meanwhile: %d, %d cookies", newer.StatusCode, len(newer.Cookies()))
				}
			})
			if answer.StatusCode != http.StatusOK || len(answer.Cookies()) != 0 || p.tenant.Counts().Refreshes != test.refreshes {
				t.Errorf("%d, writes %d cookies, %d refreshes", answer.StatusCode, len(answer.Cookies()), p.tenant.Counts().Refreshes)
			}
		})
	}
}

// While the answer that brings the new token is under way, a renewal hands that
// token over, which any other process can go on with.
func TestRenewalHandsTheNewestTokenOver(t *testing.T) {
	m := newMembers(t, dueInTwelveMinutes)
	loadSlow(t, m, m.text(dueInTwelveMinutes), `{"body":"hello`)
	p := m.browser()
	p.signIn("/", alice)
	pass(t, 47*time.Minute+55*time.Second)
	header := p.cookieHeader()
	start := func() (release func(), answer func() *caddytest.Response) {
		came, release := hold()
		answers := make(chan *caddytest.Response, 1)
		go func() {
			answers <- p.Get("/slow", caddytest.Header("Host", testHost), caddytest.Header("Cookie", header))
		}()
		<-came
		return release, func() *caddytest.Response { return <-answers }
	}
	releaseRenewal, renewal := start()
	pass(t, 9*time.Second)
	releaseRefresh, refresh := start()
	releaseRenewal()
	p.keep(renewal())
	if p.cookieHeader() == header || p.tenant.Counts().Refreshes != 1 {
		t.Errorf("it is not renewed, or %d refreshes", p.tenant.Counts().Refreshes)
	}
	releaseRefresh()
	refresh()
	p.restart(dueInTwelveMinutes)
	if answer := p.fetch("/"); answer.StatusCode != http.StatusOK || p.tenant.Counts().Refreshes != 1 {
		t.Errorf("another process: %d, %d refreshes", answer.StatusCode, p.tenant.Counts().Refreshes)
	}
}

// An informational answer is not the one that the cookie belongs to.
func TestCookieIsNotInAnInformationalAnswer(t *testing.T) {
	p := slowSite(t, "").browser()
	p.signIn("/", alice)
	pass(t, 50*time.Minute)
	if answer := p.slowly("/slow?early=1", func() {}); answer.StatusCode != http.StatusOK || len(answer.Cookies()) != 1 {
		t.Errorf("%d, %d cookies", answer.StatusCode, len(answer.Cookies()))
	}
}

// tabOf requests the page with the cookies that the browser has now.
func (p *person) tabOf() func() *caddytest.Response {
	header := p.cookieHeader()
	return func() *caddytest.Response {
		p.tb.Helper()
		return p.Get("/", caddytest.Header("Host", testHost), caddytest.Header("Cookie", header))
	}
}

// A sign-out while a refresh is under way wins.
func TestSignOutDuringARefresh(t *testing.T) {
	p := newMembers(t, forTheAPI).browser()
	p.signIn("/", alice)
	pass(t, 2*time.Hour)
	p.tenant.SetTokenFault(devtenant.Slow)
	tab := p.tabOf()
	var refreshing sync.WaitGroup
	refreshing.Go(func() {
		if answer := tab(); answer.StatusCode != http.StatusUnauthorized || len(answer.Cookies()) != 0 {
			t.Errorf("the refresh: %d %s, %d cookies", answer.StatusCode, answer.Body, len(answer.Cookies()))
		}
	})
	if err := p.tenant.Wait(t.Context(), func(c devtenant.Counts) bool { return c.Refreshes == 1 }); err != nil {
		t.Fatal(err)
	}
	out := p.open("/.logto/sign-out", caddytest.Header("Sec-Fetch-Site", "same-origin"))
	if out.StatusCode != http.StatusSeeOther || len(p.cookies) != 0 {
		t.Errorf("sign-out: %d, cookies %v", out.StatusCode, p.cookies)
	}
	p.tenant.Release()
	refreshing.Wait()
	if answer := tab(); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
		t.Errorf("after that: %d %s", answer.StatusCode, answer.Body)
	}
}

// A reload ends no session and sends no refresh twice, also while requests are
// under way.
func TestReloadUnderLoadLosesNoSession(t *testing.T) {
	m := newMembers(t, forTheAPI)
	people := make([]*person, 4)
	for i := range people {
		people[i] = m.browser()
		people[i].signIn("/", alice)
	}
	pass(t, 2*time.Hour)
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var answered atomic.Int64
	var address atomic.Pointer[string]
	url := m.URL
	address.Store(&url)
	for _, p := range people {
		header := p.cookieHeader()
		load.Go(func() {
			for ctx.Err() == nil {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, *address.Load()+"/", http.NoBody)
				if err != nil {
					t.Error(err)
					return
				}
				request.Host = testHost
				request.Header.Set("Cookie", header)
				answer, err := m.Client.Do(request)
				if err != nil {
					continue // the old server has gone
				}
				answer.Body.Close()
				answered.Add(1)
				if answer.StatusCode != http.StatusOK {
					t.Errorf("%d", answer.StatusCode)
				}
			}
		})
	}
	for i := range 5 {
		text := m.text(forTheAPI)
		if i%2 == 0 {
			text = strings.Replace(text, "respond", "header X-Config 1\n\trespond", 1)
		}
		if err := m.Load(text); err != nil {
			t.Error(err)
		}
		url := m.URL
		address.Store(&url)
		before := answered.Load()
		for answered.Load() < before+20 && !t.Failed() {
			people[0].fetch("/")
		}
	}
	stop()
	load.Wait()
	if got := m.tenant.Counts().Refreshes; got != len(people) {
		t.Errorf("%d refreshes for %d sessions", got, len(people))
	}
}
