package logtoauth

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// revokedInterval is how often the newest entries of a list are read where
// tokens are judged by it: who is out must be out within three seconds at every
// replica.
const revokedInterval = 2 * time.Second

// revocations judges tokens by the list of revocations.
type revocations struct {
	*endings
	keep    time.Duration
	timeout time.Duration
	logger  *zap.Logger
	secret  []byte // of the webhook; empty if none is taken

	lasting sync.Once   // the warning about tokens that live longer than keep
	forged  atomic.Bool // the last webhook was refused
}

// newRevocations is called by Provision, with defaults applied.
func (h *Handler) newRevocations(app *App, issuer string) (*revocations, error) {
	shared, err := app.listOf(issuer)
	if err != nil {
		return nil, err
	}
	// A token is accepted for a leeway longer than it lives.
	app.signIn.keeps.atLeast(issuer, time.Duration(h.Revocation.Keep)+time.Duration(*h.Leeway))
	return &revocations{
		endings: shared,
		keep:    time.Duration(h.Revocation.Keep),
		timeout: time.Duration(h.FetchTimeout),
		logger:  h.logger,
		secret:  []byte(h.Revocation.WebhookSecret),
	}, nil
}

// takesWebhooks reports whether this site takes Logto's webhooks.
func (h *Handler) takesWebhooks() bool { return h.revocations != nil && len(h.revocations.secret) > 0 }

// check refuses a verified token that is on the list. A session is judged when
// it is opened, by the time of its sign-in: each refresh makes a new token. What
// concerns only an organization, or one token, concerns its token.
func (v *revocations) check(ctx context.Context, info *AuthInfo, ofSession bool) *Refusal {
	if v == nil {
		return nil
	}
	if v.await(ctx, v.timeout) != nil {
		return refuseKeysUnavailable(1)
	}
	v.warnOfLife(info)
	if !v.list.Any() {
		return nil
	}
	// A token that does not say when it was issued was issued before.
	began := time.Unix(info.issuedAt, 0)
	revoked := v.list.Covers(session.ByToken, info.TokenID, "", began) && info.TokenID != "" ||
		v.coversMember(info, began) ||
		!ofSession && (v.list.Covers(session.BySubject, info.Subject, "", began) || v.list.Covers(session.ByClient, info.ClientID, "", began))
	if !revoked {
		return nil
	}
	return refuseToken(ReasonRevoked, "The token was revoked", "")
}

// coversMember reports whether the token of an organization is over, be it for
// all of its members.
func (v *revocations) coversMember(info *AuthInfo, began time.Time) bool {
	covers := func(organization string) bool {
		return v.list.Covers(session.ByMember, info.Subject, organization, began) ||
			v.list.Covers(session.ByOrganization, organization, "", began)
	}
	if info.organizationID != "" && covers(info.organizationID) {
		return true
	}
	for _, audience := range info.Audience {
		if id, ok := strings.CutPrefix(audience, organizationURN); ok && covers(id) {
			return true
		}
	}
	return false
}

// warnOfLife tells once that tokens outlive the entries about them.
func (v *revocations) warnOfLife(info *AuthInfo) {
	if life := info.expiresAt - info.issuedAt; info.hasIssuedAt && life > int64(v.keep/time.Second) {
		v.lasting.Do(func() {
			v.logger.Warn("tokens live longer than entries of the list of revocations are kept, so a revoked token may be admitted again; raise keep, or let the tenant's tokens live shorter",
				zap.Duration("token", time.Duration(life)*time.Second), zap.Duration("keep", v.keep))
		})
	}
}

// revokedSession reports whether a session's app is on the list: the person and
// the session itself are judged by [session.List.Ended].
func (a *application) revokedSession(s *session.Session) bool {
	return a.list.Ended(s) || a.list.Covers(session.ByClient, a.clientID, "", s.SignedIn)
}

// cutOff revokes the refresh token of a session that somebody has ended by its
// person, app or Logto session, once, without letting the request wait. The
// token of a session that another sign-in of the same person has replaced, or
// may have, is left alone: it is of one grant with the new one's.
func (s *signIn) cutOff(over *session.Session) {
	a := s.app
	if a.list.Covers(session.BySession, over.ID, "", over.SignedIn) || a.list.Covers(session.BySessionsOf, over.Subject, "", over.SignedIn) {
		return
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
