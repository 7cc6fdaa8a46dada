package devtenant_test

import (
	"bytes"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

func TestConditionalFetchOfKeys(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	etag := ask(tenant, http.MethodGet, devtenant.JWKSPath, nil).Header().Get("ETag")
	if len(etag) < 3 || etag[0] != '"' {
		t.Fatalf("ETag %q", etag)
	}
	for name, test := range map[string]struct {
		ifNoneMatch string
		status      int
	}{
		"none":      {"", 200},
		"same":      {etag, 304},
		"weak":      {"W/" + etag, 304},
		"in a list": {`"other", ` + etag, 304},
		"any":       {"*", 304},
		"another":   {`"other"`, 200},
		"unquoted":  {etag[1 : len(etag)-1], 200},
	} {
		t.Run(name, func(t *testing.T) {
			answer := ask(tenant, http.MethodGet, devtenant.JWKSPath, http.Header{"If-None-Match": {test.ifNoneMatch}})
			if answer.Code != test.status || answer.Header().Get("ETag") != etag {
				t.Errorf("status %d, ETag %s, want %d and %s", answer.Code, answer.Header().Get("ETag"), test.status, etag)
			}
			if got, want := answer.Header().Get("Cache-Control"), "no-cache, max-age=0, must-revalidate"; got != want {
				t.Errorf("Cache-Control %q, want %q", got, want)
			}
			if empty := answer.Body.Len() == 0; empty != (test.status == 304) {
				t.Errorf("status %d with %d bytes of body", answer.Code, answer.Body.Len())
			}
		})
	}
	tenant.Rotate("")
	if answer := ask(tenant, http.MethodGet, devtenant.JWKSPath, http.Header{"If-None-Match": {etag}}); answer.Code != 200 {
		t.Errorf("status %d after a rotation, want 200", answer.Code)
	}
}

func TestDocumentsCanBeReplaced(t *testing.T) {
	for path, replaced := range map[string]struct {
		set     func(*devtenant.Tenant, []byte)
		current func(*devtenant.Tenant) []byte
	}{
		devtenant.JWKSPath:      {(*devtenant.Tenant).SetJWKS, (*devtenant.Tenant).JWKS},
		devtenant.DiscoveryPath: {(*devtenant.Tenant).SetDiscovery, (*devtenant.Tenant).Discovery},
	} {
		t.Run(path, func(t *testing.T) {
			tenant := devtenant.New(devtenant.Options{})
			right := replaced.current(tenant)
			for _, document := range [][]byte{[]byte(`{"keys":`), {}, nil} {
				replaced.set(tenant, document)
				want := document
				if document == nil {
					want = right
				}
				if got := ask(tenant, http.MethodGet, path, nil).Body.Bytes(); !bytes.Equal(got, want) || !bytes.Equal(replaced.current(tenant), want) {
					t.Errorf("served %q, want %q", got, want)
				}
			}
		})
	}
}

func TestUnservedPathsAndMethods(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	for _, test := range []struct{ method, path string }{
		{http.MethodGet, "/"},
		{http.MethodGet, "/oidc/jwks/"},
		{http.MethodGet, "/.well-known/openid-configuration"},
		{http.MethodPost, devtenant.JWKSPath},
		{http.MethodGet, devtenant.TokenPath},
		{http.MethodOptions, devtenant.TokenPath},
	} {
		if answer := ask(tenant, test.method, test.path, nil); answer.Code != 404 {
			t.Errorf("%s %s: status %d, want 404", test.method, test.path, answer.Code)
		}
	}
	if got := tenant.Counts(); got != (devtenant.Counts{}) {
		t.Errorf("counted %v", got)
	}
}

func TestCORS(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	const origin = "https://app.example.com"
	for _, path := range []string{devtenant.DiscoveryPath, devtenant.JWKSPath, devtenant.TokenPath} {
		preflight := ask(tenant, http.MethodOptions, path, http.Header{
			"Origin":                         {origin},
			"Access-Control-Request-Method":  {"POST"},
			"Access-Control-Request-Headers": {"authorization"},
		})
		if h := preflight.Header(); preflight.Code != 204 || h.Get("Access-Control-Allow-Origin") != origin || h.Get("Access-Control-Allow-Headers") != "authorization" {
			t.Errorf("preflight of %s: status %d, header %v", path, preflight.Code, h)
		}
	}
	answer := ask(tenant, http.MethodGet, devtenant.JWKSPath, http.Header{"Origin": {origin}})
	if got := answer.Header().Get("Access-Control-Allow-Origin"); got != origin {
		t.Errorf("allows %q, want %q", got, origin)
	}
	if got := tenant.Counts(); got != (devtenant.Counts{JWKS: 1}) {
		t.Errorf("counted %v, want no preflight", got)
	}
}

func ask(tenant *devtenant.Tenant, method, path string, header http.Header) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, tenant.Endpoint()+path, nil)
	maps.Copy(request.Header, header)
	answer := httptest.NewRecorder()
	tenant.ServeHTTP(answer, request)
	return answer
}
