package logtoauth

import (
	"errors"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// What sign-ins share outlives the configs that use it, so that a reload loses
// no session and no code is sent twice. See [application] and [endings].
var (
	applications = caddy.NewUsagePool()
	endedLists   = caddy.NewUsagePool()
)

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
