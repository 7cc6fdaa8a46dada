package soak

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// server is the Caddy under test, a process of its own.
type server struct {
	base  string
	roots *x509.CertPool

	process  *exec.Cmd
	admin    *http.Client
	dir      string
	port     int
	endpoint string
	upstream string

	mu         sync.Mutex
	generation int
	reloaded   []*lifetime // of each reload
	renewed    []*lifetime // of those that begin with other key sets
	lines      int
	faults     []string // log lines that should not be there
	secrets    *secrets
}

// upstream is behind the site "proxied" and tells what reaches it.
type upstream struct{ *httptest.Server }

func startUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "user=%s authorization=%s", strings.Join(r.Header.Values(userName), ","), r.Header.Get("Authorization"))
	}))}
	t.Cleanup(u.Close)
	return u
}

func startServer(t *testing.T, tenant *tenant, u *upstream, found *secrets) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{
		dir: dir, port: freePort(t), endpoint: tenant.Endpoint(), upstream: u.Listener.Addr().String(), secrets: found,
		admin: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "admin.sock"))
			},
			DisableKeepAlives: true,
		}},
	}
	s.base = "https://localhost:" + strconv.Itoa(s.port)
	s.roots = writeCertificate(t, dir)
	binary := filepath.Join(dir, "caddy")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/caddy").CombinedOutput(); err != nil {
		t.Fatalf("building Caddy: %v\n%s", err, output)
	}
	config := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(s.caddyfile()), 0o600); err != nil {
		t.Fatal(err)
	}
	s.process = exec.Command(binary, "run", "--config", config, "--adapter", "caddyfile") // stopped below, and what is tested
	s.process.Env = append(os.Environ(), "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	logs, err := s.process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		s.read(logs, ready)
		close(ended)
	}()
	t.Cleanup(func() { s.stop(t, ended) })
	select {
	case <-ready:
	case <-ended:
		t.Fatalf("Caddy did not start: %v", s.faults)
	}
	return s
}

func (s *server) stop(t *testing.T, ended <-chan struct{}) {
	t.Helper()
	if err := s.process.Process.Signal(os.Interrupt); err != nil {
		t.Errorf("stopping Caddy: %v", err)
	}
	<-ended
	if err := s.process.Wait(); err != nil {
		t.Errorf("Caddy ended with %v", err)
	}
}

// freePort returns a port that is free for TCP and for UDP.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := tcp.Addr().(*net.TCPAddr).Port
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		tcp.Close()
		if err == nil {
			udp.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// writeCertificate makes a certificate for localhost and returns what trusts
// it.
func writeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encodedKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: certificate}, "key.pem": {Type: "PRIVATE KEY", Bytes: encodedKey},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return roots
}

// freshKeySetsEvery is how many reloads go by until one has other settings of
// the tenant, and so begins with a key set that holds nothing.
const freshKeySetsEvery = 5

// caddyfile is the configuration of the current generation.
func (s *server) caddyfile() string {
	var b strings.Builder
	fmt.Fprintf(&b, `{
		admin unix/%[1]s/admin.sock
		storage file_system %[1]s/storage
		auto_https disable_redirects
		skip_install_trust
		grace_period 2s
		metrics
		log {
			level DEBUG
			format json
			output stderr
		}
		logto_auth {
			endpoint %[2]s
			refresh_interval 2s
			refresh_cooldown 500ms
			fetch_timeout 1s
			leeway %[3]s
			cache_size %[4]d
			revocation
		}
	}
	https://localhost:%[5]d {
		bind 127.0.0.1
		tls %[1]s/cert.pem %[1]s/key.pem
		log {
			format filter {
				request>uri query {
					replace access_token REDACTED
					replace code REDACTED
					replace state REDACTED
				}
				resp_headers>Location delete
				wrap json
			}
		}
		header X-Generation %[6]d
	`, s.dir, s.endpoint, leeway, poolSize/2+s.generation/freshKeySetsEvery%2, s.port, s.generation)
	for _, site := range sites {
		b.WriteString(site.caddyfile(s.generation, s.upstream))
	}
	b.WriteString(membersCaddyfile)
	b.WriteString("}\n")
	return b.String()
}

// load gives Caddy the configuration of the next generation.
func (s *server) load(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	s.generation++
	config := s.caddyfile()
	span := &lifetime{time.Now(), endless}
	s.reloaded = append(s.reloaded, span)
	if s.generation%freshKeySetsEvery == 0 {
		s.renewed = append(s.renewed, span)
	}
	s.mu.Unlock()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/load", strings.NewReader(config))
	if err != nil {
		t.Error(err)
		return
	}
	request.Header.Set("Content-Type", "text/caddyfile")
	response, err := s.admin.Do(request)
	if err != nil {
		t.Errorf("reloading: %v", err)
		return
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(response.Body)
		t.Errorf("reloading: %s %s", response.Status, body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	span.to = time.Now()
}

// reloadedBetween tells whether a reload was under way at any moment.
func (s *server) reloadedBetween(from, to time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return overlap(s.reloaded, from, to)
}

// renewedBetween tells whether a key set that holds nothing yet may have been
// in use.
func (s *server) renewedBetween(from, to time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return overlap(s.renewed, from, to)
}

func overlap(spans []*lifetime, from, to time.Time) bool {
	for _, span := range spans {
		if !span.from.After(to) && !span.to.Before(from) {
			return true
		}
	}
	return false
}

// read watches the log for tokens and for what must never be logged.
func (s *server) read(logs io.Reader, ready chan<- struct{}) {
	lines := bufio.NewScanner(logs)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		s.mu.Lock()
		s.lines++
		if part, found := s.secrets.found(line); found {
			s.faults = append(s.faults, fmt.Sprintf("part of a token (%s): %s", part, line))
		}
		if !strings.HasPrefix(line, "{") || strings.Contains(line, "panic") {
			s.faults = append(s.faults, line)
		}
		s.mu.Unlock()
		if ready != nil && strings.Contains(line, "serving initial configuration") {
			close(ready)
			ready = nil
		}
	}
}

// measurement is what the process holds.
type measurement struct {
	goroutines  int
	descriptors int // -1 where they cannot be counted
	heap        int // octets in use after a collection
	resident    int // octets; -1 where they cannot be read
}

func (m measurement) String() string {
	return fmt.Sprintf("%d goroutines, %d file descriptors, heap %.1f MiB, resident %.1f MiB",
		m.goroutines, m.descriptors, float64(m.heap)/(1<<20), float64(m.resident)/(1<<20))
}

// most is the greater of each figure.
func (m measurement) most(other measurement) measurement {
	return measurement{
		max(m.goroutines, other.goroutines), max(m.descriptors, other.descriptors),
		max(m.heap, other.heap), max(m.resident, other.resident),
	}
}

// least is the lesser of each figure.
func (m measurement) least(other measurement) measurement {
	return measurement{
		min(m.goroutines, other.goroutines), min(m.descriptors, other.descriptors),
		min(m.heap, other.heap), min(m.resident, other.resident),
	}
}

func (s *server) measure(t *testing.T) measurement {
	t.Helper()
	m := measurement{descriptors: -1, resident: -1}
	m.heap = number(t, s.debug(t, "/debug/pprof/heap?gc=1&debug=1"), "# HeapAlloc = ")
	m.goroutines = number(t, s.debug(t, "/debug/pprof/goroutine?debug=1"), "goroutine profile: total ")
	if runtime.GOOS == "linux" {
		process := filepath.Join("/proc", strconv.Itoa(s.process.Process.Pid))
		open, err := os.ReadDir(filepath.Join(process, "fd"))
		if err != nil {
			t.Fatal(err)
		}
		status, err := os.ReadFile(filepath.Join(process, "status"))
		if err != nil {
			t.Fatal(err)
		}
		m.descriptors, m.resident = len(open), 1024*number(t, status, "VmRSS:")
	}
	return m
}

func (s *server) debug(t *testing.T, path string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.admin.Do(request)
	if err != nil {
		t.Fatalf("asking Caddy: %v", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// number reads the number behind a label.
func number(t *testing.T, text []byte, label string) int {
	t.Helper()
	_, rest, found := bytes.Cut(text, []byte(label))
	fields := bytes.Fields(rest)
	if !found || len(fields) == 0 {
		t.Fatalf("no %q in %.200q", label, text)
	}
	n, err := strconv.Atoi(string(fields[0]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
