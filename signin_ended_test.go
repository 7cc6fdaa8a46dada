package logtoauth

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

func init() { caddy.RegisterModule(new(faultyStorage)) }

// faultyStorage is Caddy's storage in files, whose lists of ended sessions meet
// a fault.
type faultyStorage struct {
	Root string `json:"root"`
	*certmagic.FileStorage
}

// storageFault is what happens to the storage of ended sessions; nil: nothing.
var storageFault atomic.Pointer[func(context.Context) error]

// What is logged where that storage fails.
const (
	notRead       = "the list of revocations and ended sessions cannot be read; what was read before counts, and entries that other replicas make do not"
	neverRead     = "the list of revocations and ended sessions could not be read since the start; tokens that were revoked and sessions that have ended may be admitted"
	neverAnswered = "the storage of the list of revocations and ended sessions does not answer since the start; requests that are judged by the list get 503"
	notStored     = "an entry of the list of revocations and ended sessions cannot be stored; until it is, it counts here only, and not after a restart"
)

func failStorage(t *testing.T, fault func(context.Context) error) {
	t.Helper()
	storageFault.Store(&fault)
	t.Cleanup(func() { storageFault.Store(nil) })
}

// storageIsReadOnly says that the lists of ended sessions can be read, but not
// changed.
var storageIsReadOnly atomic.Bool

// makeStorageReadOnly makes the storage of ended sessions read-only until
// release is called.
func makeStorageReadOnly(t *testing.T) (release func()) {
	t.Helper()
	storageIsReadOnly.Store(true)
	release = func() { storageIsReadOnly.Store(false) }
	t.Cleanup(release)
	return release
}

// hangStorage lets the storage of ended sessions give no answer until release
// is called.
func hangStorage(t *testing.T) (release func()) {
	t.Helper()
	released := make(chan struct{})
	failStorage(t, func(ctx context.Context) error {
		select {
		case <-released:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return func() { close(released) }
}

// CaddyModule returns the Caddy module information.
func (*faultyStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.test_faulty", New: func() caddy.Module { return new(faultyStorage) }}
}

// UnmarshalCaddyfile takes the directory.
func (s *faultyStorage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	d.Args(&s.Root)
	return nil
}

// CertMagicStorage implements caddy.StorageConverter.
func (s *faultyStorage) CertMagicStorage() (certmagic.Storage, error) {
	s.FileStorage = &certmagic.FileStorage{Path: s.Root}
	return s, nil
}

func (*faultyStorage) fault(ctx context.Context, key string) error {
	if fault := storageFault.Load(); fault != nil && strings.HasPrefix(key, endedPrefix) {
		return (*fault)(ctx)
	}
	return nil
}

func (s *faultyStorage) Load(ctx context.Context, key string) ([]byte, error) {
	if err := s.fault(ctx, key); err != nil {
		return nil, err
	}
	return s.FileStorage.Load(ctx, key)
}

func (s *faultyStorage) Store(ctx context.Context, key string, value []byte) error {
	if err := s.fault(ctx, key); err != nil {
		return err
	}
	if storageIsReadOnly.Load() && strings.HasPrefix(key, endedPrefix) {
		return fs.ErrPermission
	}
	return s.FileStorage.Store(ctx, key, value)
}

func (s *faultyStorage) Delete(ctx context.Context, key string) error {
	if storageIsReadOnly.Load() && strings.HasPrefix(key, endedPrefix) {
		return fs.ErrPermission
	}
	return s.FileStorage.Delete(ctx, key)
}

func (s *faultyStorage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	if err := s.fault(ctx, path); err != nil {
		return nil, err
	}
	return s.FileStorage.List(ctx, path, recursive)
}

// storing is a site whose storage is in a directory.
func storing(dir, site string) string { return "{\n\tstorage test_faulty " + dir + "\n}\n" + site }

// Ended sessions outlive a reload and the process, and are all that is stored.
func TestEndedSessionsAreStored(t *testing.T) {
	dir := t.TempDir()
	m := newMembers(t, storing(dir, forTheAPI))
	p := m.browser()
	p.signIn("/", alice)
	stays := m.browser()
	stays.signIn("/", bob)
	tab := p.tabOf()
	secrets := p.cookies[sessionCookie]
	refreshToken := p.refreshToken()
	p.open("/.logto/sign-out", caddytest.Header("Sec-Fetch-Site", "same-origin"))
	objects := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.Contains(path, "logto_auth") {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(filepath.ToSlash(path), endedPrefix) {
			objects++
		}
		for name, secret := range map[string]string{"cookie": secrets, "refresh token": refreshToken, "access token": "eyJ", "app secret": appSecret} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s holds the %s", path, name)
			}
		}
		return err
	})
	if err != nil || objects == 0 {
		t.Errorf("%d objects, %v", objects, err)
	}
	over := func(when string) {
		t.Helper()
		if answer := tab(); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
			t.Errorf("%s: %d %s", when, answer.StatusCode, answer.Body)
		}
		if answer := stays.fetch("/"); answer.StatusCode != http.StatusOK {
			t.Errorf("%s, the other session: %d %s", when, answer.StatusCode, answer.Body)
		}
	}
	over("at once")
	if err := m.Load(m.text(storing(dir, strings.Replace(forTheAPI, "hello", "hello again", 1)))); err != nil {
		t.Fatal(err)
	}
	over("after a reload")
	m.restart(storing(dir, forTheAPI))
	over("in another process")
}

// refreshToken is that of the browser's session.
func (p *person) refreshToken() string {
	p.tb.Helper()
	refreshes := p.recordRefreshes()
	defer p.tenant.SetTokenFault(nil)
	pass(p.tb, 50*time.Minute)
	p.fetch("/")
	forms := refreshes()
	if len(forms) != 1 {
		p.tb.Fatalf("%d refreshes", len(forms))
	}
	return forms[0].Get("refresh_token")
}

// Where the storage fails, sessions work, with an empty list and one warning.
func TestStorageThatFails(t *testing.T) {
	failStorage(t, func(context.Context) error { return errors.New("the disk is gone") })
	p := newMembers(t, storing(t.TempDir(), forTheAPI)).browser()
	if page := p.signIn("/", alice); page.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", page.StatusCode, page.Body)
	}
	if lines := logLines(t, p.Logs(), neverRead); len(lines) != 1 || lines[0]["level"] != "warn" || len(logLines(t, p.Logs(), notRead)) != 0 {
		t.Errorf("logged %v", lines)
	}
	tab := p.tabOf()
	if out := p.open("/.logto/sign-out", caddytest.Header("Sec-Fetch-Site", "same-origin")); out.StatusCode != http.StatusSeeOther {
		t.Errorf("sign-out: %d %s", out.StatusCode, out.Body)
	}
	if answer := tab(); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("after the sign-out: %d %s", answer.StatusCode, answer.Body)
	}
}

// warnsOfReadOnlyStorage fails the test unless it is logged once that nothing can
// be written, and not that nothing can be read. The line may come after the
// answer.
func (m *members) warnsOfReadOnlyStorage(t *testing.T) {
	t.Helper()
	eventually(t, "a warning", func() bool { return len(logLines(t, m.Logs(), notStored)) > 0 })
	lines := logLines(t, m.Logs(), notStored)
	if len(lines) != 1 || lines[0]["level"] != "warn" || lines[0]["error"] != fs.ErrPermission.Error() {
		t.Errorf("logged %v", lines)
	}
	if lines := logLines(t, m.Logs(), notRead); len(lines) != 0 {
		t.Errorf("reading is said to fail: %v", lines)
	}
}

// Where nothing can be written, who signs out is out here, with one warning. It
// is forgotten with the process, but Logto has revoked the refresh token.
func TestSignOutWhereStorageIsReadOnly(t *testing.T) {
	dir := t.TempDir()
	m := newMembers(t, storing(dir, forTheAPI))
	makeStorageReadOnly(t)
	p := m.browser()
	p.signIn("/", alice)
	tab := p.tabOf()
	if out := p.open("/.logto/sign-out", caddytest.Header("Sec-Fetch-Site", "same-origin")); out.StatusCode != http.StatusSeeOther || len(p.cookies) != 0 {
		t.Errorf("sign-out: %d %s, cookies %v", out.StatusCode, out.Body, p.cookies)
	}
	sessionIsOver(t, "after the sign-out", tab())
	m.warnsOfReadOnlyStorage(t)
	m.restart(storing(dir, forTheAPI))
	if answer := tab(); answer.StatusCode != http.StatusOK {
		t.Errorf("in another process: %d %s", answer.StatusCode, answer.Body)
	}
	pass(t, time.Hour+time.Second)
	sessionIsOver(t, "when its token has expired", tab())
}

// Where it hangs, nobody knows which sessions have ended, so none is let in.
func TestStorageThatHangs(t *testing.T) {
	dir := t.TempDir()
	site := strings.Replace(forTheAPI, "endpoint", "fetch_timeout 50ms\n\t\tendpoint", 1)
	m := newMembers(t, storing(dir, site))
	p := m.browser()
	p.signIn("/", alice)
	release := hangStorage(t)
	m.restart(storing(dir, site))
	requests := counting(t, metrics.requests)
	for _, answer := range []*caddytest.Response{p.fetch("/"), p.open("/")} {
		if answer.StatusCode != http.StatusServiceUnavailable || answer.Body != refusedWith("Sign-in is temporarily unavailable") || answer.Header.Get("Retry-After") != "1" {
			t.Errorf("%d %s %v", answer.StatusCode, answer.Body, answer.Header)
		}
	}
	if want := map[string]float64{"refused tenant_unavailable": 2}; !maps.Equal(requests(), want) {
		t.Errorf("counted %v", requests())
	}
	if answer := m.browser().fetch("/"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a session: %d %s", answer.StatusCode, answer.Body)
	}
	release()
	for p.fetch("/").StatusCode == http.StatusServiceUnavailable && !t.Failed() {
		select {
		case <-t.Context().Done():
			t.Fatal("it never comes back")
		default:
		}
	}
	if answer := p.fetch("/"); answer.StatusCode != http.StatusOK {
		t.Errorf("later: %d %s", answer.StatusCode, answer.Body)
	}
}

// Replicas need nothing in common but the app secret: a session of one is one
// of the other, before and after its token has expired.
func TestSessionOfAnotherProcess(t *testing.T) {
	for name, site := range map[string]string{"audience": forTheAPI, "identity": smallest} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(t, storing(t.TempDir(), site))
			p := m.browser()
			p.signIn("/", alice)
			before := p.tabOf()
			m.restart(storing(t.TempDir(), site))
			if answer := p.fetch("/"); answer.Body != "hello alice session at /" {
				t.Errorf("%d %s", answer.StatusCode, answer.Body)
			}
			pass(t, 2*time.Hour)
			if answer := p.fetch("/"); answer.Body != "hello alice session at /" {
				t.Errorf("at expiry: %d %s", answer.StatusCode, answer.Body)
			}
			m.restart(storing(t.TempDir(), site))
			if answer := before(); answer.StatusCode != http.StatusOK {
				t.Errorf("with the cookie of before: %d %s", answer.StatusCode, answer.Body)
			}
		})
	}
}

// What a page can show about its session.
func TestPlaceholdersOfASession(t *testing.T) {
	p := newMembers(t, within("audience "+testAPI+"\noptional", "idle 2h\nlifetime 3h")+
		"respond \"{http.auth.user.source}|{http.auth.user.session_expires_at}|{http.auth.user.expires_at}\"\n}").browser()
	if answer := p.fetch("/"); answer.Body != "||" {
		t.Errorf("nobody: %s", answer.Body)
	}
	p.signIn("/.logto/sign-in", alice)
	signedIn := systemClock()
	ends := func() time.Duration {
		t.Helper()
		fields := strings.Split(p.fetch("/").Body, "|")
		at, err := time.Parse(time.RFC3339, fields[1])
		if err != nil || fields[0] != "session" {
			t.Fatalf("%v, %v", fields, err)
		}
		return at.Sub(signedIn).Round(10 * time.Second)
	}
	if got := ends(); got != 2*time.Hour {
		t.Errorf("ends after %s", got)
	}
	pass(t, 90*time.Minute)
	p.fetch("/")
	if got := ends(); got != 3*time.Hour { // of lifetime
		t.Errorf("renewed, ends after %s", got)
	}
	token := p.tenant.Token(devtenant.TokenRequest{Subject: bob, ClientID: testApp, Resource: testAPI})
	if answer := p.fetch("/", caddytest.Bearer(token)); !strings.HasPrefix(answer.Body, "token||") {
		t.Errorf("a program: %s", answer.Body)
	}
}
