package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
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

	// caddy, members and admin are the addresses of the Caddyfile's sites, the
	// members' site and the routes of Caddy's admin API.
	caddy, members, admin string

	// client sends the requests of -check, visitor those of a browser.
	client  *http.Client
	visitor *visitor

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

	working, err := os.MkdirTemp("", "logto-demo-")
	if err != nil {
		return fmt.Errorf("making a directory for Caddy's storage: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(working)) }()

	// Stops what a load that failed half-way has started, too.
	defer func() { err = errors.Join(err, caddy.Stop()) }()
	sites, members, err := startCaddy(config, tenant.Endpoint(), working, logLevel)
	if err != nil {
		return err
	}
	tenant.inviteMembers(members)
	admin, err := startAdmin(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.stop()) }()
	// Its own transport: a proxy of the environment has no part in this.
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	visitor, err := newVisitor(transport)
	if err != nil {
		return err
	}
	return do(&stack{
		tenant: tenant, config: config, caddy: sites, members: members, admin: admin.address,
		client: &http.Client{Transport: transport, Timeout: 30 * time.Second}, visitor: visitor,
	})
}

// startCaddy loads the Caddyfile and the members' site, and returns the
// addresses they listen on.
func startCaddy(config, endpoint, working, logLevel string) (sites, members string, err error) {
	adapted, err := adapt(config, endpoint)
	if err != nil {
		return "", "", err
	}
	contained, err := contain(adapted, working, logLevel)
	if err != nil {
		return "", "", err
	}
	if err := caddy.Load(contained, true); err != nil {
		return "", "", fmt.Errorf("starting Caddy: %w", err)
	}
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		return "", "", fmt.Errorf("looking for Caddy's address: %w", err)
	}
	for name, server := range app.(*caddyhttp.App).Servers {
		address := server.Listeners()[0].Addr().String()
		if name == membersServer {
			members = address
		} else {
			sites = address
		}
	}
	return sites, members, nil
}
