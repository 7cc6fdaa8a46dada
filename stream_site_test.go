package logtoauth_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// streaming is a site whose upstream streams, for clients with a cookie.
const streaming = `:80 {
	logto_auth {
		endpoint ENDPOINT
		audience ` + api + `
		token_from cookie session
		trusted_origins https://app.example.com
		strip_token
		forward_claim sub X-User
	}
	reverse_proxy UPSTREAM
}`

// shout accepts any protocol upgrade and returns what it reads, line by line,
// with the user before it.
func shout(w http.ResponseWriter, r *http.Request) {
	connection, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer connection.Close()
	_, _ = fmt.Fprintf(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n\r\n", r.Header.Get("Upgrade"))
	for {
		line, err := buffered.ReadString('\n')
		if err != nil {
			return
		}
		_, _ = fmt.Fprintf(connection, "%s cookie %q: %s", r.Header["X-User"], r.Header.Get("Cookie"), line)
	}
}

// handshake asks for a WebSocket and returns the status and the connection.
func (s *site) handshake(tb testing.TB, lines ...string) (int, net.Conn, *bufio.Reader) {
	tb.Helper()
	var dialer net.Dialer
	connection, err := dialer.DialContext(tb.Context(), "tcp", s.Addr())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { connection.Close() })
	request := "GET /socket HTTP/1.1\r\nHost: " + s.Addr() + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
	if _, err := io.WriteString(connection, request); err != nil {
		tb.Fatal(err)
	}
	reader := bufio.NewReader(connection)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode, connection, reader
}

func TestWebSocketWithACookieToken(t *testing.T) {
	s := startSiteBefore(t, http.HandlerFunc(shout), streaming)
	cookie := "Cookie: a=1; session=" + s.alice(nil)
	for origin, want := range map[string]int{
		"":                         http.StatusSwitchingProtocols,
		s.URL:                      http.StatusSwitchingProtocols,
		"https://app.example.com":  http.StatusSwitchingProtocols,
		"https://evil.example.com": http.StatusForbidden,
		"null":                     http.StatusForbidden,
	} {
		lines := []string{cookie, "X-User: admin"}
		if origin != "" {
			lines = append(lines, "Origin: "+origin)
		}
		status, connection, reader := s.handshake(t, lines...)
		if status != want {
			t.Errorf("from %q: status %d, want %d", origin, status, want)
		}
		if status != http.StatusSwitchingProtocols {
			continue
		}
		if _, err := io.WriteString(connection, "hello\n"); err != nil {
			t.Fatal(err)
		}
		line, err := reader.ReadString('\n')
		if err != nil || line != "[alice] cookie \"a=1\": hello\n" {
			t.Errorf("from %q: read %q, %v", origin, line, err)
		}
	}
	if status, _, _ := s.handshake(t, "Origin: "+s.URL); status != http.StatusUnauthorized {
		t.Errorf("without a token: status %d", status)
	}
}

// The first event must arrive while the upstream still writes.
func TestServerSentEventsWithACookieToken(t *testing.T) {
	for _, proxy := range []string{"reverse_proxy UPSTREAM", "encode gzip\nreverse_proxy UPSTREAM", "reverse_proxy h2c://UPSTREAM"} {
		t.Run(proxy, func(t *testing.T) {
			received := make(chan struct{})
			upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				w.Header().Set("Cache-Control", "no-store")
				_, _ = io.WriteString(w, "data: hello\n\n")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-received:
				case <-r.Context().Done():
				}
				_, _ = io.WriteString(w, "data: bye\n\n")
			})
			s := startSiteBefore(t, upstream, strings.Replace(streaming, "reverse_proxy UPSTREAM", proxy, 1))
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/events", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			caddytest.Header("Cookie", "session="+s.alice(nil))(request)
			answer, err := s.Client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			reader := bufio.NewReader(answer.Body)
			if line, err := reader.ReadString('\n'); err != nil || line != "data: hello\n" {
				t.Errorf("read %q, %v", line, err)
			}
			close(received)
			if rest, err := io.ReadAll(reader); err != nil || string(rest) != "\ndata: bye\n\n" {
				t.Errorf("read %q, %v", rest, err)
			}
			if got := answer.Header.Get("Cache-Control"); got != "private, no-store" {
				t.Errorf("Cache-Control is %q", got)
			}
		})
	}
}
