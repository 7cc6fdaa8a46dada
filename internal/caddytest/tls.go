package caddytest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

func init() {
	caddy.RegisterModule(packetConnSeen{})
	caddy.RegisterModule(afterLoad{})
}

// Protocols are those that a server with TLS speaks, as a request's Proto
// names them.
var Protocols = []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"}

// StartTLS is [Start] for a server that speaks HTTP/1.1, HTTP/2 and HTTP/3
// over TLS. URL is that of HTTP/1.1 and HTTP/2; HTTP/3 has a UDP port of its
// own, which [Server.Over] and [Server.DialQUIC] know.
func StartTLS(tb testing.TB, text string) *Server {
	tb.Helper()
	own, err := ownCertificate()
	if err != nil {
		tb.Fatalf("making the certificate: %v", err)
	}
	return start(tb, text, &Server{secure: own})
}

// StartInternalTLS is [Start] for sites that say `tls internal`: Caddy makes
// their certificates, as it does anywhere, and [Server.Intermediate] signs
// them. Client trusts none of them, and HTTP/3 is not for the asking.
func StartInternalTLS(tb testing.TB, text string) *Server {
	tb.Helper()
	return start(tb, text, &Server{issues: true})
}

// Intermediate is the certificate that signed the one of a site. It waits until
// the site has one, since Caddy makes it after it has started.
func (s *Server) Intermediate(host string) *x509.Certificate {
	s.tb.Helper()
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-retry.C {
		chain, err := s.certificates(host)
		switch {
		case err == nil && len(chain) == 2:
			return chain[1]
		case err == nil:
			s.tb.Fatalf("Caddy shows %d certificates for %s, not the site's and an intermediate one", len(chain), host)
		case time.Now().After(deadline):
			s.tb.Fatalf("Caddy has no certificate for %s: %v", host, err)
		}
	}
}

// certificates is what a client is shown that asks for a host.
func (s *Server) certificates(host string) ([]*x509.Certificate, error) {
	dialer := &tls.Dialer{Config: &tls.Config{ServerName: host, InsecureSkipVerify: true}} //nolint:gosec // it asks for what to trust
	connection, err := dialer.DialContext(s.tb.Context(), "tcp", s.Addr())
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	return connection.(*tls.Conn).ConnectionState().PeerCertificates, nil
}

// Over returns the same server with a client that speaks one of [Protocols].
// The client uses one connection for all requests over HTTP/2 and HTTP/3.
func (s *Server) Over(protocol string) *Server {
	s.tb.Helper()
	var transport http.RoundTripper
	switch {
	case protocol == "HTTP/1.1":
		transport = &http.Transport{DisableCompression: true, TLSClientConfig: s.TLS("http/1.1")}
	case s.secure == nil:
		s.tb.Fatalf("a server without TLS does not speak %s", protocol)
	case protocol == "HTTP/2.0":
		transport = &http.Transport{DisableCompression: true, TLSClientConfig: s.TLS("h2"), ForceAttemptHTTP2: true}
	case protocol == "HTTP/3.0":
		quicTransport := &http3.Transport{
			DisableCompression: true,
			TLSClientConfig:    s.TLS(http3.NextProtoH3),
			Dial: func(ctx context.Context, _ string, config *tls.Config, quicConfig *quic.Config) (*quic.Conn, error) {
				return quic.DialAddrEarly(ctx, s.secure.udp(), config, quicConfig)
			},
		}
		// Caddy would wait for connections that are still open.
		s.tb.Cleanup(func() { _ = quicTransport.Close() })
		transport = quicTransport
	default:
		s.tb.Fatalf("no such protocol: %s", protocol)
	}
	over := *s
	over.Client = s.newClient(transport)
	s.tb.Cleanup(over.Client.CloseIdleConnections)
	return &over
}

// DialQUIC opens a QUIC connection for HTTP/3, for tests that look below
// requests.
func (s *Server) DialQUIC(connection net.PacketConn, config *tls.Config, settings *quic.Config) *quic.Conn {
	s.tb.Helper()
	address, err := net.ResolveUDPAddr("udp", s.secure.udp())
	if err != nil {
		s.tb.Fatal(err)
	}
	dialed, err := quic.DialEarly(s.tb.Context(), connection, address, config, settings)
	if err != nil {
		s.tb.Fatalf("connecting: %v", err)
	}
	return dialed
}

// TLS is a client's configuration that trusts the server and offers one
// protocol; nil for a server without TLS.
func (s *Server) TLS(protocol string) *tls.Config {
	if s.secure == nil {
		return nil
	}
	return &tls.Config{RootCAs: s.secure.roots, NextProtos: []string{protocol}, MinVersion: tls.VersionTLS12}
}

func (s *Server) scheme() string {
	if s.secure == nil && !s.issues {
		return "http"
	}
	return "https"
}

// certificate is one for 127.0.0.1.
type certificate struct {
	certificate, key string // PEM
	roots            *x509.CertPool
}

// ownCertificate makes the certificate of all servers of a test run. Caddy keeps
// a QUIC listener for a moment after it has stopped, and gives it to the next
// server with the same address: its first handshakes would show the
// certificate of the server before.
var ownCertificate = sync.OnceValues(newCertificate)

func newCertificate() (*certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	encoded, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	encodedKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(encoded)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &certificate{
		certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: encoded})),
		key:         string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encodedKey})),
		roots:       roots,
	}, nil
}

// serve makes a server of a configuration use the certificate.
func (c *certificate) serve(server, apps map[string]any) {
	server["tls_connection_policies"] = []any{map[string]any{"match": map[string]any{"caddytest": map[string]any{}}}}
	server["packet_conn_wrappers"] = []any{map[string]any{"wrapper": "caddytest"}}
	tlsApp, _ := apps["tls"].(map[string]any)
	if tlsApp == nil {
		tlsApp = make(map[string]any)
		apps["tls"] = tlsApp
	}
	tlsApp["certificates"] = map[string]any{"load_pem": []any{map[string]any{"certificate": c.certificate, "key": c.key}}}
}

// udp is where HTTP/3 is spoken.
func (*certificate) udp() string {
	return udpAddress.Load().(net.Addr).String()
}

// udpAddress is that of the UDP socket that Caddy opened last.
var udpAddress atomic.Value

// loads counts the configurations that have been loaded.
var loads atomic.Int64

// afterLoad is a module that matches every TLS handshake. Caddy's tls app copies
// itself in each one, and nothing tells the race detector that the app had
// started before: what a client sends passes through the system.
type afterLoad struct{}

// CaddyModule returns the Caddy module information.
func (afterLoad) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.handshake_match.caddytest", New: func() caddy.Module { return new(afterLoad) }}
}

// Match lets the handshake happen after what is written before loads.
func (afterLoad) Match(*tls.ClientHelloInfo) bool { return loads.Load() > 0 }

// packetConnSeen is a module that learns the port of HTTP/3, which Caddy tells
// nobody: a server's Listeners are those for TCP.
type packetConnSeen struct{}

// CaddyModule returns the Caddy module information.
func (packetConnSeen) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.packetconns.caddytest", New: func() caddy.Module { return new(packetConnSeen) }}
}

// WrapPacketConn notes the address and leaves the connection as it is.
func (packetConnSeen) WrapPacketConn(connection net.PacketConn) net.PacketConn {
	udpAddress.Store(connection.LocalAddr())
	return connection
}

// Interface guards.
var (
	_ caddy.PacketConnWrapper    = packetConnSeen{}
	_ caddytls.ConnectionMatcher = afterLoad{}
)
