package devtenant_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

const (
	alice = "82wtl6z03cep"
	bob   = "bzf4m3y2k1xw"

	web        = "k64abn7t14ypri613okt3" // confidential
	webSecret  = "vE3kq8mB5nW2xR7tY9uI4oP1aS6dF0gH"
	spa        = "7b5wru4x48p6ne3akjido" // public
	always     = "pq8w2e4r6t1y3u5i7o9a1" // always gets a refresh token
	callback   = "http://localhost:8080/callback"
	bye        = "http://localhost:8080/bye"
	verifier   = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	memberOrg  = "rwheh3w247dn"
	otherOrg   = "d2o39zshoylz"
	foreignOrg = "qzt6mzdal737"
	nobodysAPI = "https://other.example.com"
	orgsTarget = "urn:logto:resource:organizations"
	orgsScope  = "urn:logto:scope:organizations"
)

// clock is a tenant's clock, which tests advance.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// site is a tenant with two people and three apps.
type site struct {
	*devtenant.Tenant
	*clock
	t       *testing.T
	browser *devtenanttest.Browser
	http    *http.Client
}

func newSite(t *testing.T) *site {
	t.Helper()
	c := &clock{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	tenant := devtenant.New(devtenant.Options{Now: c.Now})
	tenant.AddResource(nobodysAPI)
	tenant.AddUser(devtenant.User{ID: alice, Username: "alice", Roles: []string{"reader"}, Permissions: []devtenant.Permission{
		{Resource: api, Scopes: []string{"read:products"}},
		{Resource: api, OrganizationID: memberOrg, Scopes: []string{"write:orders"}},
		{Resource: api, OrganizationID: foreignOrg, Scopes: []string{"delete:orders"}},
		{OrganizationID: memberOrg, Scopes: []string{"read:members"}},
	}})
	tenant.AddUser(devtenant.User{ID: bob, Username: "bob"})
	tenant.AddMember(otherOrg, alice)
	tenant.AddMember(memberOrg, alice, "member")
	for _, app := range []devtenant.App{{ID: web, Secret: webSecret}, {ID: spa}, {ID: always, Secret: webSecret, AlwaysIssueRefreshToken: true}} {
		app.RedirectURIs, app.PostLogoutRedirectURIs = []string{callback}, []string{bye}
		tenant.AddApp(app)
	}
	tenant.SignInAs(alice)
	return &site{
		Tenant: tenant, clock: c, t: t,
		browser: devtenanttest.NewBrowser(t, tenant),
		http:    &http.Client{Transport: devtenanttest.Transport(tenant)},
	}
}

// request is an authorization request for everything that Alice has, changed;
// a nil value leaves a parameter out.
func (s *site) request(changes url.Values) string {
	challenge := sha256.Sum256([]byte(verifier))
	query := url.Values{
		"client_id":     {web},
		"redirect_uri":  {callback},
		"response_type": {"code"},
		"scope": {"openid offline_access profile email roles read:products write:orders delete:orders read:members " +
			orgsScope + " urn:logto:scope:organization_roles"},
		"resource":              {api, orgsTarget},
		"state":                 {"YmRG"},
		"nonce":                 {"bm9u"},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
		"prompt":                {"consent"},
	}
	return s.Issuer() + "/auth?" + change(query, changes).Encode()
}

func change(values, changes url.Values) url.Values {
	maps.Copy(values, changes)
	for name := range changes {
		if changes[name] == nil {
			delete(values, name)
		}
	}
	return values
}

// signIn returns the query of the callback.
func (s *site) signIn(changes url.Values) url.Values {
	s.t.Helper()
	return s.browser.SignIn(s.request(changes), alice).Query()
}

func (s *site) code(changes url.Values) string {
	s.t.Helper()
	query := s.signIn(changes)
	if query.Get("code") == "" {
		s.t.Fatalf("no code in %v", query)
	}
	return query.Get("code")
}

func (s *site) token(form, changes url.Values) (int, map[string]any) {
	s.t.Helper()
	form.Set("client_id", web)
	form.Set("client_secret", webSecret)
	return post(s.t, s.http, s.Endpoint()+devtenant.TokenPath, change(form, changes), nil)
}

func (s *site) exchange(code string, changes url.Values) (int, map[string]any) {
	s.t.Helper()
	return s.token(url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier},
	}, changes)
}

func (s *site) refresh(token string, changes url.Values) (int, map[string]any) {
	s.t.Helper()
	return s.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, changes)
}

// public are the changes of a public client's token requests.
var public = url.Values{"client_id": {spa}, "client_secret": nil}

// refreshToken signs in and returns the refresh token of the exchange.
func (s *site) refreshToken(changes url.Values) string {
	s.t.Helper()
	credentials := url.Values{}
	if changes.Get("client_id") == spa {
		credentials = public
	}
	status, answer := s.exchange(s.code(changes), credentials)
	token, _ := answer["refresh_token"].(string)
	if status != 200 || token == "" {
		s.t.Fatalf("status %d, no refresh token in %v", status, answer)
	}
	return token
}

func (s *site) revoke(token string, credentials url.Values) *httptest.ResponseRecorder {
	s.t.Helper()
	form := change(url.Values{"token": {token}, "client_id": {web}, "client_secret": {webSecret}}, credentials)
	r := httptest.NewRequest(http.MethodPost, s.Endpoint()+devtenant.RevocationPath, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, r)
	return answer
}

func (s *site) endSession(query url.Values) string {
	return s.Issuer() + "/session/end?" + query.Encode()
}

// object is a body of JSON, or nil if it is none.
func object(body []byte) map[string]any {
	var members map[string]any
	if json.Unmarshal(body, &members) != nil {
		return nil
	}
	return members
}
