package logtoauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/configs"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
	"github.com/caddy-logto/caddy-logto-auth/internal/memory"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
	"github.com/caddy-logto/caddy-logto-auth/internal/tokenendpoint"
)

// What sign-ins share outlives the configs that use it, so that a reload loses
// no session and no code is sent twice. See [application] and [endings].
var (
	applications = caddy.NewUsagePool()
	endedLists   = caddy.NewUsagePool()
)

const (
	// endedPrefix is the directory in Caddy's storage below which the lists of
	// ended sessions are, one for each issuer.
	endedPrefix = "logto_auth/ended/"

	// endedInterval is how often the newest entries are read, for sessions that
	// ended at another replica.
	endedInterval = 10 * time.Second

	// maxIdentities and maxIdentityBytes bound the claims that are kept decoded.
	maxIdentities    = 10_000
	maxIdentityBytes = 32 << 20
)

// endings is what all apps of one tenant share: the list of ended sessions, the
// codes that were exchanged, and the bound on token requests.
type endings struct {
	issuer  string
	list    *session.List
	gate    *session.Gate
	ledger  *session.Ledger[signedIn] // here, since no change of a setting may make a code come twice
	configs configs.Lent[App]
	joined  *joinedLists // the tenant's, this one among them
	life    context.Context
	end     context.CancelFunc

	// longest is the longest lifetime of all sign_in, in nanoseconds: each of
	// them may have to know what another one has ended.
	longest atomic.Int64
}

// lastFor notes that sessions may last so long.
func (e *endings) lastFor(lifetime time.Duration) {
	for {
		known := e.longest.Load()
		if known >= int64(lifetime) || e.longest.CompareAndSwap(known, int64(lifetime)) {
			return
		}
	}
}

func newEndings(issuer string) *endings {
	e := &endings{issuer: issuer, gate: session.NewGate()}
	e.joined = newJoinedLists(e)
	e.life, e.end = context.WithCancel(context.Background())
	e.ledger = session.NewLedger[signedIn](e.life, systemClock)
	digest := sha256.Sum256([]byte(issuer))
	e.list = session.NewList(session.ListOptions{
		Prefix:   endedPrefix + hex.EncodeToString(digest[:16]),
		Storage:  e.storage,
		Interval: e.interval,
		Now:      systemClock,
		Report:   e.report,
	})
	return e
}

// storage is that of the newest live config.
func (e *endings) storage() session.Storage {
	if app := e.configs.Current(); app != nil && app.storage != nil {
		return app.storage
	}
	return nil
}

// interval is how often the newest entries are read.
func (e *endings) interval() time.Duration {
	if e.keep() > 0 {
		return revokedInterval
	}
	return endedInterval
}

// keep is how long entries about tokens are kept, or 0 where none is needed.
func (e *endings) keep() time.Duration {
	if app := e.configs.Current(); app != nil {
		return app.signIn.keeps.of(e.issuer)
	}
	return 0
}

// logger is that of the newest live config.
func (e *endings) logger() *zap.Logger {
	if app := e.configs.Current(); app != nil && app.env.Logger != nil {
		return app.env.Logger
	}
	return zap.NewNop()
}

// report logs what happens to the list, once per change.
func (e *endings) report(event session.Event, err error) {
	logger, cause := e.logger(), zap.Skip()
	if err != nil {
		cause = zap.String("error", legible.Error(err))
	}
	switch event {
	case session.ReadFailed:
		logger.Warn("the list of ended sessions cannot be read; the last one serves on, and sessions that end at other replicas do not end here", cause)
	case session.ReadRecovered:
		logger.Info("the list of ended sessions can be read again")
	case session.WriteFailed:
		logger.Warn("an ended session cannot be stored; it has ended here, but not at other replicas and not after a restart", cause)
	case session.WriteRecovered:
		logger.Info("ended sessions can be stored again")
	case session.EntryUnreadable:
		logger.Warn("an entry in the list of ended sessions cannot be read and is left out", cause)
	case session.ListIsFull:
		logger.Error("the list of ended sessions is full, so sessions that end now go on until they expire; use a shorter lifetime", cause)
	case session.EntriesFolded:
		logger.Info("many sessions of one person have ended; all but the youngest 32 of them are one entry of the list now")
	}
}

// Destruct implements caddy.Destructor. What is still to be stored is, unless
// the storage hangs.
func (e *endings) Destruct() error {
	e.end()
	e.list.Join()
	return nil
}

// application is one app of a tenant: what the sites that sign people in with
// it share, across reloads. It holds nothing of one config.
type application struct {
	issuer, clientID string

	ring       *session.KeyRing
	endpoint   *tokenendpoint.Client
	refresher  *session.Refresher
	identities *memory.Memory[identity] // by the session's id
	cutOffs    *memory.Memory[struct{}] // sessions whose refresh token was revoked because of the list
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

// ended is a context that has ended, with which nothing waits.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// await waits until the list has been read once.
func (e *endings) await(ctx context.Context, timeout time.Duration) error {
	e.list.Start(e.life) // a request may come before the app's Start
	if e.list.Wait(ended) == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return e.list.Wait(ctx)
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

// heldApplications are the applications and lists that one config holds.
type heldApplications struct {
	apps  map[applicationKey]*application
	lists map[string]*endings // by issuer
	keeps keeps

	// tenants are the lists that belong together, by all names of a tenant.
	tenants map[string]*tenantLists
}

// keeps is how long the sites of one config with revocation keep entries about
// tokens, by issuer; the longest counts. It has a lock of its own: a list asks
// for it while the config may be waiting for the list to end.
type keeps struct {
	mu       sync.Mutex
	byIssuer map[string]time.Duration
}

// atLeast notes how long a site keeps entries.
func (k *keeps) atLeast(issuer string, keep time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byIssuer == nil {
		k.byIssuer = make(map[string]time.Duration)
	}
	k.byIssuer[issuer] = max(k.byIssuer[issuer], keep)
}

// of returns how long entries are kept, or 0 if no site of the config judges
// tokens of this issuer by the list.
func (k *keeps) of(issuer string) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.byIssuer[issuer]
}

// listOf returns the list of an issuer and keeps it alive until the app is
// cleaned up.
func (a *App) listOf(issuer string) (*endings, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.endings(issuer)
}

// application returns the application with these settings and keeps it alive
// until the app is cleaned up.
func (a *App) application(s *applicationSettings) (*application, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := s.key()
	if held, ok := a.signIn.apps[key]; ok {
		return held, nil
	}
	shared, err := a.endings(key.issuer)
	if err != nil {
		return nil, err
	}
	value, _, err := applications.LoadOrNew(key, func() (caddy.Destructor, error) { return newApplication(s, shared) })
	if err != nil {
		return nil, err
	}
	if a.signIn.apps == nil {
		a.signIn.apps = make(map[applicationKey]*application)
	}
	a.signIn.apps[key] = value.(*application)
	return a.signIn.apps[key], nil
}

// endings returns what the apps of a tenant share. The caller holds mu.
func (a *App) endings(issuer string) (*endings, error) {
	if held, ok := a.signIn.lists[issuer]; ok {
		return held, nil
	}
	value, _, err := endedLists.LoadOrNew(issuer, func() (caddy.Destructor, error) { return newEndings(issuer), nil })
	if err != nil {
		return nil, err
	}
	if a.signIn.lists == nil {
		a.signIn.lists = make(map[string]*endings)
	}
	shared := value.(*endings)
	shared.configs.Attach(a)
	a.signIn.lists[issuer] = shared
	return shared, nil
}

// startSignIn begins to read the lists of ended sessions.
func (a *App) startSignIn() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, shared := range a.signIn.lists {
		shared.configs.GoLive(a)
		shared.list.Start(shared.life)
		shared.list.Hurry() // the config may want it read more often
	}
}

// stopSignIn takes the config's storage and logger back.
func (a *App) stopSignIn() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, shared := range a.signIn.lists {
		shared.configs.Detach(a)
	}
}

// releaseSignIn lets go of what sign-ins share. The caller holds mu.
func (a *App) releaseSignIn() error {
	var errs []error
	for key := range a.signIn.apps {
		_, err := applications.Delete(key)
		errs = append(errs, err)
	}
	for _, shared := range a.signIn.lists {
		shared.joined.forget(a) // before any of them ends
	}
	for issuer, shared := range a.signIn.lists {
		shared.configs.Detach(a)
		_, err := endedLists.Delete(issuer)
		errs = append(errs, err)
	}
	a.signIn.apps, a.signIn.lists, a.signIn.tenants = nil, nil, nil
	return errors.Join(errs...)
}

// Interface guards.
var (
	_ caddy.Destructor = (*application)(nil)
	_ caddy.Destructor = (*endings)(nil)
)
