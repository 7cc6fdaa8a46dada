package keys

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// newServedSet is a key set that may talk to this server.
func newServedSet(t *testing.T, cfg Config) *Set {
	t.Helper()
	ks, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ks.Destruct() })
	return ks
}

// fileConfigOf is the config of a set whose keys come from a file, beside a
// tenant that only sign-ins talk to.
func fileConfigOf(t *testing.T, cfg Config) Config {
	t.Helper()
	cfg.Issuers = []string{cfg.EndpointIssuer()}
	cfg.Endpoint, cfg.JWKSFile = "", writeJWKS(t, newTenant().JWKS())
	return cfg
}

func TestTheClientTrustsTheTenantsCA(t *testing.T) {
	server := devtenanttest.NewTLSServer(t, devtenant.Options{Algorithm: "ES256"})
	other := httptest.NewTLSServer(http.NotFoundHandler())
	defer other.Close()
	cfg := overHTTPS(server.Server)
	stranger := overHTTPS(other)
	stranger.TrustedCA = ""
	for name, test := range map[string]struct {
		cfg     Config
		trusted bool
	}{
		"keys over HTTP":               {cfg, true},
		"keys from a file":             {fileConfigOf(t, cfg), true},
		"another CA":                   {stranger, false},
		"another CA, keys from a file": {fileConfigOf(t, stranger), false},
	} {
		ks := newServedSet(t, test.cfg)
		resp, err := ks.HTTPClient().Get(server.URL + discoveryPath)
		if err == nil {
			resp.Body.Close()
		}
		if trusted := err == nil && resp.StatusCode == http.StatusOK; trusted != test.trusted {
			t.Errorf("%s: %v", name, err)
		}
		if ks.HTTPClient().CheckRedirect == nil {
			t.Errorf("%s: it follows every redirect", name)
		}
	}
	if got := newServedSet(t, cfg).HTTPClient().Transport; got == newServedSet(t, cfg).HTTPClient().Transport {
		t.Error("two sets share a transport")
	}
	cfg = fileConfigOf(t, cfg)
	cfg.TrustedCA = "no PEM"
	if _, err := New(cfg, nil); err == nil {
		t.Error("a CA file without a certificate is accepted beside a file of keys")
	}
}

func TestTestsReachATenantBesideAFileOfKeys(t *testing.T) {
	ks := newServedSet(t, fileConfigOf(t, testConfig()))
	tenant := newTenant()
	ks.ReachThrough(devtenanttest.Transport(tenant))
	resp, err := ks.HTTPClient().Get(testEndpoint + discoveryPath)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// Many people's tokens are refreshed at once: afterwards not every request
// begins with a handshake.
func TestConnectionsAreKeptAndClosedWithTheSet(t *testing.T) {
	var opened, closed atomic.Int32
	all := make(chan struct{})
	var arrived sync.WaitGroup
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived.Done()
		<-all
	}))
	gone := make(chan struct{}, 100)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			closed.Add(1)
			gone <- struct{}{}
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	cfg := testConfig()
	cfg.Endpoint, cfg.InsecureHTTP = server.URL, true
	ks := newServedSet(t, fileConfigOf(t, cfg))
	burst := func(n int) {
		all = make(chan struct{})
		arrived.Add(n)
		var group sync.WaitGroup
		for range n {
			group.Go(func() {
				resp, err := ks.HTTPClient().Get(server.URL)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			})
		}
		arrived.Wait()
		close(all)
		group.Wait()
	}
	burst(maxIdleConns)
	burst(maxIdleConns)
	if opened.Load() != maxIdleConns || closed.Load() != 0 {
		t.Errorf("%d connections were opened, %d closed", opened.Load(), closed.Load())
	}
	if err := ks.Destruct(); err != nil {
		t.Fatal(err)
	}
	late := time.After(10 * time.Second)
	for range maxIdleConns {
		select {
		case <-gone:
		case <-late:
			t.Fatalf("%d of %d connections are closed", closed.Load(), opened.Load())
		}
	}
}
