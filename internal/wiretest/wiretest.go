// Package wiretest sends requests to a Caddy under test as the octets and
// frames of HTTP/1.1, HTTP/2 and HTTP/3, for those that net/http's client
// would not send: an empty DATA frame, a body of no announced length,
// trailers that nobody announced, CONNECT with a protocol.
package wiretest

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// Request is a request in parts that all three protocols have.
type Request struct {
	// Method is the method; empty is GET.
	Method string

	// Path is the path and query; empty is `/`, and none with CONNECT.
	Path string

	// Authority is the Host or `:authority`; empty is the server's address.
	Authority string

	// Protocol asks for another protocol, such as `websocket`: by extended
	// CONNECT (RFC 8441, RFC 9220), and by Upgrade over HTTP/1.1.
	Protocol string

	// Fields are the header lines, as `Name: value`. A Content-Length is sent
	// as it is, over HTTP/3 only if Body has that length.
	Fields []string

	// Body is sent one chunk or DATA frame for each element; an empty one is
	// an empty frame. Without elements and trailers the request ends with its
	// header.
	Body []string

	// Trailer are the trailer lines. Announce them in a Trailer field where the
	// server must show them.
	Trailer []string
}

// Answer is what came back.
type Answer struct {
	Status  int
	Header  http.Header
	Body    string
	Trailer http.Header

	// Broken says why the stream or connection ended before the answer did.
	Broken error
}

// Stream is a request that goes on after the header of its answer.
type Stream struct {
	Status int
	Header http.Header
	io.ReadWriteCloser
}

// Send sends a request on a connection of its own and returns the answer.
func Send(tb testing.TB, server *caddytest.Server, protocol string, request Request) *Answer {
	tb.Helper()
	r := request.complete(server)
	switch protocol {
	case "HTTP/1.1":
		return sendHTTP1(tb, server, r)
	case "HTTP/2.0":
		return sendHTTP2(tb, server, r)
	case "HTTP/3.0":
		return sendHTTP3(tb, server, r)
	}
	tb.Fatalf("no such protocol: %s", protocol)
	return nil
}

// Open sends the header of a request on a connection of its own and returns
// when that of the answer is there. The stream ends with the test.
func Open(tb testing.TB, server *caddytest.Server, protocol string, request Request) *Stream {
	tb.Helper()
	r := request.complete(server)
	switch protocol {
	case "HTTP/1.1":
		return openHTTP1(tb, server, r)
	case "HTTP/2.0":
		return openHTTP2(tb, server, r)
	case "HTTP/3.0":
		return openHTTP3(tb, server, r)
	}
	tb.Fatalf("no such protocol: %s", protocol)
	return nil
}

// field is a header or trailer line.
type field struct{ name, value string }

// complete fills in what was left out.
func (r *Request) complete(server *caddytest.Server) *Request {
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if r.Authority == "" {
		r.Authority = server.Addr()
	}
	if r.Path == "" && (r.Method != http.MethodConnect || r.Protocol != "") {
		r.Path = "/"
	}
	return r
}

// ends tells whether the request ends with its header.
func (r *Request) ends() bool { return len(r.Body) == 0 && len(r.Trailer) == 0 }

func parseFields(lines []string) []field {
	fields := make([]field, 0, len(lines))
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		fields = append(fields, field{name, strings.TrimPrefix(value, " ")})
	}
	return fields
}

func headerOf(lines []string) http.Header {
	header := make(http.Header, len(lines))
	for _, field := range parseFields(lines) {
		header.Add(field.name, field.value)
	}
	return header
}

// readAnswer reads what is left of an answer.
func readAnswer(response *http.Response) *Answer {
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return &Answer{Status: response.StatusCode, Header: response.Header, Body: string(body), Trailer: response.Trailer, Broken: err}
}
