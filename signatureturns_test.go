package logtoauth

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/turns"
)

// turnsOf are turns of a test's own.
func turnsOf(limit int) *turns.Turns[keys.Requester] {
	return turns.New[keys.Requester](func() int { return limit }, placesForSignatures)
}

func addressed(address string) func() keys.Requester {
	return func() keys.Requester { return keys.RequesterAt(netip.MustParseAddr(address)) }
}

// takeAllTurns leaves no turn for a signature check until the function that it
// returns is called.
func takeAllTurns(tb testing.TB) (giveBack func()) {
	tb.Helper()
	taken := max(1, processorsForSignatures())
	for range taken {
		if !signatureTurns.Take(nil, tb.Context().Done(), nil) {
			tb.Fatal("there is no turn")
		}
	}
	give := func() {
		for ; taken > 0; taken-- {
			signatureTurns.Give()
		}
	}
	tb.Cleanup(give) // or everything after a failed test would wait
	return give
}

// waiting expects that so many requests wait for a turn, in the end.
func waiting(t *testing.T, want int) {
	t.Helper()
	eventually(t, fmt.Sprint(want, " wait"), func() bool { return signatureTurns.Waiting() == want })
}

// checks lets signature checks of a cache end one by one, and notes their order.
// It belongs into a synctest bubble.
type checks struct {
	*tokenCache
	key *keys.Key

	noting sync.Mutex
	began  []string
	steps  map[string]chan bool // ends a check: whether the signature holds
}

func newChecks(limit int) *checks {
	c := &checks{tokenCache: newTokenCache(100), key: new(keys.Key), steps: make(map[string]chan bool)}
	c.turns = turnsOf(limit)
	return c
}

// sight is what came of a request that shows a token.
type sight struct {
	info    *AuthInfo
	decided bool
}

// show shows a token for the first time, from an address.
func (c *checks) show(ctx context.Context, address, token string) <-chan sight {
	seen := make(chan sight, 1)
	if c.steps[token] == nil {
		c.steps[token] = make(chan bool)
	}
	step := c.steps[token]
	go func() {
		var s sight
		s.info, s.decided = c.verifyOnce(ctx, token, c.key, addressed(address), func() *AuthInfo {
			c.noting.Lock()
			c.began = append(c.began, token)
			c.noting.Unlock()
			if !<-step {
				return nil
			}
			return someInfo(c.key)
		})
		seen <- s
	}()
	synctest.Wait() // so that they come in a known order
	return seen
}

func (c *checks) end(token string, holds bool) {
	c.steps[token] <- holds
	synctest.Wait()
}

// is expects that a request has been answered like this.
func (s sight) is(tb testing.TB, what string, verified, decided bool) {
	tb.Helper()
	if (s.info != nil) != verified || s.decided != decided {
		tb.Errorf("%s: %+v, want verified %v, decided %v", what, s, verified, decided)
	}
}

// However many forged tokens one client shows, and over however many streams,
// the first sight of another's token waits for one check of theirs at the most.
func TestFirstSightsDuringAFloodOfForgedTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChecks(1)
		for i := range 1000 {
			// One network of IPv6 is one client, whatever its addresses are.
			c.show(t.Context(), fmt.Sprintf("2001:db8::%x", i), fmt.Sprint("forged ", i))
		}
		alice := c.show(t.Context(), "192.0.2.1", "alice")
		bob := c.show(t.Context(), "192.0.2.2", "bob")
		c.end("forged 0", false)
		c.end("forged 1", false) // it was at the head when the others came
		c.end("alice", true)
		c.end("bob", true)
		if want := []string{"forged 0", "forged 1", "alice", "bob", "forged 2"}; !slices.Equal(c.began, want) {
			t.Fatalf("the turns are %q, not %q", c.began, want)
		}
		(<-alice).is(t, "alice", true, true)
		(<-bob).is(t, "bob", true, true)
		carol := c.show(t.Context(), "192.0.2.1", "carol") // in the middle of it
		c.end("forged 2", false)
		c.end("forged 3", false)
		c.end("carol", true)
		(<-carol).is(t, "carol", true, true)
		for i := range 1000 - 4 {
			c.end(fmt.Sprint("forged ", i+4), false)
		}
		if len(c.verifying) != 0 || c.turns.Waiting() != 0 {
			t.Errorf("%d checks are noted, %d wait", len(c.verifying), c.turns.Waiting())
		}
	})
}

// Who shows the same token waits in a queue of their own, and needs no turn once
// it has been checked.
func TestTheFirstTurnOfAnyoneWithATokenIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChecks(1)
		c.show(t.Context(), "192.0.2.66", "busy")
		c.show(t.Context(), "192.0.2.66", "forged")
		slow := c.show(t.Context(), "192.0.2.66", "shared")
		fast := c.show(t.Context(), "192.0.2.1", "shared")
		c.end("busy", false)
		c.end("forged", false)
		c.end("shared", true)
		if want := []string{"busy", "forged", "shared"}; !slices.Equal(c.began, want) {
			t.Errorf("the turns are %q, not %q", c.began, want)
		}
		(<-fast).is(t, "the one without a queue", true, true)
		(<-slow).is(t, "the one behind forged tokens", true, true)
		if c.turns.Waiting() != 0 {
			t.Error("it waits for a turn that it does not need")
		}
	})
}

// Two with the same token may have a turn each, or one may leave in the middle.
func TestNobodyIsHeldByAnothersCheck(t *testing.T) {
	for name, test := range map[string]struct {
		limit int
		holds bool
	}{"one turn, genuine": {1, true}, "one turn, forged": {1, false}, "three turns, genuine": {3, true}, "three turns, forged": {3, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newChecks(test.limit)
				c.show(t.Context(), "192.0.2.66", "other") // takes the one turn
				leaving, leave := context.WithCancel(t.Context())
				first := c.show(leaving, "192.0.2.1", "token")
				second := c.show(t.Context(), "192.0.2.1", "token")
				third := c.show(t.Context(), "192.0.2.2", "token")
				leave()
				synctest.Wait()
				if test.limit == 1 {
					(<-first).is(t, "the one that left", false, false)
					c.end("other", false)
				} else {
					defer c.end("other", false)
				}
				c.end("token", test.holds)
				if test.limit > 1 {
					(<-first).is(t, "the one that left while it was checked", test.holds, true)
				}
				(<-second).is(t, "the second", test.holds, true)
				(<-third).is(t, "the third", test.holds, true)
				if len(c.began) != 2 {
					t.Errorf("%q were checked", c.began)
				}
			})
		})
	}
}

func TestAllWhoShowATokenLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChecks(1)
		c.show(t.Context(), "192.0.2.66", "busy")
		leaving, leave := context.WithCancel(t.Context())
		for range 3 {
			c.show(leaving, "192.0.2.1", "token")
		}
		leave()
		synctest.Wait()
		if len(c.verifying) != 1 || c.turns.Waiting() != 0 {
			t.Errorf("%d checks are noted, %d wait", len(c.verifying), c.turns.Waiting())
		}
		again := c.show(t.Context(), "192.0.2.1", "token")
		c.end("busy", false)
		c.end("token", true)
		(<-again).is(t, "one who comes again", true, true)
	})
}

// What was true when the request came may have changed when it is its turn.
func TestATokenIsJudgedAgainAfterAWaitForATurn(t *testing.T) {
	for name, test := range map[string]struct {
		lives     time.Duration
		meanwhile func(t *testing.T, b *bench)
		want      Reason
	}{
		"nothing happens": {time.Hour, func(*testing.T, *bench) {}, ""},
		"it expires":      {2 * time.Second, func(*testing.T, *bench) {}, ReasonExpired},
		"its key is withdrawn": {time.Hour, func(t *testing.T, b *bench) {
			t.Helper()
			withdrawn := b.SigningKID()
			b.Rotate("")
			b.RemoveKey(withdrawn)
			b.fetched(t)
		}, ReasonUnknownKey},
		"the keys are too old":  {time.Hour, func(_ *testing.T, b *bench) { b.SetFault(devtenant.ServerError); advance(11 * time.Minute) }, ReasonKeysUnavailable},
		"the key is only newer": {time.Hour, func(t *testing.T, b *bench) { t.Helper(); b.fetched(t) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := exampleConfig()
				cfg.MaxStale = 0
				b := newBench(t, exampleTenant(), cfg)
				b.tokens.turns = turnsOf(1)
				b.fetched(t)
				b.tokens.turns.Take(nil, nil, nil)
				token := b.lasting(test.lives)
				answered := make(chan Reason, 1)
				go func() {
					_, refusal := waitingValidator(b).validate(t.Context(), token, time.Now, nil)
					answered <- reasonOf(refusal)
				}()
				advance(3 * time.Second)
				if b.tokens.turns.Waiting() != 1 {
					t.Fatal("it does not wait")
				}
				test.meanwhile(t, b)
				b.tokens.turns.Give()
				if got := <-answered; got != test.want {
					t.Errorf("it is %q, not %q", got, test.want)
				}
			})
		})
	}
}

// Nobody reads that answer. But the token is not at fault, so the session that
// it came from must not end.
func TestAClientThatLeavesCondemnsNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, exampleTenant(), exampleConfig())
		b.tokens.turns = turnsOf(1)
		b.fetched(t)
		b.tokens.turns.Take(nil, nil, nil)
		ctx, leave := context.WithCancel(t.Context())
		token := b.lasting(time.Hour)
		time.AfterFunc(time.Second, leave)
		info, refusal := waitingValidator(b).validate(ctx, token, time.Now, nil)
		if refusal == nil || refusal.Reason != ReasonKeysUnavailable || refusal.condemnsToken() || info == nil || info.key != nil {
			t.Errorf("refused as %+v, verified %v", refusal, info != nil && info.key != nil)
		}
		if got := hint(refusal, info, token, demand{}); got != "the client left before the signature was checked" {
			t.Errorf("the log says %q", got)
		}
	})
}

// Whoever has too many forged tokens waiting is told to come again. Nobody else
// notices.
func TestAClientWithTooManyTokensIsToldToComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, exampleTenant(), exampleConfig())
		b.tokens.turns = turnsOf(1)
		b.fetched(t)
		b.tokens.turns.Take(nil, nil, nil)
		v := waitingValidator(b)
		show := func(address, token string) (*AuthInfo, *Refusal) {
			return v.validate(t.Context(), token, time.Now, addressed(address))
		}
		signed, _, _ := strings.Cut(b.lasting(time.Hour), ".")
		var flood sync.WaitGroup
		for i := range placesForSignatures {
			_, payload, signature := split(b.lasting(time.Hour + time.Duration(i)*time.Second))
			flood.Go(func() {
				// One network of IPv6 is one client.
				if _, refusal := show(fmt.Sprintf("2001:db8::%x", i), signed+"."+payload+".AAAA"+signature[4:]); reasonOf(refusal) != ReasonBadSignature {
					t.Errorf("a forged token is refused as %+v", refusal)
				}
			})
		}
		synctest.Wait()
		token := b.lasting(2 * time.Hour)
		info, refusal := show("2001:db8::ffff", token)
		if reasonOf(refusal) != ReasonKeysUnavailable || refusal.RetryAfter != 1 || refusal.condemnsToken() || info.key != nil {
			t.Errorf("one too many is refused as %+v", refusal)
		}
		if got := hint(refusal, info, token, demand{}); got != "too many tokens from this address wait for their signature check" {
			t.Errorf("the log says %q", got)
		}
		flood.Go(func() {
			if _, refusal := show("192.0.2.1", token); refusal != nil {
				t.Errorf("another client is refused as %+v", refusal)
			}
		})
		synctest.Wait()
		if waiting := b.tokens.turns.Waiting(); waiting != placesForSignatures+1 {
			t.Errorf("%d wait", waiting)
		}
		b.tokens.turns.Give()
		flood.Wait()
		if len(b.tokens.verifying) != 0 || b.tokens.turns.Waiting() != 0 {
			t.Errorf("%d checks are noted, %d wait", len(b.tokens.verifying), b.tokens.turns.Waiting())
		}
	})
}

// A flood takes all turns at a running Caddy. Tokens that are known need none;
// those that are not get theirs.
func TestKnownTokensNeedNoTurn(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{Algorithm: "ES256"})
	s := caddytest.Start(t, `{
		servers {
			trusted_proxies static 127.0.0.1/32
			client_ip_headers X-Client
		}
	}
	http://localhost {
		logto_auth {
			endpoint `+tenant.URL+`
			audience `+testAPI+`
		}
		respond ok
	}`)
	get := func(client, token string) int {
		return s.Get("/", caddytest.Header("Host", "localhost"), caddytest.Header("X-Client", client), caddytest.Bearer(token)).StatusCode
	}
	show := func(client, token string) <-chan int {
		answered := make(chan int, 1)
		go func() { answered <- get(client, token) }()
		return answered
	}
	token := func(subject string) string {
		return tenant.Token(devtenant.TokenRequest{Subject: subject, ClientID: "spa", Resource: testAPI})
	}
	known := token("alice")
	if status := get("192.0.2.1", known); status != http.StatusOK {
		t.Fatalf("answered with %d", status)
	}
	giveBack := takeAllTurns(t)
	const forged = 20
	var strangers []<-chan int
	for i := range forged {
		genuine := token(fmt.Sprint("mallory-", i))
		strangers = append(strangers, show("192.0.2.66", genuine[:len(genuine)-20]+"AAAAAAAAAAAAAAAAAAAA"))
	}
	waiting(t, forged)
	if status := get("192.0.2.1", known); status != http.StatusOK {
		t.Errorf("the known token got %d", status)
	}
	fresh := show("192.0.2.2", token("bob"))
	waiting(t, forged+1)
	// The turn after Bob's: whoever has it knows that Bob has had his.
	next := make(chan struct{})
	go func() {
		signatureTurns.Take(addressed("192.0.2.3"), nil, nil)
		close(next)
	}()
	waiting(t, forged+2)
	giveBack()
	<-next
	if left := signatureTurns.Waiting(); left < forged-2*max(1, processorsForSignatures()) {
		t.Errorf("only %d forged tokens wait still", left)
	}
	select {
	case status := <-fresh:
		if status != http.StatusOK {
			t.Errorf("the new token got %d", status)
		}
	case <-time.After(20 * time.Second):
		t.Error("the new token waits behind the forged ones")
	}
	signatureTurns.Give()
	for _, stranger := range strangers {
		if status := <-stranger; status != http.StatusUnauthorized {
			t.Errorf("a forged token got %d", status)
		}
	}
	waiting(t, 0)
}

// Clients that open a stream and reset it at once, thousands of times over one
// connection (CVE-2023-44487), leave nothing to be checked behind.
func TestRequestsThatAreGivenUpWaitForNoTurn(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{Algorithm: "ES256"})
	s := caddytest.StartTLS(t, `:80 {
		logto_auth {
			endpoint `+tenant.URL+`
			audience `+testAPI+`
		}
		respond ok
	}`)
	genuine := tenant.Token(devtenant.TokenRequest{Subject: "alice", ClientID: "spa", Resource: testAPI})
	if answer := s.Get("/", caddytest.Bearer(genuine)); answer.StatusCode != http.StatusOK {
		t.Fatalf("answered with %d", answer.StatusCode)
	}
	giveBack := takeAllTurns(t)
	for _, protocol := range caddytest.Protocols {
		over := s.Over(protocol)
		ctx, reset := context.WithCancel(t.Context())
		const streams = 20
		ended := make(chan error, streams)
		for i := range streams {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			caddytest.Bearer(genuine[:len(genuine)-20] + fmt.Sprintf("%019dA", i))(r)
			go func() {
				answer, err := over.Client.Do(r)
				if err == nil {
					_ = answer.Body.Close()
				}
				ended <- err
			}()
		}
		waiting(t, streams)
		reset()
		for range streams {
			if err := <-ended; err == nil {
				t.Errorf("%s: it was answered", protocol)
			}
		}
		eventually(t, protocol+": nobody waits", func() bool { return signatureTurns.Waiting() == 0 })
	}
	giveBack()
}

// Who waits for a turn when the config is replaced is answered by the old one,
// whose key set has ended by then.
func TestWhoWaitsForATurnOutlivesAReload(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{Algorithm: "ES256"})
	config := func(cacheSize int) string {
		return fmt.Sprintf("http://localhost {\nlogto_auth {\nendpoint %s\naudience %s\ncache_size %d\n}\nrespond %d\n}", tenant.URL, testAPI, cacheSize, 200+cacheSize)
	}
	s := caddytest.Start(t, config(1))
	token := func(subject string) caddytest.Option {
		return caddytest.Bearer(tenant.Token(devtenant.TokenRequest{Subject: subject, ClientID: "spa", Resource: testAPI}))
	}
	show := func(subject string) <-chan int {
		answered := make(chan int, 1)
		go func() { answered <- s.Get("/", caddytest.Header("Host", "localhost"), token(subject)).StatusCode }()
		return answered
	}
	if status := <-show("first"); status != 201 {
		t.Fatalf("answered with %d", status)
	}
	giveBack := takeAllTurns(t)
	old := show("old")
	waiting(t, 1)
	if err := s.Load(config(2)); err != nil {
		t.Fatal(err)
	}
	fresh := show("fresh")
	waiting(t, 2)
	giveBack()
	if status := <-old; status != 201 {
		t.Errorf("who came before the reload got %d", status)
	}
	if status := <-fresh; status != 202 {
		t.Errorf("who came after it got %d", status)
	}
}
