package logtoauth

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// ends reports whether a session of an app is on the list: by its app, or as
// [session.List.Ended] judges.
func (e *endings) ends(s *session.Session, clientID string) bool {
	return e.list.Any() && (e.list.Ended(s) || e.list.Covers(session.ByClient, clientID, "", s.SignedIn))
}

// hasEnded reports whether a session of the app is on one of the tenant's lists.
func (a *application) hasEnded(s *session.Session) bool {
	for _, of := range *a.joined.all.Load() {
		if of.ends(s, a.clientID) {
			return true
		}
	}
	return false
}

// willEnd is hasEnded, but also for a session whose entry takes effect later: a
// new one has taken its place, and its cookie must not be written any more.
func (a *application) willEnd(s *session.Session) bool {
	for _, of := range *a.joined.all.Load() {
		if of.list.Listed(s) || of.ends(s, a.clientID) {
			return true
		}
	}
	return false
}

// countEnd counts a session that has ended before its time, once: its browser
// may come back with it again and again, in many requests at once.
func (a *application) countEnd(over *session.Session, cause string) {
	if _, known := a.counted.Get(over.ID); known {
		return
	}
	a.mu.Lock()
	_, known := a.counted.Get(over.ID)
	if !known {
		a.counted.Put(over.ID, struct{}{}, len(over.ID))
	}
	a.mu.Unlock()
	if !known {
		metrics.sessionsEnded.WithLabelValues(cause).Inc()
	}
}

// endSession puts a session on the list of ended ones.
func (s *signIn) endSession(over *session.Session, cause string) {
	if s.app.list.Ended(over) {
		return // by another request
	}
	s.app.countEnd(over, cause)
	s.list(session.EndSession(over, time.Time{}, s.lastsUntil(over)))
}

// signOff is endSession for a person who signs out, whose refresh token is
// revoked as well. Where Logto confirms that, the entry is needed only as long
// as tokens live that were got before, here or by another process.
func (s *signIn) signOff(ctx context.Context, over *session.Session) {
	if s.app.list.Ended(over) {
		return
	}
	s.app.countEnd(over, "signed_out")
	now, last := s.handler.now(), s.lastsUntil(over)
	until := now.Add(max(s.app.refresher.LongestLife(over), time.Hour))
	// One that is past its lifetime is listed as well: else whoever has its
	// cookie could have Logto asked to revoke its token again and again.
	if last.After(now) && last.Before(until) {
		until = last
	}
	// An entry can be made longer, but not shorter: replicas take the longest.
	// Who signs out waits until it is stored, so that it is over everywhere.
	storing, cancel := context.WithTimeout(ctx, signOutPatience)
	s.listWithin(storing, session.EndSession(over, time.Time{}, until))
	cancel()
	if !s.revoke(ctx, over) && last.After(until) {
		s.list(session.EndSession(over, time.Time{}, last))
	}
}

// endOld ends the session that a sign-in replaces. One of the same person goes
// on for a minute, for requests that are under way; its refresh token is not
// revoked, since that would end the new session's too (one grant). One of
// another person ends at once.
func (s *signIn) endOld(ctx context.Context, old, fresh *session.Session) {
	switch {
	case old == nil:
	case old.Subject == fresh.Subject:
		s.app.countEnd(old, "replaced")
		s.list(session.EndSession(old, s.handler.now().Add(time.Minute), s.lastsUntil(old)))
	default:
		s.endSession(old, "other_person")
		s.revoke(ctx, old)
	}
}

// list adds an entry to the list of ended sessions. It counts here at once.
// Other processes learn of it when it is stored, for which no request waits; the
// list tells by itself when it cannot be.
func (s *signIn) list(entry session.Entry) { s.listWithin(ended, entry) }

// listWithin is list for a request that waits until the entry is stored, as long
// as ctx allows.
func (s *signIn) listWithin(ctx context.Context, entry session.Entry) {
	s.app.list.Start(s.app.endings.life)
	_ = s.app.list.Add(ctx, entry)
}

// signOutPatience is how long a sign-out waits for a storage that hangs.
const signOutPatience = 2 * time.Second

// lastsUntil is when a session is over in any case, for all sign_in.
func (s *signIn) lastsUntil(of *session.Session) time.Time {
	return of.SignedIn.Add(time.Duration(s.app.longest.Load()))
}

// cutOff counts a session that somebody has ended by its person, app or Logto
// session, and revokes its refresh token, once, without letting the request
// wait. One that has ended by itself was counted then. The token of a session
// that another sign-in of the same person has replaced, or may have, is left
// alone: it is of one grant with the new one's.
func (s *signIn) cutOff(over *session.Session) {
	a := s.app
	for _, of := range *a.joined.all.Load() {
		if of.list.Covers(session.BySession, over.ID, "", over.SignedIn) || of.list.Covers(session.BySessionsOf, over.Subject, "", over.SignedIn) {
			return
		}
	}
	if s.handler.now().Before(s.expiresAt(over)) { // else it has not ended before its time
		a.countEnd(over, "revoked")
	}
	if _, done := a.cutOffs.Get(over.ID); done || !a.gate.Enter() {
		return
	}
	a.cutOffs.Put(over.ID, struct{}{}, len(over.ID))
	go func() {
		defer a.gate.Leave()
		s.revoke(a.life, over)
	}()
}

// revoke ends a session's refresh token at Logto and reports whether Logto has
// confirmed that. It takes two seconds at most.
func (s *signIn) revoke(ctx context.Context, over *session.Session) bool {
	token := s.app.refresher.Newest(over).RefreshToken
	if token == "" {
		return true
	}
	if err := s.app.endpoint.Revoke(ctx, token); err != nil {
		s.handler.logger.Warn("Logto has not confirmed that a refresh token is revoked; the session has ended here", zap.Error(err))
		return false
	}
	return true
}
