package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the directives of the Caddyfile

	_ "github.com/caddy-logto/caddy-logto-auth"
)

// stack is what the demo runs.
type stack struct {
	tenant *tenantServer

	// config is the Caddyfile that Caddy serves.
	config string

	// caddy and admin are the addresses that Caddy and the routes of its admin
	// API listen on.
	caddy, admin string

	// client sends the requests of -check.
	client *http.Client

	// first is a token that the tenant's first key has signed, for -check.
	first string
}

// withStack starts the tenant and Caddy, runs do, and ends both.
func withStack(ctx context.Context, config, logLevel string, do func(*stack) error) (err error) {
	tenant, err := newTenant(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tenant.stop()) }()

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
	admin, err := startAdmin(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.stop()) }()
	// Its own transport: a proxy of the environment has no part in this.
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	return do(&stack{
		tenant: tenant, config: config, caddy: address, admin: admin.address,
		client: &http.Client{Transport: transport, Timeout: 30 * time.Second},
	})
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
