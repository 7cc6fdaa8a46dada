package logtoauth

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// stored are the files below a directory and what is in them.
func stored(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// explain asks the sites about a token, after replacing texts in their JSON.
func (m *members) explain(sites, token string, replaced ...string) *report {
	m.tb.Helper()
	config := strings.NewReplacer(replaced...).Replace(string(caddytest.Adapt(m.tb, m.text(sites))))
	said, err := explainConfig([]byte(config), token, nil, "", systemClock)
	if err != nil {
		m.tb.Fatal(err)
	}
	return said
}

// checked is what explain says of a check.
func checked(t *testing.T, said *report, name string) checkResult {
	t.Helper()
	for _, check := range said.Handlers[0].Checks {
		if check.Check == name {
			return check
		}
	}
	t.Fatalf("there is no check %s in %v", name, said.Handlers[0].Checks)
	return checkResult{}
}

// The list is in the storage; no Caddy runs that could be asked.
func TestExplainReadsTheListOfRevocations(t *testing.T) {
	for name, test := range map[string]struct {
		revoked revocation
		of      devtenant.TokenRequest
		by      string
	}{
		"person":       {revocation{Subject: alice}, devtenant.TokenRequest{Subject: alice}, "sub " + alice},
		"app":          {revocation{ClientID: "spa"}, devtenant.TokenRequest{}, "client_id spa"},
		"token":        {revocation{TokenID: "token-1"}, devtenant.TokenRequest{Extra: map[string]any{"jti": "token-1"}}, "jti token-1"},
		"organization": {revocation{OrganizationID: "acme"}, devtenant.TokenRequest{OrganizationID: "acme", Resource: testAPI}, "organization acme"},
		"member":       {revocation{Subject: alice, OrganizationID: "acme"}, devtenant.TokenRequest{Subject: alice, OrganizationID: "acme", Resource: testAPI}, "member " + alice + " in acme"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			sites := storing(dir, strings.ReplaceAll(revocable, "audience https://api.example.com", "audience https://api.example.com\n\t\torganization ignore"))
			m := newMembers(t, sites)
			m.show(testHost, "")
			token := m.token(test.of)
			pass(t, time.Minute)
			test.revoked.Issuer = m.tenant.Issuer()
			change(t, http.MethodPost, revocation{Issuer: m.tenant.Issuer(), ClientID: "another"})
			since := change(t, http.MethodPost, test.revoked)[0].NotBefore
			if err := m.Load("http://else.example.com {\n\trespond ok\n}\n"); err != nil {
				t.Fatal(err)
			}
			before := stored(t, dir)

			said := m.explain(sites, token)
			auth, check := said.Handlers[0], checked(t, said, "revocation")
			if auth.Outcome != verdictRefused || auth.Reason != ReasonRevoked || auth.Status != http.StatusUnauthorized {
				t.Errorf("the verdict is %s %d %s", auth.Outcome, auth.Status, auth.Reason)
			}
			if want := "revoked since " + since + ", by " + test.by; check.Found != want || check.Result != checkFailed || check.Hint == "" {
				t.Errorf("the check says %+v, want %q", check, want)
			}
			pass(t, time.Second)
			said = m.explain(sites, m.token(test.of))
			if check := checked(t, said, "revocation"); check.Result != checkOK || check.Found != "not on the list (entries: 2)" || said.Outcome != verdictAdmitted {
				t.Errorf("a token that was issued later: %s, %+v", said.Outcome, check)
			}
			after := stored(t, dir)
			if len(after) != len(before) {
				t.Errorf("%d files have become %d", len(before), len(after))
			}
			for path, text := range before {
				if after[path] != text {
					t.Errorf("%s was changed", path)
				}
			}
		})
	}
}

// Who cannot read the list cannot know that the token is admitted.
func TestExplainWithoutTheListOfRevocations(t *testing.T) {
	m := newMembers(t, "http://else.example.com {\n\trespond ok\n}\n")
	token := m.token(devtenant.TokenRequest{})
	unknown := func(said *report, because string) {
		t.Helper()
		check := checked(t, said, "revocation")
		if said.Outcome != verdictDepends || check.Result != checkUnknown || !strings.Contains(check.Found, because) {
			t.Errorf("%s, %+v", said.Outcome, check)
		}
		if text := said.text(palette{}); !strings.Contains(text, "=> admits the token unless it was revoked") {
			t.Error(text)
		}
	}
	failStorage(t, func(context.Context) error { return errors.New("permission denied") })
	unknown(m.explain(storing(t.TempDir(), revocable), token), "permission denied")
	storageFault.Store(nil)

	missing := func(sites string) *report {
		return m.explain(storing(t.TempDir(), sites), token, "test_faulty", "not_built_in")
	}
	unknown(missing(revocable), "not_built_in")
	// A site without revocation needs no storage.
	if said := missing(forTheAPI); said.Outcome != verdictAdmitted {
		t.Errorf("without revocation: %s", said.Outcome)
	}
}
