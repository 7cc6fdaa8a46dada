package keys

import (
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// overHTTPS is the config for a tenant behind a TLS server that is trusted by
// its certificate alone.
func overHTTPS(server *httptest.Server) Config {
	cfg := testConfig()
	cfg.Endpoint = server.URL
	cfg.TrustedCA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	return cfg
}

// connected is a bench before a tenant on a real socket.
func connected(t *testing.T, tenant *devtenant.Tenant, cfg Config) *bench {
	t.Helper()
	ks, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return newBenchOver(t, tenant, ks.HTTPClient().Transport, cfg, nil)
}

func TestTrustedCAFile(t *testing.T) {
	server := devtenanttest.NewTLSServer(t, devtenant.Options{Algorithm: "ES256"})
	b := connected(t, server.Tenant, overHTTPS(server.Server))
	b.fetched(t)

	cfg := overHTTPS(server.Server)
	cfg.TrustedCA = ""
	b = connected(t, server.Tenant, cfg)
	if b.ks.Await(t.Context(), Nobody) != nil {
		t.Fatal("a certificate that the system does not trust was accepted")
	}
	if b.reason() != failureTLS || !strings.Contains(b.ks.Status().LastError, "certificate") {
		t.Errorf("%s: %s", b.reason(), b.ks.Status().LastError)
	}

	cfg.TrustedCA = "no PEM"
	if _, err := New(cfg, nil); err == nil || !strings.Contains(err.Error(), "trusted_ca_file") {
		t.Errorf("error %v", err)
	}
}

func TestTLSFailureIsLoggedOnceAndItsRecoveryOnce(t *testing.T) {
	server := devtenanttest.NewTLSServer(t, devtenant.Options{Algorithm: "ES256"})
	b := connected(t, server.Tenant, overHTTPS(server.Server))
	transport := b.ks.HTTPClient().Transport.(*http.Transport)
	trusted := transport.TLSClientConfig.RootCAs
	transport.TLSClientConfig.RootCAs = nil
	for range 5 {
		if b.ks.RefreshNow(t.Context()) == nil {
			t.Fatal("an untrusted certificate was accepted")
		}
	}
	if b.logs.Len() != 1 || b.reason() != failureTLS {
		t.Fatalf("log: %v", b.logs.All())
	}
	transport.TLSClientConfig.RootCAs = trusted
	b.fetched(t)
	b.fetched(t)
	if b.logs.Len() != 2 || b.logged(logRecovered) != 1 {
		t.Errorf("log: %v", b.logs.All())
	}
}

// fetchFrom asks one server for a document, as a tenant's client does.
func fetchFrom(t *testing.T, server *httptest.Server, path string) (*answer, error) {
	t.Helper()
	cfg := testConfig()
	if server.TLS != nil {
		cfg = overHTTPS(server)
	}
	client, err := newTenantClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return get(t.Context(), client, server.URL+path, "")
}

func TestHTTP2(t *testing.T) {
	var proto string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		proto = r.Proto
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	if _, err := fetchFrom(t, server, "/"); err != nil || proto != "HTTP/2.0" {
		t.Errorf("%s, %v", proto, err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	mux := http.NewServeMux()
	write := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, n)) }
	}
	mux.HandleFunc("/bound", write(maxResponseBody))
	mux.HandleFunc("/over", write(maxResponseBody+1))
	mux.HandleFunc("/huge", write(10<<20))
	mux.HandleFunc("/bomb", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(make([]byte, 100<<20))
		_ = z.Close()
	})
	mux.HandleFunc("/header", func(w http.ResponseWriter, _ *http.Request) {
		for i := range 100 {
			w.Header().Set(fmt.Sprint("X-Padding-", i), strings.Repeat("x", 1<<10))
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	for path, want := range map[string]failureKind{
		"/bound": "", "/over": failureTooLarge, "/huge": failureTooLarge, "/bomb": failureTooLarge, "/header": failureConnection,
	} {
		_, err := fetchFrom(t, server, path)
		var kind failureKind
		if err != nil {
			kind, _ = kindOf(err)
		}
		if kind != want {
			t.Errorf("%s: %q, %v", path, kind, err)
		}
	}
}

func TestRedirects(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/{n}", func(w http.ResponseWriter, r *http.Request) {
		var n int
		if _, err := fmt.Sscan(r.PathValue("n"), &n); err != nil || n == 0 {
			_, _ = io.WriteString(w, "there")
			return
		}
		http.Redirect(w, r, fmt.Sprint("/", n-1), http.StatusTemporaryRedirect)
	})
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	plain := httptest.NewServer(mux)
	defer plain.Close()
	mux.HandleFunc("/elsewhere/{where}", func(w http.ResponseWriter, r *http.Request) {
		where := map[string]string{
			"plain":    strings.Replace(server.URL, "https", "http", 1) + "/0",
			"port":     plain.URL + "/0",
			"name":     strings.Replace(server.URL, "127.0.0.1", "localhost", 1) + "/0",
			"userinfo": strings.Replace(server.URL, "https://", "https://user:secret@", 1) + "/0",
		}[r.PathValue("where")]
		http.Redirect(w, r, where, http.StatusFound)
	})
	for path, ok := range map[string]bool{
		"/0": true, "/1": true, "/3": true, "/4": false,
		"/elsewhere/plain": false, "/elsewhere/port": false, "/elsewhere/name": false, "/elsewhere/userinfo": false,
	} {
		got, err := fetchFrom(t, server, path)
		if (err == nil) != ok || ok && string(got.body) != "there" {
			t.Errorf("%s: %v", path, err)
		}
		if err != nil {
			if kind, _ := kindOf(err); kind != failureRedirect {
				t.Errorf("%s: %s, %v", path, kind, err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells a password: %v", err)
			}
		}
	}
}

// net/http takes these from an answer and then refuses to send them: every
// later request of the key set would fail.
func TestETagThatCannotBeSentBackIsNotKept(t *testing.T) {
	for etag, want := range map[string]string{
		`"abc"`: `"abc"`, `W/"abc"`: `W/"abc"`, `""`: `""`, "": "", "abc": "", `"a`: "", `"a"b"`: "", "\"a\x7fb\"": "", "\"a\x01b\"": "",
		`"` + strings.Repeat("x", 254) + `"`: `"` + strings.Repeat("x", 254) + `"`,
		`"` + strings.Repeat("x", 255) + `"`: "",
	} {
		if got := usableETag(etag); got != want {
			t.Errorf("%q is kept as %q", etag, got)
		}
	}
}

// A tenant that accepts connections and says nothing, on a real socket: the
// key set ends at once and leaves no connection behind.
func TestEndDuringAFetchThatHangs(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	accepted := make(chan net.Conn)
	go func() {
		if conn, err := listener.Accept(); err == nil {
			accepted <- conn
		}
	}()
	cfg := testConfig()
	cfg.Endpoint = "http://" + listener.Addr().String()
	b := connected(t, nil, cfg)
	b.ks.Start()
	conn := <-accepted
	defer conn.Close()
	if err := b.ks.Destruct(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := bytes.NewBuffer(nil).ReadFrom(conn); err != nil {
		t.Errorf("the connection stays: %v", err)
	}
}

// net/http reads the proxy from the environment once per process, so the
// fetch happens in a process of its own.
func TestProxyFromTheEnvironment(t *testing.T) {
	const endpoint = "http://tenant.test"
	if os.Getenv("LOGTO_AUTH_TEST_PROXY") != "" {
		cfg := testConfig()
		cfg.Endpoint, cfg.InsecureHTTP = endpoint, true
		b := connected(t, nil, cfg)
		if b.ks.Await(t.Context(), Nobody) == nil {
			t.Fatal(b.ks.Status().LastError)
		}
		return
	}
	tenant := devtenant.New(devtenant.Options{Issuer: endpoint + "/oidc", Algorithm: "ES256"})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host != "tenant.test" {
			t.Errorf("the proxy was asked for %s", r.URL)
		}
		tenant.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyFromTheEnvironment$")
	cmd.Env = append(os.Environ(), "LOGTO_AUTH_TEST_PROXY=1", "HTTP_PROXY="+proxy.URL, "NO_PROXY=")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
	if got := tenant.Counts(); got.JWKS != 1 {
		t.Errorf("requests through the proxy: %+v", got)
	}
}

// TestNamesBelowLocalhostStayHere: plain http is allowed for them, so neither
// DNS nor a proxy may decide where they are.
func TestNamesBelowLocalhostStayHere(t *testing.T) {
	server := devtenanttest.NewServer(t, devtenant.Options{Algorithm: "ES256"})
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	// A label of more than 63 octets is in nobody's DNS.
	host := strings.Repeat("a", 70) + ".localhost:" + port
	connection, err := dialTenant(time.Second)(t.Context(), "tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	connection.Close()

	proxy := notForLocalhost(func(*http.Request) (*url.URL, error) { return url.Parse("http://proxy.example.com") })
	for address, proxied := range map[string]bool{"http://" + host: false, "http://notlocalhost": true} {
		used, err := proxy(httptest.NewRequest(http.MethodGet, address, nil))
		if err != nil || (used != nil) != proxied {
			t.Errorf("%s: %v, %v", address, used, err)
		}
	}
}
