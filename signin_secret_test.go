package logtoauth

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// sealedBy returns the browser of somebody who knows the app secret, with a
// session of their own making.
func sealedBy(t *testing.T, m *members, token session.Token, target session.Target) *person {
	t.Helper()
	ring, err := session.NewKeyRing(m.tenant.Issuer(), testApp, []byte(appSecret))
	if err != nil {
		t.Fatal(err)
	}
	site, err := session.NewSite(testHost, true)
	if err != nil {
		t.Fatal(err)
	}
	forged := session.New("admin", time.Now())
	forged.Scopes, forged.Resources = []string{"openid", "read:products"}, []string{testAPI}
	token.IssuedAt, token.ExpiresAt = time.Now().Unix(), time.Now().Add(time.Hour).Unix()
	forged.Token, forged.Target = token, target
	value, err := ring.SealSession(site, forged)
	if err != nil {
		t.Fatal(err)
	}
	p := m.browser()
	p.cookies[site.SessionName()] = value
	return p
}

// What docs/security.md says of a known app secret: it makes anyone where the
// claims of the cookie are what is checked, and nobody where there is an access
// token, which only the tenant can sign.
func TestKnownSecretMakesSessionsButNoAccessTokens(t *testing.T) {
	asking := newMembers(t, strings.Replace(smallest, "SIGN_IN", "audience "+testAPI+"\n\t\tscopes read:products\n\t\tSIGN_IN", 1))
	stranger := devtenant.New(devtenant.Options{Issuer: asking.tenant.Issuer()})
	for name, token := range map[string]string{
		"a stranger's signature": stranger.Token(devtenant.TokenRequest{Subject: "admin", Resource: testAPI, Scope: "read:products"}),
		"no JWT":                 "admin",
		"another API's":          asking.tenant.Token(devtenant.TokenRequest{Subject: "admin", Resource: "https://other.example.com"}),
	} {
		p := sealedBy(t, asking, session.Token{Value: token}, session.Target{Resource: testAPI})
		if answer := p.fetch("/data"); answer.StatusCode < 400 || strings.Contains(answer.Body, "admin") {
			t.Errorf("%s: %d %s", name, answer.StatusCode, answer.Body)
		}
	}
	// So that the refusals above are for the tokens alone.
	good := asking.tenant.Token(devtenant.TokenRequest{Subject: "carol", ClientID: testApp, Resource: testAPI, Scope: "read:products"})
	if answer := sealedBy(t, asking, session.Token{Value: good}, session.Target{Resource: testAPI}).fetch("/data"); answer.Body != "hello carol session at /data" {
		t.Errorf("the tenant's own token: %d %s", answer.StatusCode, answer.Body)
	}
}

func TestKnownSecretMakesAnyoneOfAnIdentity(t *testing.T) {
	m := newMembers(t, smallest)
	claims := `{"iss":"` + m.tenant.Issuer() + `","sub":"admin","aud":"` + testApp + `","exp":4102444800,"iat":1}`
	if answer := sealedBy(t, m, session.Token{Claims: claims}, session.Target{}).fetch("/data"); answer.StatusCode != http.StatusOK ||
		answer.Body != "hello admin session at /data" {
		t.Errorf("docs/security.md says otherwise: %d %s", answer.StatusCode, answer.Body)
	}
}

// Every copy of a cookie ends with the session.
func TestSignOutEndsCopiesOfTheCookie(t *testing.T) {
	p := newMembers(t, smallest).browser()
	p.signIn("/", alice)
	thief := p.browser()
	maps.Copy(thief.cookies, p.cookies)
	if answer := thief.fetch("/data"); answer.StatusCode != http.StatusOK {
		t.Fatalf("a copy: %d %s", answer.StatusCode, answer.Body)
	}
	p.open("/.logto/sign-out", func(r *http.Request) { r.Method = http.MethodPost })
	if answer := thief.fetch("/data"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
		t.Errorf("a copy after the sign-out: %d %s", answer.StatusCode, answer.Body)
	}
}
