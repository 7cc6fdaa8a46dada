package logtoauth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// Revocations outlive a reload and the process.
func TestRevocationsAreKept(t *testing.T) {
	dir := t.TempDir()
	m := newMembers(t, storing(dir, revocable))
	token := m.token(devtenant.TokenRequest{Subject: alice, Extra: map[string]any{"iat": systemClock().Add(-time.Minute).Unix()}})
	revoke(t, revocation{Subject: alice})
	revoke(t, revocation{Subject: bob})
	takeBack(t, revocation{Subject: bob})
	kept := func(when string) {
		t.Helper()
		isOut(t, when, m.show(testHost, token))
		if got := m.listed(); len(got) != 1 {
			t.Errorf("%s: listed are %v", when, got)
		}
	}
	kept("at once")
	if err := m.Load(m.text(storing(dir, strings.Replace(revocable, "respond", "header X-Reloaded yes\n\trespond", 1)))); err != nil {
		t.Fatal(err)
	}
	kept("after a reload")
	m.restart(storing(dir, revocable))
	kept("in another process")
}

// Where the storage fails, the last list serves, with one warning.
func TestRevocationsWhereStorageFails(t *testing.T) {
	m := newMembers(t, storing(t.TempDir(), revocable))
	token := m.token(devtenant.TokenRequest{Subject: alice, Extra: map[string]any{"iat": systemClock().Add(-time.Minute).Unix()}})
	revoke(t, revocation{Subject: alice})
	failStorage(t, func(context.Context) error { return errors.New("the disk is gone") })
	const warning = "the list of ended sessions cannot be read; the last one serves on, and sessions that end at other replicas do not end here"
	deadline := time.Now().Add(10 * time.Second)
	for len(logLines(t, m.Logs(), warning)) == 0 && time.Now().Before(deadline) {
		isOut(t, "meanwhile", m.show(testHost, token))
	}
	if got := len(logLines(t, m.Logs(), warning)); got != 1 {
		t.Errorf("warned %d times", got)
	}
	status, answer := askRevocations(t, http.MethodPost, `{"sub":"bob"}`)
	if status != http.StatusServiceUnavailable || !strings.Contains(answer, "storing the change") {
		t.Errorf("a new one: %d %s", status, answer)
	}
}

// Where it hangs at first, nobody knows who is out, so nobody is let in.
func TestRevocationsWhereStorageHangs(t *testing.T) {
	dir := t.TempDir()
	site := strings.Replace(revocable, "endpoint", "fetch_timeout 50ms\n\t\tendpoint", 1)
	m := newMembers(t, storing(dir, site))
	token := m.token(devtenant.TokenRequest{Subject: alice})
	isIn(t, "before", m.show(testHost, token))
	release := hangStorage(t)
	m.restart(storing(dir, site))
	answer := m.show(testHost, token)
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Body != refusedWith("Token verification is temporarily unavailable") || answer.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %s %v", answer.StatusCode, answer.Body, answer.Header)
	}
	release()
	for m.show(testHost, token).StatusCode == http.StatusServiceUnavailable && t.Context().Err() == nil {
		continue // until it has been read
	}
	isIn(t, "later", m.show(testHost, token))
}
