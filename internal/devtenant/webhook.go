package devtenant

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
)

// signatureHeader carries the HMAC of a webhook's raw body, in hex.
const signatureHeader = "logto-signature-sha-256"

// Webhook is where events go, as it was made in the console.
type Webhook struct {
	ID         string
	URL        string
	SigningKey string
}

// Event is the body of a webhook. Tests change its members at will.
type Event map[string]any

// Request signs an event as it is. Tests that need a wrong signature change
// the header afterwards.
func (w Webhook) Request(ctx context.Context, event Event) (*http.Request, error) {
	sent := Event{"hookId": w.ID}
	maps.Copy(sent, event)
	return w.RawRequest(ctx, mustMarshal(sent))
}

// RawRequest signs these bytes, whatever they are.
func (w Webhook) RawRequest(ctx context.Context, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Logto (https://logto.io/)")
	r.Header.Set(signatureHeader, w.Signature(body))
	return r, nil
}

// Signature is that of a body by this webhook's key.
func (w Webhook) Signature(body []byte) string {
	mac := hmac.New(sha256.New, []byte(w.SigningKey))
	mac.Write(body) // never fails, as hash.Hash documents
	return hex.EncodeToString(mac.Sum(nil))
}

// SuspensionEvent tells what a person's suspension is now.
func (t *Tenant) SuspensionEvent(userID string) Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	event := t.eventLocked("User.SuspensionStatus.Updated", http.MethodPatch, "/users/"+userID+"/is-suspended", "/users/:userId/is-suspended", http.StatusOK)
	event["params"] = map[string]any{"userId": userID}
	event["data"] = t.personLocked(userID).data()
	return event
}

// DeletionEvent tells that a person was deleted.
func (t *Tenant) DeletionEvent(userID string) Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	event := t.eventLocked("User.Deleted", http.MethodDelete, "/users/"+userID, "/users/:userId", http.StatusNoContent)
	event["params"] = map[string]any{"userId": userID}
	event["data"] = map[string]any{"id": userID}
	return event
}

// MembershipEvent tells who was added to an organization and who removed. With
// neither it tells only that something changed, as some of Logto's do.
func (t *Tenant) MembershipEvent(organizationID string, added, removed []string) Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	event := t.eventLocked("Organization.Membership.Updated", http.MethodPost, "/organizations/"+organizationID+"/users", "/organizations/:id/users", http.StatusCreated)
	event["organizationId"] = organizationID
	event["params"] = map[string]any{"id": organizationID}
	if len(added) > 0 {
		event["addedUserIds"] = added
	}
	if len(removed) > 0 {
		event["removedUserIds"] = removed
	}
	return event
}

// SignInEvent tells of a sign-in, which no list of revocations is about.
func (t *Tenant) SignInEvent(userID, appID string) Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Event{
		"event":            "PostSignIn",
		"createdAt":        t.createdLocked(),
		"interactionEvent": "SignIn",
		"userId":           userID,
		"user":             t.personLocked(userID).data(),
		"application":      map[string]any{"id": appID},
		"sessionId":        randomID(),
	}
}

func (t *Tenant) eventLocked(name, method, path, matched string, status int) Event {
	return Event{
		"event": name, "createdAt": t.createdLocked(),
		"method": method, "path": path, "matchedRoute": matched, "status": status,
	}
}

func (t *Tenant) createdLocked() string {
	return t.now().UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// data is the person as a webhook shows it.
func (p *person) data() map[string]any {
	return map[string]any{
		"id": p.ID, "username": p.Username, "name": p.Name, "primaryEmail": p.Email,
		"createdAt": p.created.UnixMilli(), "updatedAt": p.updated.UnixMilli(), "isSuspended": p.suspended,
	}
}
