package devtenanttest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

func TestServersServeDiscoveryOfThemselves(t *testing.T) {
	const custom = "https://auth.example.com/oidc"
	for name, test := range map[string]struct {
		start  func(testing.TB, devtenant.Options) *Server
		scheme string
		issuer string // empty: the server's own
	}{
		"http":                  {NewServer, "http://127.0.0.1:", ""},
		"https":                 {NewTLSServer, "https://127.0.0.1:", ""},
		"with another's issuer": {NewServer, "http://127.0.0.1:", custom},
	} {
		t.Run(name, func(t *testing.T) {
			server := test.start(t, devtenant.Options{Issuer: test.issuer})
			if !strings.HasPrefix(server.URL, test.scheme) || server.Endpoint() != server.URL {
				t.Errorf("URL %s, endpoint %s", server.URL, server.Endpoint())
			}
			want := test.issuer
			if want == "" {
				want = server.URL + "/oidc"
			}
			document := fetch(t, server.Client(), server.URL+devtenant.DiscoveryPath)
			if document["issuer"] != want || document["jwks_uri"] != server.URL+devtenant.JWKSPath {
				t.Errorf("issuer %v, jwks_uri %v", document["issuer"], document["jwks_uri"])
			}
		})
	}
}

func TestServerClosesWhileAFaultHoldsARequest(t *testing.T) {
	ended := make(chan error, 1)
	t.Run("a test that ends", func(t *testing.T) {
		server := NewServer(t, devtenant.Options{})
		server.SetFault(devtenant.Hang)
		go func() {
			response, err := http.Get(server.URL + devtenant.JWKSPath)
			if err == nil {
				err = response.Body.Close()
			}
			ended <- err
		}()
		if err := server.Wait(t.Context(), func(c devtenant.Counts) bool { return c.JWKS == 1 }); err != nil {
			t.Error(err)
		}
	})
	if err := <-ended; err == nil {
		t.Error("the held request was answered")
	}
}

func TestTransportReachesTheTenantOnly(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{Issuer: "https://tenant.example/oidc"})
	client := &http.Client{Transport: Transport(tenant)}
	if document := fetch(t, client, "https://tenant.example"+devtenant.DiscoveryPath); document["issuer"] != tenant.Issuer() {
		t.Errorf("issuer %v, want %s", document["issuer"], tenant.Issuer())
	}
	for _, address := range []string{
		"https://other.example" + devtenant.JWKSPath,
		"http://tenant.example" + devtenant.JWKSPath,
		"https://tenant.example:8443" + devtenant.JWKSPath,
	} {
		if response, err := client.Get(address); err == nil {
			t.Errorf("%s answered with %d", address, response.StatusCode)
			_ = response.Body.Close()
		}
	}
	if got := tenant.Counts(); got != (devtenant.Counts{Discovery: 1}) {
		t.Errorf("counted %v", got)
	}
}

func fetch(t *testing.T, client *http.Client, address string) map[string]any {
	t.Helper()
	response, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(body, &document); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	return document
}
