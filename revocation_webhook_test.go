package logtoauth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// Only who knows the signing key can put anybody on the list.
func TestForgedWebhooks(t *testing.T) {
	m := newMembers(t, revocable)
	octets := encoded(t, m.tenant.DeletionEvent(alice))
	good := hookSignature(octets)
	token := m.token(devtenant.TokenRequest{Subject: alice})
	pass(t, time.Minute)
	for name, signatures := range map[string][]string{
		"no signature":           nil,
		"an empty one":           {""},
		"a second one":           {good, good},
		"two in one line":        {good + "," + good},
		"a truncated one":        {good[:62]},
		"one octet of it":        {good[:2]},
		"a longer one":           {good + "00"},
		"another key's":          {devtenant.Webhook{SigningKey: strings.Repeat("x", 32)}.Signature(octets)},
		"no key's":               {devtenant.Webhook{}.Signature(octets)},
		"no hexadecimal":         {strings.Repeat("g", 64)},
		"with a prefix":          {"sha256=" + good},
		"of another body":        {hookSignature(append(slices.Clone(octets), ' '))},
		"of no body":             {hookSignature(nil)},
		"the last octet differs": {good[:62] + fmt.Sprintf("%02x", 255-good[63])},
	} {
		answer := m.send(octets, signatures...)
		if answer.StatusCode != http.StatusUnauthorized || answer.Body != "" || answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %q %v", name, answer.StatusCode, answer.Body, answer.Header)
		}
	}
	if got := m.listed(); len(got) != 0 {
		t.Errorf("listed are %v", got)
	}
	isIn(t, "Alice", m.show(testHost, token))
	warned := func() int {
		return len(logLines(t, m.Logs(), "a webhook is refused: its signature is not that of webhook_secret; copy the signing key of the webhook from the Logto console"))
	}
	if got := warned(); got != 1 {
		t.Errorf("warned %d times", got)
	}
	// The same octets, spelled otherwise, are the signature.
	if answer := m.send(octets, strings.ToUpper(good)); answer.StatusCode != http.StatusNoContent {
		t.Errorf("in upper case: %d", answer.StatusCode)
	}
	isOut(t, "Alice", m.show(testHost, token))
	for range 2 { // after a good one they are news again
		m.send(octets, strings.Repeat("0", len(good)))
	}
	if got := warned(); got != 2 {
		t.Errorf("warned %d times in all", got)
	}
}

func TestWebhookMethodAndSize(t *testing.T) {
	m := newMembers(t, revocable)
	octets := encoded(t, m.tenant.DeletionEvent(alice))
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodOptions} {
		answer := m.Get("/.logto/webhook", caddytest.Method(method), caddytest.Header("Host", testHost), caddytest.Header(signatureHeader, hookSignature(octets)))
		if answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != http.MethodPost {
			t.Errorf("%s: %d %v", method, answer.StatusCode, answer.Header)
		}
	}
	padded := func(size int) []byte {
		return append(slices.Clone(octets), bytes.Repeat([]byte(" "), size-len(octets))...)
	}
	if answer := m.send(padded(1<<20), hookSignature(padded(1<<20))); answer.StatusCode != http.StatusNoContent {
		t.Errorf("1 MiB: %d", answer.StatusCode)
	}
	// It is refused before the rest comes: what a client still sends then may
	// break the connection, so nothing more is sent here.
	over := padded(1<<20 + 1)
	head := "POST /.logto/webhook HTTP/1.1\r\nHost: " + testHost + "\r\n" + signatureHeader + ": " + hookSignature(over) + "\r\n"
	for name, request := range map[string]string{
		"a length that is told": head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(over)),
		"one that is not":       head + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s", len(over), over),
	} {
		if answer := m.raw(request); answer.StatusCode != http.StatusRequestEntityTooLarge || !answer.Close {
			t.Errorf("%s: %d, close %t", name, answer.StatusCode, answer.Close)
		}
	}
}

// Whoever has no signature is answered before the body comes.
func TestWebhookBodyIsNotReadWithoutSignature(t *testing.T) {
	m := newMembers(t, revocable)
	for _, line := range []string{"", signatureHeader + ": short\r\n"} {
		answer := m.raw("POST /.logto/webhook HTTP/1.1\r\nHost: " + testHost + "\r\nContent-Length: 1000\r\n" + line + "\r\n")
		if answer.StatusCode != http.StatusUnauthorized || !answer.Close {
			t.Errorf("%d, close %t", answer.StatusCode, answer.Close)
		}
	}
}

// Every event of the contract, others, and what cannot be read.
func TestWebhookEvents(t *testing.T) {
	m := newMembers(t, revocable)
	suspended := func() devtenant.Event { m.tenant.Suspend(alice); return m.tenant.SuspensionEvent(alice) }
	reinstated := func() devtenant.Event { m.tenant.Reinstate(alice); return m.tenant.SuspensionEvent(alice) }
	with := func(e devtenant.Event, name string, value any) devtenant.Event {
		if value == nil {
			delete(e, name)
		} else {
			e[name] = value
		}
		return e
	}
	many := make([]string, maxNamedMembers+1)
	for i := range many {
		many[i] = fmt.Sprint("user-", i)
	}
	membership := func(added, removed []string) devtenant.Event { return m.tenant.MembershipEvent("acme", added, removed) }
	for _, test := range []struct {
		name   string
		event  devtenant.Event
		status int
		want   []revocation
	}{
		{"suspended", suspended(), 204, []revocation{{Subject: alice}}},
		{"reinstated", reinstated(), 204, nil},
		{"suspended, named by data only", with(suspended(), "params", nil), 204, []revocation{{Subject: alice}}},
		{"deleted", m.tenant.DeletionEvent(bob), 204, []revocation{{Subject: bob}}},
		{"deleted, named by params only", with(m.tenant.DeletionEvent(bob), "data", nil), 204, []revocation{{Subject: bob}}},
		{"removed", membership(nil, []string{alice, bob}), 204, []revocation{{Subject: alice, OrganizationID: "acme"}, {Subject: bob, OrganizationID: "acme"}}},
		{"removed and added", membership([]string{"carol"}, []string{bob}), 204, []revocation{{Subject: bob, OrganizationID: "acme"}}},
		{"added", membership([]string{bob}, nil), 204, nil},
		{"changed somehow", membership(nil, nil), 204, []revocation{{OrganizationID: "acme"}}},
		{"more than are named", membership(nil, many), 204, []revocation{{OrganizationID: "acme"}}},
		{"signed in", m.tenant.SignInEvent(alice, testApp), 204, nil},
		{"of Logto to come", devtenant.Event{"event": "User.Promoted", "data": 7}, 204, nil},
		{"without a name", devtenant.Event{"data": "x"}, 204, nil},
		{"deleted is nobody", devtenant.Event{"event": "User.Deleted"}, 400, nil},
		{"suspended is nobody", devtenant.Event{"event": "User.SuspensionStatus.Updated", "data": map[string]any{"isSuspended": true}}, 400, nil},
		{"of no organization", with(membership(nil, []string{bob}), "organizationId", nil), 400, nil},
		{"nobody is removed", membership(nil, []string{bob, ""}), 400, nil},
		{"a number is deleted", with(m.tenant.DeletionEvent(bob), "params", map[string]any{"userId": 7}), 400, nil},
		{"a text is removed", with(membership(nil, nil), "removedUserIds", bob), 400, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := m.deliver(test.event); got != test.status {
				t.Errorf("answered %d", got)
			}
			got := m.listed()
			for i := range got {
				takeBack(t, revocation{Issuer: got[i].Issuer, Subject: got[i].Subject, OrganizationID: got[i].OrganizationID})
				got[i].Issuer, got[i].NotBefore, got[i].Expires = "", "", ""
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("listed are %+v, want %+v", got, test.want)
			}
			pass(t, 2*time.Second) // what is taken back is over until now
		})
	}
	for _, octets := range []string{"", "{", "null", "[]", `"x"`, "7", `{"event":7}`} {
		answer := m.send([]byte(octets), hookSignature([]byte(octets)))
		if want := map[bool]int{true: 204, false: 400}[octets == "null"]; answer.StatusCode != want || answer.Body != "" {
			t.Errorf("%s: %d %s", octets, answer.StatusCode, answer.Body)
		}
	}
}

// A webhook says when something happened, and only what is older is over: one
// that comes again, or late, refuses no newer token.
func TestReplayedAndOldWebhooks(t *testing.T) {
	m := newMembers(t, revocable)
	before := m.token(devtenant.TokenRequest{Subject: alice})
	pass(t, time.Minute)
	m.tenant.Suspend(alice)
	suspended := m.tenant.SuspensionEvent(alice)
	pass(t, time.Minute)
	after := m.token(devtenant.TokenRequest{Subject: alice}) // who has been reinstated
	pass(t, time.Hour/2)
	for i := range 3 {
		if got := m.deliver(suspended); got != http.StatusNoContent {
			t.Errorf("delivery %d: %d", i, got)
		}
		isOut(t, "the older token", m.show(testHost, before))
		isIn(t, "the newer token", m.show(testHost, after))
		pass(t, time.Second)
	}
	if got := m.listed(); len(got) != 1 {
		t.Errorf("listed are %v", got)
	}
	// An administrator has the last word.
	takeBack(t, revocation{Issuer: m.tenant.Issuer(), Subject: alice})
	if got := m.deliver(suspended); got != http.StatusNoContent {
		t.Errorf("after it was taken back: %d", got)
	}
	isIn(t, "the older token, after it was taken back", m.show(testHost, before))
}

// When it happened is a text or milliseconds, never later than now, and now if
// nothing can be read.
func TestTimeOfAWebhook(t *testing.T) {
	m := newMembers(t, revocable)
	now := systemClock()
	past, future := now.Add(-10*time.Minute), now.Add(time.Hour)
	for name, test := range map[string]struct {
		created any
		age     time.Duration
	}{
		"text":                 {past.UTC().Format("2006-01-02T15:04:05.000Z"), 10 * time.Minute},
		"text of another zone": {past.In(time.FixedZone("", 7200)).Format(time.RFC3339), 10 * time.Minute},
		"milliseconds":         {past.UnixMilli(), 10 * time.Minute},
		"text to come":         {future.UTC().Format(time.RFC3339), 0},
		"milliseconds to come": {future.UnixMilli(), 0},
		"missing":              {nil, 0},
		"no time":              {"yesterday", 0},
		"zero":                 {0, 0},
		"negative":             {-5, 0},
		"too much":             {1e40, 0},
		"an object":            {map[string]any{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			user := "user of " + name
			event := m.tenant.DeletionEvent(user)
			event["createdAt"] = test.created
			if test.created == nil {
				delete(event, "createdAt")
			}
			at := func(age time.Duration) *caddytest.Response {
				return m.show(testHost, m.token(devtenant.TokenRequest{Subject: user, Extra: map[string]any{"iat": systemClock().Add(-age).Unix()}}))
			}
			if got := m.deliver(event); got != http.StatusNoContent {
				t.Fatal(got)
			}
			isOut(t, "older", at(test.age+2*time.Second))
			if test.age > 0 {
				isIn(t, "younger", at(test.age-2*time.Second))
				return
			}
			isIn(t, "issued in two seconds", at(-2*time.Second)) // within the leeway
		})
	}
}

// An entry that cannot be stored counts here, and Logto is told to send it again.
func TestWebhookThatCannotBeStored(t *testing.T) {
	m := newMembers(t, storing(t.TempDir(), revocable))
	token := m.token(devtenant.TokenRequest{Subject: alice})
	isIn(t, "before", m.show(testHost, token))
	pass(t, time.Minute)
	event := m.tenant.DeletionEvent(alice)
	failStorage(t, func(context.Context) error { return errors.New("read-only file system") })
	if got := m.deliver(event); got != http.StatusServiceUnavailable {
		t.Errorf("answered %d", got)
	}
	isOut(t, "here", m.show(testHost, token))
	storageFault.Store(nil)
	for m.deliver(event) != http.StatusNoContent && !t.Failed() {
		if t.Context().Err() != nil {
			t.Fatal("it is never stored")
		}
	}
}

// A webhook is its site's own: its key opens no other site, not even of the same
// tenant, and the global option hands it to nobody.
func TestWebhookOfAnotherSiteOrTenant(t *testing.T) {
	m := newMembers(t, `
{
	logto_auth {
		endpoint TENANT
		revocation
	}
}
`+revocable+`
other.example.com {
	logto_auth {
		SIGN_IN
	}
	respond ok
}
api.example.com {
	logto_auth {
		audience https://api.example.com
	}
	respond ok
}
third.example.com {
	logto_auth {
		audience https://api.example.com
		revocation {
			webhook_secret another-key-of-another-webhook-xx
		}
	}
	respond ok
}
`)
	octets := encoded(t, m.tenant.DeletionEvent(alice))
	for host, want := range map[string]int{"other.example.com": 404, "api.example.com": 401, "third.example.com": 401} {
		answer := m.Get("/.logto/webhook", caddytest.Method(http.MethodPost), caddytest.Header("Host", host), caddytest.Header(signatureHeader, hookSignature(octets)), body(octets))
		if answer.StatusCode != want {
			t.Errorf("%s: %d %s", host, answer.StatusCode, answer.Body)
		}
	}
	if got := m.listed(); len(got) != 0 {
		t.Errorf("listed are %v", got)
	}
	token := m.token(devtenant.TokenRequest{Subject: alice, Extra: map[string]any{"iat": systemClock().Add(-time.Minute).Unix()}})
	if got := m.deliver(m.tenant.DeletionEvent(alice)); got != http.StatusNoContent {
		t.Fatal(got)
	}
	// What one site is told all sites obey.
	for _, host := range []string{testHost, "api.example.com", "third.example.com"} {
		isOut(t, host, m.show(host, token))
	}
}

// The endpoint answers wherever it stands in the site.
func TestWebhookWhereverTheDirectiveIs(t *testing.T) {
	const api = "audience https://api.example.com\n"
	secret := "revocation {\nwebhook_secret " + hookKey + "\n}\n"
	site := func(before, settings, after string) string {
		return testHost + " {\n" + before + "logto_auth {\nendpoint TENANT\n" + settings + "}\nrespond ok\n" + after + "}\n"
	}
	for name, test := range map[string]struct {
		site, path string
		unknown    int
	}{
		"with sign_in":              {site("", api+"SIGN_IN\n"+secret, ""), "/.logto", 404},
		"with sign_in alone":        {site("", "SIGN_IN\n"+secret, ""), "/.logto", 404},
		"without sign_in":           {site("", api+secret, ""), "/.logto", 404},
		"with a path":               {site("", api+strings.Replace(secret, "}", "path /hooks\n}", 1), ""), "/hooks", 404},
		"with error routes":         {site("", api+"errors handle_errors\n"+secret, "handle_errors {\nrespond \"error\" 418\n}\n"), "/.logto", 418},
		"in handle_path":            {site("handle_path /app/* {\n", api+strings.Replace(secret, "}", "path /app/.logto\n}", 1), "}\n"), "/app/.logto", 404},
		"in a route with a matcher": {strings.Replace(site("", api+secret, ""), "logto_auth {", "logto_auth /api* {", 1), "/.logto", 404},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(t, test.site)
			octets := encoded(t, m.tenant.DeletionEvent(alice))
			post := func(path string) *caddytest.Response {
				return m.Get(path, caddytest.Method(http.MethodPost), caddytest.Header("Host", testHost), caddytest.Header(signatureHeader, hookSignature(octets)), body(octets))
			}
			if answer := post(test.path + "/webhook"); answer.StatusCode != http.StatusNoContent || len(m.listed()) != 1 {
				t.Errorf("%d %s, listed %v", answer.StatusCode, answer.Body, m.listed())
			}
			for _, other := range []string{"/webhooks", "/webhook/", "/Webhook", "/webhook/x"} {
				if answer := post(test.path + other); answer.StatusCode != test.unknown {
					t.Errorf("%s: %d %s", other, answer.StatusCode, answer.Body)
				}
			}
		})
	}
}

// Where one logto_auth of a site takes webhooks and another one signs people in,
// each endpoint answers, in whatever order they are written.
func TestWebhookBesideAnotherSignIn(t *testing.T) {
	const (
		people   = "logto_auth /pages* {\nendpoint TENANT\nSIGN_IN\n}\n"
		programs = "logto_auth /api* {\nendpoint TENANT\naudience https://api.example.com\nrevocation {\nwebhook_secret " + hookKey + "\n}\n}\n"
		both     = "logto_auth {\nendpoint TENANT\nSIGN_IN\nrevocation {\nwebhook_secret " + hookKey + "\n}\n}\n"
	)
	for name, lines := range map[string]string{
		"webhook first":     programs + people,
		"sign_in first":     people + programs,
		"sign_in twice":     people + both,
		"in other handles":  "handle /api* {\n" + programs + "}\nhandle {\n" + people + "}\n",
		"with another host": programs + people + "}\nother.example.com {\n" + people,
	} {
		t.Run(name, func(t *testing.T) {
			sites := testHost + " {\n" + lines + "respond ok\n}\n"
			m := newMembers(t, sites)
			octets := encoded(t, m.tenant.DeletionEvent(alice))
			ask := func(method, host, path string) int {
				return m.Get(path, caddytest.Method(method), caddytest.Header("Host", host), caddytest.Header(signatureHeader, hookSignature(octets)), body(octets)).StatusCode
			}
			for path, want := range map[string]int{"/.logto/webhook": 204, "/.logto/back-channel-logout": 400, "/.logto/sign-out": 303, "/.logto/webhooks": 404} {
				if got := ask(http.MethodPost, testHost, path); got != want {
					t.Errorf("POST %s: %d, want %d", path, got, want)
				}
			}
			if len(m.listed()) != 1 {
				t.Errorf("listed are %v", m.listed())
			}
			if got := ask(http.MethodGet, testHost, "/.logto/session"); got != http.StatusUnauthorized {
				t.Errorf("GET session: %d", got)
			}
			if got := ask(http.MethodPut, testHost, "/.logto/webhook"); got != http.StatusMethodNotAllowed {
				t.Errorf("PUT webhook: %d", got)
			}
			p := m.browser()
			p.signIn("/pages", bob)
			// A site without a webhook takes none, though its sign_in is written alike.
			if strings.Contains(sites, "other.example.com") {
				if got := ask(http.MethodPost, "other.example.com", "/.logto/webhook"); got != http.StatusNotFound {
					t.Errorf("another host's webhook: %d", got)
				}
			}
			for path, want := range map[string]string{"/.logto/callback": endpointHints["callback"], "/.logto/webhook": "the endpoint takes POST"} {
				original, err := parseQuestion("https://"+testHost+path, http.MethodGet)
				if err != nil {
					t.Fatal(err)
				}
				said, err := explainConfig(caddytest.Adapt(t, m.text(sites)), m.token(devtenant.TokenRequest{Subject: bob}), original, "", systemClock)
				if err != nil {
					t.Fatal(err)
				}
				if said.Handlers[0].Outcome != verdictEndpoint || said.Handlers[0].Hint != want {
					t.Errorf("explain says of %s: %+v", path, said.Handlers[0])
				}
			}
		})
	}
}
