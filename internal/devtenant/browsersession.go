package devtenant

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Names of a Logto's cookies. A browser sends them to every port of the host.
const (
	sessionCookie     = "_session"
	interactionCookie = "_interaction"
	resumeCookie      = "_interaction_resume"
	appCookie         = "_logto"
)

// browserSession is a browser at the tenant, signed in or about to sign out.
type browserSession struct {
	user    string // empty: nobody is signed in
	since   time.Time
	expires time.Time
	ended   bool
	apps    map[string]*appSession

	// What the sign-out form has to send back; empty: none was shown.
	xsrf   string
	ending ending
}

// appSession is what a browser's session knows of one application.
type appSession struct {
	sid   string
	grant *grant // may be revoked
}

// ending is what a sign-out was asked for, to be done once it is confirmed.
type ending struct {
	redirectURI string
	state       string
	hasState    bool
}

// interaction is an authorization request that waits for the page.
type interaction struct {
	request url.Values
	user    string // empty: not chosen yet
	expires time.Time
}

// browsers are the browsers that the tenant has seen. The tenant's mutex
// guards it.
type browsers struct {
	key          []byte                     // signs cookies
	sessions     map[string]*browserSession // by cookie
	interactions map[string]*interaction
}

func newBrowsers() browsers {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, as crypto/rand documents
	return browsers{key: key, sessions: map[string]*browserSession{}, interactions: map[string]*interaction{}}
}

// sessionLocked is the session of a request's browser, or nil.
func (t *Tenant) sessionLocked(r *http.Request, now time.Time) (value string, s *browserSession) {
	value = t.readCookie(r, sessionCookie)
	s = t.browsers.sessions[value]
	if s == nil || !t.liveLocked(s, now) {
		return "", nil
	}
	return value, s
}

// liveLocked reports whether the session has neither ended nor expired.
func (t *Tenant) liveLocked(s *browserSession, now time.Time) bool {
	return !s.ended && now.Before(s.expires)
}

// keepLocked renews a session. A sign-in changes its cookie, so that nobody
// can plant one beforehand. Otherwise it stays: of several tabs that open at
// once, all have sent the old one.
func (t *Tenant) keepLocked(answer http.Header, value string, s *browserSession, signedIn bool, now time.Time) {
	if value == "" || signedIn {
		delete(t.browsers.sessions, value)
		value = randomID()
	}
	s.expires = now.Add(sessionLife)
	t.browsers.sessions[value] = s
	t.setCookie(answer, cookie{name: sessionCookie, value: value, life: sessionLife})
}

// grantLocked is the one grant of a browser and an app, made anew where it was
// revoked.
func (t *Tenant) grantLocked(s *browserSession, app App, now time.Time) *appSession {
	known := s.apps[app.ID]
	if known == nil {
		known = &appSession{sid: randomID()}
		s.apps[app.ID] = known
	}
	if known.grant == nil || known.grant.revoked || !now.Before(known.grant.expires) {
		known.grant = &grant{app: app.ID, user: s.user, expires: now.Add(grantLife)}
	}
	return known
}

// endLocked ends a browser's session. Grants with `offline_access` outlive it.
func (t *Tenant) endLocked(s *browserSession) {
	s.ended = true
	maps.DeleteFunc(t.browsers.sessions, func(_ string, other *browserSession) bool { return other == s })
}

// EndSessions ends all sessions of a person as an administrator does: no
// application is told, and refresh tokens with `offline_access` work on unless
// grants are revoked too.
func (t *Tenant) EndSessions(userID string, revokeGrants bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endSessionsLocked(userID, revokeGrants)
}

func (t *Tenant) endSessionsLocked(userID string, revokeGrants bool) {
	for _, s := range slices.Collect(maps.Values(t.browsers.sessions)) {
		if s.user == userID {
			t.endLocked(s)
		}
	}
	if !revokeGrants {
		return
	}
	// Grants whose session has ended live on in their tokens only.
	var held []*grant
	for _, c := range t.issued.codes {
		held = append(held, c.grant)
	}
	for _, r := range t.issued.refreshTokens {
		held = append(held, r.grant)
	}
	for _, g := range held {
		if g.user == userID {
			t.revokeLocked(g)
		}
	}
}

// cookie is one of the tenant's. An empty path is the root; without a life it
// is the browser session's.
type cookie struct {
	name, value, path string
	life              time.Duration
	forScripts        bool
}

// setCookie adds a cookie and its signature, as Logto's are.
func (t *Tenant) setCookie(answer http.Header, c cookie) {
	signature := c
	signature.name, signature.value = c.name+".sig", t.cookieSignature(c.name, c.value)
	for _, c := range []cookie{c, signature} {
		//nolint:gosec // Secure follows the tenant's scheme: a Logto over plain http has no other way
		set := http.Cookie{
			Name: c.name, Value: c.value, Path: cmp.Or(c.path, "/"), MaxAge: int(c.life.Seconds()), SameSite: http.SameSiteLaxMode,
			HttpOnly: !c.forScripts, Secure: strings.HasPrefix(t.endpointLocked(), "https://"),
		}
		answer.Add("Set-Cookie", set.String())
	}
}

// clearCookie takes a cookie and its signature away.
func clearCookie(answer http.Header, name, path string) {
	for _, name := range []string{name, name + ".sig"} {
		//nolint:gosec // it holds nothing
		gone := http.Cookie{Name: name, Path: path, Expires: time.Unix(1, 0), HttpOnly: true, SameSite: http.SameSiteLaxMode}
		answer.Add("Set-Cookie", gone.String())
	}
}

// readCookie returns the value of a cookie that the tenant has set, or nothing.
func (t *Tenant) readCookie(r *http.Request, name string) string {
	value, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	signature, err := r.Cookie(name + ".sig")
	if err != nil || !hmac.Equal([]byte(signature.Value), []byte(t.cookieSignature(name, value.Value))) {
		return ""
	}
	return value.Value
}

func (t *Tenant) cookieSignature(name, value string) string {
	mac := hmac.New(sha256.New, t.browsers.key)
	mac.Write([]byte(name + "=" + value)) // never fails, as hash.Hash documents
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
