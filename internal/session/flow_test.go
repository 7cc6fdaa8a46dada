package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
)

// mustStart starts a sign-in that is no loop.
func mustStart(t *testing.T, f Flow, now time.Time) Flow {
	t.Helper()
	started, err := f.Start(now, false)
	if err != nil {
		t.Fatal(err)
	}
	return started
}

func TestAFlowKeepsItsValueWhileItSaysTheSame(t *testing.T) {
	ring, site := testRing(t), testSite(t, "www.example.com")
	flow := mustStart(t, Flow{}, testTime)
	value := ring.SealFlow(site, flow)
	read := func(value string) Flow {
		t.Helper()
		found, ok := ring.FindFlow(site, []string{"a=b; " + site.FlowName() + "=" + value})
		if !ok {
			t.Fatal("it does not open")
		}
		return found
	}
	opened := read(value)
	if opened.binding != flow.binding || len(opened.binding) != 32 {
		t.Error("it has another binding")
	}
	// Ten tabs start at once.
	for range 10 {
		if again := ring.SealFlow(site, mustStart(t, opened, testTime.Add(time.Second))); again != value {
			t.Fatal("a start changes the cookie")
		}
	}
	succeeded := read(ring.SealFlow(site, opened.Succeeded(testTime)))
	if succeeded.binding != flow.binding || !succeeded.lastSuccess.Equal(testTime) || succeeded.value == value {
		t.Errorf("after a success it is %+v", succeeded)
	}
	looped := mustStart(t, succeeded, testTime.Add(time.Second))
	if again := read(ring.SealFlow(site, looped)); again.loops != 1 || !again.counted {
		t.Errorf("after a start it is %+v", again)
	}
}

func TestTwoFlowsAreNone(t *testing.T) {
	ring, site := testRing(t), testSite(t, "www.example.com")
	one, other := ring.SealFlow(site, mustStart(t, Flow{}, testTime)), ring.SealFlow(site, mustStart(t, Flow{}, testTime))
	pair := func(value string) string { return site.FlowName() + "=" + value + ";" }
	for name, test := range map[string]struct {
		line string
		want bool
	}{
		"none":                 {"", false},
		"one":                  {pair(one), true},
		"two":                  {pair(one) + pair(other), false},
		"one that opens":       {pair("x") + pair(one), true},
		"a session as flow":    {pair(mustSeal(t, ring, site, testSession(testTime))), false},
		"a state as flow":      {pair(mustSealState(t, ring, site, State{id: strings.Repeat("i", 16), bindingHash: strings.Repeat("b", 32)})), false},
		"another site's flow":  {pair(ring.SealFlow(testSite(t, "x.example.com"), mustStart(t, Flow{}, testTime))), false},
		"as many as are tried": {strings.Repeat(pair("x"), maxTried-1) + pair(one), true},
		"far too many":         {strings.Repeat(pair("x"), maxTried) + pair(one), false},
	} {
		if _, ok := ring.FindFlow(site, []string{test.line}); ok != test.want {
			t.Errorf("%s: %v", name, ok)
		}
	}
}

// step is a start or a success, so long after the one before.
type step struct {
	after    time.Duration
	success  bool
	admitted bool // at a start: with a session
	loop     bool // the start is refused
}

func TestLoops(t *testing.T) {
	const soon, late = time.Second, time.Minute
	success := step{after: soon, success: true}
	start, loop := step{after: soon}, step{after: soon, loop: true}
	lateStart := step{after: late}
	withSession := step{after: soon, admitted: true}
	for name, steps := range map[string][]step{
		"the fifth start after a success": {start, success, start, success, start, success, start, success, start, success, loop, loop},
		"starts alone":                    {start, start, start, start, start, start, start, start},
		"ten tabs after one success":      {start, success, start, start, start, start, start, start, start, start},
		"a start that comes late":         {start, success, start, success, start, success, start, success, start, success, lateStart, success, start, success, start},
		"a session in between":            {start, success, start, success, start, success, start, success, start, success, withSession, success, start, success, start},
		"with a session and without in turns": {
			start, success, withSession, start, success, start, success, start, success, start, success, loop,
		},
		"a loop ends with time":             {start, success, start, success, start, success, start, success, start, success, loop, lateStart},
		"with a session again and again":    {withSession, success, withSession, success, withSession, success, withSession, success, withSession, success, withSession},
		"just before and just after it was": {start, success, {after: time.Minute - time.Millisecond}, success, {after: time.Minute}, success, start, success, start, success, start, success, start, success, loop},
	} {
		ring, site := testRing(t), testSite(t, "www.example.com")
		var flow Flow
		now := testTime
		for i, step := range steps {
			now = now.Add(step.after)
			if step.success {
				flow = flow.Succeeded(now)
			} else {
				var err error
				if flow, err = flow.Start(now, step.admitted); errors.Is(err, ErrLoop) != step.loop {
					t.Errorf("%s: step %d: %v", name, i, err)
				}
			}
			// As the next request sees it.
			flow, _ = ring.FindFlow(site, []string{site.FlowName() + "=" + ring.SealFlow(site, flow)})
		}
	}
}

func TestVerifierAndNonce(t *testing.T) {
	flow, other := mustStart(t, Flow{}, testTime), mustStart(t, Flow{}, testTime)
	state := flow.NewState(testTime, testIssuer, "https://x/cb", "/")
	next := flow.NewState(testTime, testIssuer, "https://x/cb", "/")
	texts := map[string]bool{}
	for _, f := range []Flow{flow, other} {
		for _, s := range []State{state, next} {
			texts[f.Verifier(s)], texts[f.Nonce(s)] = true, true
			// Another process may be of another version.
			for what, got := range map[string]string{"verifier": f.Verifier(s), "nonce": f.Nonce(s)} {
				mac := hmac.New(sha256.New, []byte(f.binding))
				mac.Write([]byte(what + s.id))
				if want := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)); got != want {
					t.Errorf("the %s is %q, not %q", what, got, want)
				}
			}
			if verifier := f.Verifier(s); len(verifier) != 43 || f.Verifier(s) != verifier {
				t.Errorf("the verifier is %q", verifier)
			}
			sum := sha256.Sum256([]byte(f.Verifier(s)))
			if f.Challenge(s) != base64.RawURLEncoding.EncodeToString(sum[:]) {
				t.Errorf("the challenge is %q", f.Challenge(s))
			}
		}
	}
	if len(texts) != 8 {
		t.Errorf("two flows and two states have %d verifiers and nonces, not 8", len(texts))
	}
	var none Flow
	if none.Started(none.NewState(testTime, testIssuer, "https://x/cb", "/")) {
		t.Error("a browser without a flow has started a sign-in")
	}
	if !flow.Started(state) || other.Started(state) || (Flow{}).Started(state) || (Flow{}).Started(State{}) {
		t.Error("a state is another browser's")
	}
}
