package logtoauth

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(new(adminAPI))
}

// adminAPI serves the state of the tenants' keys under Caddy's admin API. It
// shows public keys, addresses and times, and nothing of any request.
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (*adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.logto_auth", New: func() caddy.Module { return new(adminAPI) }}
}

// Routes returns the routes of this API.
func (*adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/logto_auth/tenants", Handler: caddy.AdminHandlerFunc(serveTenants)},
		{Pattern: "/logto_auth/tenants/refresh", Handler: caddy.AdminHandlerFunc(refreshTenants)},
	}
}

// serveTenants answers with the state of each key set.
func serveTenants(w http.ResponseWriter, r *http.Request) error {
	if err := onlyMethod(w, r, http.MethodGet); err != nil {
		return err
	}
	return writeTenants(w)
}

// refreshTenants fetches the keys of all tenants at once and answers with what
// came of it. A tenant that failed says so in its last_error: the others have
// new keys nevertheless.
func refreshTenants(w http.ResponseWriter, r *http.Request) error {
	if err := onlyMethod(w, r, http.MethodPost); err != nil {
		return err
	}
	var fetches sync.WaitGroup
	for _, ks := range startedKeySets() {
		fetches.Go(func() {
			_ = ks.refreshNow(r.Context()) // the state tells
		})
	}
	fetches.Wait()
	return writeTenants(w)
}

func onlyMethod(w http.ResponseWriter, r *http.Request, method string) error {
	if r.Method == method {
		return nil
	}
	w.Header().Set("Allow", method)
	return caddy.APIError{
		HTTPStatus: http.StatusMethodNotAllowed,
		Err:        fmt.Errorf("method not allowed: %s", r.Method),
	}
}

func writeTenants(w http.ResponseWriter) error {
	tenants := []tenantStatus{}
	for _, ks := range startedKeySets() {
		tenants = append(tenants, ks.status())
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(tenants)
}

// startedKeySets returns the key sets of all configs that serve, in a steady
// order. Those of a config that is only being validated, or that failed to
// load, have not been started.
func startedKeySets() []*KeySet {
	var sets []*KeySet
	keySets.Range(func(_, value any) bool {
		if ks, ok := value.(*KeySet); ok {
			sets = append(sets, ks)
		}
		return true
	})
	sets = slices.DeleteFunc(sets, func(ks *KeySet) bool {
		ks.mu.Lock()
		defer ks.mu.Unlock()
		return !ks.started || ks.closed
	})
	slices.SortFunc(sets, func(a, b *KeySet) int {
		return cmp.Or(cmp.Compare(a.cfg.name(), b.cfg.name()), cmp.Compare(a.cfg.trust(), b.cfg.trust()))
	})
	return sets
}

// Interface guards.
var (
	_ caddy.Module      = (*adminAPI)(nil)
	_ caddy.AdminRouter = (*adminAPI)(nil)
)
