package tokenendpoint_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
	"github.com/caddy-logto/caddy-logto-auth/internal/tokenendpoint"
)

const (
	warmUp     = "a-token-before"
	onlyOnce   = "sent-once"
	goodAnswer = `{"access_token":"a","token_type":"Bearer"}`
)

// rawServer accepts connections and counts the requests that hold what may be
// sent only once.
type rawServer struct {
	net.Listener
	mu    sync.Mutex
	count int
}

// newRawServer serves each connection until serve returns.
func newRawServer(t *testing.T, serve func(*rawServer, net.Conn)) *rawServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{Listener: listener}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(t.Context(), func() { connection.Close() })
			serving.Go(func() {
				defer connection.Close()
				serve(s, connection)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
	})
	return s
}

// saw counts a request by its body, and reports whether it holds what may be
// sent only once.
func (s *rawServer) saw(body []byte) bool {
	if !bytes.Contains(body, []byte(onlyOnce)) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	return true
}

// send sends something else first, so that there is a connection to use again,
// then what may be sent only once. It fails the test if the server sees that
// more than once.
func (s *rawServer) send(t *testing.T, transport *http.Transport, warm bool) {
	t.Helper()
	defer transport.CloseIdleConnections()
	client := tokenendpoint.New(&http.Client{Transport: transport}, configOf("http://"+s.Addr().String(), devtenant.App{ID: app, Secret: secret}))
	for what, send := range map[string]func() error{
		"code": func() error {
			_, err := client.Exchange(t.Context(), tokenendpoint.Code{Code: onlyOnce, RedirectURI: callback, Verifier: verifier})
			return err
		},
		"refresh token": func() error {
			_, err := client.Refresh(t.Context(), session.RefreshRequest{RefreshToken: onlyOnce})
			return err
		},
		"revocation": func() error { return client.Revoke(t.Context(), onlyOnce) },
	} {
		// Each ends the connection, which net/http may take for kept for a while.
		transport.CloseIdleConnections()
		if warm {
			if _, err := client.Refresh(t.Context(), session.RefreshRequest{RefreshToken: warmUp}); err != nil {
				t.Fatalf("before: %v", err)
			}
		}
		s.mu.Lock()
		s.count = 0
		s.mu.Unlock()
		err := send()
		s.mu.Lock()
		count := s.count
		s.mu.Unlock()
		if err == nil || count != 1 {
			t.Errorf("%s: sent %d times, error %v", what, count, err)
		}
	}
}

// An HTTP/1.1 server that breaks off, or moves the endpoint, gets a code once.
func TestSentOnceOverHTTP1(t *testing.T) {
	reset := func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }
	write := func(text string) func(net.Conn) {
		return func(c net.Conn) { _, _ = io.WriteString(c, text) }
	}
	for name, answer := range map[string]func(net.Conn){
		"closed":                   func(net.Conn) {},
		"reset":                    reset,
		"half a status line":       write("HTTP/1.1 20"),
		"half a header":            write("HTTP/1.1 200 OK\r\nContent-Le"),
		"half a body":              write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access"),
		"no HTTP":                  write("220 smtp.example.com ESMTP\r\n"),
		"408":                      write("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
		"421":                      write("HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n"),
		"425":                      write("HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n"),
		"503 with Retry-After":     write("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"),
		"401 with a challenge":     write("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"),
		"only an interim response": write("HTTP/1.1 103 Early Hints\r\n\r\n"),
	} {
		for _, warm := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, kept %t", name, warm), func(t *testing.T) {
				s := newRawServer(t, func(s *rawServer, c net.Conn) { serveHTTP1(s, c, answer) })
				s.send(t, &http.Transport{}, warm)
			})
		}
	}
}

// serveHTTP1 answers a request with what may be sent only once as a test asks,
// then ends the connection; all others get tokens.
func serveHTTP1(s *rawServer, c net.Conn, answer func(net.Conn)) {
	reader := bufio.NewReader(c)
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		if s.saw(body) {
			answer(c)
			return
		}
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(goodAnswer), goodAnswer)
	}
}

// The client that is passed in may follow redirects, for discovery and keys.
func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{300, 301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			var s *rawServer
			s = newRawServer(t, func(_ *rawServer, c net.Conn) {
				serveHTTP1(s, c, func(c net.Conn) {
					_, _ = fmt.Fprintf(c, "HTTP/1.1 %d Moved\r\nLocation: http://%s/%s\r\nContent-Length: 0\r\n\r\n", status, s.Addr(), onlyOnce)
				})
			})
			s.send(t, &http.Transport{}, false)
		})
	}
	s := newSite(t)
	s.SetTokenFault(devtenant.Redirects(1))
	_, err := s.Exchange(t.Context(), s.code())
	if failure := failureOf(t, err); failure.Status != 302 || len(s.sent.requests) != 1 || !strings.Contains(err.Error(), "not followed") {
		t.Errorf("%d requests, error %v", len(s.sent.requests), err)
	}
}

// net/http repeats these on its own if it can: the server says, or seems to
// say, that it has not looked at the request.
func TestSentOnceOverHTTP2(t *testing.T) {
	reset := func(code http2.ErrCode) func(*http2.Framer, uint32) {
		return func(framer *http2.Framer, stream uint32) { _ = framer.WriteRSTStream(stream, code) }
	}
	for name, answer := range map[string]func(framer *http2.Framer, stream uint32){
		"REFUSED_STREAM":    reset(http2.ErrCodeRefusedStream),
		"PROTOCOL_ERROR":    reset(http2.ErrCodeProtocol),
		"CANCEL":            reset(http2.ErrCodeCancel),
		"HTTP_1_1_REQUIRED": reset(http2.ErrCodeHTTP11Required),
		"GOAWAY": func(framer *http2.Framer, stream uint32) {
			_ = framer.WriteGoAway(stream-1, http2.ErrCodeNo, nil)
		},
		"GOAWAY after it": func(framer *http2.Framer, stream uint32) {
			_ = framer.WriteGoAway(stream, http2.ErrCodeNo, nil)
			_ = framer.WriteRSTStream(stream, http2.ErrCodeInternal)
		},
	} {
		for _, warm := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, kept %t", name, warm), func(t *testing.T) {
				s := newRawServer(t, func(s *rawServer, c net.Conn) { serveHTTP2(s, c, answer) })
				transport := &http.Transport{Protocols: new(http.Protocols)}
				transport.Protocols.SetUnencryptedHTTP2(true)
				s.send(t, transport, warm)
			})
		}
	}
}

// serveHTTP2 answers a request with what may be sent only once as a test asks;
// all others get tokens.
func serveHTTP2(s *rawServer, c net.Conn, answer func(*http2.Framer, uint32)) {
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(c, c)
	_ = framer.WriteSettings()
	bodies := map[uint32][]byte{}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.DataFrame:
			bodies[frame.StreamID] = append(bodies[frame.StreamID], frame.Data()...)
			if !frame.StreamEnded() {
				continue
			}
			if s.saw(bodies[frame.StreamID]) {
				answer(framer, frame.StreamID)
				continue
			}
			writeTokens(framer, frame.StreamID)
		}
	}
}

func writeTokens(framer *http2.Framer, stream uint32) {
	var block bytes.Buffer
	_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true})
	_ = framer.WriteData(stream, true, []byte(goodAnswer))
}
