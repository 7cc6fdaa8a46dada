package logtoauth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

const (
	webhookName = "webhook"

	// signatureHeader is where Logto puts the HMAC of a webhook's body.
	signatureHeader = "Logto-Signature-Sha-256"

	// maxEvent bounds the body of a webhook.
	maxEvent = 1 << 20

	// maxNamedMembers is how many persons one event puts on the list. With more,
	// all members of the organization get new tokens.
	maxNamedMembers = 1000
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
