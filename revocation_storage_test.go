package logtoauth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible/legibletest"
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
	isOut(t, "before", m.show(testHost, token)) // which waits for the first reading
	failStorage(t, func(context.Context) error { return errors.New("the disk is gone") })
	deadline := time.Now().Add(10 * time.Second)
	for len(logLines(t, m.Logs(), notRead)) == 0 && time.Now().Before(deadline) {
		isOut(t, "meanwhile", m.show(testHost, token))
	}
	if got := len(logLines(t, m.Logs(), notRead)); got != 1 {
		t.Errorf("warned %d times", got)
	}
	status, answer := askRevocations(t, http.MethodPost, `{"sub":"bob"}`)
	if status != http.StatusServiceUnavailable || !strings.Contains(answer, "storing the change") {
		t.Errorf("a new one: %d %s", status, answer)
	}
}

// Where it fails from the start, nobody knows what was revoked, and the one
// warning says so.
func TestRevocationsWhereStorageFailsFromTheStart(t *testing.T) {
	dir := t.TempDir()
	m := newMembers(t, storing(dir, revocable))
	token := m.token(devtenant.TokenRequest{Subject: alice, Extra: map[string]any{"iat": systemClock().Add(-time.Minute).Unix()}})
	revoke(t, revocation{Subject: alice})
	failStorage(t, func(context.Context) error { return errors.New("the disk is gone") })
	m.restart(storing(dir, revocable))
	isIn(t, "a token that was revoked", m.show(testHost, token))
	if lines := logLines(t, m.Logs(), neverRead); len(lines) != 1 || len(logLines(t, m.Logs(), notRead)) != 0 {
		t.Errorf("logged %v", lines)
	}
}

// Where nothing can be written, what is told counts here, with one warning, and
// the sender is told to come again. It is stored as soon as it can be.
func TestRevocationsWhereStorageIsReadOnly(t *testing.T) {
	dir := t.TempDir()
	m := newMembers(t, storing(dir, revocable))
	token := m.token(devtenant.TokenRequest{Subject: alice, Extra: map[string]any{"iat": systemClock().Add(-time.Minute).Unix()}})
	p := m.browser()
	p.signIn("/", alice)
	tab := p.tabOf()
	isIn(t, "before", m.show(testHost, token))
	counted := counting(t, metrics.revocationEvents)
	release := makeStorageReadOnly(t)
	m.tenant.Suspend(alice)
	if got := m.deliver(m.tenant.SuspensionEvent(alice)); got != http.StatusServiceUnavailable {
		t.Errorf("the webhook: %d", got)
	}
	isOut(t, "at once", m.show(testHost, token))
	sessionIsOver(t, "at once", tab())
	if want := map[string]float64{"failed webhook": 1}; !maps.Equal(counted(), want) {
		t.Errorf("counted %v, want %v", counted(), want)
	}
	m.warnsOfReadOnlyStorage(t)
	release()
	eventually(t, "it is stored", func() bool {
		return len(logLines(t, m.Logs(), "entries of the list of revocations and ended sessions can be stored again")) == 1
	})
	m.restart(storing(dir, revocable))
	isOut(t, "in another process", m.show(testHost, token))
	sessionIsOver(t, "in another process", tab())
}

// An object that cannot be understood is left out, with a warning that shows
// nothing of it. The others count.
func TestRevocationsWhoseObjectsAreSpoiled(t *testing.T) {
	dir := t.TempDir()
	m := newMembers(t, storing(dir, revocable))
	tokens, tabs := make(map[string]string), make(map[string]func() *caddytest.Response)
	for _, who := range []string{alice, bob} {
		tokens[who] = m.token(devtenant.TokenRequest{Subject: who, Extra: map[string]any{"iat": systemClock().Add(-time.Minute).Unix()}})
		p := m.browser()
		p.signIn("/", who)
		tabs[who] = p.tabOf()
		revoke(t, revocation{Subject: who})
		if who == alice {
			spoilObjects(t, dir, "{\"kind\":\"\x1b]0;"+spoiled+legibletest.Nasty, "", `{"format":1,"kind":"`+spoiled+`","subject":"bob"}`)
		}
	}
	m.restart(storing(dir, revocable))
	isIn(t, "whose entry is spoiled", m.show(testHost, tokens[alice]))
	isIn(t, "whose entry is spoiled, a session", tabs[alice]())
	isOut(t, "whose entry is sound", m.show(testHost, tokens[bob]))
	sessionIsOver(t, "whose entry is sound", tabs[bob]())
	if got := m.listed(); len(got) != 1 || got[0].Subject != bob {
		t.Errorf("listed are %v", got)
	}
	lines := logLines(t, m.Logs(), "an entry of the list of revocations and ended sessions cannot be read and is left out")
	if len(lines) != 3 {
		t.Errorf("warned %d times: %v", len(lines), lines)
	}
	for _, line := range lines {
		legibletest.Expect(t, "the log line", fmt.Sprint(line))
		if line["level"] != "warn" || line["error"] == "" {
			t.Errorf("logged %v", line)
		}
	}
	if strings.Contains(m.Logs(), spoiled) {
		t.Error("the log shows what is in the objects")
	}
}

// spoiled is a text in spoiled objects.
const spoiled = "spoiled-by-somebody"

// spoilObjects replaces the one object of the lists below dir by the first text,
// and puts the others beside it.
func spoilObjects(t *testing.T, dir, first string, others ...string) {
	t.Helper()
	objects, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(endedPrefix), "*", "*", "*"))
	if err != nil || len(objects) != 1 {
		t.Fatalf("objects %v, %v", objects, err)
	}
	for i, text := range append([]string{first}, others...) {
		path := objects[0]
		if i > 0 {
			path = filepath.Join(filepath.Dir(path), fmt.Sprintf("%032x", i))
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
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
	if strings.Contains(m.Logs(), "may be admitted") {
		t.Error("it is said that revoked tokens may be admitted")
	}
	release()
	for m.show(testHost, token).StatusCode == http.StatusServiceUnavailable && t.Context().Err() == nil {
		continue // until it has been read
	}
	isIn(t, "later", m.show(testHost, token))
}
