package devtenanttest

import (
	"net/url"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

func TestBrowserSignsInAndOut(t *testing.T) {
	const (
		redirectURI = "https://www.example.com/callback"
		afterwards  = "https://www.example.com/"
	)
	for name, tenant := range map[string]*devtenant.Tenant{
		"in memory": devtenant.New(devtenant.Options{Issuer: "https://tenant.example/oidc"}),
		// People know the issuer, the site an internal name.
		"by two names": devtenant.New(devtenant.Options{Issuer: "https://tenant.example/oidc", Endpoint: "http://logto:3001"}),
		"listening":    NewServer(t, devtenant.Options{}).Tenant,
		"TLS":          NewTLSServer(t, devtenant.Options{}).Tenant,
	} {
		t.Run(name, func(t *testing.T) {
			tenant.AddUser(devtenant.User{ID: "alice"})
			tenant.AddUser(devtenant.User{ID: "bob"})
			tenant.AddApp(devtenant.App{
				ID: "app", Secret: "secret", RedirectURIs: []string{redirectURI}, PostLogoutRedirectURIs: []string{afterwards},
			})
			ask := tenant.Issuer() + "/auth?" + url.Values{
				"client_id": {"app"}, "redirect_uri": {redirectURI}, "response_type": {"code"}, "scope": {"openid"},
			}.Encode()
			browser := NewBrowser(t, tenant)
			for _, page := range []string{"asks", "does not ask"} {
				left := browser.SignIn(ask, "bob")
				if left.Host != "www.example.com" || left.Path != "/callback" || !left.Query().Has("code") {
					t.Errorf("the page %s: left for %s", page, left)
				}
			}
			end := tenant.Issuer() + "/session/end?" + url.Values{"client_id": {"app"}, "post_logout_redirect_uri": {afterwards}}.Encode()
			if page := browser.SignOut(end); page.Left == nil || page.Left.String() != afterwards {
				t.Errorf("signed out at %v, %d", page.Left, page.Status)
			}
			if page := browser.Open(ask); page.Left != nil || page.URL.Path != "/sign-in" {
				t.Errorf("signed in still: left for %v", page.Left)
			}
		})
	}
}
