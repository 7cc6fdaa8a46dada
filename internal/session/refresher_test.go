package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// endpoint is a tenant's token endpoint.
type endpoint struct {
	answer func(ctx context.Context, request RefreshRequest) (Grant, error)

	mu       sync.Mutex
	requests []RefreshRequest
	running  int
	most     int
}

func (e *endpoint) Refresh(ctx context.Context, request RefreshRequest) (Grant, error) {
	e.mu.Lock()
	e.requests = append(e.requests, request)
	e.running++
	e.most = max(e.most, e.running)
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.running--
		e.mu.Unlock()
	}()
	return e.answer(ctx, request)
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.requests)
}

// grants answers with a new token after a while.
func grants(after time.Duration) *endpoint {
	var n atomic.Int32
	return &endpoint{answer: func(ctx context.Context, request RefreshRequest) (Grant, error) {
		select {
		case <-time.After(after):
			token := testToken(time.Now(), fmt.Sprintf("token %d for %s%s", n.Add(1), request.Target.Resource, request.Target.Organization))
			return Grant{Subject: "82wtl6z03cep", Token: token}, nil
		case <-ctx.Done():
			return Grant{}, ctx.Err()
		}
	}}
}

// fails answers with an error.
func fails(err error) *endpoint {
	return &endpoint{answer: func(context.Context, RefreshRequest) (Grant, error) { return Grant{}, err }}
}

func testRefresher(t *testing.T, e TokenEndpoint) *Refresher {
	t.Helper()
	return NewRefresher(t.Context(), RefresherOptions{Endpoint: e, Gate: NewGate(), Timeout: 5 * time.Second, Now: time.Now})
}

// kindOf is the kind of a failure, or 0.
func kindOf(t *testing.T, err error) Kind {
	t.Helper()
	if err == nil {
		return 0
	}
	var failure *TokenError
	if !errors.As(err, &failure) {
		t.Fatalf("the error is %v", err)
	}
	return failure.Kind
}

// aged is a session whose token is so old.
func aged(age time.Duration) *Session {
	s := testSession(time.Now().Add(-age))
	s.Token.Value = "old"
	return s
}

const past80, expired = 50 * time.Minute, time.Hour

func TestAFreshTokenIsNotRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := grants(0)
		r := testRefresher(t, e)
		s := aged(47 * time.Minute)
		got, err := r.Access(t.Context(), s, s.Target)
		if err != nil || got.Token != s.Token || got.Session != s || got.IsNewer || e.count() != 0 {
			t.Errorf("%+v, %v, %d requests", got, err, e.count())
		}
		if n := testing.AllocsPerRun(100, func() { _, _ = r.Access(t.Context(), s, s.Target) }); n != 0 {
			t.Errorf("it allocates %v times", n)
		}
	})
}

func TestAHundredRequestsAtExpiryAreOneTokenRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := grants(time.Second)
		r := testRefresher(t, e)
		s := aged(expired)
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				got, err := r.Access(t.Context(), s, s.Target)
				if err != nil || !strings.HasPrefix(got.Token.Value, "token 1 ") || !got.IsNewer || got.Session.Token != got.Token {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
		group.Wait()
		if e.count() != 1 || e.requests[0].RefreshToken != s.RefreshToken || e.requests[0].Target != s.Target {
			t.Errorf("the requests were %+v", e.requests)
		}
		// The result is kept for requests that come with the old cookie.
		if got, err := r.Access(t.Context(), s, s.Target); err != nil || !got.IsNewer || e.count() != 1 {
			t.Errorf("afterwards: %+v, %v", got, err)
		}
		// And it is no news to those that have it.
		got, _ := r.Access(t.Context(), s, s.Target)
		if again, err := r.Access(t.Context(), got.Session, s.Target); err != nil || again.IsNewer || again.Token != got.Token {
			t.Errorf("with the new cookie: %+v, %v", again, err)
		}
	})
}

func TestOthersWithAValidTokenDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := grants(3 * time.Second)
		r := testRefresher(t, e)
		s := aged(past80)
		var first atomic.Value
		go func() {
			got, _ := r.Access(t.Context(), s, s.Target)
			first.Store(got.Token.Value)
		}()
		synctest.Wait()
		start := time.Now()
		if got, err := r.Access(t.Context(), s, s.Target); err != nil || got.Token.Value != "old" || time.Since(start) != 0 {
			t.Errorf("the second one gets %q after %s, %v", got.Token.Value, time.Since(start), err)
		}
		time.Sleep(4 * time.Second)
		if got, _ := first.Load().(string); !strings.HasPrefix(got, "token 1 ") {
			t.Errorf("the first one gets %q", got)
		}
	})
}

func TestWhoLeavesDoesNotCancelTheRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := grants(3 * time.Second)
		r := testRefresher(t, e)
		s := aged(expired)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Access(ctx, s, s.Target); kindOf(t, err) != Unavailable || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who leaves gets %v", err)
		}
		if got, err := r.Access(t.Context(), s, s.Target); err != nil || e.count() != 1 {
			t.Errorf("the next one gets %+v, %v after %d requests", got, err, e.count())
		}
	})
}

func TestATenantThatIsDown(t *testing.T) {
	down := &TokenError{Kind: Unavailable, Err: errors.New("502")}
	t.Run("the old token serves until it expires", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := fails(down)
			r := testRefresher(t, e)
			s := aged(past80)
			for range 10 {
				if got, err := r.Access(t.Context(), s, s.Target); err != nil || got.Token.Value != "old" || got.IsNewer {
					t.Errorf("%+v, %v", got, err)
				}
			}
			if e.count() != 1 {
				t.Errorf("%d requests", e.count())
			}
			time.Sleep(pauseAfterFailure)
			_, _ = r.Access(t.Context(), s, s.Target)
			if e.count() != 2 {
				t.Errorf("%d requests after the pause", e.count())
			}
			time.Sleep(10 * time.Minute)
			if _, err := r.Access(t.Context(), s, s.Target); kindOf(t, err) != Unavailable {
				t.Errorf("once it has expired: %v", err)
			}
		})
	})
	t.Run("nobody waits for it again for five seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := grants(time.Minute)
			r := testRefresher(t, e)
			s := aged(expired)
			start := time.Now()
			if _, err := r.Access(t.Context(), s, s.Target); kindOf(t, err) != Unavailable || time.Since(start) != 5*time.Second {
				t.Errorf("the first one waits %s: %v", time.Since(start), err)
			}
			synctest.Wait()
			start = time.Now()
			_, err := r.Access(t.Context(), s, s.Target)
			var failure *TokenError
			if !errors.As(err, &failure) || failure.Kind != Unavailable || time.Since(start) != 0 || failure.RetryAfter <= 0 || failure.RetryAfter > pauseAfterFailure {
				t.Errorf("the second one waits %s: %+v", time.Since(start), failure)
			}
		})
	})
	t.Run("an error of another type", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := testRefresher(t, fails(errors.New("broken pipe")))
			s := aged(expired)
			if _, err := r.Access(t.Context(), s, s.Target); kindOf(t, err) != Unavailable {
				t.Error(err)
			}
		})
	})
	t.Run("a client of ours that panics", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := testRefresher(t, &endpoint{answer: func(context.Context, RefreshRequest) (Grant, error) { panic("x") }})
			s := aged(expired)
			if _, err := r.Access(t.Context(), s, s.Target); kindOf(t, err) != Unavailable || len(r.Gate.places) != 0 || !strings.Contains(err.Error(), "panicked") {
				t.Error(err)
			}
		})
	})
}

func TestWhatEndsASession(t *testing.T) {
	stranger := &endpoint{answer: func(context.Context, RefreshRequest) (Grant, error) {
		return Grant{Subject: "somebody-else", Token: testToken(time.Now(), "t")}, nil
	}}
	nobody := &endpoint{answer: func(context.Context, RefreshRequest) (Grant, error) {
		return Grant{Token: testToken(time.Now(), "t")}, nil
	}}
	for name, test := range map[string]struct {
		e    *endpoint
		want Kind
	}{
		"a refused refresh token":   {fails(Failure(400, "invalid_grant", Target{})), Refused},
		"access taken away":         {fails(Failure(400, "access_denied", Target{})), Refused},
		"an answer about a person":  {stranger, WrongSubject},
		"an answer about nobody":    {nobody, WrongSubject},
		"the same, told indirectly": {fails(fmt.Errorf("refresh: %w", Failure(400, "invalid_grant", Target{}))), Refused},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := testRefresher(t, test.e)
				s := aged(past80)
				for _, target := range []Target{s.Target, {Resource: "other"}, s.Target} {
					if got, err := r.Access(t.Context(), s, target); kindOf(t, err) != test.want || !kindOf(t, err).EndsSession() || got.Token.Value != "" {
						t.Errorf("%+v, %v", got, err)
					}
				}
				if test.e.count() != 1 {
					t.Errorf("the tenant is asked %d times", test.e.count())
				}
				if r.MayWrite(s, s.SealedAt, time.Now(), 200, false) {
					t.Error("its cookie may be written")
				}
			})
		})
	}
}

func TestASessionThatIsInTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := grants(time.Second)
		r := testRefresher(t, e)
		var ended atomic.Bool
		r.Ended = func(*Session) bool { return ended.Load() }
		s := aged(expired)
		go func() {
			time.Sleep(time.Second / 2)
			ended.Store(true)
		}()
		// A sign-out while the refresh is under way: nobody comes back.
		if got, err := r.Access(t.Context(), s, s.Target); kindOf(t, err) != Ended {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := r.Access(t.Context(), s, s.Target); kindOf(t, err) != Ended || e.count() != 1 {
			t.Errorf("%v after %d requests", err, e.count())
		}
	})
}

func TestWithoutARefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := grants(0)
		r := testRefresher(t, e)
		s := aged(past80)
		s.RefreshToken = ""
		other := Target{Resource: "other"}
		if got, err := r.Access(t.Context(), s, s.Target); err != nil || got.Token.Value != "old" {
			t.Errorf("while its token lives: %+v, %v", got, err)
		}
		if _, err := r.Access(t.Context(), s, other); kindOf(t, err) != NoRefreshToken {
			t.Errorf("for another resource: %v", err)
		}
		time.Sleep(10 * time.Minute)
		for _, target := range []Target{s.Target, other} {
			if _, err := r.Access(t.Context(), s, target); kindOf(t, err) != Expired {
				t.Errorf("once its token has expired: %v", err)
			}
		}
		if e.count() != 0 {
			t.Errorf("%d requests", e.count())
		}
		// A token that did not fit into the cookie.
		s = testSession(time.Now())
		token := s.Token
		s.RefreshToken, s.Token = "", Token{}
		r.Remember(s, other, token)
		if got, err := r.Access(t.Context(), s, other); err != nil || got.Token != token || got.IsNewer {
			t.Errorf("from memory: %+v, %v", got, err)
		}
		if _, err := r.Access(t.Context(), s, Target{}); kindOf(t, err) != NoRefreshToken {
			t.Errorf("for another one: %v", err)
		}
		time.Sleep(time.Hour)
		for _, target := range []Target{other, {}} {
			if _, err := r.Access(t.Context(), s, target); kindOf(t, err) != Expired {
				t.Errorf("once the one in memory has expired: %v", err)
			}
		}
	})
}

func TestOrganizations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		member := true
		e := grants(0)
		grant := e.answer
		e.answer = func(ctx context.Context, request RefreshRequest) (Grant, error) {
			if request.Target.Organization == "theirs" || !member {
				return Grant{}, Failure(403, "access_denied", request.Target)
			}
			return grant(ctx, request)
		}
		r := testRefresher(t, e)
		s := aged(0)
		ours, theirs := Target{Organization: "ours"}, Target{Organization: "theirs"}
		for range 3 {
			if got, err := r.Access(t.Context(), s, ours); err != nil || got.Token.Value != "token 1 for ours" || got.Session.Target != ours {
				t.Errorf("ours: %+v, %v", got, err)
			}
			if _, err := r.Access(t.Context(), s, theirs); kindOf(t, err) != NotMember || kindOf(t, err).EndsSession() {
				t.Errorf("theirs: %v", err)
			}
			if got, err := r.Access(t.Context(), s, s.Target); err != nil || got.Token.Value != "old" {
				t.Errorf("the session: %+v, %v", got, err)
			}
		}
		if e.count() != 2 {
			t.Errorf("%d requests", e.count())
		}
		time.Sleep(refusalKept)
		_, _ = r.Access(t.Context(), s, theirs)
		if e.count() != 3 {
			t.Errorf("%d requests after a minute", e.count())
		}
		// The last token is in the cookie.
		inCookie := aged(0)
		inCookie.Target = ours
		// Whoever is taken out of an organization has its token until the tenant
		// says so, and no longer.
		member = false
		time.Sleep(past80)
		for range 3 {
			if got, err := r.Access(t.Context(), s, ours); kindOf(t, err) != NotMember {
				t.Errorf("a former member: %+v, %v", got, err)
			}
			if got, err := r.Access(t.Context(), inCookie, ours); kindOf(t, err) != NotMember {
				t.Errorf("a former member with a cookie: %+v, %v", got, err)
			}
		}
	})
}

func TestRefreshesOfOneSessionTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := grants(time.Second)
		r := testRefresher(t, e)
		s := aged(expired)
		var group sync.WaitGroup
		for i := range 12 {
			group.Go(func() {
				_, _ = r.Access(t.Context(), s, Target{Organization: fmt.Sprint("org-", i%4)})
			})
		}
		group.Wait()
		if e.most != 1 || e.count() != 4 {
			t.Errorf("%d requests, %d at once", e.count(), e.most)
		}
		if len(r.flights) != 0 {
			t.Errorf("%d sessions are still refreshing", len(r.flights))
		}
	})
}

// A token that is due is refreshed also while another one is.
func TestATokenForAnotherTargetIsRefreshedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := grants(time.Second)
		r := testRefresher(t, e)
		s := aged(past80)
		go func() { _, _ = r.Access(t.Context(), s, Target{Organization: "org-1"}) }()
		synctest.Wait()
		if got, err := r.Access(t.Context(), s, s.Target); err != nil || got.Token.Value == "old" || e.count() != 2 {
			t.Errorf("%+v, %v after %d requests", got, err, e.count())
		}
	})
}

// Who comes while the queue is worked off waits in it, also for a target that was
// in it before.
func TestWhoComesLaterTakesTurnsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := grants(time.Second)
		r := testRefresher(t, e)
		s := aged(expired)
		var group sync.WaitGroup
		access := func(organization string) {
			group.Go(func() {
				if got, err := r.Access(t.Context(), s, Target{Organization: organization}); err != nil {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
		access("org-1")
		synctest.Wait()
		access("org-2")
		time.Sleep(1500 * time.Millisecond)
		access("org-3")
		first, refused := Target{Organization: "org-1"}, r.record(s.ID).tokens[Target{Organization: "org-1"}]
		if got, err := r.Replace(t.Context(), s, first, refused); err != nil || got.Token == refused {
			t.Errorf("replaced by %+v, %v", got, err)
		}
		group.Wait()
		if e.most != 1 || e.count() != 4 {
			t.Errorf("%d requests, %d at once", e.count(), e.most)
		}
	})
}

// Another process may have rotated the refresh token: what waits in the queue is
// sent with that of the newest cookie.
func TestTheQueueUsesTheNewestCookie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: func(context.Context, RefreshRequest) (Grant, error) {
			time.Sleep(time.Second)
			return Grant{}, &TokenError{Kind: NotMember}
		}}
		r := testRefresher(t, e)
		s := aged(expired)
		newer := s.Renewed(time.Now())
		newer.RefreshToken = "rotated elsewhere"
		for i, cookie := range []*Session{s, newer, s} {
			go func() { _, _ = r.Access(t.Context(), cookie, Target{Organization: fmt.Sprint("org-", i)}) }()
			synctest.Wait()
		}
		time.Sleep(10 * time.Second)
		if got, want := e.sent(), []string{s.RefreshToken, "rotated elsewhere", "rotated elsewhere"}; !slices.Equal(got, want) {
			t.Errorf("sent were %q", got)
		}
	})
}

// Between the look at a token and the turn to refresh it, somebody else may have.
func TestWhoeverWasFirstMayBeDone(t *testing.T) {
	r := testRefresher(t, nil)
	s := aged(expired)
	r.Remember(s, s.Target, testToken(time.Now(), "new"))
	if f, failure := r.join(s, s.Target, Token{}, time.Now(), false); f != nil || failure != nil {
		t.Errorf("%+v, %v", f, failure)
	}
}

func TestWhoNamesManyOrganizationsWaitsForNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := grants(time.Second)
		r := testRefresher(t, e)
		s := aged(expired)
		var busy atomic.Int32
		var group sync.WaitGroup
		for i := range 2 * maxQueued {
			group.Go(func() {
				if _, err := r.Access(t.Context(), s, Target{Organization: fmt.Sprint("org-", i)}); kindOf(t, err) == Busy {
					busy.Add(1)
				}
			})
		}
		group.Wait()
		if busy.Load() != maxQueued {
			t.Errorf("%d are refused", busy.Load())
		}
		time.Sleep(time.Hour)
		const most = 32 // not maxTokens, so that the bound cannot move unseen
		for i := range 3 * most {
			_, _ = r.Access(t.Context(), s, Target{Organization: fmt.Sprint("org-", i)})
		}
		known := r.record(s.ID)
		if len(known.tokens) != most {
			t.Errorf("%d tokens are kept", len(known.tokens))
		}
		if _, ok := known.tokens[Target{Organization: fmt.Sprint("org-", 3*most-1)}]; !ok {
			t.Error("the last one is not")
		}
		e.answer = fails(Failure(403, "access_denied", Target{Organization: "x"})).answer
		for i := range 3 * most {
			_, _ = r.Access(t.Context(), s, Target{Organization: fmt.Sprint("other-", i)})
		}
		if known = r.record(s.ID); len(known.refusals) != most {
			t.Errorf("%d refusals are kept", len(known.refusals))
		}
	})
}

func TestAtMost64RequestsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := grants(time.Second)
		r := testRefresher(t, e)
		var busy, served atomic.Int32
		var group sync.WaitGroup
		sessions := make([]*Session, 100)
		for i := range sessions {
			sessions[i] = aged(expired)
		}
		serve := func(s *Session) {
			switch _, err := r.Access(t.Context(), s, s.Target); kindOf(t, err) {
			case Busy:
				busy.Add(1)
			case 0:
				served.Add(1)
			}
		}
		for _, s := range sessions {
			group.Go(func() { serve(s) })
		}
		group.Wait()
		if e.most != 64 || busy.Load() != 36 || served.Load() != 64 {
			t.Errorf("%d at once, %d refused, %d served", e.most, busy.Load(), served.Load())
		}
		// Being busy is no fault of the tenant: nobody pauses.
		for _, s := range sessions {
			serve(s)
		}
		if served.Load() != 164 {
			t.Errorf("%d served in the end", served.Load())
		}
	})
}

func TestARotatedRefreshTokenIsNotUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := grants(0)
		grant := e.answer
		e.answer = func(ctx context.Context, request RefreshRequest) (Grant, error) {
			answer, err := grant(ctx, request)
			if e.count() == 1 {
				answer.RefreshToken = "rotated"
			}
			return answer, err
		}
		r := testRefresher(t, e)
		s := aged(expired)
		first, err := r.Access(t.Context(), s, s.Target)
		if err != nil || first.Session.RefreshToken != "rotated" {
			t.Fatalf("%+v, %v", first, err)
		}
		if r.Newest(s).RefreshToken != "rotated" || s.RefreshToken == "rotated" {
			t.Error("the newest state is not what it was refreshed to")
		}
		time.Sleep(time.Hour)
		// The old cookie, and one that another process has renewed meanwhile.
		for _, cookie := range []func() *Session{func() *Session { return s }, func() *Session { return s.Renewed(time.Now()) }} {
			cookie := cookie()
			got, err := r.Access(t.Context(), cookie, s.Target)
			if err != nil || got.Session.RefreshToken != "rotated" || !got.IsNewer {
				t.Errorf("%+v, %v", got, err)
			}
			time.Sleep(time.Hour)
		}
		// One that another process has rotated since.
		other := first.Session.Renewed(time.Now())
		other.RefreshToken = "rotated elsewhere"
		if _, err := r.Access(t.Context(), other, s.Target); err != nil {
			t.Error(err)
		}
		var sent []string
		for _, request := range e.requests {
			sent = append(sent, request.RefreshToken)
		}
		if want := []string{s.RefreshToken, "rotated", "rotated", "rotated elsewhere"}; !slices.Equal(sent, want) {
			t.Errorf("sent were %q", sent)
		}
	})
}

func TestReportsAndKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := testRefresher(t, grants(0))
		var reports []string
		r.Report = func(target Target, failure *TokenError) {
			if failure == nil {
				reports = append(reports, target.Organization+" ok")
				return
			}
			reports = append(reports, failure.Kind.String())
		}
		s := aged(expired)
		_, _ = r.Access(t.Context(), s, Target{Organization: "org-1"})
		r.Endpoint = fails(Failure(401, "invalid_client", Target{}))
		_, err := r.Access(t.Context(), s, Target{Organization: "org-2"})
		if want := []string{"org-1 ok", "wrong_client"}; !slices.Equal(reports, want) || kindOf(t, err) != WrongClient {
			t.Errorf("the reports are %q, %v", reports, err)
		}
	})
	organization := Target{Organization: "org-1"}
	for _, test := range []struct {
		status int
		code   string
		target Target
		want   Kind
	}{
		{400, "invalid_client", Target{}, WrongClient},
		{401, "invalid_client", Target{}, WrongClient},
		{400, "invalid_grant", Target{}, Refused},
		{400, "access_denied", Target{}, Refused},
		{400, "access_denied", organization, Refused},
		{403, "access_denied", organization, NotMember},
		{403, "access_denied", Target{}, Unavailable},
		{401, "access_denied", organization, Unavailable},
		{400, "invalid_target", Target{}, NotAskedFor},
		{400, "invalid_scope", Target{}, NotAskedFor},
		{403, "insufficient_scope", organization, NotAskedFor},
		{429, "invalid_grant", Target{}, Unavailable},
		{500, "invalid_grant", Target{}, Unavailable},
		{400, "", Target{}, Unavailable},
		{403, "", organization, Unavailable},
		{200, "", Target{}, Unavailable},
		{400, "invalid_request", Target{}, Unavailable},
	} {
		if got := Failure(test.status, test.code, test.target); got.Kind != test.want {
			t.Errorf("%d %s: %s", test.status, test.code, got)
		}
	}
}

func TestWhatIsKnownOfSessionsIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := testRefresher(t, grants(0))
		for range 100 {
			s := aged(expired)
			if _, err := r.Access(t.Context(), s, s.Target); err != nil {
				t.Fatal(err)
			}
			r.MayWrite(s, s.SealedAt, time.Now(), 200, false)
		}
		if known, _ := r.known.Size(); known != 100 {
			t.Errorf("%d are known", known)
		}
		time.Sleep(2 * time.Hour)
		other := aged(0)
		r.MayWrite(other, other.SealedAt, time.Now(), 200, false)
		if known, _ := r.known.Size(); known != 1 {
			t.Errorf("%d are known when their tokens have expired", known)
		}
	})
}

func BenchmarkAccess(b *testing.B) {
	r := NewRefresher(b.Context(), RefresherOptions{
		Endpoint: grants(0), Gate: NewGate(), Timeout: time.Second, Now: time.Now,
		Ended: NewList(ListOptions{Now: time.Now}).Ended,
	})
	s := testSession(time.Now())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Access(b.Context(), s, s.Target); err != nil {
			b.Fatal(err)
		}
	}
}

// A cookie that was stolen before may hold another token than the newest one.
func TestLongestLifeOfTheTokensOfASession(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	token := func(life time.Duration) Token {
		return Token{Value: life.String(), IssuedAt: now.Unix(), ExpiresAt: now.Add(life).Unix()}
	}
	r := NewRefresher(t.Context(), RefresherOptions{Now: func() time.Time { return now }})
	s := New("alice", now)
	s.Token = token(time.Hour)
	if got := r.LongestLife(s); got != time.Hour {
		t.Errorf("the cookie's: %v", got)
	}
	r.Remember(s, Target{Resource: "https://other.example.com"}, token(24*time.Hour))
	r.Remember(s, s.Target, token(2*time.Hour))
	if got := r.LongestLife(s); got != 24*time.Hour {
		t.Errorf("another target's: %v", got)
	}
	// One that is known no more, but may be in a cookie that was written.
	newest := s.Renewed(now.Add(time.Minute))
	newest.Token = token(48 * time.Hour)
	r.known.Put(s.ID, &record{newest: newest}, 1)
	if got := r.LongestLife(s); got != 48*time.Hour {
		t.Errorf("the newest state's: %v", got)
	}
}
