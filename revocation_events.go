package logtoauth

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/jsonobject"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

const (
	webhookName = "webhook"

	// signatureHeader is where Logto puts the HMAC of a webhook's body.
	signatureHeader = "Logto-Signature-Sha-256"

	// maxEvent bounds the body of a webhook, maxLogoutRequest that of a
	// back-channel logout.
	maxEvent         = 1 << 20
	maxLogoutRequest = 64 << 10

	// maxNamedMembers is how many persons one event puts on the list. With more,
	// all members of the organization get new tokens.
	maxNamedMembers = 1000

	// storeTimeout is how long whoever tells of a revocation waits until it is
	// stored. Logto sends a webhook again that was not answered well.
	storeTimeout = 5 * time.Second
)

// The values of the label source of revocation_events_total.
const (
	fromWebhook     = "webhook"
	fromBackChannel = "back_channel"
	fromAdmin       = "admin"
)

// The values of its label result.
const (
	eventListed   = "ok"      // something is on the list now
	eventIgnored  = "ignored" // it says nothing that ends a token
	eventRefused  = "refused" // it is not from Logto, or unreadable
	eventUnstored = "failed"  // it counts here, but could not be stored
)

// serveWebhook takes what Logto tells of people. Only who knows the signing key
// can tell anything.
func (v *revocations) serveWebhook(w http.ResponseWriter, r *http.Request) error {
	status, result := v.takeWebhook(r)
	if status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	answerEvent(w, r, fromWebhook, status, result)
	return nil
}

// answerEvent counts a message that should end tokens or sessions, and answers
// it. Nothing is said but the status.
func answerEvent(w http.ResponseWriter, r *http.Request, source string, status int, result string) {
	metrics.revocationEvents.WithLabelValues(source, result).Inc()
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	if r.ProtoMajor == 1 && status >= http.StatusBadRequest {
		header.Set("Connection", "close") // the body may not have been read
	}
	w.WriteHeader(status)
}

func (v *revocations) takeWebhook(r *http.Request) (status int, result string) {
	if r.Method != http.MethodPost {
		return http.StatusMethodNotAllowed, eventRefused
	}
	if refuseEarlyData(r) != nil {
		return http.StatusTooEarly, eventRefused
	}
	signatures := r.Header[signatureHeader]
	if len(signatures) != 1 || len(signatures[0]) != hex.EncodedLen(sha256.Size) {
		return http.StatusUnauthorized, eventRefused
	}
	if r.ContentLength > maxEvent {
		return http.StatusRequestEntityTooLarge, eventRefused
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxEvent+1))
	switch {
	case err != nil:
		return http.StatusBadRequest, eventRefused
	case len(body) > maxEvent:
		return http.StatusRequestEntityTooLarge, eventRefused
	case !isSignedBy(v.secret, body, signatures[0]):
		if !v.forged.Swap(true) { // anyone can send these, so only the first is news
			v.logger.Warn("a webhook is refused: its signature is not that of webhook_secret; copy the signing key of the webhook from the Logto console")
		}
		return http.StatusUnauthorized, eventRefused
	}
	v.forged.Store(false)
	now := systemClock()
	entries, err := eventEntries(body, now)
	if err != nil {
		v.logger.Warn("a webhook cannot be read", zap.String("error", legible.Error(err)))
		return http.StatusBadRequest, eventRefused
	}
	if len(entries) == 0 {
		return http.StatusNoContent, eventIgnored
	}
	if err := v.tell(r.Context(), entries); err != nil {
		return http.StatusServiceUnavailable, eventUnstored
	}
	return http.StatusNoContent, eventListed
}

// isSignedBy reports whether a signature is the HMAC-SHA256 of the body, as
// Logto writes it, in hexadecimal.
func isSignedBy(key, body []byte, signature string) bool {
	given, err := hex.DecodeString(signature)
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return hmac.Equal(given, mac.Sum(nil))
}

// The events of Logto that end tokens.
const (
	eventSuspension = "User.SuspensionStatus.Updated"
	eventDeletion   = "User.Deleted"
	eventMembership = "Organization.Membership.Updated"
)

var listedEvents = []string{eventSuspension, eventDeletion, eventMembership}

// event is what is read of a webhook about one of them.
type event struct {
	CreatedAt json.RawMessage `json:"createdAt"`
	Params    struct {
		UserID string `json:"userId"`
	} `json:"params"`
	Data struct {
		ID          string `json:"id"`
		IsSuspended bool   `json:"isSuspended"`
	} `json:"data"`
	OrganizationID string   `json:"organizationId"`
	Added          []string `json:"addedUserIds"`
	Removed        []string `json:"removedUserIds"`
}

var errNoID = errors.New("the event does not say whom it is about")

// eventEntries is what an event puts on the list, without an expiry.
func eventEntries(body []byte, now time.Time) ([]session.Entry, error) {
	var kind struct {
		Name string `json:"event"`
	}
	if err := json.Unmarshal(body, &kind); err != nil {
		return nil, err
	}
	if !slices.Contains(listedEvents, kind.Name) {
		return nil, nil // whatever else it holds may be of any type
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, err
	}
	at := e.at(now)
	person := e.Params.UserID
	if person == "" {
		person = e.Data.ID
	}
	switch {
	case kind.Name == eventMembership:
		return e.memberEntries(at)
	case kind.Name == eventSuspension && !e.Data.IsSuspended:
		return nil, nil
	case person == "":
		return nil, errNoID
	}
	return []session.Entry{{Kind: session.BySubject, Subject: person, NotBefore: at}}, nil
}

// memberEntries is what a change of an organization's members puts on the list.
// Where Logto does not say who left, everyone might have: all get new tokens.
func (e *event) memberEntries(at time.Time) ([]session.Entry, error) {
	switch {
	case e.OrganizationID == "":
		return nil, errNoID
	case len(e.Removed) == 0 && len(e.Added) > 0:
		return nil, nil
	case len(e.Removed) == 0 || len(e.Removed) > maxNamedMembers:
		return []session.Entry{{Kind: session.ByOrganization, Subject: e.OrganizationID, NotBefore: at}}, nil
	}
	var entries []session.Entry
	for _, person := range e.Removed {
		if person == "" {
			return nil, errNoID
		}
		entries = append(entries, session.Entry{Kind: session.ByMember, Subject: person, Organization: e.OrganizationID, NotBefore: at})
	}
	return entries, nil
}

// at is when the event happened, and now if it says nothing that can be read,
// or a time to come.
func (e *event) at(now time.Time) time.Time {
	var text string
	if json.Unmarshal(e.CreatedAt, &text) == nil {
		if at, err := time.Parse(time.RFC3339, text); err == nil && at.Before(now) {
			return at
		}
		return now
	}
	var milliseconds int64
	if json.Unmarshal(e.CreatedAt, &milliseconds) == nil {
		if at := time.UnixMilli(milliseconds); at.Before(now) && milliseconds > 0 {
			return at
		}
	}
	return now
}

// tell puts what Logto says on the list. An entry's end follows from what it
// says and not from when it came, so that one that comes again is no news. One
// that an administrator has taken back since has been obeyed.
func (e *endings) tell(ctx context.Context, entries []session.Entry) error {
	var errs []error
	for i := range entries {
		entries[i].Expires = entries[i].NotBefore.Add(e.lasts(entries[i].Kind))
	}
	for _, err := range e.add(ctx, entries) {
		if !errors.Is(err, session.ErrTakenBack) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// lasts is how long an entry of a kind is kept.
func (e *endings) lasts(kind session.EntryKind) time.Duration {
	keep := cmp.Or(e.keep(), time.Duration(defaultKeep))
	switch kind {
	case session.ByMember, session.ByOrganization, session.ByToken:
		return keep
	}
	return max(keep, time.Duration(e.longest.Load()))
}

// add puts entries on the list and waits until they are stored. All are on it
// before any is waited for: a slow storage must not hold the last one back.
func (e *endings) add(ctx context.Context, entries []session.Entry) []error {
	e.list.Start(e.life)
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	errs := make([]error, len(entries))
	var adding sync.WaitGroup
	for i, entry := range entries {
		adding.Go(func() { errs[i] = e.list.Add(ctx, entry) })
	}
	adding.Wait()
	return errs
}

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

// maxLogoutAge is how old a logout token may be.
const maxLogoutAge = 5 * 60

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

// logoutEvent is the member of `events` that makes a token a logout token.
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

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
