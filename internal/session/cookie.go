package session

import (
	"errors"
	"strings"
)

const (
	// maxName and maxAttributes are the longest that a Site writes beside the
	// value, an equals sign included.
	maxName       = len(httpHostPrefix+sessionName) + len("-65535") + len("=")
	maxAttributes = len("; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax")

	// maxMessage is what fits into a cookie: base64url makes four octets of
	// three. It is the same for all sites, so that what is left out of a
	// session does not depend on where it is used.
	maxMessage = (maxCookie-maxName-maxAttributes)*3/4 - saltSize - tagSize

	// maxOpened and maxOpenedBytes bound the opened cookies in memory.
	maxOpened      = 10_000
	maxOpenedBytes = 32 << 20
)

// ErrTooLarge says that a session does not fit into a cookie, even without its
// access token or claims.
var ErrTooLarge = errors.New("the session does not fit into a cookie")

// openedSession is a cookie that opened, and where. Another site's does not
// open here, remembered or not.
type openedSession struct {
	site    Site
	value   string // of the cookie
	session *Session
}

// saltText is how many characters of a sealed text are of its salt alone. They
// tell it from any other, so that there is no need to hash all of it.
const saltText = saltSize * 4 / 3

// SealSession makes the value of a session's cookie. The session must have
// been fitted ([Session.Fit]); one that is too large is ErrTooLarge.
func (k *KeyRing) SealSession(site Site, s *Session) (string, error) {
	message := s.encode()
	if len(message) > maxMessage {
		return "", ErrTooLarge
	}
	// What is remembered is what others will read, to the last digit.
	read, ok := decodeSession(message)
	if !ok {
		return "", errors.New("the session has no subject, or an id that New did not make")
	}
	value := k.seal(forSession, site.session, site.host, message)
	k.remember(site, value, read) // the next request shows it
	return value, nil
}

// OpenSession opens the value of a session's cookie, and reports whether it
// is one that was sealed for this site. Cookies that opened are remembered,
// bounded in number and octets; others never are, so that made-up ones push
// no real one out.
func (k *KeyRing) OpenSession(site Site, value string) (*Session, bool) {
	if len(value) < saltText {
		return nil, false
	}
	if known, ok := k.opened.Get(value[:saltText]); ok && known.value == value && known.site == site {
		return known.session, true
	}
	message, ok := k.open(forSession, site.session, site.host, value)
	if !ok {
		return nil, false
	}
	s, ok := decodeSession(message)
	if !ok {
		return nil, false
	}
	k.remember(site, value, s)
	return s, true
}

func (k *KeyRing) remember(site Site, value string, s *Session) {
	// The value may be part of a longer header, which must not be kept alive.
	k.opened.Put(value[:saltText], openedSession{site, strings.Clone(value), s}, saltText+len(value)+len(site.host)+s.size())
}

// size is about what a session needs in memory.
func (s *Session) size() int {
	const fixed = 400 // the structures and what keeps them
	size := fixed + len(s.ID) + len(s.Subject) + len(s.LogtoSession) + len(s.RefreshToken) + len(s.Target.Resource) +
		len(s.Target.Organization) + s.Token.size()
	for _, texts := range [][]string{s.Scopes, s.Resources} {
		for _, text := range texts {
			size += len(text) + 16 // with its header
		}
	}
	return size
}

func (t Token) size() int { return len(t.Value) + len(t.Claims) + 48 }
