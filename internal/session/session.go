package session

import (
	"crypto/rand"
	"encoding/base64"
	"slices"
	"time"
)

const idSize = 16

// Session is who has signed in, and with what that can be shown. It is what
// the session's cookie holds. A Session that was opened is shared by requests
// and must not be changed: the methods that change something return a copy.
type Session struct {
	// ID is 128 random bits as base64url, new with every sign-in.
	ID string
	// Subject is the `sub` of the verified ID token.
	Subject string
	// LogtoSession is the ID token's `sid`: Logto's own session, which a
	// back-channel logout names. Empty where Logto does not tell it.
	LogtoSession string

	// SignedIn is when the person signed in. Refreshing does not change it.
	SignedIn time.Time
	// SealedAt is when this state of the session was made. Of two states of
	// one session the later one is the newer, to the millisecond.
	SealedAt time.Time

	// Scopes and Resources are what the sign-in asked for, granted or not.
	Scopes, Resources []string

	// RefreshToken may be empty: then the session ends with its token.
	RefreshToken string

	// Target and Token are the token that was obtained last. A token that did
	// not fit into the cookie is the zero Token.
	Target Target
	Token  Token
}

// Target is what an access token is for. Without a resource and an
// organization it is the site itself, which knows a person by the claims of
// the ID token (identity mode).
type Target struct {
	Resource, Organization string
}

// Token is what a session shows to the validator: an access token, or in
// identity mode the claims of a verified ID token.
type Token struct {
	// Value is the access token; empty in identity mode.
	Value string
	// Claims is the JSON object of an ID token's claims; empty for an access
	// token.
	Claims string
	// IssuedAt and ExpiresAt are the token's life, in seconds since 1970.
	IssuedAt, ExpiresAt int64
}

// IsZero reports whether there is no token.
func (t Token) IsZero() bool { return t == Token{} }

// Expired reports whether a token's life is over, without leeway: a session
// has a new one to get. No token has expired, too.
func (t Token) Expired(now time.Time) bool { return now.Unix() >= t.ExpiresAt }

// IsFresh reports whether a token needs no refresh yet: less than 80 % of its
// life is over.
func (t Token) IsFresh(now time.Time) bool {
	life := t.ExpiresAt - t.IssuedAt
	return life > 0 && now.Unix()-t.IssuedAt < life-life/5
}

func (t Token) life() time.Duration { return time.Duration(t.ExpiresAt-t.IssuedAt) * time.Second }

// New makes the session of a sign-in. The tokens, scopes and resources are the
// caller's to fill in, before it is shared.
func New(subject string, now time.Time) *Session {
	now = toMillisecond(now)
	return &Session{ID: newID(), Subject: subject, SignedIn: now, SealedAt: now}
}

// newID returns 128 random bits as text.
func newID() string {
	random := make([]byte, idSize)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return encodeID(random)
}

func encodeID(id []byte) string { return base64.RawURLEncoding.EncodeToString(id) }

// ExpiresAt is when a session is over unless it is renewed: after the longest
// session, or the longest pause in one.
func (s *Session) ExpiresAt(lifetime, idle time.Duration) time.Time {
	end, pause := s.SignedIn.Add(lifetime), s.SealedAt.Add(idle)
	if pause.Before(end) {
		return pause
	}
	return end
}

// IsDue reports whether the cookie has to be written anew so that the pause
// is counted from this request: a tenth of idle has passed. Not at every
// request, which would make all answers different.
func (s *Session) IsDue(now time.Time, idle time.Duration) bool {
	return now.Sub(s.SealedAt) >= idle/10
}

// Covers reports whether the sign-in asked for all these scopes and resources.
// If not, only another sign-in can get them: a refresh can only narrow.
func (s *Session) Covers(scopes, resources []string) bool {
	return holdsAll(s.Scopes, scopes) && holdsAll(s.Resources, resources)
}

func holdsAll(held, wanted []string) bool {
	for _, one := range wanted {
		if !slices.Contains(held, one) {
			return false
		}
	}
	return true
}

// Renewed is the session as of now: the pause is counted from here.
func (s *Session) Renewed(now time.Time) *Session {
	renewed := *s
	renewed.SealedAt = nextSeal(s.SealedAt, now)
	return &renewed
}

// nextSeal is the time of a new state. It is after the previous one's even if
// the clock stands still or was set back, else the older one could win.
func nextSeal(previous, now time.Time) time.Time {
	now = toMillisecond(now)
	if least := previous.Add(time.Millisecond); now.Before(least) {
		return least
	}
	return now
}

// toMillisecond is what a cookie can hold of a time.
func toMillisecond(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }
