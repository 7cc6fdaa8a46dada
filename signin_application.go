package logtoauth

import (
	"context"
	"crypto/sha256"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
	"github.com/caddy-logto/caddy-logto-auth/internal/memory"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
	"github.com/caddy-logto/caddy-logto-auth/internal/tokenendpoint"
)

// maxIdentities and maxIdentityBytes bound the claims that are kept decoded.
const (
	maxIdentities    = 10_000
	maxIdentityBytes = 32 << 20
)

// application is one app of a tenant: what the sites that sign people in with
// it share, across reloads. It holds nothing of one config.
type application struct {
	issuer, clientID string

	ring       *session.KeyRing
	endpoint   *tokenendpoint.Client
	refresher  *session.Refresher
	identities *memory.Memory[identity]  // by the session's id
	counted    *memory.Memory[struct{}]  // sessions that were counted as ended
	cutOffs    *memory.Memory[struct{}]  // sessions whose refresh token was revoked because of the list
	inVain     *memory.Memory[time.Time] // sessions whose replaced token was revoked, too, and when
	validator  validator
	*endings

	life context.Context
	end  context.CancelFunc

	forgedLogout atomic.Bool // the last back-channel logout was refused

	mu     sync.Mutex
	failed session.Kind // the last failure of the token endpoint, as logged
}

// applicationKey is what applications are shared by. Sites with other rules for
// tokens verify ID tokens by these.
type applicationKey struct {
	tenant           tenantKey
	issuer, clientID string
	secrets          [sha256.Size]byte
	algorithms       string
	leeway           int64
}

// applicationSettings are what an application is made of.
type applicationSettings struct {
	tenant                 *tenant
	config                 keys.Config
	cacheSize              int
	clientID, clientSecret string
	sealing                [][]byte
	rules                  tokenRules
}

func (s *applicationSettings) issuer() string { return s.config.AcceptedIssuers()[0] }

func (s *applicationSettings) key() applicationKey {
	digest := sha256.New()
	for _, secret := range append([][]byte{[]byte(s.clientSecret)}, s.sealing...) {
		sum := sha256.Sum256(secret)
		digest.Write(sum[:])
	}
	return applicationKey{
		tenant: tenantKey{s.config.ID(), s.cacheSize},
		issuer: s.issuer(), clientID: s.clientID,
		secrets:    [sha256.Size]byte(digest.Sum(nil)),
		algorithms: strings.Join(s.rules.algorithms, " "),
		leeway:     s.rules.leeway,
	}
}

// newApplication does no I/O: it also runs in `caddy validate`.
func newApplication(s *applicationSettings, shared *endings) (*application, error) {
	a := &application{issuer: s.issuer(), clientID: s.clientID, endings: shared}
	ring, err := session.NewKeyRing(a.issuer, a.clientID, s.sealing...)
	if err != nil {
		return nil, err
	}
	a.ring = ring
	a.life, a.end = context.WithCancel(context.Background())
	// Discovery's endpoints follow the Host of the request that asked for them,
	// so they are not used.
	base := strings.TrimSuffix(a.issuer, "/")
	if s.config.Endpoint != "" {
		base = s.config.Endpoint + keys.IssuerPath
	}
	a.endpoint = tokenendpoint.New(s.tenant.keys.HTTPClient(), tokenendpoint.Config{
		TokenURL: base + "/token", RevocationURL: base + "/token/revocation",
		ClientID: s.clientID, ClientSecret: s.clientSecret,
		Timeout: s.config.FetchTimeout,
	})
	a.validator = validator{keys: s.tenant.keys, tokens: s.tenant.tokens, rules: tokenRules{
		algorithms: s.rules.algorithms, issuers: []string{a.issuer}, leeway: s.rules.leeway,
	}}
	a.identities = memory.New[identity](maxIdentities, maxIdentityBytes)
	a.inVain = memory.New[time.Time](maxIdentities, maxIdentityBytes)
	a.counted = memory.New[struct{}](maxIdentities, maxIdentityBytes)
	a.cutOffs = memory.New[struct{}](maxIdentities, maxIdentityBytes)
	a.refresher = session.NewRefresher(a.life, session.RefresherOptions{
		Endpoint: a.endpoint.ForSessions(a.verifyRefreshed),
		Gate:     shared.gate,
		Timeout:  s.config.FetchTimeout,
		Now:      systemClock,
		Ended:    a.hasEnded,
		Report:   a.reportRefresh,
	})
	return a, nil
}

// Destruct implements caddy.Destructor.
func (a *application) Destruct() error {
	a.end()
	return nil
}

// reportRefresh counts a token request for a session.
func (a *application) reportRefresh(_ session.Target, failure *session.TokenError) {
	if failure == nil {
		metrics.sessionRefreshes.WithLabelValues("ok").Inc()
		a.reportEndpoint(0, nil)
		return
	}
	metrics.sessionRefreshes.WithLabelValues(failure.Kind.String()).Inc()
	a.reportEndpoint(failure.Kind, failure)
}

// reportEndpoint logs once when the token endpoint begins to fail, and once
// when it works again. Failures that say something of one person are no news.
func (a *application) reportEndpoint(kind session.Kind, err error) {
	switch kind {
	case session.Unavailable, session.Busy, session.WrongClient:
	default:
		kind = 0
	}
	a.mu.Lock()
	before := a.failed
	a.failed = kind
	a.mu.Unlock()
	if kind == before {
		return
	}
	logger, client := a.logger(), zap.String("client_id", legible.Field(a.clientID))
	switch kind {
	case 0:
		logger.Info("the tenant's token endpoint works again", client)
	case session.WrongClient:
		logger.Error("the tenant does not know the app or its secret (invalid_client), so nobody can sign in; "+
			"compare the app id and the app secret of sign_in with the app in the Logto console, which must be a Traditional web app",
			client, zap.String("error", legible.Error(err)))
	default:
		logger.Warn("the tenant's token endpoint cannot be used; sessions go on until their tokens expire", client, zap.String("error", legible.Error(err)))
	}
}

// Interface guard.
var _ caddy.Destructor = (*application)(nil)
