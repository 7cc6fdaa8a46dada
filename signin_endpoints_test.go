package logtoauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// behind is a site that shows what reaches its later handlers.
const behind = `
www.example.com {
	logto_auth {
		endpoint TENANT
		optional
		SIGN_IN
	}
	respond "reached {http.request.uri}" 299
}
`

var allMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "get"}

// Every method at every endpoint.
func TestMethodsOfEndpoints(t *testing.T) {
	m := newMembers(t, behind)
	for name, allowed := range map[string]string{
		"sign-in": "GET", "callback": "GET", "session": "GET, HEAD", "sign-out": "GET, POST", "signed-out": "GET, HEAD",
	} {
		for _, method := range allMethods {
			answer := m.browser().fetch("/.logto/"+name, caddytest.Method(method))
			refused := !slices.Contains(strings.Split(allowed, ", "), method)
			if got := answer.StatusCode == http.StatusMethodNotAllowed; got != refused {
				t.Errorf("%s %s: %d", method, name, answer.StatusCode)
			}
			if got := answer.Header.Get("Allow"); refused && got != allowed || !refused && got != "" {
				t.Errorf("%s %s: Allow %q", method, name, got)
			}
			if got := answer.Header["Cache-Control"]; !slices.Equal(got, []string{"no-store"}) {
				t.Errorf("%s %s: Cache-Control %q", method, name, got)
			}
			if method == "HEAD" && answer.Body != "" {
				t.Errorf("%s %s: %s", method, name, answer.Body)
			}
			if strings.Contains(answer.Body, "reached") {
				t.Errorf("%s %s reaches later handlers", method, name)
			}
		}
	}
}

// Nothing below the prefix reaches later handlers, in whatever spelling: what
// they made of it would be mistaken for ours.
func TestNothingBelowThePrefixReachesLaterHandlers(t *testing.T) {
	m := newMembers(t, behind)
	signedIn := m.browser()
	signedIn.signIn("/.logto/sign-in", alice)
	raw := func(p *person, target string) *caddytest.Response {
		return m.raw(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nConnection: close\r\n\r\n", target, testHost, p.cookieHeader()))
	}
	for target, status := range map[string]int{
		"/.logto": 404, "/.logto/": 404, "/.logto//": 404, "/.logto/x": 404, "/.logto/session/": 404, "/.logto/session/x": 404,
		"/.logto/Session": 404, "/.logto/callback/": 404, "/.logto//session": 404, "/.logto/./session": 404, "/.logto/../x": 404,
		"/.logto/..": 404, "/.logto/x/../session": 404, "/.logto/%2e%2e/x": 404, "/.logto%2f": 404, "/.logto%2f..%2fx": 404, `/.logto\session`: 404,
		"/.logto/session%00": 404, "/.logto/session;x=1": 404, "/.logto?x": 404, "/.logto/session%3f": 404,
		"/.logto/session": 200, "/%2elogto/session": 200, "/.logto%2fsession": 200, "/.logto/%73ession?x=1": 200,
		"//.logto/session": 404, "/./.logto/session": 404, "/x/../.logto/session": 404, "/x/%2e%2e/.logto/session": 404, "/x/..%2f.logto/session": 404,
		"/x/../.logto": 404, "//.logto": 404,
		"/.logtox": 299, "/.logto2/session": 299, "/x/.logto/session": 299, "/logto/session": 299, "/x/../.logtox": 299,
	} {
		for who, p := range map[string]*person{"a stranger": m.browser(), "Alice": signedIn} {
			want := status
			if who == "a stranger" && status == http.StatusOK {
				want = http.StatusUnauthorized
			}
			if answer := raw(p, target); answer.StatusCode != want {
				t.Errorf("%s: %s: %d %.200s, want %d", who, target, answer.StatusCode, answer.Body, want)
			}
		}
	}
	if answer := raw(signedIn, "https://"+testHost+"/.logto/x"); answer.StatusCode != http.StatusNotFound {
		t.Errorf("in absolute form: %d", answer.StatusCode)
	}
}

// sessionAnswer is what the session endpoint says.
type sessionAnswer struct {
	Subject          string   `json:"sub"`
	Type             string   `json:"type"`
	OrganizationID   *string  `json:"organization_id"`
	Scopes           []string `json:"scopes"`
	ExpiresAt        string   `json:"expires_at"`
	SessionExpiresAt string   `json:"session_expires_at"`
}

func TestSessionEndpointSaysExactlyThis(t *testing.T) {
	acme := "acme"
	for name, test := range map[string]struct {
		settings string
		want     sessionAnswer
	}{
		"an identity":     {"", sessionAnswer{Scopes: []string{}}},
		"an API":          {"audience https://api.example.com\nscopes read:products", sessionAnswer{Scopes: []string{"read:products"}}},
		"an organization": {"organization acme\nscopes read:docs", sessionAnswer{Scopes: []string{"read:docs"}, OrganizationID: &acme}},
		"an organization's API": {
			"audience https://api.example.com\norganization acme\nscopes read:products",
			sessionAnswer{Scopes: []string{"read:products"}, OrganizationID: &acme},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(t, strings.Replace(smallest, "SIGN_IN", test.settings+"\n\t\tSIGN_IN", 1))
			m.tenant.AddMember("acme", alice)
			p := m.browser()
			before := systemClock()
			if page := p.signIn("/", alice); page.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", page.StatusCode, page.Body)
			}
			answer := p.fetch("/.logto/session", headers("Origin", "https://evil.example", "Sec-Fetch-Mode", "cors"))
			var got sessionAnswer
			decoder := json.NewDecoder(strings.NewReader(answer.Body))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&got); err != nil || answer.StatusCode != http.StatusOK || decoder.More() {
				t.Fatalf("%d %s: %v", answer.StatusCode, answer.Body, err)
			}
			if got.Subject != alice || got.Type != "user" || !slices.Equal(got.Scopes, test.want.Scopes) || got.Scopes == nil ||
				(got.OrganizationID == nil) != (test.want.OrganizationID == nil) || got.OrganizationID != nil && *got.OrganizationID != "acme" {
				t.Errorf("%s", answer.Body)
			}
			for text, in := range map[string]time.Duration{got.ExpiresAt: time.Hour, got.SessionExpiresAt: 24 * time.Hour} {
				at, err := time.Parse(time.RFC3339, text)
				if off := at.Sub(before.Add(in)).Abs(); err != nil || off > 10*time.Second || !strings.HasSuffix(text, "Z") {
					t.Errorf("%s is not in %v: %v", text, in, err)
				}
			}
			for name, want := range map[string]string{
				"Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin", "Content-Type": "application/json",
				"X-Content-Type-Options": "nosniff", "Access-Control-Allow-Origin": "", "Access-Control-Allow-Credentials": "", "Set-Cookie": "",
			} {
				if got := answer.Header.Get(name); got != want {
					t.Errorf("%s %q, want %q", name, got, want)
				}
			}
			head := p.fetch("/.logto/session", caddytest.Method("HEAD"))
			if head.StatusCode != http.StatusOK || head.Body != "" || head.ContentLength != int64(len(answer.Body)) {
				t.Errorf("HEAD: %d %q %d", head.StatusCode, head.Body, head.ContentLength)
			}
		})
	}
}

// A page that asks every minute keeps no session alive and no token fresh, and
// is told the truth when the session is over.
func TestSessionEndpointIsNoActivity(t *testing.T) {
	m := newMembers(t, strings.Replace(smallest, "SIGN_IN", "audience https://api.example.com\n\t\tSIGN_IN", 1))
	p := m.browser()
	p.signIn("/", alice)
	for range 5 {
		pass(t, 5*time.Hour)
		answer := p.fetch("/.logto/session")
		if cookies := answer.Header["Set-Cookie"]; len(cookies) > 0 {
			t.Errorf("%q", cookies)
		}
		if ahead.Load() < int64(24*time.Hour) {
			if answer.StatusCode != http.StatusOK || !strings.Contains(answer.Body, `"expires_at":null,`) {
				t.Errorf("after %v: %d %s", time.Duration(ahead.Load()), answer.StatusCode, answer.Body)
			}
		} else if answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
			t.Errorf("after %v: %d %s", time.Duration(ahead.Load()), answer.StatusCode, answer.Body)
		}
	}
	if got := m.tenant.Counts().Refreshes; got != 0 {
		t.Errorf("%d refreshes", got)
	}
}

// Without a refresh token the session ends with its token, and a page that asks
// hears so: not only when its next request is refused.
func TestSessionEndpointKnowsTheEndOfTheToken(t *testing.T) {
	for name, settings := range map[string]string{"an identity": "", "an API": "audience " + testAPI} {
		t.Run(name, func(t *testing.T) {
			p := newMembers(t, within(settings, "offline off")+"respond \"{http.auth.user.expires_at}|{http.auth.user.session_expires_at}\"\n}").browser()
			p.signIn("/", alice)
			expires, ends, _ := strings.Cut(p.fetch("/").Body, "|")
			if expires != ends {
				t.Errorf("the token expires at %s and the session at %s", expires, ends)
			}
			want := `"expires_at":"` + expires + `","session_expires_at":"` + expires + `"}`
			if answer := p.fetch("/.logto/session"); answer.StatusCode != http.StatusOK || !strings.HasSuffix(answer.Body, want) {
				t.Errorf("%d %s, want …%s", answer.StatusCode, answer.Body, want)
			}
			pass(t, time.Hour+time.Second)
			if answer := p.fetch("/.logto/session"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
				t.Errorf("after that: %d %s", answer.StatusCode, answer.Body)
			}
		})
	}
}
