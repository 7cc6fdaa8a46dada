package keys

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/fields"
)

const (
	maxResponseBody   = 1 << 20
	maxResponseHeader = 64 << 10
	maxRedirects      = 3

	// idleConnTimeout is long enough for discovery and keys to share a
	// connection, and short against refresh_interval.
	idleConnTimeout = 30 * time.Second

	// maxIdleConns matters to sign-ins before a tenant without HTTP/2, where
	// each token request needs a connection of its own: of up to 64 at once
	// (session.Gate) so many are kept, so that the next do not begin with a
	// handshake each. The keys, and Logto Cloud's HTTP/2, need one.
	maxIdleConns = 16
)

// newTenantClient returns the HTTP client for one tenant. It has a transport
// of its own: another tenant's CA must not vouch for this one's keys.
func newTenantClient(cfg Config) (*http.Client, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.TrustedCA != "" {
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM([]byte(cfg.TrustedCA)) {
			return nil, errors.New("trusted_ca_file: no PEM certificate in it")
		}
	}
	return &http.Client{
		CheckRedirect: checkRedirect,
		Transport: &http.Transport{
			Proxy: notForLocalhost(http.ProxyFromEnvironment),
			// A dial goes on after its request gave up, so it has a bound of
			// its own.
			DialContext:            dialTenant(cfg.FetchTimeout),
			TLSClientConfig:        tlsConfig,
			TLSHandshakeTimeout:    cfg.FetchTimeout,
			ResponseHeaderTimeout:  cfg.FetchTimeout,
			MaxResponseHeaderBytes: maxResponseHeader,
			ForceAttemptHTTP2:      true, // lost otherwise with a DialContext or TLSClientConfig of one's own
			MaxIdleConnsPerHost:    maxIdleConns,
			IdleConnTimeout:        idleConnTimeout,
		},
	}, nil
}

// notForLocalhost keeps requests for names below localhost away from a proxy,
// as net/http does for localhost itself.
func notForLocalhost(proxy func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(req *http.Request) (*url.URL, error) {
		if fields.IsBelowLocalhost(req.URL.Hostname()) {
			return nil, nil //nolint:nilnil // net/http's way to say: no proxy
		}
		return proxy(req)
	}
}

// dialTenant returns what connects to a tenant. Names below localhost count as
// loopback, also where plain http is allowed for that only. But Go asks DNS for
// them, whose answer may name any machine, so they are not looked up.
func dialTenant(timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: timeout}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, port, err := net.SplitHostPort(address); err == nil && fields.IsBelowLocalhost(host) {
			address = net.JoinHostPort("localhost", port)
		}
		return dialer.DialContext(ctx, network, address)
	}
}

// checkRedirect lets a tenant move an address on its own origin only: a
// redirect to another host would let it name whose keys we trust, one to
// plain http who may change them on the way.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return failure(failureRedirect, fmt.Errorf("more than %d redirects", maxRedirects))
	}
	if origin(req.URL) != origin(via[0].URL) || req.URL.User != nil {
		return failure(failureRedirect, errors.New("redirected to another scheme, host or port"))
	}
	return nil
}

// answer is what came of one request: a document, or the word that the one
// with our ETag has not changed.
type answer struct {
	body        []byte
	etag        string
	notModified bool
}

// get asks for one JSON document, with the ETag of the copy we hold, if any.
func get(ctx context.Context, client *http.Client, address, etag string) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	req.Header.Set("User-Agent", "caddy-logto-auth")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := client.Do(req)
	if err != nil {
		// net/http names the URL of the last redirect, which may hold anything.
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err
		}
		return nil, failure(networkFailure(err), fmt.Errorf("%s: %w", address, err))
	}
	defer resp.Body.Close() // unread, it closes the connection too
	switch {
	case resp.StatusCode == http.StatusNotModified && etag != "":
		return &answer{notModified: true}, nil
	case resp.StatusCode != http.StatusOK:
		return nil, &fetchError{
			kind: failureStatus, status: resp.StatusCode,
			err: fmt.Errorf("%s answered %s", address, resp.Status),
		}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponseBody+1))
	if err != nil {
		return nil, failure(networkFailure(err), fmt.Errorf("reading the answer of %s: %w", address, err))
	}
	if len(body) > maxResponseBody {
		return nil, failure(failureTooLarge, fmt.Errorf("the answer of %s is larger than 1 MiB", address))
	}
	return &answer{body: body, etag: usableETag(resp.Header.Get("ETag"))}, nil
}

var etagSyntax = regexp.MustCompile(`^(W/)?"[\x21\x23-\x7e]{0,254}"$`)

// usableETag returns an ETag that may be sent back (RFC 9110 section 8.8.3).
// net/http accepts others in an answer but refuses to send them, which would
// make every later request fail.
func usableETag(etag string) string {
	if !etagSyntax.MatchString(etag) {
		return ""
	}
	return etag
}
