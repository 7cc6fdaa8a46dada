package tokenendpoint_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
	"github.com/caddy-logto/caddy-logto-auth/internal/tokenendpoint"
)

const (
	alice     = "82wtl6z03cep"
	app       = "k64abn7t14ypri613okt3"
	secret    = "vE3kq8mB5nW2xR7tY9uI4oP1aS6dF0gH"
	api       = "https://api.example.com"
	callback  = "https://www.example.com/.logto/callback"
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	memberOrg = "rwheh3w247dn"
	otherOrg  = "d2o39zshoylz"
	timeout   = 5 * time.Second
)

// site is an app of a tenant where Alice has an account.
type site struct {
	*devtenant.Tenant
	*tokenendpoint.Client
	t    *testing.T
	app  devtenant.App
	sent *recorder
}

// recorder is a transport that keeps what was sent through it.
type recorder struct {
	http.RoundTripper
	requests []*http.Request
	forms    []url.Values
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	kept := request.Clone(context.Background())
	if err := request.ParseForm(); err != nil {
		return nil, err
	}
	r.requests, r.forms = append(r.requests, kept), append(r.forms, request.PostForm)
	return r.RoundTripper.RoundTrip(request)
}

func newSite(t *testing.T) *site {
	t.Helper()
	return siteOf(t, devtenant.App{ID: app, Secret: secret})
}

func siteOf(t *testing.T, registered devtenant.App) *site {
	t.Helper()
	registered.RedirectURIs = []string{callback}
	tenant := devtenant.New(devtenant.Options{})
	tenant.AddApp(registered)
	tenant.AddUser(devtenant.User{ID: alice, Permissions: []devtenant.Permission{
		{Resource: api, Scopes: []string{"read:products"}},
		{Resource: api, OrganizationID: memberOrg, Scopes: []string{"write:orders"}},
	}})
	tenant.AddMember(memberOrg, alice)
	sent := &recorder{RoundTripper: devtenanttest.Transport(tenant)}
	return &site{
		Tenant: tenant, t: t, app: registered, sent: sent,
		Client: tokenendpoint.New(&http.Client{Transport: sent}, configOf(tenant.Endpoint(), registered)),
	}
}

func configOf(endpoint string, registered devtenant.App) tokenendpoint.Config {
	return tokenendpoint.Config{
		TokenURL: endpoint + devtenant.TokenPath, RevocationURL: endpoint + devtenant.RevocationPath,
		ClientID: registered.ID, ClientSecret: registered.Secret, Timeout: timeout,
	}
}

// code is what a callback brings after Alice has signed in.
func (s *site) code() tokenendpoint.Code {
	s.t.Helper()
	challenge := sha256.Sum256([]byte(verifier))
	query := url.Values{
		"client_id":             {s.app.ID},
		"redirect_uri":          {callback},
		"response_type":         {"code"},
		"scope":                 {"openid offline_access profile read:products write:orders urn:logto:scope:organizations"},
		"resource":              {api},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
		"prompt":                {"consent"},
	}
	left := devtenanttest.NewBrowser(s.t, s.Tenant).SignIn(s.Issuer()+"/auth?"+query.Encode(), alice)
	code := left.Query().Get("code")
	if code == "" {
		s.t.Fatalf("no code in %s", left)
	}
	return tokenendpoint.Code{Code: code, RedirectURI: callback, Verifier: verifier, Resource: api}
}

// signIn returns the tokens of a sign-in.
func (s *site) signIn() tokenendpoint.Tokens {
	s.t.Helper()
	tokens, err := s.Exchange(s.t.Context(), s.code())
	if err != nil || tokens.RefreshToken == "" {
		s.t.Fatalf("signing in: %v", err)
	}
	return tokens
}

// failureOf returns the error of a client.
func failureOf(tb testing.TB, err error) *tokenendpoint.Error {
	tb.Helper()
	var failure *tokenendpoint.Error
	if !errors.As(err, &failure) {
		tb.Fatalf("error %v", err)
	}
	return failure
}
