package session

import (
	"testing"
	"time"
)

func TestWhenASessionExpires(t *testing.T) {
	s := New("someone", testTime)
	const lifetime, idle = 7 * 24 * time.Hour, 24 * time.Hour
	for _, test := range []struct {
		name    string
		renewed time.Duration // after the sign-in
		want    time.Duration
	}{
		{"after the longest pause", 0, idle},
		{"counted from the last renewal", 5 * time.Hour, 5*time.Hour + idle},
		{"at the end of the longest session", lifetime - time.Hour, lifetime},
	} {
		if got := s.Renewed(testTime.Add(test.renewed)).ExpiresAt(lifetime, idle).Sub(testTime).Round(time.Second); got != test.want {
			t.Errorf("%s: after %s", test.name, got)
		}
	}
	for after, due := range map[time.Duration]bool{0: false, idle/10 - time.Millisecond: false, idle / 10: true, idle: true} {
		if got := s.IsDue(testTime.Add(after), idle); got != due {
			t.Errorf("due after %s: %v", after, got)
		}
	}
}

// Of two states of one session the later one is the newer, whatever the clock
// does.
func TestARenewedSessionIsNewer(t *testing.T) {
	s := New("someone", testTime)
	between := testTime.Add(time.Hour + time.Microsecond) // a cookie cannot hold it
	if s := New("someone", between); !s.SignedIn.Equal(testTime.Add(time.Hour)) || !s.SealedAt.Equal(s.SignedIn) {
		t.Errorf("it signs in at %s, sealed at %s", s.SignedIn, s.SealedAt)
	}
	if renewed := s.Renewed(between); !renewed.SealedAt.Equal(testTime.Add(time.Hour)) {
		t.Errorf("renewed at %s it is sealed at %s", between, renewed.SealedAt)
	}
	for _, now := range []time.Time{testTime, testTime.Add(-time.Hour), testTime.Add(time.Microsecond), testTime.Add(time.Hour)} {
		renewed := s.Renewed(now)
		if !renewed.SealedAt.After(s.SealedAt) || renewed.SealedAt.UnixMilli() == s.SealedAt.UnixMilli() {
			t.Errorf("renewed at %s it is sealed at %s", now, renewed.SealedAt)
		}
		if renewed.ID != s.ID || !renewed.SignedIn.Equal(s.SignedIn) {
			t.Errorf("it becomes another session: %+v", renewed)
		}
	}
	if New("someone", testTime).ID == s.ID {
		t.Error("two sign-ins have one id")
	}
}

func TestWhenATokenIsFresh(t *testing.T) {
	token := testToken(testTime, "t")
	for after, want := range map[time.Duration]struct{ fresh, expired bool }{
		-time.Hour:             {true, false},
		0:                      {true, false},
		2879 * time.Second:     {true, false},
		2880 * time.Second:     {false, false},
		2881 * time.Second:     {false, false},
		3598 * time.Second:     {false, false},
		3600 * time.Second:     {false, true},
		24 * 365 * time.Hour:   {false, true},
		100 * 365 * time.Hour:  {false, true},
		-100 * 365 * time.Hour: {true, false},
	} {
		if at := testTime.Add(after); token.IsFresh(at) != want.fresh || token.Expired(at) != want.expired {
			t.Errorf("after %s: fresh %v, expired %v", after, token.IsFresh(at), token.Expired(at))
		}
	}
	for name, token := range map[string]Token{
		"no token":         {},
		"no life":          {Value: "t", IssuedAt: testTime.Unix(), ExpiresAt: testTime.Unix()},
		"a life backwards": {Value: "t", IssuedAt: testTime.Unix(), ExpiresAt: testTime.Unix() - 1},
	} {
		for _, at := range []time.Time{testTime, testTime.Add(-time.Hour)} { // clocks differ
			if token.IsFresh(at) {
				t.Errorf("%s is fresh at %s", name, at)
			}
		}
	}
	if second := (Token{Value: "t", IssuedAt: testTime.Unix(), ExpiresAt: testTime.Unix() + 1}); !second.IsFresh(testTime) {
		t.Error("a token that lives for a second is not fresh")
	}
}

func TestWhatASessionCovers(t *testing.T) {
	s := testSession(testTime)
	for _, test := range []struct {
		scopes, resources []string
		want              bool
	}{
		{nil, nil, true},
		{[]string{"read:products"}, []string{"https://api.example.com"}, true},
		{[]string{"read:products", "write:products"}, nil, false},
		{nil, []string{"https://api.example.com/"}, false},
		{[]string{"read"}, nil, false},
	} {
		if got := s.Covers(test.scopes, test.resources); got != test.want {
			t.Errorf("%q and %q: %v", test.scopes, test.resources, got)
		}
	}
}
