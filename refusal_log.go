package logtoauth

import (
	"net/http"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-logto/caddy-logto-auth/internal/jsonobject"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// The messages of the line that is logged for a refusal.
const (
	refusalMessage = "request refused"
	signInMessage  = "browser sent to Logto to sign in"
)

// logRefusal tells the operator why a request was refused and how to fix it.
func (h *Handler) logRefusal(state *requestState, r *http.Request, refusal *Refusal, info *AuthInfo, token string) {
	entry := h.logger.Check(zapcore.DebugLevel, refusalMessage)
	if entry == nil {
		return
	}
	if info == nil && token == "" && !h.sources.areShown(r) {
		info = state.browser.person()
	}
	passes := h.Optional && refusal.anonymous()
	logRefusal(entry, r, refusal, info, token, h.demand(h.organizations.resolve(r)), !passes && h.sendsToLogto(state, r, refusal, nil))
}

// sendsToLogto reports whether the answer to a refusal is a redirect to Logto.
func (h *Handler) sendsToLogto(state *requestState, r *http.Request, refusal *Refusal, needed []string) bool {
	if h == nil || h.signIn == nil || h.ReportOnly {
		return false
	}
	_, begins := h.signIn.beginsFor(state, r, refusal, needed)
	_, err := h.signIn.origin(r)
	return begins && err == nil
}

// person is whose session the browser shows, be it over or not; nil if it shows
// none.
func (b *browser) person() *AuthInfo {
	if b == nil || b.cookie == nil {
		return nil
	}
	return &AuthInfo{Subject: b.cookie.Subject, ClientID: b.app.clientID, isIdentity: true}
}

// logRefusal writes one line. What the token says of itself is shown cut and
// cleaned; the token itself never is.
func logRefusal(entry *zapcore.CheckedEntry, r *http.Request, refusal *Refusal, info *AuthInfo, token string, site demand, sentToLogto bool) {
	verified := info != nil && (info.key != nil || info.isIdentity)
	if info == nil {
		info = claimedBy(token)
	}
	// It may name an organization that the request asks for.
	status, advice := refusal.Status, legible.Text(hint(refusal, info, token, site))
	if sentToLogto {
		entry.Message, status = signInMessage, http.StatusFound
		if refusal.Reason == ReasonNoSession {
			advice = "a person opens a page, and nobody is signed in"
		}
	}
	entry.Write(
		zap.String("reason", string(refusal.Reason)),
		zap.Int("status", status),
		zap.String("method", legible.Field(r.Method)),
		zap.String("host", legible.Field(r.Host)),
		zap.String("sub", legible.Field(info.Subject)),
		zap.String("client_id", legible.Field(info.ClientID)),
		zap.String("kid", legible.Field(info.keyID)),
		zap.Bool("verified", verified),
		zap.String("hint", advice),
	)
}

// claimedBy reads what a refused token claims to be, as far as it can be read.
func claimedBy(token string) *AuthInfo {
	info := new(AuthInfo)
	var parsed jws
	if parsed.split(token) != nil || parsed.readHeader() != nil {
		return info
	}
	if claims, refusal := parsed.claims(); refusal == nil {
		return claims
	}
	info.keyID = parsed.keyID
	if payload, ok := decodeSegment(parsed.payload); ok {
		if claims, ok := jsonobject.Parse(payload); ok {
			info.Subject, _, _ = claims.Text("sub")
			info.ClientID, _, _ = claims.Text("client_id")
		}
	}
	return info
}
