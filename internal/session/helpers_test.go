package session

import (
	"strings"
	"testing"
	"time"
)

const (
	testIssuer = "https://tenant.example.com/oidc"
	testApp    = "k64abn7t14ypri613okt3"
	testSecret = "dQw4w9WgXcQdQw4w9WgXcQdQw4w9WgXcQ"
)

// testTime has no part that a cookie could not hold.
var testTime = time.UnixMilli(1795191120123).UTC()

func testRing(tb testing.TB, secrets ...string) *KeyRing {
	tb.Helper()
	return ringOf(tb, testIssuer, testApp, secrets...)
}

func ringOf(tb testing.TB, issuer, app string, secrets ...string) *KeyRing {
	tb.Helper()
	if len(secrets) == 0 {
		secrets = []string{testSecret}
	}
	octets := make([][]byte, len(secrets))
	for i, secret := range secrets {
		octets[i] = []byte(secret)
	}
	ring, err := NewKeyRing(issuer, app, octets...)
	if err != nil {
		tb.Fatal(err)
	}
	return ring
}

func testSite(tb testing.TB, host string) Site {
	tb.Helper()
	site, err := NewSite(host, true)
	if err != nil {
		tb.Fatal(err)
	}
	return site
}

// testSession is a session with an access token as long as Logto's.
func testSession(now time.Time) *Session {
	s := New("82wtl6z03cep", now)
	s.LogtoSession = "NRo0pZ3iTc5dW2jWcQkfQ"
	s.Scopes = []string{"openid", "offline_access", "profile", "read:products"}
	s.Resources = []string{"https://api.example.com"}
	s.RefreshToken = strings.Repeat("r", 43)
	s.Target = Target{Resource: "https://api.example.com"}
	s.Token = testToken(now, strings.Repeat("t", 640))
	return s
}

// testToken is a token that was issued now and lives for an hour.
func testToken(now time.Time, value string) Token {
	return Token{Value: value, IssuedAt: now.Unix(), ExpiresAt: now.Unix() + 3600}
}

func mustSealState(tb testing.TB, ring *KeyRing, site Site, s State) string {
	tb.Helper()
	text, err := ring.SealState(site, s)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func mustSeal(tb testing.TB, ring *KeyRing, site Site, s *Session) string {
	tb.Helper()
	value, err := ring.SealSession(site, s)
	if err != nil {
		tb.Fatal(err)
	}
	return value
}
