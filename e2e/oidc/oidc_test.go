//go:build e2e

// Package oidc tests the middleware against a real OpenID provider: the npm
// package oidc-provider, the engine inside Logto, configured as Logto
// configures it. Run it with `make e2e`.
package oidc

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/caddy-logto/caddy-logto-auth"
	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// serve starts a Caddy with one site per permission model. With next to no
// cooldown every token of a key that was never seen before must work at once.
func serve(t *testing.T, p *provider) *caddytest.Server {
	t.Helper()
	return caddytest.Start(t, `{
		logto_auth {
			endpoint `+p.Endpoint+`
			refresh_cooldown 1ms
		}
	}
	:80 {
		handle /global {
			logto_auth {
				audience https://api.example.com
				scopes read:products
			}
			respond "{http.auth.user.type} {http.auth.user.id} {http.auth.user.organization_id} {http.auth.user.scopes}"
		}
		handle /organization {
			logto_auth {
				organization acme
				scopes read:members
			}
			respond "{http.auth.user.type} {http.auth.user.id} {http.auth.user.organization_id} {http.auth.user.scopes}"
		}
		handle /organization-api {
			logto_auth {
				audience https://api.example.com
				organization acme
				scopes read:products
			}
			respond "{http.auth.user.type} {http.auth.user.id} {http.auth.user.organization_id} {http.auth.user.scopes}"
		}
	}`)
}

const (
	invalidToken           = `{"error":"Invalid token"}`
	wrongAudience          = `{"error":"Invalid audience"}`
	wrongOrgAudience       = `{"error":"Invalid audience for organization permissions"}`
	wrongOrgAPIAudience    = `{"error":"Invalid audience for organization-level API resources"}`
	organizationRefused    = `{"error":"Organization token not accepted"}`
	organizationMismatch   = `{"error":"Organization ID mismatch"}`
	insufficientScope      = `{"error":"Insufficient scope"}`
	insufficientOrgScope   = `{"error":"Insufficient organization scope"}`
	opaqueTokenLength      = 43
	requestsDuringRotation = 20
)

func TestTokensOfTheThreeModels(t *testing.T) {
	p := startProvider(t)
	caddy := serve(t, p)
	user := p.signIn(t)
	tests := []struct {
		name                               string
		token                              grant
		global, organization, orgAPI       string
		globalStatus, orgStatus, apiStatus int
	}{
		{
			"machine, API", p.machineToken(t, api, "", "read:products write:orders"),
			"app machine  read:products write:orders", wrongOrgAudience, organizationMismatch, 200, 403, 403,
		},
		{
			"machine, API, no scope", p.machineToken(t, api, "", ""),
			insufficientScope, wrongOrgAudience, organizationMismatch, 403, 403, 403,
		},
		{
			"machine, organization", p.machineToken(t, "", "acme", "read:members"),
			wrongAudience, "app machine acme read:members", wrongOrgAPIAudience, 403, 200, 403,
		},
		{
			"machine, organization, lesser scope", p.machineToken(t, "", "acme", "invite:member"),
			wrongAudience, insufficientOrgScope, wrongOrgAPIAudience, 403, 403, 403,
		},
		{
			"machine, API in an organization", p.machineToken(t, api, "acme", "read:products"),
			organizationRefused, wrongOrgAudience, "app machine acme read:products", 403, 403, 200,
		},
		{
			"user, API", user,
			"user alice  read:products write:orders", wrongOrgAudience, organizationMismatch, 200, 403, 403,
		},
		{
			"user, organization", p.refresh(t, &user, "", "acme"),
			wrongAudience, "user alice acme read:members", wrongOrgAPIAudience, 403, 200, 403,
		},
		{
			"user, API in an organization", p.refresh(t, &user, api, "acme"),
			organizationRefused, wrongOrgAudience, "user alice acme read:products", 403, 403, 200,
		},
		{
			"user, API in another organization", p.refresh(t, &user, api, "globex"),
			organizationRefused, wrongOrgAudience, organizationMismatch, 403, 403, 403,
		},
		{
			"user, ID token",
			grant{AccessToken: user.IDToken},
			invalidToken, invalidToken, invalidToken, 401, 401, 401,
		},
		{
			"machine, client forgot the resource", p.machineToken(t, "", "", "read:products"),
			invalidToken, invalidToken, invalidToken, 401, 401, 401,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.token.AccessToken == "" {
				t.Fatalf("the provider issued no token: %+v", test.token)
			}
			for _, want := range []struct {
				path, body string
				status     int
			}{
				{"/global", test.global, test.globalStatus},
				{"/organization", test.organization, test.orgStatus},
				{"/organization-api", test.orgAPI, test.apiStatus},
			} {
				got := caddy.Get(want.path, caddytest.Bearer(test.token.AccessToken))
				if got.StatusCode != want.status || got.Body != want.body {
					t.Errorf("%s: %d %s, want %d %s", want.path, got.StatusCode, got.Body, want.status, want.body)
				}
			}
		})
	}
}

func TestProviderIssuesWhatLogtoIssues(t *testing.T) {
	p := startProvider(t)
	token := p.machineToken(t, api, "acme", "read:products").AccessToken
	header, payload := segment(t, token, 0), segment(t, token, 1)
	if header["alg"] != "ES384" || header["typ"] != "at+jwt" || header["kid"] == "" {
		t.Errorf("header %v", header)
	}
	if payload["iss"] != p.Issuer || payload["aud"] != api || payload["organization_id"] != "acme" ||
		payload["sub"] != "machine" || payload["client_id"] != "machine" || payload["nbf"] != nil {
		t.Errorf("claims %v", payload)
	}
	if opaque := p.machineToken(t, "", "", "").AccessToken; len(opaque) != opaqueTokenLength || strings.Contains(opaque, ".") {
		t.Errorf("a token without a resource is not opaque: %d characters", len(opaque))
	}
	if outsider := p.machineToken(t, api, "globex", "read:products"); outsider.Error != "access_denied" {
		t.Errorf("a token for an organization of others: %+v", outsider)
	}
}

// TestRotationWhileRequestsRun rotates between the key types. From the
// rotation on, new tokens must be admitted at the first try, tokens of the key
// before must go on, and those of a key that is gone must end.
func TestRotationWhileRequestsRun(t *testing.T) {
	p := startProvider(t)
	caddy := serve(t, p)

	// current holds the tokens that must be admitted at any moment.
	var current atomic.Pointer[[]string]
	newToken := func() string { return p.machineToken(t, api, "", "read:products").AccessToken }
	first := newToken()
	current.Store(&[]string{first})

	var clients sync.WaitGroup
	stop := make(chan struct{})
	var served atomic.Int64
	for range 4 {
		clients.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				tokens := *current.Load()
				status, body := get(t, caddy, tokens[i%len(tokens)])
				// A rotation may have taken the key away since the load.
				if status != http.StatusOK && isCurrent(&current, tokens) {
					t.Errorf("%d %s", status, body)
					return
				}
				served.Add(1)
			}
		})
	}
	defer func() { close(stop); clients.Wait() }()

	previous := first
	for round, algorithm := range []string{"RS256", "ES384", "ES384", "RS256", "RS256"} {
		before := served.Load()
		gone := (*current.Load())[0]
		current.Store(&[]string{previous})
		p.rotate(t, algorithm)
		fresh := newToken()
		if alg := segment(t, fresh, 0)["alg"]; alg != algorithm {
			t.Fatalf("round %d: the new token is signed with %v, not %s", round, alg, algorithm)
		}
		if status, body := get(t, caddy, fresh); status != http.StatusOK {
			t.Fatalf("round %d: the first token of a new key: %d %s", round, status, body)
		}
		if round > 0 {
			if status, body := get(t, caddy, gone); status != http.StatusUnauthorized || body != invalidToken {
				t.Errorf("round %d: a token of a key that is gone: %d %s", round, status, body)
			}
		}
		current.Store(&[]string{previous, fresh})
		previous = fresh
		for served.Load() < before+requestsDuringRotation && !t.Failed() {
			if status, body := get(t, caddy, fresh); status != http.StatusOK {
				t.Fatalf("round %d: %d %s", round, status, body)
			}
		}
	}
}

func isCurrent(current *atomic.Pointer[[]string], tokens []string) bool {
	return &(*current.Load())[0] == &tokens[0]
}

// get is caddytest's Get for other goroutines than the test's own.
func get(t *testing.T, caddy *caddytest.Server, token string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, caddy.URL+"/global", http.NoBody)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := caddy.Client.Do(request)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return response.StatusCode, string(read)
}

// segment decodes a segment of a token.
func segment(t *testing.T, token string, n int) map[string]any {
	t.Helper()
	segments := strings.Split(token, ".")
	if len(segments) != 3 {
		t.Fatalf("the token has %d segments", len(segments))
	}
	decoded, err := base64.RawURLEncoding.DecodeString(segments[n])
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(decoded, &members); err != nil {
		t.Fatal(err)
	}
	return members
}
