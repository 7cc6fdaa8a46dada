package logtoauth

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// refusalLine is what a refusal's line in the log says.
type refusalLine struct {
	Message  string `json:"msg"`
	Reason   Reason `json:"reason"`
	Status   int    `json:"status"`
	Subject  string `json:"sub"`
	ClientID string `json:"client_id"`
	Verified bool   `json:"verified"`
	Hint     string `json:"hint"`
}

// lastRefusal is the newest of these lines.
func (m *members) lastRefusal() (last refusalLine) {
	m.tb.Helper()
	for line := range strings.Lines(m.Logs()) {
		if !strings.Contains(line, `"hint":`) {
			continue
		}
		last = refusalLine{}
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			m.tb.Fatalf("%s: %v", line, err)
		}
	}
	return last
}

// The log tells a refusal from a redirect to Logto, and whose session it was.
func TestLogTellsOfBrowsers(t *testing.T) {
	m := newMembers(t, revocable)
	p := m.browser()
	check := func(what string, want refusalLine) {
		t.Helper()
		got := m.lastRefusal()
		if !strings.Contains(got.Hint, want.Hint) {
			t.Errorf("%s: the hint is %q", what, got.Hint)
		}
		if got.Hint = want.Hint; got != want {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	p.fetch("/")
	check("a program without a session", refusalLine{refusalMessage, ReasonNoSession, 401, "", "", false, "no navigation"})
	p.open("/")
	check("a person without a session", refusalLine{signInMessage, ReasonNoSession, 302, "", "", false, "opens a page"})
	p.signIn("/", alice)
	pass(t, time.Second)
	revoke(t, revocation{Subject: alice})
	p.fetch("/")
	check("a revoked session", refusalLine{refusalMessage, ReasonSessionEnded, 401, alice, testApp, true, "has ended the session"})
	p.open("/")
	check("a person whose session is revoked", refusalLine{signInMessage, ReasonSessionEnded, 302, alice, testApp, true, "has ended the session"})

	m = newMembersOver(t, caddytest.Start, strings.Replace(smallest, "www.example.com {", "http://www.example.com {", 1))
	p = m.browser()
	p.fetch("/")
	check("a program over plain http", refusalLine{refusalMessage, ReasonNoSession, 401, "", "", false, "trusted_proxies"})
	p.open("/")
	check("a person over plain http", refusalLine{refusalMessage, ReasonNoSession, 401, "", "", false, "trusted_proxies"})

	m = newMembers(t, strings.Replace(smallest, "SIGN_IN", "claim roles admin\nSIGN_IN", 1))
	p = m.browser()
	p.signIn("/.logto/sign-in", alice)
	p.fetch("/")
	check("an identity", refusalLine{refusalMessage, ReasonClaimMismatch, 403, alice, "", true, "roles"})

	m = newMembers(t, strings.Replace(forTheAPI, "SIGN_IN", "report_only\nSIGN_IN", 1))
	m.browser().open("/")
	check("report_only", refusalLine{refusalMessage, ReasonNoSession, 401, "", "", false, ""})

	m = newMembers(t, strings.Replace(forTheAPI, "}\n", "}\n\tlogto_require {\n\t\tscopes delete:everything\n\t}\n", 1))
	p = m.browser()
	p.signIn("/.logto/sign-in", alice)
	p.open("/")
	check("a scope that nobody asked for", refusalLine{refusalMessage, ReasonInsufficientScope, 403, alice, testApp, true, ""})
}
