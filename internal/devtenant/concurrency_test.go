package devtenant_test

import (
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// Means something under the race detector only.
func TestConcurrentSignIns(t *testing.T) {
	s := newSite(t)
	s.backChannel(true)
	kept := s.refreshToken(nil)
	var all sync.WaitGroup
	for _, use := range []func(*site){
		func(s *site) { s.refresh(s.refreshToken(nil), nil) },
		func(s *site) { s.refresh(s.refreshToken(url.Values{"client_id": {spa}}), public) },
		func(s *site) { s.revoke(s.refreshToken(nil), nil) },
		func(s *site) { s.signIn(nil); s.browser.SignOut(s.endSession(nil)) },
		func(s *site) { _, _ = s.Logouts(t.Context()) },
		func(s *site) { s.AddMember(otherOrg, bob); s.RemoveMember(otherOrg, bob); s.SetPermissions(bob) },
		func(s *site) { s.Suspend(bob); s.SuspensionEvent(bob); s.Reinstate(bob); s.EndSessions(bob, true) },
		func(s *site) {
			s.AddUser(devtenant.User{ID: "carol"})
			s.DeleteUser("carol")
			s.AddResource("x")
			s.DeleteResource("x")
		},
		func(s *site) { s.WithdrawApp(web, bob); s.AllowApp(web, bob); s.SignInAs(alice); s.DeliverLogouts(nil) },
		func(s *site) { s.refresh(kept, nil) },
	} {
		all.Go(func() {
			mine := *s
			mine.browser = devtenanttest.NewBrowser(t, s.Tenant)
			for range 5 {
				use(&mine)
			}
		})
	}
	all.Wait()
	if status, answer := s.refresh(kept, nil); status != 200 {
		t.Errorf("status %d, %v", status, answer)
	}
}

// Means something under the race detector only.
func TestConcurrentUse(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	var all sync.WaitGroup
	for _, use := range []func(){
		func() { tenant.Rotate("") },
		func() { tenant.RemoveKey(tenant.Stage("ES256")) },
		func() { tenant.AddKey(map[string]any{"kid": "foreign"}) },
		func() { tenant.SetJWKS(tenant.JWKS()) },
		func() { tenant.SetDiscovery(tenant.Discovery()) },
		func() { tenant.SetIssuer(tenant.Issuer()) },
		func() { tenant.SetEndpoint(tenant.Endpoint()) },
		func() { tenant.SetFault(devtenant.ServerError) },
		func() { tenant.RegisterClient(machine, secret) },
		func() { tenant.Token(devtenant.TokenRequest{Resource: api}) },
		func() { tenant.Counts() },
		func() { tenant.Release() },
		func() { ask(tenant, http.MethodGet, devtenant.JWKSPath, nil) },
		func() { ask(tenant, http.MethodGet, devtenant.DiscoveryPath, nil) },
		func() { ask(tenant, http.MethodPost, devtenant.TokenPath, nil) },
	} {
		all.Go(func() {
			for range 20 {
				use()
			}
		})
	}
	if err := tenant.Wait(t.Context(), func(c devtenant.Counts) bool { return c.JWKS+c.Discovery+c.Token == 60 }); err != nil {
		t.Error(err)
	}
	all.Wait()
}
