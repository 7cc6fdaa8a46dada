package devtenant

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Paths that a tenant serves, below its endpoint.
const (
	DiscoveryPath = "/oidc/.well-known/openid-configuration"
	JWKSPath      = "/oidc/jwks"
	TokenPath     = "/oidc/token"
)

// Options are the settings of a tenant. The zero value is a usable tenant.
type Options struct {
	// The issuer of tokens, and the `issuer` of the discovery document.
	// Default: `http://localhost:3001/oidc`, as a self-hosted Logto has it.
	Issuer string

	// The URL below which the discovery document places the tenant's
	// endpoints. Default: the issuer without `/oidc`.
	Endpoint string

	// The algorithm of the first signing key. Default: ES384.
	Algorithm string

	// The clock of `iat` and `exp`. Default: time.Now.
	Now func() time.Time

	// How long tokens live. Default: one hour.
	TokenTTL time.Duration
}

// Tenant is a throw-away Logto tenant. Its methods may be called concurrently.
type Tenant struct {
	now      func() time.Time
	tokenTTL time.Duration

	mu       sync.Mutex
	issuer   string
	endpoint string // empty: follows the issuer

	signing   *key
	published []*key // newest first
	foreign   []foreignKey
	jwks      []byte // served instead of the keys unless nil
	discovery []byte // served instead of the true document unless nil
	clients   map[string]client
	faults    [oidcEndpoints]Fault
	requests  [oidcEndpoints]int
	releases  int
	waiting   map[chan struct{}]struct{} // closed when requests or releases grow
}

// oidcEndpoint numbers what a tenant serves below its endpoint, as OIDC names it.
type oidcEndpoint int

const (
	discoveryEndpoint oidcEndpoint = iota
	jwksEndpoint
	tokenEndpoint
	oidcEndpoints
)

// New returns a tenant with one signing key. An unknown algorithm panics.
func New(opts Options) *Tenant {
	if opts.Issuer == "" {
		opts.Issuer = "http://localhost:3001/oidc"
	}
	if opts.Algorithm == "" {
		opts.Algorithm = "ES384"
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.TokenTTL == 0 {
		opts.TokenTTL = time.Hour
	}
	first := newKey(opts.Algorithm)
	return &Tenant{
		now:       opts.Now,
		tokenTTL:  opts.TokenTTL,
		issuer:    opts.Issuer,
		endpoint:  opts.Endpoint,
		signing:   first,
		published: []*key{first},
		clients:   map[string]client{},
		waiting:   map[chan struct{}]struct{}{},
	}
}

// Issuer returns the issuer of new tokens.
func (t *Tenant) Issuer() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.issuer
}

// SetIssuer changes the issuer of new tokens and of the discovery document.
func (t *Tenant) SetIssuer(issuer string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.issuer = issuer
}

// Endpoint returns the URL below which the tenant's endpoints are, without a
// trailing slash.
func (t *Tenant) Endpoint() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.endpointLocked()
}

// SetEndpoint places the tenant's endpoints below another URL, whatever the
// issuer is. If empty, they follow the issuer.
func (t *Tenant) SetEndpoint(url string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endpoint = url
}

func (t *Tenant) endpointLocked() string {
	if t.endpoint != "" {
		return strings.TrimSuffix(t.endpoint, "/")
	}
	return strings.TrimSuffix(t.issuer, "/oidc")
}

// ServeHTTP answers as the tenant, or as its faults ask.
func (t *Tenant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ep, found := route(r.URL.Path)
	switch {
	case !found:
		writeAnswer(w, notFound())
		return
	case preflight(r):
		writeAnswer(w, preflightAnswer(r))
		return
	case !allowed(ep, r.Method):
		writeAnswer(w, notFound())
		return
	}
	allowOrigin(w.Header(), r)
	if ep == tokenEndpoint {
		// The body is read before any fault: net/http notices that a client
		// went away only once the request's body is read to its end.
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		_ = r.ParseForm() // what cannot be parsed is a missing parameter
	}
	fault, released := t.arrive(ep)
	fault(&Exchange{
		Writer:       w,
		Request:      r,
		Answer:       func() Answer { return t.answer(ep, r) },
		awaitRelease: func(ctx context.Context) error { return t.await(ctx, released) },
	})
}

func route(path string) (ep oidcEndpoint, found bool) {
	switch path {
	case DiscoveryPath:
		return discoveryEndpoint, true
	case JWKSPath:
		return jwksEndpoint, true
	case TokenPath:
		return tokenEndpoint, true
	}
	return 0, false
}

func allowed(ep oidcEndpoint, method string) bool {
	if ep == tokenEndpoint {
		return method == http.MethodPost
	}
	return method == http.MethodGet || method == http.MethodHead
}

func (t *Tenant) answer(ep oidcEndpoint, r *http.Request) Answer {
	switch ep {
	case discoveryEndpoint:
		return discoveryAnswer(t.Discovery())
	case jwksEndpoint:
		return jwksAnswer(t.JWKS(), r.Header.Get("If-None-Match"))
	default:
		return t.tokenAnswer(r)
	}
}
