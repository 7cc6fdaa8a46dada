package devtenant_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

func TestWebhooksAreThoseRecorded(t *testing.T) {
	s := newSite(t)
	hook := devtenant.Webhook{ID: "qky7", URL: "https://api.example.com/.logto/webhook", SigningKey: "k3y"}
	recorded := readRecorded(t).Webhooks
	s.Suspend(alice)
	for name, event := range map[string]devtenant.Event{
		"suspension": s.SuspensionEvent(alice),
		"deletion":   s.DeletionEvent(alice),
		"removal":    s.MembershipEvent(memberOrg, nil, []string{alice}),
		"sign-in":    s.SignInEvent(alice, web),
	} {
		t.Run(name, func(t *testing.T) {
			r, err := hook.Request(t.Context(), event)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			mac := hmac.New(sha256.New, []byte(hook.SigningKey))
			mac.Write(body)
			if got, want := r.Header.Get("logto-signature-sha-256"), hex.EncodeToString(mac.Sum(nil)); got != want {
				t.Errorf("signature %s, want %s", got, want)
			}
			if r.Method != http.MethodPost || r.URL.String() != hook.URL || r.Header.Get("User-Agent") != "Logto (https://logto.io/)" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
			}
			sent := object(body)
			holds(t, name, any(sent), recorded[name])
			created, err := time.Parse(time.RFC3339, sent["createdAt"].(string))
			if err != nil || !created.Equal(s.Now()) {
				t.Errorf("createdAt %v, %v", sent["createdAt"], err)
			}
		})
	}
}

func TestMembershipEventMayTellOfNobody(t *testing.T) {
	s := newSite(t)
	if event := s.MembershipEvent(memberOrg, nil, nil); event["removedUserIds"] != nil || event["addedUserIds"] != nil {
		t.Errorf("event %v", event)
	}
	if event := s.MembershipEvent(memberOrg, []string{bob}, nil); len(event["addedUserIds"].([]string)) != 1 {
		t.Errorf("event %v", event)
	}
}

func TestWebhookOfAnyBytes(t *testing.T) {
	hook := devtenant.Webhook{URL: "http://localhost/", SigningKey: "k"}
	r, err := hook.RawRequest(t.Context(), []byte("{"))
	if err != nil || r.Header.Get("logto-signature-sha-256") != hook.Signature([]byte("{")) || r.ContentLength != 1 {
		t.Errorf("%v, %v", r, err)
	}
}
