package devtenanttest

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// errConnectionClosed is what a client sees of a server that hangs up.
var errConnectionClosed = errors.New("connection closed without an answer")

// Transport answers requests to the tenant's endpoint in memory, and fails
// those to any other host. Inside a testing/synctest bubble, where a real
// socket would stop the clock, faults and timeouts take no real time.
func Transport(tenant *devtenant.Tenant) http.RoundTripper {
	return transport{tenant}
}

type transport struct {
	tenant *devtenant.Tenant
}

// RoundTrip serves the request on the caller's goroutine.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	endpoint, err := url.Parse(t.tenant.Endpoint())
	if err != nil {
		return nil, fmt.Errorf("reading the tenant's endpoint: %w", err)
	}
	if !sameOrigin(r.URL, endpoint) {
		return nil, fmt.Errorf("connecting to %s: only the tenant can be reached", r.URL.Host)
	}
	return serve(t.tenant, r)
}

func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && a.Host == b.Host }

// serve answers a request as a server with this handler would.
func serve(handler http.Handler, r *http.Request) (response *http.Response, err error) {
	if ended := r.Context().Err(); ended != nil {
		return nil, ended
	}
	defer func() {
		switch thrown := recover(); thrown {
		case nil:
		case any(http.ErrAbortHandler):
			response, err = nil, cmp.Or(r.Context().Err(), errConnectionClosed)
		default:
			panic(thrown)
		}
	}()
	arrived := r.Clone(r.Context())
	if arrived.Host == "" {
		arrived.Host = r.URL.Host // a server's request always has one
	}
	if arrived.Body == nil {
		arrived.Body = http.NoBody // and a body
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, arrived)
	response = recorder.Result()
	response.Request = r
	return response, nil
}
