package main

import (
	"context"
	"fmt"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// A client of the tenant, for those who want tokens of their own.
const (
	demoClient = "demo"
	demoSecret = "demo-secret"
)

// permissions are what that client may ask for.
var permissions = []devtenant.Permission{
	{Resource: api, Scopes: []string{"read:products", "write:orders"}},
	{OrganizationID: acme, Scopes: []string{"read:members"}},
	{Resource: api, OrganizationID: acme, Scopes: []string{"read:invoices"}},
}

// tenantServer is a tenant that can go away and come back. It issues tokens
// all the while, as if they had been fetched before.
type tenantServer struct {
	*devtenant.Tenant
	server  *server // nil while it is away
	address string
}

// newTenant serves a new tenant on a free loopback port.
func newTenant(ctx context.Context) (*tenantServer, error) {
	tenant := devtenant.New(devtenant.Options{
		// The printed tokens should last as long as somebody plays with them.
		TokenTTL: 24 * time.Hour,
	})
	tenant.RegisterClient(demoClient, demoSecret, permissions...)
	t := &tenantServer{Tenant: tenant, address: "127.0.0.1:0"}
	if err := t.start(ctx); err != nil {
		return nil, err
	}
	t.SetIssuer("http://" + t.address + "/oidc")
	return t, nil
}

// start serves the tenant, from the second time on where it was before.
func (t *tenantServer) start(ctx context.Context) error {
	started, err := listen(ctx, t.address, t.Tenant)
	if err != nil {
		return fmt.Errorf("listening for the tenant: %w", err)
	}
	t.server, t.address = started, started.address
	return nil
}

// stop takes the tenant off the network, if it is there.
func (t *tenantServer) stop() error {
	if t.server == nil {
		return nil
	}
	stopping := t.server
	t.server = nil
	return stopping.stop()
}
