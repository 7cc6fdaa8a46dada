package wiretest

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

func connectHTTP3(tb testing.TB, server *caddytest.Server) *http3.ClientConn {
	tb.Helper()
	return dialHTTP3(tb, server, server.TLS(http3.NextProtoH3), listenUDP(tb), nil)
}

func dialHTTP3(tb testing.TB, server *caddytest.Server, config *tls.Config, socket net.PacketConn, settings *quic.Config) *http3.ClientConn {
	tb.Helper()
	connection := (&http3.Transport{DisableCompression: true}).NewClientConn(server.DialQUIC(socket, config, settings))
	tb.Cleanup(func() { _ = connection.CloseWithError(0, "") })
	return connection
}

func listenUDP(tb testing.TB) net.PacketConn {
	tb.Helper()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = socket.Close() })
	return socket
}

// request is what quic-go's client makes frames of: as many DATA frames as
// the body has reads.
func (r *Request) request(tb testing.TB) *http.Request {
	tb.Helper()
	request := &http.Request{
		Method: r.Method,
		URL:    &url.URL{Scheme: "https", Host: r.Authority, Opaque: r.Path},
		Host:   r.Authority,
		Header: headerOf(r.Fields),
	}
	if strings.HasPrefix(r.Path, "/") {
		request.URL.Opaque = "//" + r.Authority + r.Path
	}
	if r.Protocol != "" {
		request.Method, request.Proto = http.MethodConnect, r.Protocol
	}
	if !r.ends() {
		request.ContentLength = -1
		if request.Header.Get("Content-Length") != "" {
			request.ContentLength = int64(len(strings.Join(r.Body, "")))
		}
		request.Body = &pieces{rest: r.Body}
		request.Trailer = headerOf(r.Trailer)
	}
	return request.WithContext(tb.Context())
}

func sendHTTP3(tb testing.TB, server *caddytest.Server, r *Request) *Answer {
	tb.Helper()
	response, err := connectHTTP3(tb, server).RoundTrip(r.request(tb))
	if err != nil {
		return &Answer{Broken: err}
	}
	return readAnswer(response)
}

func openHTTP3(tb testing.TB, server *caddytest.Server, r *Request) *Stream {
	tb.Helper()
	connection := connectHTTP3(tb, server)
	if r.Protocol != "" {
		<-connection.ReceivedSettings()
	}
	stream, err := connection.OpenRequestStream(tb.Context())
	if err != nil {
		tb.Fatalf("opening a stream: %v", err)
	}
	if err := stream.SendRequestHeader(r.request(tb)); err != nil {
		tb.Fatalf("sending: %v", err)
	}
	response, err := stream.ReadResponse() //nolint:bodyclose // the stream is the body
	if err != nil {
		tb.Fatalf("opening a stream: %v", err)
	}
	// When it stops, Caddy's reverse_proxy writes to the streams that are still
	// open, beside those who copy to them, which is a data race: so this one ends
	// before. That the server has ended it shows in its last octet.
	tb.Cleanup(func() {
		_ = stream.Close() // our direction
		_ = stream.SetReadDeadline(time.Now().Add(streamEnd))
		_, _ = io.Copy(io.Discard, stream)
	})
	return &Stream{response.StatusCode, response.Header, stream}
}

// streamEnd bounds how long a test waits for a server to end a stream.
const streamEnd = 5 * time.Second

// pieces is a body that is read piece by piece.
type pieces struct{ rest []string }

// Read returns the next piece, of which none may be larger than p.
func (b *pieces) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest[0])
	b.rest = b.rest[1:]
	return n, nil
}

// Close does nothing.
func (*pieces) Close() error { return nil }
