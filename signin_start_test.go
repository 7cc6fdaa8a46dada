package logtoauth

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// What a sign-in asks Logto for, to the letter.
func TestAuthorizationRequestSaysExactlyThis(t *testing.T) {
	for name, test := range map[string]struct {
		settings string
		want     url.Values
	}{
		"an identity": {"SIGN_IN", url.Values{"scope": {"openid offline_access profile"}, "prompt": {"consent"}}},
		"an API": {
			"audience https://api.example.com https://other.example.com\nscopes read:products\nSIGN_IN",
			url.Values{"scope": {"openid offline_access profile read:products"}, "prompt": {"consent"}, "resource": {"https://api.example.com"}},
		},
		"an organization": {
			"organization acme\nscopes read:docs\nSIGN_IN",
			url.Values{
				"scope": {"openid offline_access profile read:docs urn:logto:scope:organizations"}, "prompt": {"consent"},
				"resource": {"urn:logto:resource:organizations"},
			},
		},
		"not offline":          {"SIGN_IN {\noffline off\n}", url.Values{"scope": {"openid profile"}}},
		"not offline, a login": {"SIGN_IN {\noffline off\nprompt login\n}", url.Values{"scope": {"openid profile"}, "prompt": {"login"}}},
		"a login, in German": {
			"SIGN_IN {\nprompt login\nui_locales de en\nscopes email\n}",
			url.Values{"scope": {"openid offline_access email"}, "prompt": {"login consent"}, "ui_locales": {"de en"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newMembers(t, strings.Replace(smallest, "SIGN_IN", test.settings, 1)).browser()
			started, err := url.Parse(p.start("/page"))
			if err != nil {
				t.Fatal(err)
			}
			got := started.Query()
			for _, random := range []string{"state", "nonce", "code_challenge"} {
				if len(got[random]) != 1 || len(got.Get(random)) < 43 {
					t.Errorf("%s is %q", random, got[random])
				}
				got.Del(random)
			}
			want := url.Values{
				"client_id": {testApp}, "redirect_uri": {"https://" + testHost + "/.logto/callback"},
				"response_type": {"code"}, "response_mode": {"query"}, "code_challenge_method": {"S256"},
			}
			maps.Copy(want, test.want)
			if got.Encode() != want.Encode() {
				t.Errorf("%s\nnot %s", got.Encode(), want.Encode())
			}
		})
	}
}

// All tabs share one flow cookie, which each start renews with the same value.
// What goes to Logto differs each time.
func TestStartsShareOneFlow(t *testing.T) {
	p := newMembers(t, smallest).browser()
	seen := make(map[string]bool)
	flow := ""
	for range 5 {
		answer := p.open("/page")
		cookie := answer.Header.Get("Set-Cookie")
		value := p.cookies[flowCookie]
		if flow == "" {
			flow = value
		}
		if value != flow || cookie != flowCookie+"="+flow+"; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax" {
			t.Errorf("%q", cookie)
		}
		started, err := url.Parse(answer.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"state", "nonce", "code_challenge"} {
			given := started.Query().Get(name)
			if seen[given] {
				t.Errorf("%s comes again", name)
			}
			seen[given] = true
		}
	}
	p.cookies[flowCookie] = "x" + flow
	p.start("/page")
	if p.cookies[flowCookie] == flow {
		t.Error("a cookie that does not open is not replaced")
	}
}

// Browsers go to the first accepted issuer, codes to the endpoint, and that
// issuer is the one of callback and ID token.
func TestSignInUsesTheFirstIssuer(t *testing.T) {
	const custom = "https://login.example.com/oidc"
	m := newMembers(t, strings.Replace(smallest, "endpoint TENANT", "endpoint TENANT\n\t\tissuer "+custom+" TENANT/oidc", 1))
	own := m.tenant.Issuer()
	p := m.browser()
	answer := p.open("/page")
	location := answer.Header.Get("Location")
	if answer.StatusCode != http.StatusFound || !strings.HasPrefix(location, custom+"/auth?") {
		t.Fatalf("%d %s", answer.StatusCode, location)
	}
	atTenant := strings.Replace(location, custom, own, 1)
	showsPage(t, "the other issuer's callback", p.open(p.callback(atTenant, alice)), http.StatusBadRequest, ReasonSignInRefused)
	m.tenant.SetAuthorizationFault(devtenant.OtherIssuer(custom))
	showsPage(t, "the other issuer's ID token", p.open(p.callback(atTenant, alice)), http.StatusBadRequest, ReasonSignInRefused)
	m.tenant.SetTokenFault(devtenant.IDTokenClaim("iss", custom))
	goesTo(t, "its own", p.open(p.callback(strings.Replace(p.open("/page").Header.Get("Location"), custom, own, 1), alice)), http.StatusSeeOther, "/page")
	out := p.open("/.logto/sign-out")
	if got := out.Header.Get("Location"); !strings.HasPrefix(got, custom+"/session/end?") {
		t.Errorf("sign-out: %d %s", out.StatusCode, got)
	}
}

// `iss` is compared as it is, but the addresses of an issuer that ends in a
// slash have no two of them (as OpenID Connect Discovery section 4 has it).
func TestIssuerThatEndsInASlash(t *testing.T) {
	m := newMembers(t, strings.Replace(smallest, "endpoint TENANT", "issuer TENANT/oidc/\n\t\tjwks_uri TENANT/oidc/jwks", 1))
	p := m.browser()
	started, err := url.Parse(p.start("/page"))
	if err != nil {
		t.Fatal(err)
	}
	callback := "/.logto/callback?" + url.Values{"code": {"x"}, "state": started.Query()["state"], "iss": {m.tenant.Issuer() + "/"}}.Encode()
	showsPage(t, "a made-up code", p.open(callback), http.StatusBadRequest, ReasonSignInRefused)
	if got := m.tenant.Counts().Exchanges; got != 1 {
		t.Errorf("%d codes came to the token endpoint", got)
	}
	out := p.open("/.logto/sign-out")
	if got := out.Header.Get("Location"); !strings.HasPrefix(got, m.tenant.Issuer()+"/session/end?") {
		t.Errorf("sign-out: %d %s", out.StatusCode, got)
	}
}
