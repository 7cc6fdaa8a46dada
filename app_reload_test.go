package logtoauth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the http app and the storage

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

const reloadAPI = "https://api.example.com"

// site is a real Caddy whose address stays the same across reloads.
type site struct {
	t      *testing.T
	dir    string
	addr   string
	client *http.Client
}

func newSite(t *testing.T) *site {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: t.TempDir(), addr: free.Addr().String(), client: &http.Client{Transport: new(http.Transport)}}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// load loads a config with these handlers before one that answers "ok"; more
// changes it.
func (s *site) load(handlers []any, more ...func(config map[string]any)) error {
	s.t.Helper()
	server := map[string]any{
		"listen":          []string{s.addr},
		"automatic_https": map[string]any{"disable": true},
		"routes":          []any{map[string]any{"handle": append(handlers, map[string]any{"handler": "static_response", "body": "ok"})}},
	}
	config := map[string]any{
		"admin":   map[string]any{"disabled": true, "config": map[string]any{"persist": false}},
		"storage": map[string]any{"module": "file_system", "root": filepath.Join(s.dir, "storage")},
		"logging": map[string]any{"logs": map[string]any{"default": map[string]any{"writer": map[string]any{"output": "discard"}}}},
		"apps":    map[string]any{"http": map[string]any{"servers": map[string]any{"site": server}}},
	}
	for _, change := range more {
		change(config)
	}
	text, err := json.Marshal(config)
	if err != nil {
		s.t.Fatal(err)
	}
	return caddy.Load(text, true)
}

// get is once that tries again when the connection is lost: Caddy resets those
// that the listener of the config before had not accepted yet.
func (s *site) get(token string) (status int, body string, err error) {
	for range 10 {
		if status, body, err = s.once(token); err == nil {
			break
		}
	}
	return status, body, err
}

// once returns status and body, or the error of a connection.
func (s *site) once(token string) (int, string, error) {
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.addr, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := s.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// object is a JSON object.
type object = map[string]any

func protect(endpoint string) map[string]any {
	return map[string]any{"handler": "logto_auth", "endpoint": endpoint, "audiences": []string{reloadAPI}}
}

func accessToken(tenant *devtenant.Tenant) string {
	return tenant.Token(devtenant.TokenRequest{Resource: reloadAPI})
}

// A config that is only validated fetches nothing and leaves nothing behind,
// whether or not the tenant answers.
func TestValidateOfAWholeConfig(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{Algorithm: "ES256"})
	for range 3 {
		config := &caddy.Config{
			Admin: &caddy.AdminConfig{Disabled: true},
			AppsRaw: caddy.ModuleMap{"http": mustJSON(t, object{"servers": object{"site": object{
				"listen": []string{"127.0.0.1:0"},
				"routes": []object{{"handle": []any{protect(tenant.URL)}}},
			}}})},
		}
		if err := caddy.Validate(config); err != nil {
			t.Fatal(err)
		}
	}
	if got := tenant.Counts(); got != (devtenant.Counts{}) || refreshers(t) != 0 {
		t.Errorf("requests %+v, %d goroutines", got, refreshers(t))
	}
}

// eventually asks until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// refreshers counts the goroutines of key sets.
func refreshers(t *testing.T) int {
	t.Helper()
	var stacks bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&stacks, 2); err != nil {
		t.Fatal(err)
	}
	n := 0
	for stack := range strings.SplitSeq(stacks.String(), "\n\n") {
		if strings.Contains(stack, "keys.(*Set)") || strings.Contains(stack, "keys.(*keyStore)") {
			n++
		}
	}
	return n
}

// failingReloads are configs with these handlers that Caddy refuses at
// different stages.
func failingReloads(s *site, endpoint string, handlers ...any) map[string]func() error {
	return map[string]func() error{
		"a module that cannot be provisioned": func() error {
			return s.load(append(slices.Clip(handlers), map[string]any{"handler": "rewrite", "path_regexp": []any{map[string]any{"find": "("}}}))
		},
		"an app that cannot start": func() error {
			return s.load(handlers, func(config map[string]any) {
				apps := config["apps"].(map[string]any)
				servers := apps["http"].(map[string]any)["servers"].(map[string]any)
				servers["broken"] = map[string]any{"listen": []string{"unix/" + filepath.Join(s.dir, "no", "such", "folder", "socket")}}
			})
		},
		"a key file that does not exist": func() error {
			handler := protect("")
			handler["issuers"], handler["jwks_file"] = []string{endpoint + "/oidc"}, filepath.Join(s.dir, "absent.json")
			return s.load(append(slices.Clip(handlers), handler))
		},
	}
}

// Reloads under load, failing ones among them: not one wrong answer, one
// fetch in all, one goroutine, and no more lost connections than without us.
func TestReloadsUnderLoad(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{Algorithm: "ES256"})
	s := newSite(t)
	good := accessToken(tenant.Tenant)
	bad := good[:len(good)-8] + "AAAAAAAA"

	// run reloads under load and returns how many connections were lost.
	run := func(handlers []any, failing map[string]func() error, check func(token string, status int, body string) bool) int32 {
		if err := s.load(handlers); err != nil {
			t.Fatal(err)
		}
		var requests, lost, wrong atomic.Int32
		stop := make(chan struct{})
		var workers sync.WaitGroup
		for i := range 4 {
			token := good
			if i == 3 {
				token = bad
			}
			workers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					status, body, err := s.once(token)
					requests.Add(1)
					switch {
					case err != nil:
						lost.Add(1)
					case !check(token, status, body):
						if wrong.Add(1) < 5 {
							t.Errorf("answer %d %s", status, body)
						}
					}
				}
			})
		}
		for range 50 {
			// However slow the machine is, each reload meets requests.
			before := requests.Load()
			eventually(t, "a request between two reloads", func() bool { return requests.Load() >= before+4 })
			if err := s.load(handlers); err != nil {
				t.Errorf("reload: %v", err)
			}
			for name, reload := range failing {
				if reload() == nil {
					t.Errorf("the reload with %s succeeded", name)
				}
			}
		}
		close(stop)
		workers.Wait()
		t.Logf("%d requests, %d connections lost", requests.Load(), lost.Load())
		return lost.Load()
	}
	plain := run(nil, failingReloads(s, tenant.URL), func(_ string, status int, body string) bool { return status == 200 && body == "ok" })
	ours := run([]any{protect(tenant.URL)}, failingReloads(s, tenant.URL, protect(tenant.URL)), func(token string, status int, body string) bool {
		if token == bad {
			return status == 401 && body == `{"error":"Invalid token"}`
		}
		return status == 200 && body == "ok"
	})
	// A plain reload resets connections that wait to be accepted; how many is
	// chance, about one of these four clients in two reloads.
	if ours > 3*plain+40 {
		t.Errorf("%d connections lost, %d by a plain Caddy", ours, plain)
	}
	if got := tenant.Counts(); got.Discovery != 1 || got.JWKS != 1 {
		t.Errorf("requests to the tenant: %+v", got)
	}
	eventually(t, "one goroutine", func() bool { return refreshers(t) == 1 })
	if err := s.load(nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no goroutine without a site", func() bool { return refreshers(t) == 0 })
}

// A rotation while 200 requests are under way, and the tenant gone after it.
func TestRotationUnderLoad(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{Algorithm: "ES256"})
	s := newSite(t)
	if err := s.load([]any{protect(tenant.URL)}); err != nil {
		t.Fatal(err)
	}
	old := accessToken(tenant.Tenant)
	if status, body, err := s.get(old); status != 200 {
		t.Fatalf("before the rotation: %d %s %v", status, body, err)
	}
	tenant.Rotate("")
	rotated := accessToken(tenant.Tenant)
	var all sync.WaitGroup
	for i := range 200 {
		token := old
		if i%2 == 0 {
			token = rotated
		}
		all.Go(func() {
			if status, body, err := s.get(token); status != 200 {
				t.Errorf("a good token: %d %s %v", status, body, err)
			}
		})
	}
	all.Wait()
	if got := tenant.Counts(); got.JWKS != 2 {
		t.Errorf("requests to the tenant: %+v", got)
	}
	tenant.SetFault(devtenant.Down)
	if status, body, err := s.get(accessToken(tenant.Tenant)); status != 200 {
		t.Errorf("during an outage: %d %s %v", status, body, err)
	}
}

// Made-up kids beside good requests, through a real server.
func TestFloodUnderLoad(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{Algorithm: "ES256"})
	s := newSite(t)
	handler := protect(tenant.URL)
	handler["refresh_cooldown"] = "1h"
	if err := s.load([]any{handler}); err != nil {
		t.Fatal(err)
	}
	good := accessToken(tenant.Tenant)
	if status, body, err := s.get(good); status != 200 {
		t.Fatalf("before the flood: %d %s %v", status, body, err)
	}
	tenant.SetJWKSFault(devtenant.Slow)
	now := time.Now().Unix()
	var all sync.WaitGroup
	for i := range 300 {
		madeUp := tenant.Sign(map[string]any{"kid": fmt.Sprint("made-up-", i)}, map[string]any{
			"iss": tenant.Issuer(), "aud": reloadAPI, "sub": "a", "client_id": "a", "iat": now, "exp": now + 3600,
		})
		all.Go(func() {
			if status, body, err := s.get(madeUp); status != 401 {
				t.Errorf("a made-up kid: %d %s %v", status, body, err)
			}
		})
	}
	// The made-up ones wait for the fetch; the good ones do not.
	if err := tenant.Wait(t.Context(), func(c devtenant.Counts) bool { return c.JWKS == 2 }); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if status, body, err := s.get(good); status != 200 {
			t.Errorf("a good token: %d %s %v", status, body, err)
		}
	}
	tenant.SetJWKSFault(devtenant.None)
	tenant.Release()
	all.Wait()
	if got := tenant.Counts(); got.JWKS != 2 {
		t.Errorf("requests to the tenant: %+v", got)
	}
}

// Caddy is started anew while the tenant is down.
func TestRestartOfCaddyWhileTheTenantIsDown(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{Algorithm: "ES256"})
	s := newSite(t)
	token := accessToken(tenant.Tenant)
	tenant.SetFault(devtenant.Down)
	if err := s.load([]any{protect(tenant.URL)}); err != nil {
		t.Fatalf("Caddy does not start: %v", err)
	}
	if status, body, err := s.get(token); status != 503 {
		t.Errorf("without any key: %d %s %v", status, body, err)
	}
	tenant.SetFault(devtenant.None)
	eventually(t, "a good answer", func() bool {
		status, _, _ := s.get(token)
		return status == 200
	})
	eventually(t, "stored keys", func() bool {
		files, err := filepath.Glob(filepath.Join(s.dir, "storage", "logto_auth", "keys", "*.json"))
		return err == nil && len(files) == 1
	})
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	tenant.SetFault(devtenant.Down)
	if err := s.load([]any{protect(tenant.URL)}); err != nil {
		t.Fatal(err)
	}
	if status, body, err := s.get(token); status != 200 {
		t.Errorf("after the restart: %d %s %v", status, body, err)
	}
}

// Two tenants in one server: each site admits its own tenant's tokens only.
func TestTwoTenantsInOneServer(t *testing.T) {
	one := devtenanttest.NewServer(t, devtenant.Options{Algorithm: "ES256"})
	other := devtenanttest.NewServer(t, devtenant.Options{Algorithm: "ES256"})
	s := newSite(t)
	forged := one.Sign(nil, other.Claims(devtenant.TokenRequest{Resource: reloadAPI}))
	for _, tt := range []struct {
		endpoint, token string
		want            int
	}{
		{one.URL, accessToken(one.Tenant), 200},
		{one.URL, accessToken(other.Tenant), 401},
		{other.URL, accessToken(other.Tenant), 200},
		{other.URL, accessToken(one.Tenant), 401},
		{other.URL, forged, 401},
	} {
		if err := s.load([]any{protect(tt.endpoint)}); err != nil {
			t.Fatal(err)
		}
		if status, body, err := s.get(tt.token); status != tt.want {
			t.Errorf("%d, not %d: %s %v", status, tt.want, body, err)
		}
	}
	// Both in one route: each must admit, so no token of one tenant passes.
	if err := s.load([]any{protect(one.URL), protect(other.URL)}); err != nil {
		t.Fatal(err)
	}
	if status, body, err := s.get(accessToken(one.Tenant)); status != 401 {
		t.Errorf("%d %s %v", status, body, err)
	}
}
