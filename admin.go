package logtoauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

func init() {
	caddy.RegisterModule(new(adminAPI))
}

// adminAPI serves the state of the tenants' keys and the lists of revocations
// under Caddy's admin API. It shows public keys, addresses, ids and times, and
// nothing of any request.
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
		{Pattern: "/logto_auth/revocations", Handler: caddy.AdminHandlerFunc(serveRevocations)},
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
			_ = ks.RefreshNow(r.Context()) // the state tells
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
	statuses := []keys.Status{}
	for _, ks := range startedKeySets() {
		statuses = append(statuses, ks.Status())
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(statuses)
}

// startedKeySets returns the key sets of all configs that serve, in a steady
// order. Those of a config that is only being validated, or that failed to
// load, have not been started.
func startedKeySets() []*keys.Set {
	var sets []*keys.Set
	tenants.Range(func(_, value any) bool {
		if t, ok := value.(*tenant); ok && t.keys.Serving() {
			sets = append(sets, t.keys)
		}
		return true
	})
	slices.SortFunc(sets, keys.Compare)
	return sets
}

// Interface guards.
var (
	_ caddy.Module      = (*adminAPI)(nil)
	_ caddy.AdminRouter = (*adminAPI)(nil)
)
