package logtoauth

import (
	"errors"
	"sync"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(&App{})
}

// appName is the ID of the app module.
const appName = "logto_auth"

// keySets holds the key sets of all configs that are loaded, so that a reload
// finds them again with their keys.
var keySets = caddy.NewUsagePool()

// App is what key sets wait for before they fetch. It has no settings and
// need not be configured: a handler obtains it while it is provisioned, and
// Caddy then starts it with the config, which `caddy validate` never does.
type App struct {
	env environment

	mu   sync.Mutex
	held map[tenantKey]*KeySet

	surveyed sync.Once
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: appName, New: func() caddy.Module { return new(App) }}
}

// Provision takes from the config what its key sets may use.
func (a *App) Provision(ctx caddy.Context) error {
	a.env.logger = ctx.Logger()
	a.env.storage = ctx.Storage()
	a.env.observer = metrics.observeFetch
	return nil
}

// keySet returns the key set for these settings and keeps it alive until the
// app is cleaned up, for every handler that asks. Nothing is fetched, but a
// jwks_file is read: here it must have a usable key.
func (a *App) keySet(cfg tenantConfig) (*KeySet, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	cfg.Endpoint = normalizeEndpoint(cfg.Endpoint)
	key := cfg.key()
	if ks, ok := a.held[key]; ok {
		return ks, nil
	}
	value, _, err := keySets.LoadOrNew(key, func() (caddy.Destructor, error) { return newKeySet(cfg) })
	if err != nil {
		return nil, err
	}
	ks := value.(*KeySet)
	ks.attach(&a.env)
	if err := ks.readFile(); err != nil {
		return nil, errors.Join(err, a.release(key, ks))
	}
	if a.held == nil {
		a.held = make(map[tenantKey]*KeySet)
	}
	a.held[key] = ks
	return ks, nil
}

// Start implements caddy.App: the config is live, and fetching begins. Key
// sets that an earlier config has started just go on.
func (a *App) Start() error {
	for _, ks := range a.sets() {
		ks.goLive(&a.env)
		ks.start()
	}
	return nil
}

// Stop implements caddy.App. It ends no key set: Caddy also stops the new app
// when a reload has failed and the old config serves on.
func (a *App) Stop() error {
	for _, ks := range a.sets() {
		ks.detach(&a.env)
	}
	return nil
}

// Cleanup implements caddy.CleanerUpper. It lets go of the key sets; those
// that no other config holds end.
func (a *App) Cleanup() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	errs := make([]error, 0, len(a.held))
	for key, ks := range a.held {
		errs = append(errs, a.release(key, ks))
	}
	a.held = nil
	return errors.Join(errs...)
}

func (a *App) release(key tenantKey, ks *KeySet) error {
	ks.detach(&a.env)
	_, err := keySets.Delete(key)
	return err
}

func (a *App) sets() []*KeySet {
	a.mu.Lock()
	defer a.mu.Unlock()
	sets := make([]*KeySet, 0, len(a.held))
	for _, ks := range a.held {
		sets = append(sets, ks)
	}
	return sets
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
