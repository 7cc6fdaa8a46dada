package logtoauth

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// revokedInterval is how often the newest entries of a list are read where
// tokens are judged by it: who is out must be out within three seconds at every
// replica.
const revokedInterval = 2 * time.Second

// revocations judges tokens by the list of revocations.
type revocations struct {
	*endings // the site's own, which its webhook writes to
	lists    *tenantLists
	keep     time.Duration
	timeout  time.Duration
	logger   *zap.Logger
	secret   []byte // of the webhook; empty if none is taken

	lasting sync.Once   // the warning about tokens that live longer than keep
	forged  atomic.Bool // the last webhook was refused
}

// newRevocations is called by Provision, with defaults applied.
func (h *Handler) newRevocations(app *App, config *keys.Config) (*revocations, error) {
	issuer := config.AcceptedIssuers()[0]
	shared, err := app.listOf(issuer)
	if err != nil {
		return nil, err
	}
	// A token is accepted for a leeway longer than it lives.
	app.signIn.keeps.atLeast(issuer, time.Duration(h.Revocation.Keep)+time.Duration(*h.Leeway))
	return &revocations{
		endings: shared,
		lists:   app.listsOf(shared, config),
		keep:    time.Duration(h.Revocation.Keep),
		timeout: time.Duration(h.FetchTimeout),
		logger:  h.logger,
		secret:  []byte(h.Revocation.WebhookSecret),
	}, nil
}

// check refuses a verified token that is on the list. A session is judged when
// it is opened, by the time of its sign-in: each refresh makes a new token. What
// concerns only an organization, or one token, concerns its token.
func (v *revocations) check(ctx context.Context, info *AuthInfo, ofSession bool) *Refusal {
	if v == nil {
		return nil
	}
	if v.lists.await(ctx, v.timeout) != nil {
		return refuseKeysUnavailable(1)
	}
	v.warnOfLife(info)
	for _, of := range v.lists.all() {
		if of.list.Any() && of.revokes(info, ofSession) {
			return refuseToken(ReasonRevoked, "The token was revoked", "")
		}
	}
	return nil
}

// revokes reports whether a token is on the list.
func (e *endings) revokes(info *AuthInfo, ofSession bool) bool {
	// A token that does not say when it was issued was issued before.
	began := time.Unix(info.issuedAt, 0)
	return e.list.Covers(session.ByToken, info.TokenID, "", began) && info.TokenID != "" ||
		e.revokesMember(info, began) ||
		!ofSession && (e.list.Covers(session.BySubject, info.Subject, "", began) || e.list.Covers(session.ByClient, info.ClientID, "", began))
}

// revokesMember reports whether the token of an organization is over, be it for
// all of its members.
func (e *endings) revokesMember(info *AuthInfo, began time.Time) bool {
	covers := func(organization string) bool {
		return e.list.Covers(session.ByMember, info.Subject, organization, began) ||
			e.list.Covers(session.ByOrganization, organization, "", began)
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
