package devtenant_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

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
