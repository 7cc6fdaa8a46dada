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
func (t transport) RoundTrip(r *http.Request) (response *http.Response, err error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	endpoint, err := url.Parse(t.tenant.Endpoint())
	if err != nil {
		return nil, fmt.Errorf("reading the tenant's endpoint: %w", err)
	}
	if r.URL.Scheme != endpoint.Scheme || r.URL.Host != endpoint.Host {
		return nil, fmt.Errorf("connecting to %s: only the tenant can be reached", r.URL.Host)
	}
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
	if arrived.Body == nil {
		arrived.Body = http.NoBody // a server's request always has one
	}
	recorder := httptest.NewRecorder()
	t.tenant.ServeHTTP(recorder, arrived)
	response = recorder.Result()
	response.Request = r
	return response, nil
}
