package devtenant_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

const secret = "s3cret:%/+ü"

func tokenTenant() (*devtenant.Tenant, *http.Client) {
	tenant := devtenant.New(devtenant.Options{})
	tenant.RegisterClient(machine, secret,
		devtenant.Permission{Resource: api, Scopes: []string{"read:products", "write:orders"}},
		devtenant.Permission{OrganizationID: organization, Scopes: []string{"read:members"}},
		devtenant.Permission{Resource: api, OrganizationID: organization, Scopes: []string{"api:read"}},
	)
	return tenant, &http.Client{Transport: devtenanttest.Transport(tenant)}
}

func TestClientCredentials(t *testing.T) {
	for name, test := range map[string]struct {
		form  url.Values
		aud   any
		org   any
		scope any // nil: absent
	}{
		"API": {
			url.Values{"resource": {api}, "scope": {"write:orders read:products write:orders"}},
			api, nil, "write:orders read:products",
		},
		"API, a scope that the client may not have": {
			url.Values{"resource": {api}, "scope": {"read:products admin api:read"}},
			api, nil, "read:products",
		},
		"API, no scope asked for": {
			url.Values{"resource": {api}},
			api, nil, nil,
		},
		"organization": {
			url.Values{"organization_id": {organization}, "scope": {"read:members read:products"}},
			"urn:logto:organization:" + organization, nil, "read:members",
		},
		"organization, no scope asked for": {
			url.Values{"organization_id": {organization}},
			"urn:logto:organization:" + organization, nil, "",
		},
		"API of an organization": {
			url.Values{"resource": {api}, "organization_id": {organization}, "scope": {"api:read read:products"}},
			api, organization, "api:read",
		},
	} {
		t.Run(name, func(t *testing.T) {
			tenant, client := tokenTenant()
			status, response := request(t, tenant, client, test.form)
			token, isString := response["access_token"].(string)
			if status != 200 || !isString {
				t.Fatalf("status %d, response %v", status, response)
			}
			if response["token_type"] != "Bearer" || response["expires_in"] != 3600.0 || response["scope"] != test.scope {
				t.Errorf("response %v, want the scope %v", response, test.scope)
			}
			_, payload := decode(t, token)
			if payload["aud"] != test.aud || payload["organization_id"] != test.org || payload["scope"] != test.scope {
				t.Errorf("payload %v", payload)
			}
			if payload["sub"] != machine || payload["client_id"] != machine {
				t.Errorf("sub %v, client_id %v, want %s twice", payload["sub"], payload["client_id"], machine)
			}
		})
	}
}

func TestClientThatForgetsTheResourceGetsAnOpaqueToken(t *testing.T) {
	tenant, client := tokenTenant()
	status, response := request(t, tenant, client, url.Values{"scope": {"read:products"}})
	if token, _ := response["access_token"].(string); status != 200 || len(token) != 43 || strings.Contains(token, ".") {
		t.Errorf("status %d, response %v", status, response)
	}
}

func TestTokenRequestsThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		form   url.Values
		status int
		code   string
	}{
		"unknown client":        {url.Values{"client_id": {"nobody"}}, 401, "invalid_client"},
		"wrong secret":          {url.Values{"client_secret": {"guess"}}, 401, "invalid_client"},
		"nobody, no secret":     {url.Values{"client_id": {"nobody"}, "client_secret": {}}, 401, "invalid_client"},
		"no secret":             {url.Values{"client_secret": {}}, 401, "invalid_client"},
		"another grant":         {url.Values{"grant_type": {"password"}, "resource": {api}}, 400, "unsupported_grant_type"},
		"no grant":              {url.Values{"grant_type": {}, "resource": {api}}, 400, "unsupported_grant_type"},
		"unknown resource":      {url.Values{"resource": {"https://other.example"}}, 400, "invalid_target"},
		"two resources":         {url.Values{"resource": {api, api}}, 400, "invalid_target"},
		"foreign organization":  {url.Values{"organization_id": {"qzt6mzdal737"}}, 403, "access_denied"},
		"API of a foreign one":  {url.Values{"resource": {api}, "organization_id": {"qzt6mzdal737"}}, 403, "access_denied"},
		"unknown API in an org": {url.Values{"resource": {"x"}, "organization_id": {organization}}, 400, "invalid_target"},
	} {
		t.Run(name, func(t *testing.T) {
			tenant, client := tokenTenant()
			status, response := request(t, tenant, client, test.form)
			if status != test.status || response["error"] != test.code || response["access_token"] != nil {
				t.Errorf("status %d, response %v, want %d %s", status, response, test.status, test.code)
			}
		})
	}
}

func TestClientAuthenticationByBasic(t *testing.T) {
	for name, test := range map[string]struct {
		secret string
		status int
	}{
		"encoded as in a form": {url.QueryEscape(secret), 200},
		"wrong":                {"guess", 401},
		"badly encoded":        {"%zz", 401},
	} {
		t.Run(name, func(t *testing.T) {
			tenant, client := tokenTenant()
			status, response := post(t, client, tenant.Endpoint()+devtenant.TokenPath,
				url.Values{"grant_type": {"client_credentials"}, "resource": {api}},
				func(r *http.Request) { r.SetBasicAuth(machine, test.secret) })
			if status != test.status {
				t.Errorf("status %d, response %v, want %d", status, response, test.status)
			}
		})
	}
}

func TestOversizedTokenRequestIsNotRead(t *testing.T) {
	tenant, client := tokenTenant()
	status, _ := request(t, tenant, client, url.Values{"resource": {api}, "scope": {strings.Repeat("x", 1<<20)}})
	if status != 401 {
		t.Errorf("status %d, want 401: the credentials are beyond the bound", status)
	}
}

// request posts the form, with credentials and grant unless the form has them.
func request(t *testing.T, tenant *devtenant.Tenant, client *http.Client, form url.Values) (int, map[string]any) {
	t.Helper()
	complete := url.Values{"grant_type": {"client_credentials"}, "client_id": {machine}, "client_secret": {secret}}
	maps.Copy(complete, form)
	return post(t, client, tenant.Endpoint()+devtenant.TokenPath, complete, nil)
}

func post(t *testing.T, client *http.Client, address string, form url.Values, change func(*http.Request)) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if change != nil {
		change(r)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}
