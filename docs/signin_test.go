package docs_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// loggedSite is the Caddyfile of sign-in.md that filters logs, for a tenant
// and over http, which is fine on localhost.
func loggedSite(t *testing.T, tenant *devtenanttest.Server) string {
	t.Helper()
	for _, block := range fence.FindAllStringSubmatch(read(t, "sign-in.md"), -1) {
		if strings.Contains(block[1], "(without-sign-ins)") {
			return strings.NewReplacer("https://your-tenant.logto.app", tenant.URL, "www.example.com", "http://localhost").Replace(block[1])
		}
	}
	t.Fatal("sign-in.md has no such Caddyfile")
	return ""
}

// surfer opens pages of localhost and returns where it is sent.
type surfer struct {
	t       *testing.T
	address string
	jar     http.CookieJar
}

func (s surfer) open(path string) (status int, location string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.address+path, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Host = "localhost"
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	for _, cookie := range s.jar.Cookies(r.URL) {
		r.AddCookie(cookie)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		s.t.Fatal(err)
	}
	s.jar.SetCookies(r.URL, resp.Cookies())
	return resp.StatusCode, resp.Header.Get("Location")
}

// The page shows how to keep codes and states out of the logs. Each part of its
// Caddyfile is needed.
func TestFilterKeepsSignInsOutOfTheLogs(t *testing.T) {
	setApp(t)
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	tenant.AddApp(devtenant.App{
		ID: "app", Secret: "a-secret-of-the-app-with-32-chars", RedirectURIs: []string{"http://localhost/.logto/callback"},
	})
	tenant.AddUser(devtenant.User{ID: "alice"})
	filtered := loggedSite(t, tenant)
	without := func(part string) string {
		if !strings.Contains(filtered, part) {
			t.Fatalf("the Caddyfile has no %s", part)
		}
		return strings.Replace(filtered, part, "", 1)
	}
	for name, test := range map[string]struct {
		site  string
		leaks bool
	}{
		"all of it":               {filtered, false},
		"codes shown":             {without("replace code REDACTED"), true},
		"states shown":            {without("replace state REDACTED"), true},
		"Location shown":          {without("\t\tresp_headers>Location regexp \"([?&])(state|nonce)=[^&]*\" \"${1}${2}=REDACTED\"\n"), true},
		"the site's log alone":    {without("{\n\tlog {\n\t\timport without-sign-ins\n\t}\n}\n"), true},
		"the default's log alone": {strings.Replace(filtered, "{\n\tlog {\n\t\timport without-sign-ins\n\t}\n\tlogto_auth", "{\n\tlog {\n\t\tformat json\n\t}\n\tlogto_auth", 1), true},
	} {
		t.Run(name, func(t *testing.T) {
			address, logs := serveLogged(t, test.site)
			secrets := signInAndFail(t, address, tenant)
			text := logs()
			for _, logger := range []string{`"logger":"http.log.access`, `"logger":"http.log.error`} {
				if !strings.Contains(text, logger) {
					t.Errorf("nothing of %s in\n%s", logger, text)
				}
			}
			leaked := ""
			for _, secret := range secrets {
				if strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret)) {
					leaked = secret
				}
			}
			if (leaked != "") != test.leaks {
				t.Errorf("%q is in the logs: not %t\n%s", leaked, test.leaks, text)
			}
		})
	}
}

// signInAndFail signs in, and tries again when the tenant fails. It returns the
// codes, states and nonces of both.
func signInAndFail(t *testing.T, address string, tenant *devtenanttest.Server) (secrets []string) {
	t.Helper()
	for _, want := range []int{http.StatusSeeOther, http.StatusServiceUnavailable} {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		visitor := surfer{t, address, jar}
		_, location := visitor.open("/page")
		callback := devtenanttest.NewBrowser(t, tenant.Tenant).SignIn(location, "alice")
		asked, err := url.Parse(location)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, callback.Query().Get("code"), callback.Query().Get("state"), asked.Query().Get("nonce"))
		if want == http.StatusServiceUnavailable {
			tenant.SetTokenFault(devtenant.ServerError)
		}
		if status, _ := visitor.open(callback.RequestURI()); status != want {
			t.Errorf("callback: %d, want %d", status, want)
		}
	}
	tenant.SetTokenFault(devtenant.None)
	return secrets
}
