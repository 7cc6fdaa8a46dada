package logtoauth

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/jsonobject"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

const (
	// maxLogoutRequest bounds the body of a back-channel logout.
	maxLogoutRequest = 64 << 10

	// maxLogoutAge is how old a logout token may be, in seconds.
	maxLogoutAge = 5 * 60

	// logoutEvent is the member of `events` that makes a token a logout token.
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
)

// serveBackChannelLogout ends the sessions that a logout token names (OpenID
// Connect Back-Channel Logout 1.0). A replay changes nothing: what ends is what
// began before the token was issued.
func (s *signIn) serveBackChannelLogout(w http.ResponseWriter, r *http.Request, _ *requestState) error {
	status, result := s.takeLogout(r)
	answerEvent(w, r, fromBackChannel, status, result)
	return nil
}

func (s *signIn) takeLogout(r *http.Request) (status int, result string) {
	if refuseEarlyData(r) != nil {
		return http.StatusTooEarly, eventRefused
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxLogoutRequest+1))
	if err != nil || len(body) > maxLogoutRequest {
		return http.StatusBadRequest, eventRefused
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form["logout_token"]) != 1 {
		return http.StatusBadRequest, eventRefused
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.timeout)
	defer cancel()
	entry, refusal := s.app.logoutEntry(ctx, form.Get("logout_token"), func() keys.Requester { return requesterOf(r) })
	if refusal != nil {
		if !s.app.forgedLogout.Swap(true) { // as with webhooks
			s.handler.logger.Warn("a back-channel logout is refused", zap.String("reason", string(refusal.Reason)), zap.String("detail", string(refusal.Detail)))
		}
		return http.StatusBadRequest, eventRefused
	}
	s.app.forgedLogout.Store(false)
	if err := s.app.tell(r.Context(), []session.Entry{entry}); err != nil {
		return http.StatusBadRequest, eventUnstored
	}
	return http.StatusOK, eventListed
}

// logoutEntry verifies a logout token and returns what it ends: Logto's session,
// or where it names none all of the person's. Logto's have the type logout+jwt,
// live for two minutes, and name a session only if the app asks for that.
func (a *application) logoutEntry(ctx context.Context, token string, who func() keys.Requester) (session.Entry, *Refusal) {
	parsed, refusal := parseJWS(token)
	if refusal != nil {
		return session.Entry{}, refusal
	}
	if refusal := a.checkHeader(parsed, "logout+jwt"); refusal != nil {
		return session.Entry{}, refusal
	}
	entry, refusal := a.readLogout(parsed)
	if refusal != nil {
		return session.Entry{}, refusal
	}
	key, refusal := a.validator.findKey(ctx, parsed, a.refresher.Now, who)
	if refusal == nil {
		// Anyone can send made-up ones.
		refusal = parsed.verifyInTurn(ctx, key, who)
	}
	return entry, refusal
}

// readLogout reads and judges what a logout token says (section 2.6).
func (a *application) readLogout(parsed *jws) (session.Entry, *Refusal) {
	none := session.Entry{}
	payload, ok := decodeSegment(parsed.payload)
	if !ok {
		return none, refuseMalformed("payload encoding")
	}
	claims, ok := jsonobject.Parse(payload)
	if !ok {
		return none, refuseMalformed("claims")
	}
	texts := make(map[string]string)
	for _, name := range []string{"iss", "sub", "sid"} {
		value, _, usable := claims.Text(name)
		if !usable || legible.HasControl(value) {
			return none, refuseMalformed(Detail(name))
		}
		texts[name] = value
	}
	audience, usable := claims.List("aud")
	if !usable {
		return none, refuseMalformed("aud")
	}
	events, _ := jsonobject.Parse(string(claims.Get("events")))
	_, isLogout := jsonobject.Parse(string(events.Get(logoutEvent)))
	issued, hasIssued, usable := claims.Date("iat")
	expires, hasExpiry, usableExpiry := claims.Date("exp")
	now := a.refresher.Now().Unix()
	switch {
	case texts["iss"] != a.issuer:
		return none, refuseToken(ReasonWrongIssuer, "", "iss")
	case !slices.Contains(audience, a.clientID):
		return none, refuseToken(ReasonWrongAudience, "", "aud")
	case !isLogout:
		return none, refuseToken(ReasonUnsupportedType, "", "events")
	case claims.Get("nonce") != "":
		// A nonce would make an ID token of it.
		return none, refuseToken(ReasonUnsupportedType, "", "nonce")
	case !usable || !hasIssued:
		return none, refuseMissingClaim("iat")
	case now-issued > maxLogoutAge+a.validator.rules.leeway || issued-now > a.validator.rules.leeway:
		return none, refuseToken(ReasonTooOld, "", "iat")
	case !usableExpiry || hasExpiry && now >= expires+a.validator.rules.leeway:
		return none, refuseToken(ReasonExpired, "", "exp")
	}
	// `iat` has whole seconds, a sign-in milliseconds: what began in the same
	// second ends.
	at := time.Unix(issued, int64(time.Second-time.Millisecond))
	switch {
	case texts["sid"] != "":
		return session.Entry{Kind: session.ByLogtoSession, Subject: texts["sid"], Owner: texts["sub"], NotBefore: at}, nil
	case texts["sub"] != "":
		return session.Entry{Kind: session.BySubject, Subject: texts["sub"], NotBefore: at}, nil
	}
	return none, refuseMissingClaim("sub")
}
