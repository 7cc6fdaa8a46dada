package devtenant

import (
	"strings"
	"sync"
	"time"
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
	arrivals  int
	requests  [oidcEndpoints]int
	exchanges int
	refreshes int
	releases  int
	waiting   map[chan struct{}]struct{} // closed when requests or releases grow

	directory directory
	browsers  browsers
	issued    issued
	logouts   logouts
}

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
		directory: newDirectory(),
		browsers:  newBrowsers(),
		issued:    newIssued(),
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
