package logtoauth

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// tokenSites are sites for each model of permissions, one that reports only, one
// that is optional, and one that judges no token by the list.
const tokenSites = `
{
	logto_auth {
		endpoint TENANT
		revocation
	}
}
(api) {
	respond "{http.auth.user.type} {http.auth.user.id}"
}
api.example.com {
	logto_auth {
		audience https://api.example.com
	}
	import api
}
orgapi.example.com {
	logto_auth {
		audience https://api.example.com
		organization any
	}
	import api
}
org.example.com {
	logto_auth {
		organization any
	}
	import api
}
report.example.com {
	logto_auth {
		audience https://api.example.com
		report_only
	}
	import api
}
optional.example.com {
	logto_auth {
		audience https://api.example.com
		optional
	}
	import api
}
metrics.example.com {
	metrics
}
`

const (
	apiHost    = "api.example.com"
	orgAPIHost = "orgapi.example.com"
	orgHost    = "org.example.com"
)

// What each kind of entry refuses, and what it leaves. Every token has been
// admitted, and is cached, before the entry.
func TestWhatARevocationRefuses(t *testing.T) {
	m := newMembers(t, tokenSites)
	const out, in = true, false
	type shown struct {
		name, host string
		req        devtenant.TokenRequest
		out        bool
	}
	jti := map[string]any{"jti": "one-token"}
	alices, bobs := devtenant.TokenRequest{Subject: alice}, devtenant.TokenRequest{Subject: bob}
	atAcme := devtenant.TokenRequest{Subject: alice, OrganizationID: "acme", Resource: testAPI}
	atGlobex := devtenant.TokenRequest{Subject: alice, OrganizationID: "globex", Resource: testAPI}
	acme, globex := devtenant.TokenRequest{Subject: alice, OrganizationID: "acme"}, devtenant.TokenRequest{Subject: alice, OrganizationID: "globex"}
	bobAtAcme := devtenant.TokenRequest{Subject: bob, OrganizationID: "acme", Resource: testAPI}
	bobInAcme := devtenant.TokenRequest{Subject: bob, OrganizationID: "acme"}
	machine := devtenant.TokenRequest{Subject: "machine", ClientID: "machine"}
	for name, test := range map[string]struct {
		entry revocation
		shown []shown
	}{
		"sub": {revocation{Subject: alice}, []shown{
			{"hers", apiHost, alices, out}, {"hers in an organization", orgAPIHost, atAcme, out}, {"with its permissions", orgHost, acme, out}, {"Bob's", apiHost, bobs, in},
		}},
		"sub of an app": {revocation{Subject: "machine"}, []shown{{"its", apiHost, machine, out}, {"Bob's", apiHost, bobs, in}}},
		"client_id": {revocation{ClientID: "machine"}, []shown{
			{"its", apiHost, machine, out}, {"a person's", apiHost, devtenant.TokenRequest{Subject: bob, ClientID: "machine"}, out}, {"another app's", apiHost, bobs, in},
		}},
		"a sub is no client_id": {revocation{ClientID: alice}, []shown{{"hers", apiHost, alices, in}}},
		"member": {revocation{Subject: alice, OrganizationID: "acme"}, []shown{
			{"that organization's", orgAPIHost, atAcme, out},
			{"with its permissions", orgHost, acme, out},
			{"another one's", orgAPIHost, atGlobex, in},
			{"with another one's permissions", orgHost, globex, in},
			{"hers without one", apiHost, alices, in},
			{"another member's", orgAPIHost, bobAtAcme, in},
		}},
		"organization": {revocation{OrganizationID: "acme"}, []shown{
			{"hers", orgAPIHost, atAcme, out},
			{"his", orgAPIHost, bobAtAcme, out},
			{"with its permissions", orgHost, bobInAcme, out},
			{"another one's", orgAPIHost, atGlobex, in},
			{"with another one's permissions", orgHost, globex, in},
			{"without one", apiHost, alices, in},
		}},
		"jti": {revocation{TokenID: "one-token"}, []shown{
			{"that one", apiHost, devtenant.TokenRequest{Subject: alice, Extra: jti}, out},
			{"another", apiHost, alices, in},
			{"without one", apiHost, devtenant.TokenRequest{Subject: alice, Extra: map[string]any{"jti": nil}}, in},
		}},
		"session_id": {revocation{SessionID: "one-session"}, []shown{{"hers", apiHost, alices, in}}},
	} {
		t.Run(name, func(t *testing.T) {
			tokens := make([]string, len(test.shown))
			for i, s := range test.shown {
				tokens[i] = m.token(s.req)
				isIn(t, s.name+", before", m.show(s.host, tokens[i]))
			}
			pass(t, time.Minute)
			revoke(t, test.entry)
			pass(t, 2*time.Second)
			for i, s := range test.shown {
				answer := m.show(s.host, tokens[i])
				if !s.out {
					isIn(t, s.name, answer)
					continue
				}
				isOut(t, s.name, answer)
				if challenge := answer.Header.Get("WWW-Authenticate"); challenge != `Bearer error="invalid_token", error_description="The token was revoked"` || answer.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: %q", s.name, challenge)
				}
				if test.entry.TokenID == "" {
					isIn(t, s.name+", issued later", m.show(s.host, m.token(s.req)))
				}
			}
			takeBack(t, test.entry)
			for i, s := range test.shown {
				isIn(t, s.name+", taken back", m.show(s.host, tokens[i]))
			}
		})
	}
}

// A token that does not say when it was issued was issued before.
func TestRevokedTokenWithoutIAT(t *testing.T) {
	m := newMembers(t, tokenSites)
	token := m.token(devtenant.TokenRequest{Subject: alice, Extra: map[string]any{"iat": nil}})
	isIn(t, "before", m.show(apiHost, token))
	revoke(t, revocation{Subject: alice, NotBefore: "2001-01-01T00:00:00Z"})
	isOut(t, "after", m.show(apiHost, token))
	isIn(t, "with a time", m.show(apiHost, m.token(devtenant.TokenRequest{Subject: alice})))
}

// A revoked token is refused where none is needed, and counted where none is
// refused.
func TestRevokedTokenWhereNothingIsRefused(t *testing.T) {
	m := newMembers(t, tokenSites)
	token := m.token(devtenant.TokenRequest{Subject: alice, Extra: map[string]any{"iat": systemClock().Add(-time.Minute).Unix()}})
	revoke(t, revocation{Subject: alice})
	isOut(t, "optional", m.show("optional.example.com", token))
	const reported = `requests_total{outcome="reported",reason="revoked"}`
	before := m.metric(reported)
	answer := m.show("report.example.com", token)
	if answer.StatusCode != http.StatusOK || strings.Contains(answer.Body, alice) {
		t.Errorf("report_only: %d %s", answer.StatusCode, answer.Body)
	}
	if got := m.metric(reported) - before; got != 1 {
		t.Errorf("reported %v", got)
	}
	const refused = `requests_total{outcome="refused",reason="revoked"}`
	before = m.metric(refused)
	isOut(t, "api", m.show(apiHost, token))
	if got := m.metric(refused) - before; got != 1 {
		t.Errorf("refused %v", got)
	}
}

// Without revocation a site judges no token by the list, also if another site
// does, or people sign in to it.
func TestSiteWithoutRevocation(t *testing.T) {
	m := newMembers(t, revocable+`
api.example.com {
	logto_auth {
		endpoint TENANT
		audience https://api.example.com
	}
	respond ok
}
other.example.com {
	logto_auth {
		endpoint TENANT
		audience https://api.example.com
		SIGN_IN
	}
	respond ok
}
`)
	token := m.token(devtenant.TokenRequest{Subject: alice, Extra: map[string]any{"iat": systemClock().Add(-time.Minute).Unix()}})
	revoke(t, revocation{Subject: alice})
	isOut(t, "with it", m.show(testHost, token))
	isIn(t, "without it", m.show(apiHost, token))
	isIn(t, "with sign_in", m.show("other.example.com", token))
}

// An entry about tokens is kept for keep and the leeway, one that a session can
// match for the longest lifetime. Whoever keeps them too short is told once.
func TestHowLongRevocationsAreKept(t *testing.T) {
	site := func(lines string) string {
		return testHost + " {\nlogto_auth {\nendpoint TENANT\naudience https://api.example.com\n" + lines + "\n}\nrespond ok\n}\n"
	}
	signIn := "SIGN_IN {\nlifetime 3d\n}\n"
	for name, test := range map[string]struct {
		lines            string
		tokens, sessions time.Duration
		warns            bool
	}{
		"default":           {"revocation", 24 * time.Hour, 24 * time.Hour, false},
		"keep":              {"revocation {\nkeep 2h\n}", 2 * time.Hour, 2 * time.Hour, false},
		"as long as tokens": {"revocation {\nkeep 1h\n}", time.Hour, time.Hour, false},
		"too short":         {"revocation {\nkeep 59m\n}", 59 * time.Minute, 59 * time.Minute, true},
		"lifetime":          {signIn + "revocation {\nkeep 2h\n}", 2 * time.Hour, 72 * time.Hour, false},
		"shorter lifetime":  {signIn + "revocation {\nkeep 96h\n}", 96 * time.Hour, 96 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(t, site(test.lines))
			for _, v := range []struct {
				revocation
				lasts time.Duration
			}{
				{revocation{Subject: alice}, test.sessions},
				{revocation{ClientID: "x"}, test.sessions},
				{revocation{SessionID: "x"}, test.sessions},
				{revocation{TokenID: "x"}, test.tokens},
				{revocation{OrganizationID: "x"}, test.tokens},
				{revocation{Subject: alice, OrganizationID: "x"}, test.tokens},
			} {
				entry := change(t, http.MethodPost, v.revocation)[0]
				lasts := timeOf(t, entry.Expires).Sub(timeOf(t, entry.NotBefore))
				if want := v.lasts; lasts != want && lasts != want+time.Duration(defaultLeeway) {
					t.Errorf("%+v lasts %s, want %s", v.revocation, lasts, want)
				}
			}
			for range 3 {
				isIn(t, "Bob", m.show(testHost, m.token(devtenant.TokenRequest{Subject: bob})))
			}
			lines := strings.Count(m.Logs(), "tokens live longer than entries of the list of revocations are kept")
			if want := map[bool]int{true: 1}[test.warns]; lines != want {
				t.Errorf("warned %d times", lines)
			}
			// As long as the token is accepted, the entry is there.
			token := m.token(devtenant.TokenRequest{Subject: "carol"})
			revoke(t, revocation{Subject: "carol"})
			isOut(t, "at once", m.show(testHost, token))
			pass(t, time.Hour+9*time.Second)
			if !test.warns {
				isOut(t, "in the last second of the leeway", m.show(testHost, token))
			}
		})
	}
}

func timeOf(tb testing.TB, text string) time.Time {
	tb.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		tb.Fatal(err)
	}
	return at
}

// Whatever is revoked, revoking more never admits more, and admits again only
// what is taken back.
func TestRevokingMoreNeverAdmitsMore(t *testing.T) {
	m := newMembers(t, tokenSites)
	type sent struct{ host, token string }
	var all []sent
	for _, subject := range []string{alice, bob} {
		for _, client := range []string{"spa", "app"} {
			for i, organization := range []string{"", "acme", "globex"} {
				req := devtenant.TokenRequest{Subject: subject, ClientID: client, OrganizationID: organization, Resource: testAPI, Extra: map[string]any{
					"iat": systemClock().Add(-time.Duration(i+1) * time.Minute).Unix(), "jti": fmt.Sprint(subject, client, i),
				}}
				host := apiHost
				if organization != "" {
					host = orgAPIHost
				}
				all = append(all, sent{host, m.token(req)})
			}
		}
	}
	admitted := func() map[sent]bool {
		in := make(map[sent]bool)
		for _, s := range all {
			switch answer := m.Get("/", caddytest.Header("Host", s.host), caddytest.Bearer(s.token)); answer.StatusCode {
			case http.StatusOK:
				in[s] = true
			case http.StatusUnauthorized:
			default:
				t.Fatalf("%d %s", answer.StatusCode, answer.Body)
			}
		}
		return in
	}
	before := admitted()
	if len(before) != len(all) {
		t.Fatalf("%d of %d are admitted at first", len(before), len(all))
	}
	at := func(minutes int) string { return rfc3339(systemClock().Add(-time.Duration(minutes) * time.Minute)) }
	for _, entry := range []revocation{
		{TokenID: "aliceapp0"},
		{Subject: alice, OrganizationID: "acme", NotBefore: at(2)},
		{OrganizationID: "globex", NotBefore: at(4)},
		{Subject: alice, NotBefore: at(3)},
		{Subject: alice, NotBefore: at(5)},
		{Subject: alice, OrganizationID: "acme", NotBefore: at(9)},
		{ClientID: "app", NotBefore: at(2)},
		{SessionID: "x"},
		{Subject: bob, OrganizationID: "globex"},
		{OrganizationID: "acme"},
		{ClientID: "app"},
		{ClientID: "spa"},
	} {
		revoke(t, entry)
		after := admitted()
		for s := range after {
			if !before[s] {
				t.Errorf("%+v admits %s", entry, s.token)
			}
		}
		before = after
	}
	if len(before) != 0 {
		t.Errorf("%d are left", len(before))
	}
}
