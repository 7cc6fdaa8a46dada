package logtoauth

import (
	"net/http"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/fields"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// browser is what is known of the browser that sent a request. Cookies are
// taken out of the request before any later handler sees it, so they are kept
// here for the logto_auth handlers that follow.
type browser struct {
	came    time.Time
	cookies []string // the Cookie headers as they came

	// authorized says that the client sent credentials of its own.
	authorized bool

	// app is the one that the cookies have been looked at for; nil before that.
	app     *application
	at      origin
	cookie  *session.Session // as the browser has it; nil if it shows none
	refusal *Refusal         // why the cookie is no session, or not now

	// newest is the state of the session to write on the answer, by the sign-in
	// that found it.
	newest *session.Session
	renews *signIn
	wrote  bool

	// writer is that of the first logto_auth that serves a session, in one
	// piece with this.
	writer privateWriter
}

// takeCookies takes the cookies of sign-in out of the request, once.
func (s *requestState) takeCookies(r *http.Request, now time.Time) {
	if s.browser == nil {
		s.browser = &browser{came: now, cookies: r.Header["Cookie"], authorized: len(r.Header[defaultSourceHeader]) > 0}
	}
	dropSignInCookies(r)
}

// dropSignInCookies takes the cookies of sign-in out of a request, trailers
// included. Whoever reads them behind us could use them elsewhere.
func dropSignInCookies(r *http.Request) {
	if lines := r.Header["Cookie"]; len(lines) > 0 {
		if kept := session.StripCookies(lines); len(kept) == 0 {
			delete(r.Header, "Cookie")
		} else {
			r.Header["Cookie"] = kept
		}
	}
	if r.Trailer != nil {
		headerNames{fields.FoldHeader("Cookie")}.takeOutOfTrailers(r)
	}
}

// hadCookies reports whether a request came with a cookie of sign-in.
func (b *browser) hadCookies() bool { return b != nil && session.HasCookies(b.cookies) }

// hasSession reports whether the answer is a session's.
func (b *browser) hasSession() bool { return b != nil && b.renews != nil }

// writeCookie sets the session's cookie when the header of an answer goes out,
// if the browser needs it: after a refresh, and when a tenth of idle has passed.
func (b *browser) writeCookie(header http.Header, status int) {
	s := b.renews
	if s == nil || b.wrote || b.newest == nil {
		return
	}
	newest, base := b.newest, b.newest.SealedAt
	switch {
	case newest != b.cookie && base.After(b.cookie.SealedAt):
	case newest.IsDue(b.came, time.Duration(s.Idle)): // nearly never, so that is not worth another look at the clock
		// Another request may have refreshed since this one came. An old token
		// under a new seal would win over its cookie at every other process.
		if newest = s.app.refresher.Newest(newest); !newest.SealedAt.After(base) {
			newest = newest.Renewed(s.handler.now())
		}
	default:
		return
	}
	// What the refresher knows may be more than fits.
	newest, _, err := newest.Fit(s.wanted().claims)
	if err != nil || !s.app.refresher.MayWrite(newest, base, b.came, status, s.app.willEnd(newest)) {
		return
	}
	value, err := s.app.ring.SealSession(b.at.Site, newest)
	if err != nil {
		return
	}
	b.wrote = true
	header.Add("Set-Cookie", b.at.SetSession(value, s.maxAge(newest, s.handler.now())))
}

// maxAge is how long a browser keeps the cookie: as long as the session can
// last without another request.
func (s *signIn) maxAge(of *session.Session, now time.Time) time.Duration {
	return s.expiresAt(of).Sub(now)
}
