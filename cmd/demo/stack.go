package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the directives of the Caddyfile

	_ "github.com/caddy-logto/caddy-logto-auth"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// shutdownTimeout bounds how long the tenant waits for requests under way.
const shutdownTimeout = 5 * time.Second

// A client of the tenant, for those who want tokens of their own.
const (
	demoClient = "demo"
	demoSecret = "demo-secret"
)

// stack is what the demo runs.
type stack struct {
	tenant *devtenant.Tenant

	// config is the Caddyfile that Caddy serves.
	config string

	// caddy is the address that Caddy listens on.
	caddy string
}

// withStack starts the tenant and Caddy, runs do, and ends both.
func withStack(ctx context.Context, config, logLevel string, do func(*stack) error) (err error) {
	tenant, stopTenant, err := startTenant(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopTenant()) }()

	storage, err := os.MkdirTemp("", "logto-demo-")
	if err != nil {
		return fmt.Errorf("making a directory for Caddy's storage: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(storage)) }()

	// Stops what a load that failed half-way has started, too.
	defer func() { err = errors.Join(err, caddy.Stop()) }()
	address, err := startCaddy(config, tenant.Endpoint(), storage, logLevel)
	if err != nil {
		return err
	}
	return do(&stack{tenant: tenant, config: config, caddy: address})
}

// startTenant serves a new tenant on a free loopback port.
func startTenant(ctx context.Context) (*devtenant.Tenant, func() error, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("listening for the tenant: %w", err)
	}
	tenant := devtenant.New(devtenant.Options{
		Issuer: "http://" + listener.Addr().String() + "/oidc",
		// The printed tokens should last as long as somebody plays with them.
		TokenTTL: 24 * time.Hour,
	})
	tenant.RegisterClient(demoClient, demoSecret,
		devtenant.Permission{Resource: api, Scopes: []string{"read:products", "write:orders"}},
		devtenant.Permission{OrganizationID: "acme", Scopes: []string{"read:members"}},
		devtenant.Permission{Resource: api, OrganizationID: "acme", Scopes: []string{"read:invoices"}},
	)
	server := &http.Server{Handler: tenant, ReadHeaderTimeout: shutdownTimeout}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	stop := func() error {
		// The context ends when the demo is interrupted, which is just now.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			return fmt.Errorf("stopping the tenant: %w", err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving the tenant: %w", err)
		}
		return nil
	}
	return tenant, stop, nil
}

// startCaddy loads the Caddyfile and returns the address it listens on.
func startCaddy(config, endpoint, storage, logLevel string) (string, error) {
	adapted, err := adapt(config, endpoint)
	if err != nil {
		return "", err
	}
	contained, err := contain(adapted, storage, logLevel)
	if err != nil {
		return "", err
	}
	if err := caddy.Load(contained, true); err != nil {
		return "", fmt.Errorf("starting Caddy: %w", err)
	}
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		return "", fmt.Errorf("looking for Caddy's address: %w", err)
	}
	servers := slices.Collect(maps.Values(app.(*caddyhttp.App).Servers))
	return servers[0].Listeners()[0].Addr().String(), nil
}
