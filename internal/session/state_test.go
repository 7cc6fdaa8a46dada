package session

import (
	"errors"
	"strings"
	"testing"
	"time"
)

const testRedirect = "https://www.example.com/.logto/callback"

func TestStates(t *testing.T) {
	ring, site := testRing(t), testSite(t, "www.example.com")
	flow := mustStart(t, Flow{}, testTime)
	state := flow.NewState(testTime, testIssuer, testRedirect, "/members?page=2")
	again := state
	again.Again = true
	text := ring.SealState(site, state)
	for _, test := range []struct {
		name             string
		text             string
		site             Site
		issuer, redirect string
		now              time.Time
		want             error
	}{
		{"at once", text, site, testIssuer, testRedirect, testTime, nil},
		{"again", ring.SealState(site, again), site, testIssuer, testRedirect, testTime, nil},
		{"after an hour", text, site, testIssuer, testRedirect, testTime.Add(time.Hour), nil},
		{"after more than an hour", text, site, testIssuer, testRedirect, testTime.Add(time.Hour + time.Millisecond), ErrStateExpired},
		{"of another site", text, testSite(t, "app.example.com"), testIssuer, testRedirect, testTime, ErrState},
		{"of another port", text, testSite(t, "www.example.com:8443"), testIssuer, testRedirect, testTime, ErrState},
		{"with another issuer", text, site, testIssuer + "/", testRedirect, testTime, ErrState},
		{"with another redirect URI", text, site, testIssuer, testRedirect + "/", testTime, ErrState},
		{"a flow", ring.SealFlow(site, flow), site, testIssuer, testRedirect, testTime, ErrState},
		{"a session", mustSeal(t, ring, site, testSession(testTime)), site, testIssuer, testRedirect, testTime, ErrState},
		{"of another app", ringOf(t, testIssuer, "x").SealState(site, state), site, testIssuer, testRedirect, testTime, ErrState},
		{"none", "", site, testIssuer, testRedirect, testTime, ErrState},
		{"made up", strings.Repeat("A", 400), site, testIssuer, testRedirect, testTime, ErrState},
	} {
		got, err := ring.OpenState(test.site, test.text, test.issuer, test.redirect, test.now)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		if errors.Is(test.want, ErrState) {
			if got != (State{}) {
				t.Errorf("%s: %+v", test.name, got)
			}
			continue
		}
		want := state
		want.Again = test.name == "again"
		if got != want || got.ID() != state.ID() || !flow.Started(got) {
			t.Errorf("%s: it is %+v", test.name, got)
		}
	}
	for i := range len(text) {
		altered := text[:i] + string([]byte{text[i] ^ 1}) + text[i+1:]
		if _, err := ring.OpenState(site, altered, testIssuer, testRedirect, testTime); !errors.Is(err, ErrState) {
			t.Errorf("octet %d may be altered", i)
		}
	}
	if flow.NewState(testTime, testIssuer, testRedirect, "/").ID() == state.ID() {
		t.Error("two states have one id")
	}
}

// The longest return path stays far below the lengths of addresses that
// servers take.
func TestTheLongestStateOpens(t *testing.T) {
	ring, site := testRing(t), testSite(t, "www.example.com")
	path := ReturnPath("/"+strings.Repeat("x", maxReturnPath-1), "/.logto")
	if len(path) != maxReturnPath {
		t.Fatalf("the path has %d octets", len(path))
	}
	text := ring.SealState(site, mustStart(t, Flow{}, testTime).NewState(testTime, testIssuer, testRedirect, path))
	if got, err := ring.OpenState(site, text, testIssuer, testRedirect, testTime); err != nil || got.ReturnPath != path || len(text) > 4000 {
		t.Errorf("a state of %d octets: %v", len(text), err)
	}
}
