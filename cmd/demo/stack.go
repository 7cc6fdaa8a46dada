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

	settings

	// directory has the files of the tokens.
	directory string
	wallet    *wallet

	// journal has what Caddy logs.
	journal *journal

	// caddy, members and admin are the addresses of the Caddyfile's sites, the
	// members' site and the routes of Caddy's admin API.
	caddy, members, admin string

	// client sends the requests of -check, visitor those of a browser.
	client  *http.Client
	visitor *visitor

	// first is a token that the tenant's first key has signed, for -check.
	first string
}

// settings say what to run.
type settings struct {
	// config is the Caddyfile that Caddy serves.
	config string

	// guided is true if that is Caddyfile.example, which guide and page show.
	guided bool

	logLevel string
}

// withStack starts the tenant and Caddy, runs do, and ends both.
func withStack(ctx context.Context, settings settings, do func(*stack) error) (err error) {
	s := &stack{settings: settings, journal: newJournal()}
	current.Store(s.journal)
	if s.tenant, err = newTenant(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.tenant.stop()) }()

	// Only this user may enter it.
	if s.directory, err = os.MkdirTemp("", "logto-demo-"); err != nil {
		return fmt.Errorf("making a directory for tokens and Caddy's storage: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.directory)) }()
	s.wallet = &wallet{directory: s.directory}
	if err := s.wallet.renew(s.tenant); err != nil {
		return err
	}

	page, err := newPage()
	if err != nil {
		return err
	}
	pageServer, err := listen(ctx, "127.0.0.1:0", page)
	if err != nil {
		return fmt.Errorf("listening for the page: %w", err)
	}
	defer func() { err = errors.Join(err, pageServer.stop()) }()

	// Stops what a load that failed half-way has started, too.
	defer func() { err = errors.Join(err, caddy.Stop()) }()
	if err := s.startCaddy(pageServer.address); err != nil {
		return err
	}
	s.tenant.inviteMembers(s.members)
	admin, err := startAdmin(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.stop()) }()
	s.admin = admin.address
	// Its own transport: a proxy of the environment has no part in this.
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	s.client = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	if s.visitor, err = newVisitor(transport); err != nil {
		return err
	}
	page.stack.Store(s)
	return do(s)
}

// startCaddy loads the Caddyfile, the page and the members' site, and notes the
// addresses they listen on.
func (s *stack) startCaddy(page string) error {
	if !s.guided {
		page = ""
	}
	adapted, err := adapt(s.config, s.tenant.Endpoint())
	if err != nil {
		return err
	}
	contained, err := contain(adapted, s.directory, s.logLevel, page)
	if err != nil {
		return err
	}
	if err := caddy.Load(contained, true); err != nil {
		return fmt.Errorf("starting Caddy: %w", err)
	}
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		return fmt.Errorf("looking for Caddy's address: %w", err)
	}
	for name, server := range app.(*caddyhttp.App).Servers {
		address := server.Listeners()[0].Addr().String()
		if name == membersServer {
			s.members = address
		} else {
			s.caddy = address
		}
	}
	if page == "" {
		return nil
	}
	// The members' pages link to it.
	return os.Setenv("DEMO_PAGE", "http://"+s.caddy+"/")
}
