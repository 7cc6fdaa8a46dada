package session

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const testRedirect = "https://www.example.com/.logto/callback"

func TestStates(t *testing.T) {
	ring, site := testRing(t), testSite(t, "www.example.com")
	flow := mustStart(t, Flow{}, testTime)
	state := flow.NewState(testTime, testIssuer, testRedirect, "/members?page=2")
	state.Resource = "https://api.example.com"
	state.Scopes = []string{"openid", "offline_access", "read:products"}
	state.Resources = []string{"https://api.example.com", "urn:logto:resource:organizations"}
	state.Own = 1
	again := state
	again.Again = true
	identity := again
	identity.Identity = true
	text := mustSealState(t, ring, site, state)
	for _, test := range []struct {
		name             string
		text             string
		site             Site
		issuer, redirect string
		now              time.Time
		want             error
	}{
		{"at once", text, site, testIssuer, testRedirect, testTime, nil},
		{"again", mustSealState(t, ring, site, again), site, testIssuer, testRedirect, testTime, nil},
		{"of an identity, again", mustSealState(t, ring, site, identity), site, testIssuer, testRedirect, testTime, nil},
		{"after an hour", text, site, testIssuer, testRedirect, testTime.Add(time.Hour), nil},
		{"after more than an hour", text, site, testIssuer, testRedirect, testTime.Add(time.Hour + time.Millisecond), ErrStateExpired},
		{"of another site", text, testSite(t, "app.example.com"), testIssuer, testRedirect, testTime, ErrState},
		{"of another port", text, testSite(t, "www.example.com:8443"), testIssuer, testRedirect, testTime, ErrState},
		{"with another issuer", text, site, testIssuer + "/", testRedirect, testTime, ErrState},
		{"with another redirect URI", text, site, testIssuer, testRedirect + "/", testTime, ErrState},
		{"a flow", ring.SealFlow(site, flow), site, testIssuer, testRedirect, testTime, ErrState},
		{"a session", mustSeal(t, ring, site, testSession(testTime)), site, testIssuer, testRedirect, testTime, ErrState},
		{"of another app", mustSealState(t, ringOf(t, testIssuer, "x"), site, state), site, testIssuer, testRedirect, testTime, ErrState},
		{"none", "", site, testIssuer, testRedirect, testTime, ErrState},
		{"made up", strings.Repeat("A", 400), site, testIssuer, testRedirect, testTime, ErrState},
	} {
		got, err := ring.OpenState(test.site, test.text, test.issuer, test.redirect, test.now)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		if errors.Is(test.want, ErrState) {
			if !reflect.DeepEqual(got, State{}) {
				t.Errorf("%s: %+v", test.name, got)
			}
			continue
		}
		want := state
		want.Again, want.Identity = strings.HasSuffix(test.name, "again"), strings.HasPrefix(test.name, "of an identity")
		if !reflect.DeepEqual(got, want) || got.ID() != state.ID() || !flow.Started(got) {
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

// What a sign-in asks for comes back as it was, nothing and empty texts too.
func TestWhatAStateAskedFor(t *testing.T) {
	ring, site := testRing(t), testSite(t, "www.example.com")
	flow := mustStart(t, Flow{}, testTime)
	for _, asked := range []struct {
		resource          string
		scopes, resources []string
	}{
		{"", nil, nil},
		{"r", nil, []string{"r"}},
		{"", []string{"openid"}, nil},
		{"", []string{"a", "", "b"}, []string{""}},
		{"scope", []string{"a\x00b", "é"}, []string{"https://api.example.com", "urn:logto:resource:organizations"}},
	} {
		state := flow.NewState(testTime, testIssuer, testRedirect, "/")
		state.Resource, state.Scopes, state.Resources = asked.resource, asked.scopes, asked.resources
		got, err := ring.OpenState(site, mustSealState(t, ring, site, state), testIssuer, testRedirect, testTime)
		if err != nil || !reflect.DeepEqual(got, state) {
			t.Errorf("%+v is %+v, %v", state, got, err)
		}
	}
}

// What asks for too much is refused where it starts, not by a server on the
// way; and what is sealed opens.
func TestAStateIsBounded(t *testing.T) {
	ring, site := testRing(t), testSite(t, "www.example.com")
	state := mustStart(t, Flow{}, testTime).NewState(testTime, testIssuer, testRedirect, "/"+strings.Repeat("x", maxReturnPath-1))
	sealed := 0
	for n := range 400 {
		state.Scopes = slices.Repeat([]string{strings.Repeat("s", 20)}, n)
		text, err := ring.SealState(site, state)
		if err != nil {
			if !errors.Is(err, ErrStateTooLong) || text != "" {
				t.Fatalf("%d scopes: %q, %v", n, text, err)
			}
			continue
		}
		sealed = n
		if got, err := ring.OpenState(site, text, testIssuer, testRedirect, testTime); err != nil || len(got.Scopes) != n || len(text) > 12_000 {
			t.Fatalf("%d scopes in %d characters: %v", n, len(text), err)
		}
	}
	if sealed < 250 || sealed > 350 {
		t.Errorf("%d scopes fit", sealed)
	}
	// Up to the last character.
	state.Scopes, state.ReturnPath = nil, "/"
	longest := 0
	for n := range 12_000 {
		state.Resource = strings.Repeat("r", n)
		text, err := ring.SealState(site, state)
		if err != nil {
			break
		}
		longest = len(text)
	}
	if longest != maxSealed {
		t.Errorf("the longest state has %d characters", longest)
	}
	state.Resource = ""
	state.Scopes, state.Resources = nil, []string{strings.Repeat("r", 12_000)}
	if _, err := ring.SealState(site, state); !errors.Is(err, ErrStateTooLong) {
		t.Errorf("a long resource: %v", err)
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
	text := mustSealState(t, ring, site, mustStart(t, Flow{}, testTime).NewState(testTime, testIssuer, testRedirect, path))
	if got, err := ring.OpenState(site, text, testIssuer, testRedirect, testTime); err != nil || got.ReturnPath != path || len(text) > 4000 {
		t.Errorf("a state of %d octets: %v", len(text), err)
	}
}

// A second attempt asks for what the site needs, and there is no third.
func TestNarrower(t *testing.T) {
	flow := mustStart(t, Flow{}, testTime)
	first := flow.NewState(testTime, testIssuer, testRedirect, "/members")
	first.Resource, first.Scopes, first.Resources, first.Own, first.Identity = "https://a.example", []string{"openid"}, []string{"https://a.example", "https://b.example"}, 1, true
	second, ok := flow.Narrower(testTime.Add(time.Minute), first)
	if !ok || second.ID() == first.ID() || !second.started.Equal(testTime.Add(time.Minute)) || !flow.Started(second) {
		t.Errorf("%t, %+v", ok, second)
	}
	want := first
	want.id, want.started = second.id, second.started
	want.Resources, want.Again = []string{"https://a.example"}, true
	if !reflect.DeepEqual(second, want) {
		t.Errorf("%+v, want %+v", second, want)
	}
	again, own := first, first
	again.Again, own.Own = true, 2
	for name, state := range map[string]State{"a second attempt": again, "only what the site needs": own, "the narrower one": second} {
		if _, ok := flow.Narrower(testTime, state); ok {
			t.Errorf("%s has a narrower one", name)
		}
	}
}
