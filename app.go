package logtoauth

import (
	"errors"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

func init() {
	caddy.RegisterModule(&App{})
}

// appName is the ID of the app module.
const appName = "logto_auth"

// tenants holds the tenants of all configs that are loaded, so that a reload
// finds them again with their keys and the tokens that these have verified.
var tenants = caddy.NewUsagePool()

// tenant is what the sites with the same settings share: the tenant's keys, and
// the tokens that they have verified. It holds nothing of one config.
type tenant struct {
	keys   *keys.Set
	tokens *tokenCache
}

// tenantKey is what tenants are shared by.
type tenantKey struct {
	keys      keys.ID
	cacheSize int
}

// newTenant does no I/O: it also runs in `caddy validate`.
func newTenant(cfg keys.Config, cacheSize int) (*tenant, error) {
	tokens := newTokenCache(cacheSize)
	set, err := keys.New(cfg, tokens.sweep)
	if err != nil {
		return nil, err
	}
	return &tenant{set, tokens}, nil
}

// Destruct implements caddy.Destructor.
func (t *tenant) Destruct() error { return t.keys.Destruct() }

// App begins to fetch the tenants' keys when a config starts. It has no
// settings and need not be configured: a handler obtains it while it is
// provisioned, and Caddy then starts it with the config, which `caddy validate`
// never does.
type App struct {
	env keys.Environment

	storage session.Storage

	mu     sync.Mutex
	held   map[tenantKey]*tenant
	signIn heldApplications

	surveyed  sync.Once
	surveyErr error
	auths     []*foundAuth // every logto_auth of the config

	// provisioned are the handlers with endpoints, by what is written of them.
	// It does not change any more when the config is loaded.
	provisioned map[string]*Handler
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: appName, New: func() caddy.Module { return new(App) }}
}

// Provision takes from the config what its key sets may use.
func (a *App) Provision(ctx caddy.Context) error {
	a.env.Logger = ctx.Logger()
	a.env.Storage = ctx.Storage()
	a.storage = ctx.Storage()
	a.env.Observer = metrics.observeFetch
	return nil
}

// tenant returns the tenant with these settings and keeps it alive until the
// app is cleaned up, for every handler that asks. Nothing is fetched, but a
// jwks_file is read: here it must have a usable key.
func (a *App) tenant(cfg keys.Config, cacheSize int) (*tenant, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	cfg.Endpoint = keys.NormalizeEndpoint(cfg.Endpoint)
	key := tenantKey{cfg.ID(), cacheSize}
	if t, ok := a.held[key]; ok {
		return t, nil
	}
	value, _, err := tenants.LoadOrNew(key, func() (caddy.Destructor, error) { return newTenant(cfg, cacheSize) })
	if err != nil {
		return nil, err
	}
	t := value.(*tenant)
	t.keys.Attach(&a.env)
	if err := t.keys.ReadFile(); err != nil {
		return nil, errors.Join(err, a.release(key, t))
	}
	if a.held == nil {
		a.held = make(map[tenantKey]*tenant)
	}
	a.held[key] = t
	return t, nil
}

// provision notes a handler with endpoints, for others that are asked for them.
func (a *App) provision(h *Handler) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.provisioned == nil {
		a.provisioned = make(map[string]*Handler)
	}
	a.provisioned[h.written] = h
}

// Start implements caddy.App: the config is live, and fetching begins. Key
// sets that an earlier config has started just go on.
func (a *App) Start() error {
	for _, ks := range a.sets() {
		ks.GoLive(&a.env)
		ks.Start()
	}
	a.startSignIn()
	return nil
}

// Stop implements caddy.App. It ends no key set: Caddy also stops the new app
// when a reload has failed and the old config serves on.
func (a *App) Stop() error {
	for _, ks := range a.sets() {
		ks.Detach(&a.env)
	}
	a.stopSignIn()
	return nil
}

// Cleanup implements caddy.CleanerUpper. It lets go of the tenants; those
// that no other config holds end.
func (a *App) Cleanup() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	// Applications use tenants.
	errs := []error{a.releaseSignIn()}
	for key, t := range a.held {
		errs = append(errs, a.release(key, t))
	}
	a.held = nil
	return errors.Join(errs...)
}

func (a *App) release(key tenantKey, t *tenant) error {
	t.keys.Detach(&a.env)
	_, err := tenants.Delete(key)
	return err
}

func (a *App) sets() []*keys.Set {
	a.mu.Lock()
	defer a.mu.Unlock()
	sets := make([]*keys.Set, 0, len(a.held))
	for _, t := range a.held {
		sets = append(sets, t.keys)
	}
	return sets
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
