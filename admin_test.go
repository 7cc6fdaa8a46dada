package logtoauth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// askAdmin sends a request to the admin API's routes, which are put into a mux
// in the way Caddy's admin endpoint does.
func askAdmin(t *testing.T, method, path string) (*httptest.ResponseRecorder, error) {
	t.Helper()
	module, err := caddy.GetModule("admin.api.logto_auth")
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	mux := http.NewServeMux()
	for _, route := range module.New().(caddy.AdminRouter).Routes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) { failed = route.Handler.ServeHTTP(w, r) })
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody))
	return w, failed
}

type shownTenant struct {
	Issuers     []string   `json:"issuers"`
	JWKSURI     string     `json:"jwks_uri"`
	Keys        []shownKey `json:"keys"`
	Source      string     `json:"source"`
	FetchedAt   time.Time  `json:"fetched_at"`
	NextFetchAt time.Time  `json:"next_fetch_at"`
	LastError   string     `json:"last_error"`
	Fetches     int        `json:"fetches"`
}

type shownKey struct {
	KID        string   `json:"kid"`
	KTY        string   `json:"kty"`
	CRV        string   `json:"crv"`
	Algorithms []string `json:"algorithms"`
}

func shownTenants(t *testing.T, method, path string) []shownTenant {
	t.Helper()
	w, err := askAdmin(t, method, path)
	if err != nil || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%s %s: status %d, %v, %s", method, path, w.Code, err, w.Header().Get("Content-Type"))
	}
	var tenants []shownTenant
	decoder := json.NewDecoder(w.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&tenants); err != nil {
		t.Fatal(err)
	}
	return tenants
}

func TestAdminShowsAndRefreshesTenants(t *testing.T) {
	if got := shownTenants(t, http.MethodGet, "/logto_auth/tenants"); len(got) != 0 {
		t.Errorf("without a config there are tenants: %v", got)
	}
	good := devtenanttest.NewServer(t, devtenant.Options{})
	bad := devtenanttest.NewServer(t, devtenant.Options{})
	bad.SetFault(devtenant.ServerError)
	s := caddytest.Start(t, fmt.Sprintf(`http://127.0.0.1 {
		route /good {
			logto_auth {
				endpoint %s
				audience %s
			}
			respond ok
		}
		route /bad {
			logto_auth {
				endpoint %s
				audience %s
			}
			respond ok
		}
	}`, good.URL, meteredAPI, bad.URL, meteredAPI))
	token := good.Token(devtenant.TokenRequest{Resource: meteredAPI, Subject: "very-secret-subject"})
	s.Get("/good", caddytest.Bearer(token))
	s.Get("/bad", caddytest.Bearer(bad.Token(devtenant.TokenRequest{Resource: meteredAPI})))

	of := func(tenants []shownTenant, issuer string) shownTenant {
		t.Helper()
		i := slices.IndexFunc(tenants, func(tenant shownTenant) bool { return slices.Equal(tenant.Issuers, []string{issuer}) })
		if i < 0 || len(tenants) != 2 {
			t.Fatalf("%d tenants, among them %s at %d", len(tenants), issuer, i)
		}
		return tenants[i]
	}
	tenants := shownTenants(t, http.MethodGet, "/logto_auth/tenants")
	shown := of(tenants, good.Issuer())
	if shown.JWKSURI != good.URL+"/oidc/jwks" || shown.Source != "tenant" || shown.LastError != "" || shown.Fetches != 1 ||
		shown.FetchedAt.IsZero() || !shown.NextFetchAt.After(shown.FetchedAt) {
		t.Errorf("shown %+v", shown)
	}
	if len(shown.Keys) != 1 || shown.Keys[0].KTY != "EC" || shown.Keys[0].CRV != "P-384" || !slices.Equal(shown.Keys[0].Algorithms, []string{"ES384"}) {
		t.Errorf("keys %+v", shown.Keys)
	}
	down := of(tenants, bad.Issuer())
	if len(down.Keys) != 0 || !strings.Contains(down.LastError, "500") {
		t.Errorf("the tenant that is down is shown as %+v", down)
	}

	good.Rotate("RS256")
	bad.SetFault(nil)
	tenants = shownTenants(t, http.MethodPost, "/logto_auth/tenants/refresh")
	if refreshed := of(tenants, good.Issuer()); refreshed.Fetches != 2 || len(refreshed.Keys) == 0 ||
		!slices.ContainsFunc(refreshed.Keys, func(key shownKey) bool { return key.KTY == "RSA" }) {
		t.Errorf("after the refresh %+v", refreshed)
	}
	if refreshed := of(tenants, bad.Issuer()); refreshed.LastError != "" || len(refreshed.Keys) != 1 {
		t.Errorf("after the refresh %+v", refreshed)
	}
}

func TestAdminShowsExactlyTheFieldsOfTheContract(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	s := caddytest.Start(t, fmt.Sprintf("http://127.0.0.1 {\nlogto_auth {\nendpoint %s\naudience %s\n}\nrespond ok\n}", tenant.URL, meteredAPI))
	token := tenant.Token(devtenant.TokenRequest{Resource: meteredAPI, Subject: "very-secret-subject"})
	s.Get("/", caddytest.Bearer(token))
	w, err := askAdmin(t, http.MethodGet, "/logto_auth/tenants")
	if err != nil {
		t.Fatal(err)
	}
	var tenants []map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &tenants); err != nil || len(tenants) != 1 {
		t.Fatalf("%v in %s", err, w.Body)
	}
	want := []string{"fetched_at", "fetches", "issuers", "jwks_uri", "keys", "last_error", "next_fetch_at", "source"}
	if got := slices.Sorted(maps.Keys(tenants[0])); !slices.Equal(got, want) {
		t.Errorf("fields %v, not %v", got, want)
	}
	for _, secret := range append(strings.Split(token, "."), "very-secret-subject") {
		if strings.Contains(w.Body.String(), secret) {
			t.Errorf("the answer holds %.20s…: %s", secret, w.Body)
		}
	}
}

func TestAdminRefusesOtherMethodsAndPaths(t *testing.T) {
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{http.MethodPost, "/logto_auth/tenants", http.StatusMethodNotAllowed},
		{http.MethodHead, "/logto_auth/tenants", http.StatusMethodNotAllowed},
		{http.MethodGet, "/logto_auth/tenants/refresh", http.StatusMethodNotAllowed},
		{http.MethodGet, "/logto_auth/tenants/", http.StatusNotFound},
		{http.MethodGet, "/logto_auth", http.StatusNotFound},
		{http.MethodPost, "/logto_auth/tenants/refresh/x", http.StatusNotFound},
	} {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			w, err := askAdmin(t, test.method, test.path)
			status := w.Code
			if refused, ok := errors.AsType[caddy.APIError](err); ok {
				status = refused.HTTPStatus
			} else if err != nil {
				t.Errorf("%T is no error of Caddy's admin API", err)
			}
			if status != test.status {
				t.Errorf("status %d, not %d", status, test.status)
			}
		})
	}
}
