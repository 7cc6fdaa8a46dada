package wiretest

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// SendEarly sends the header of a request in the early data of a resumed
// connection (0-RTT), and keeps the server from completing the handshake until
// it has answered.
//
// It skips the test under the race detector: quic-go's client (0.63.0) writes the
// server's transport parameters in handleTransportParameters while a stream that
// was opened early reads the remembered ones.
func SendEarly(tb testing.TB, server *caddytest.Server, request Request) *Answer {
	tb.Helper()
	if underRace {
		tb.Skip("quic-go's client has a data race of its own in early data")
	}
	config := server.TLS(http3.NextProtoH3)
	tickets := &ticketCache{ClientSessionCache: tls.NewLRUClientSessionCache(1), put: make(chan struct{})}
	config.ClientSessionCache = tickets
	dialHTTP3(tb, server, config, listenUDP(tb), nil)
	<-tickets.put

	sent := make(chan struct{})
	gate := &gate{PacketConn: listenUDP(tb), sent: sent}
	connection := dialHTTP3(tb, server, config, gate, sentEarly(sent))
	stream, err := connection.OpenRequestStream(tb.Context())
	if err != nil {
		tb.Fatalf("opening a stream: %v", err)
	}
	if err := stream.SendRequestHeader(request.complete(server).request(tb)); err != nil {
		tb.Fatalf("sending: %v", err)
	}
	if err := stream.Close(); err != nil {
		tb.Fatalf("sending: %v", err)
	}
	response, err := stream.ReadResponse()
	if err != nil {
		return &Answer{Broken: err}
	}
	defer gate.complete.Store(true)
	return readAnswer(response)
}

// ticketCache tells when the server has sent a session ticket.
type ticketCache struct {
	tls.ClientSessionCache
	put  chan struct{}
	once sync.Once
}

// Put keeps the ticket.
func (c *ticketCache) Put(key string, session *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, session)
	if session != nil {
		c.once.Do(func() { close(c.put) })
	}
}

// sentEarly closes a channel when the end of a request is in a packet of early
// data: the packets themselves are encrypted.
func sentEarly(sent chan<- struct{}) *quic.Config {
	watch := &watch{sent: sent}
	return &quic.Config{Tracer: func(context.Context, bool, quic.ConnectionID) qlogwriter.Trace { return watch }}
}

// watch is what quic-go tells of every packet.
type watch struct {
	sent chan<- struct{}
	once sync.Once
}

// AddProducer returns the watch itself.
func (w *watch) AddProducer() qlogwriter.Recorder { return w }

// SupportsSchemas asks for the events of QUIC only.
func (*watch) SupportsSchemas(schema string) bool { return schema == qlog.EventSchema }

// Close does nothing.
func (*watch) Close() error { return nil }

// RecordEvent looks for the packet.
func (w *watch) RecordEvent(event qlogwriter.Event) {
	packet, ok := event.(qlog.PacketSent)
	if !ok || packet.Header.PacketType != qlog.PacketType0RTT {
		return
	}
	for _, frame := range packet.Frames {
		if part, ok := frame.Frame.(*qlog.StreamFrame); ok && part.StreamID == 0 && part.Fin {
			w.once.Do(func() { close(w.sent) })
		}
	}
}

// gate is a UDP socket that hears nothing of the server until the early
// request is on its way, and sends what would complete the handshake only
// when it may be complete.
type gate struct {
	net.PacketConn
	sent     <-chan struct{}
	complete atomic.Bool
}

// ReadFrom waits until the request was sent: a client that has heard of the
// server has no early data any more.
func (g *gate) ReadFrom(p []byte) (int, net.Addr, error) {
	<-g.sent
	return g.PacketConn.ReadFrom(p)
}

// WriteTo sends the packets of a datagram that come before the handshake's.
func (g *gate) WriteTo(p []byte, to net.Addr) (int, error) {
	if g.complete.Load() {
		return g.PacketConn.WriteTo(p, to)
	}
	kept := 0
	for kept < len(p) {
		kind, length := packet(p[kept:])
		if kind != initial && kind != zeroRTT {
			break
		}
		kept += length
	}
	if kept > 0 {
		if _, err := g.PacketConn.WriteTo(p[:kept], to); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// Kinds of packets with a long header (RFC 9000 section 17.2).
const (
	initial = 0
	zeroRTT = 1
	other   = -1
)

// packet tells the kind and the length of the first packet in a datagram.
func packet(p []byte) (kind, length int) {
	if len(p) < 7 || p[0]&0x80 == 0 {
		return other, len(p)
	}
	kind = int(p[0] >> 4 & 3)
	if kind != initial && kind != zeroRTT {
		return other, len(p)
	}
	if binary.BigEndian.Uint32(p[1:]) != 1 {
		return other, len(p)
	}
	at := 5
	for range 2 { // the connection IDs
		at += 1 + int(p[at])
	}
	if kind == initial {
		token, n, err := quicvarint.Parse(p[at:])
		if err != nil {
			return other, len(p)
		}
		at += n + int(token) //nolint:gosec // a part of a datagram
	}
	rest, n, err := quicvarint.Parse(p[at:])
	if err != nil {
		return other, len(p)
	}
	return kind, at + n + int(rest) //nolint:gosec // a part of a datagram
}
