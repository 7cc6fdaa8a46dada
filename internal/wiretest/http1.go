package wiretest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// dial connects with TLS if the server has it.
func dial(tb testing.TB, server *caddytest.Server, protocol string) net.Conn {
	tb.Helper()
	var (
		connection net.Conn
		err        error
	)
	if config := server.TLS(protocol); config != nil {
		connection, err = (&tls.Dialer{Config: config}).DialContext(tb.Context(), "tcp", server.Addr())
	} else {
		connection, err = new(net.Dialer).DialContext(tb.Context(), "tcp", server.Addr())
	}
	if err != nil {
		tb.Fatalf("connecting: %v", err)
	}
	tb.Cleanup(func() { connection.Close() })
	return connection
}

// octets renders a request of HTTP/1.1.
func (r *Request) octets() string {
	var b strings.Builder
	method, target := r.Method, r.Path
	if r.Protocol != "" {
		method = http.MethodGet
	}
	if target == "" {
		target = r.Authority
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, target, r.Authority)
	if r.Protocol != "" {
		fmt.Fprintf(&b, "Connection: Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", r.Protocol)
	}
	sized := false
	for _, field := range parseFields(r.Fields) {
		sized = sized || strings.EqualFold(field.name, "Content-Length")
		fmt.Fprintf(&b, "%s: %s\r\n", field.name, field.value)
	}
	switch {
	case r.ends():
		b.WriteString("\r\n")
	case sized:
		b.WriteString("\r\n" + strings.Join(r.Body, ""))
	default:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for _, chunk := range r.Body {
			if chunk != "" { // an empty one is the last
				fmt.Fprintf(&b, "%x\r\n%s\r\n", len(chunk), chunk)
			}
		}
		b.WriteString("0\r\n")
		for _, field := range parseFields(r.Trailer) {
			fmt.Fprintf(&b, "%s: %s\r\n", field.name, field.value)
		}
		b.WriteString("\r\n")
	}
	return b.String()
}

func sendHTTP1(tb testing.TB, server *caddytest.Server, r *Request) *Answer {
	tb.Helper()
	connection := dial(tb, server, "http/1.1")
	if _, err := io.WriteString(connection, r.octets()); err != nil {
		tb.Fatalf("sending: %v", err)
	}
	response, err := readHTTP1(bufio.NewReader(connection), r)
	if err != nil {
		return &Answer{Broken: err}
	}
	return readAnswer(response)
}

func openHTTP1(tb testing.TB, server *caddytest.Server, r *Request) *Stream {
	tb.Helper()
	connection := dial(tb, server, "http/1.1")
	if _, err := io.WriteString(connection, r.octets()); err != nil {
		tb.Fatalf("sending: %v", err)
	}
	reader := bufio.NewReader(connection)
	response, err := readHTTP1(reader, r) //nolint:bodyclose // the stream is the body
	if err != nil {
		tb.Fatalf("reading: %v", err)
	}
	stream := &Stream{Status: response.StatusCode, Header: response.Header}
	if response.StatusCode == http.StatusSwitchingProtocols {
		stream.ReadWriteCloser = buffered{connection, reader}
	} else {
		stream.ReadWriteCloser = buffered{connection, response.Body}
	}
	return stream
}

// readHTTP1 reads the header of the answer that is not informational.
func readHTTP1(reader *bufio.Reader, r *Request) (*http.Response, error) {
	for {
		response, err := http.ReadResponse(reader, &http.Request{Method: r.Method})
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= http.StatusOK || response.StatusCode == http.StatusSwitchingProtocols {
			return response, nil
		}
		response.Body.Close()
	}
}

// buffered is a connection of which a part was read before.
type buffered struct {
	net.Conn
	reader io.Reader
}

// Read reads what came first first.
func (b buffered) Read(p []byte) (int, error) { return b.reader.Read(p) }
