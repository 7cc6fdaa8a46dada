// Package devtenanttest puts a throw-away tenant behind a test server or an
// in-memory transport. It is apart from devtenant so that the demo does not
// link package testing.
package devtenanttest

import (
	"net/http/httptest"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// Server is a tenant that listens on the loopback interface.
type Server struct {
	*devtenant.Tenant
	*httptest.Server
}

// NewServer starts a tenant over plain http and closes it when the test ends.
// Its issuer is its own URL and `/oidc`, unless the options name another; its
// endpoints are always its own.
func NewServer(tb testing.TB, opts devtenant.Options) *Server {
	tb.Helper()
	return start(tb, opts, (*httptest.Server).Start)
}

// NewTLSServer is [NewServer] over https, with the certificate that
// Server.Certificate returns.
func NewTLSServer(tb testing.TB, opts devtenant.Options) *Server {
	tb.Helper()
	return start(tb, opts, (*httptest.Server).StartTLS)
}

func start(tb testing.TB, opts devtenant.Options, listen func(*httptest.Server)) *Server {
	tb.Helper()
	tenant := devtenant.New(opts)
	server := httptest.NewUnstartedServer(tenant)
	listen(server)
	tb.Cleanup(func() {
		// Close waits for requests under way, and a fault may hold some for
		// ever.
		server.CloseClientConnections()
		server.Close()
	})
	tenant.SetEndpoint(server.URL)
	if opts.Issuer == "" {
		tenant.SetIssuer(server.URL + "/oidc")
	}
	return &Server{Tenant: tenant, Server: server}
}
