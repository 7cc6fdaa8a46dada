package logtoauth

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// tokenShown is what a later handler sees of the token.
const tokenShown = "respond \"{http.auth.user.id} {http.auth.user.source} [{http.request.header.Authorization}] [{http.request.header.Connection}] {http.auth.user.token_id}\"\n}"

// forwarded reads the token off the answer of tokenShown.
func forwarded(answer *caddytest.Response) (user, header string) {
	user, rest, _ := strings.Cut(answer.Body, " [")
	header, _, _ = strings.Cut(rest, "]")
	return user, header
}

// Services behind get the session's token as they get a program's.
func TestTokenOfTheSessionIsForwarded(t *testing.T) {
	m := newMembers(t, within("audience "+testAPI+"\nstrip_token", "forward_token")+"reverse_proxy /proxied 127.0.0.1:1\n"+tokenShown)
	p := m.browser()
	p.signIn("/", alice)
	for name, options := range map[string][]caddytest.Option{
		"no header":                      nil,
		"another scheme":                 {caddytest.Header("Authorization", "Basic YTpi")},
		"other spellings":                {caddytest.Header("AUTHORIZATION", "x"), caddytest.Header("Connection", "keep-alive")},
		"named in the client's headers":  {caddytest.Header("Connection", "Authorization, keep-alive")},
		"named in other case, two lines": {caddytest.Header("Connection", "keep-alive"), caddytest.Header("Connection", "authorization")},
	} {
		answer := p.fetch("/", options...)
		user, header := forwarded(answer)
		token, isBearer := strings.CutPrefix(header, "Bearer ")
		if answer.StatusCode != http.StatusOK || user != "alice session" || !isBearer || strings.Count(token, ".") != 2 {
			t.Errorf("%s: %d %s", name, answer.StatusCode, answer.Body)
		}
		if _, rest, _ := strings.Cut(answer.Body, "] ["); strings.Contains(strings.ToLower(rest), "authorization") {
			t.Errorf("%s: Connection takes it off again: %s", name, rest)
		}
		// It is a token that the same site takes.
		if other := m.browser().fetch("/", caddytest.Bearer(token)); other.StatusCode != http.StatusOK {
			t.Errorf("%s: the token itself: %d %s", name, other.StatusCode, other.Body)
		}
	}
	// A program's own token is stripped, and nothing comes in its place.
	token := m.tenant.Token(devtenant.TokenRequest{Subject: bob, ClientID: testApp, Resource: testAPI})
	if user, header := forwarded(p.fetch("/", caddytest.Bearer(token))); user != "bob token" || header != "" {
		t.Errorf("a program: %s %q", user, header)
	}
}

// What report_only lets pass has nothing that says it was admitted.
func TestNoTokenIsForwardedForWhatReportOnlyLetsPass(t *testing.T) {
	auth := func(settings string) string {
		site := within("audience "+testAPI+"\n"+settings, "forward_token")
		return strings.TrimSuffix(strings.TrimPrefix(site, "\nwww.example.com {\n"), "\n")
	}
	for name, test := range map[string]struct {
		sites   string
		forward bool
	}{
		"admitted":                          {auth("report_only"), true},
		"refused":                           {auth("report_only\nscopes admin"), false},
		"refused by logto_require":          {auth("report_only") + "\nlogto_require admin", false},
		"admitted, then refused by another": {"route {\n" + auth("") + "\n" + auth("report_only\nscopes admin") + "\n" + tokenShown, false},
	} {
		t.Run(name, func(t *testing.T) {
			text := "\nwww.example.com {\n" + test.sites + "\n"
			if strings.HasPrefix(test.sites, "route") {
				text += "}\n"
			} else {
				text += tokenShown
			}
			p := newMembers(t, text).browser()
			p.signIn("/.logto/sign-in", alice)
			answer := p.fetch("/")
			if _, header := forwarded(answer); answer.StatusCode != http.StatusOK || strings.HasPrefix(header, "Bearer ") != test.forward {
				t.Errorf("%d %s", answer.StatusCode, answer.Body)
			}
		})
	}
}

// The token that one logto_auth has set is no bearer token to the next one,
// which would let a foreign page's form in.
func TestForwardedTokenIsNoBearerTokenOfTheClient(t *testing.T) {
	first := within("audience "+testAPI, "forward_token")
	second := strings.TrimPrefix(first, "\nwww.example.com {\n")
	p := newMembers(t, strings.Replace(first, "{\n", "{\nroute {\n", 1)+second+strings.TrimSuffix(tokenShown, "}")+"}\n}").browser()
	p.signIn("/.logto/sign-in", alice)
	if user, header := forwarded(p.fetch("/")); user != "alice session" || !strings.HasPrefix(header, "Bearer ") {
		t.Errorf("%s %q", user, header)
	}
	answer := p.fetch("/", caddytest.Method(http.MethodPost), caddytest.Header("Origin", "https://evil.example"))
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("a foreign page's form: %d %s", answer.StatusCode, answer.Body)
	}
}
