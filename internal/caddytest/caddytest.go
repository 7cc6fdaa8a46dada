// Package caddytest loads a Caddyfile into a real Caddy, in this process, and
// sends requests to it over real connections. It uses no fixed port, no file
// outside the test's folder and no admin endpoint.
package caddytest

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile" // the Caddyfile adapter
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the directives of configs under test
)

// Server is a running Caddy. Only one can run at a time, since Caddy's
// configuration is one per process: tests that use it cannot be parallel.
type Server struct {
	// URL is where the first server listens, such as http://127.0.0.1:41234,
	// or https with TLS.
	URL string

	// Client speaks HTTP/1.1, does not follow redirects and keeps connections
	// alive. See [Server.Over] for other protocols.
	Client *http.Client

	tb      testing.TB
	dir     string
	logFile string
	secure  *certificate // nil without TLS, and with Caddy's own
	issues  bool         // certificates of its own
}

// Adapt turns a Caddyfile into JSON and fails the test on any error or
// warning. The Caddyfile is formatted first, so that tests may indent it.
func Adapt(tb testing.TB, text string) []byte {
	tb.Helper()
	adapted, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(caddyfile.Format([]byte(text)), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		tb.Fatalf("adapting: %v\n%s", err, text)
	}
	if len(warnings) > 0 {
		tb.Fatalf("adapting gave warnings: %v\n%s", warnings, text)
	}
	return adapted
}

// Start adapts and loads a Caddyfile and stops Caddy when the test ends.
// Whatever addresses the Caddyfile names, its servers listen on free ports of
// the loopback interface, over plain http.
func Start(tb testing.TB, text string) *Server {
	tb.Helper()
	return start(tb, text, &Server{})
}

func start(tb testing.TB, text string, s *Server) *Server {
	tb.Helper()
	s.tb = tb
	s.dir = tb.TempDir()
	s.logFile = filepath.Join(s.dir, "caddy.log")
	s.Client = s.newClient(&http.Transport{DisableCompression: true, TLSClientConfig: s.TLS("http/1.1")})
	tb.Cleanup(func() {
		s.Client.CloseIdleConnections()
		if err := caddy.Stop(); err != nil {
			tb.Errorf("stopping Caddy: %v", err)
		}
		if tb.Failed() {
			tb.Logf("Caddy's log ends with:\n%s", lastLines(s.Logs(), 20))
		}
	})
	if err := s.Load(text); err != nil {
		tb.Fatalf("loading: %v\n%s", err, text)
	}
	return s
}

func (*Server) newClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Load replaces the configuration, as a reload does. With an error the old
// one goes on.
func (s *Server) Load(text string) error {
	s.tb.Helper()
	return s.LoadJSON(Adapt(s.tb, text))
}

// LoadJSON is Load with a JSON configuration.
func (s *Server) LoadJSON(config []byte) error {
	s.tb.Helper()
	if err := caddy.Load(s.contain(config), true); err != nil {
		return err
	}
	loads.Add(1)
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		return err
	}
	s.URL = ""
	for _, name := range []string{"srv0", "srv1"} {
		server, ok := app.(*caddyhttp.App).Servers[name]
		if ok && len(server.Listeners()) > 0 {
			s.URL = s.scheme() + "://" + server.Listeners()[0].Addr().String()
			break
		}
	}
	return nil
}

// contain keeps a configuration on this machine and in the test's folder.
func (s *Server) contain(config []byte) []byte {
	s.tb.Helper()
	var tree map[string]any
	if err := json.Unmarshal(config, &tree); err != nil {
		s.tb.Fatalf("decoding the configuration: %v", err)
	}
	tree["admin"] = map[string]any{"disabled": true, "config": map[string]any{"persist": false}}
	if _, ok := tree["storage"]; !ok {
		tree["storage"] = map[string]any{"module": "file_system", "root": filepath.Join(s.dir, "storage")}
	}
	tree["logging"] = map[string]any{"logs": map[string]any{"default": map[string]any{
		"level":   "DEBUG",
		"writer":  map[string]any{"output": "file", "filename": s.logFile, "roll": false},
		"encoder": map[string]any{"format": "json"},
	}}}
	apps, _ := tree["apps"].(map[string]any)
	httpApp, _ := apps["http"].(map[string]any)
	httpApp["grace_period"] = "1s"
	// `tls internal` would put Caddy's root certificate into the machine's
	// trust store.
	if bytes.Contains(config, []byte(`"module":"internal"`)) {
		apps["pki"] = map[string]any{"certificate_authorities": map[string]any{"local": map[string]any{"install_trust": false}}}
	}
	servers, _ := httpApp["servers"].(map[string]any)
	for _, server := range servers {
		server := server.(map[string]any)
		server["listen"] = []string{"127.0.0.1:0"}
		if s.issues {
			server["automatic_https"] = map[string]any{"disable_redirects": true}
			continue
		}
		server["automatic_https"] = map[string]any{"disable": true}
		delete(server, "tls_connection_policies")
		if s.secure != nil {
			s.secure.serve(server, apps)
		}
	}
	contained, err := json.Marshal(tree)
	if err != nil {
		s.tb.Fatalf("encoding the configuration: %v", err)
	}
	return contained
}

// Addr is the host and port of URL.
func (s *Server) Addr() string { return strings.TrimPrefix(s.URL, s.scheme()+"://") }

// Logs returns what Caddy has logged so far.
func (s *Server) Logs() string {
	s.tb.Helper()
	logs, err := os.ReadFile(s.logFile)
	if err != nil && !os.IsNotExist(err) {
		s.tb.Fatalf("reading the log: %v", err)
	}
	return string(logs)
}

func lastLines(text string, count int) string {
	lines := slices.Collect(strings.Lines(text))
	return strings.Join(lines[max(0, len(lines)-count):], "")
}

// Response is an answer with its body read.
type Response struct {
	*http.Response
	Body string
}

// Option changes a request before it is sent.
type Option func(*http.Request)

// Bearer sets the Authorization header.
func Bearer(token string) Option { return Header("Authorization", "Bearer "+token) }

// Header adds a header line; `Host` sets the host.
func Header(name, value string) Option {
	return func(r *http.Request) {
		if strings.EqualFold(name, "Host") {
			r.Host = value
			return
		}
		r.Header[name] = append(r.Header[name], value)
	}
}

// Method sets the method.
func Method(method string) Option { return func(r *http.Request) { r.Method = method } }

// Get sends a request for target, a path or a URL of this server, and returns
// the answer.
func (s *Server) Get(target string, options ...Option) *Response {
	s.tb.Helper()
	if strings.HasPrefix(target, "/") {
		target = s.URL + target
	}
	request, err := http.NewRequestWithContext(s.tb.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		s.tb.Fatalf("making the request: %v", err)
	}
	for _, option := range options {
		option(request)
	}
	response, err := s.Client.Do(request)
	if err != nil {
		s.tb.Fatalf("requesting %s: %v", target, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.tb.Fatalf("reading the answer of %s: %v", target, err)
	}
	return &Response{response, string(body)}
}

// Raw sends octets over a connection of their own and returns all that comes
// back, for requests that net/http would not send. The octets must ask for the
// connection to be closed.
func (s *Server) Raw(octets string) string {
	s.tb.Helper()
	var dialer net.Dialer
	connection, err := dialer.DialContext(s.tb.Context(), "tcp", s.Addr())
	if err != nil {
		s.tb.Fatalf("connecting: %v", err)
	}
	defer connection.Close()
	if _, err := io.WriteString(connection, octets); err != nil {
		s.tb.Fatalf("sending: %v", err)
	}
	answer, err := io.ReadAll(connection)
	if err != nil {
		s.tb.Fatalf("reading: %v", err)
	}
	return string(answer)
}
