package wiretest_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/wiretest"
)

// seen is what an upstream behind Caddy got.
type seen struct {
	Method, Target, Host, Body string
	Length                     int64
	Field                      []string
	Trailer                    http.Header
}

func startUpstream(t *testing.T, handler http.HandlerFunc) *caddytest.Server {
	t.Helper()
	upstream := httptest.NewServer(handler)
	t.Cleanup(upstream.Close)
	return caddytest.StartTLS(t, ":80 {\nreverse_proxy "+upstream.Listener.Addr().String()+"\n}")
}

func TestSend(t *testing.T) {
	s := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Last")
		_ = json.NewEncoder(w).Encode(seen{r.Method, r.RequestURI, r.Host, string(body), r.ContentLength, r.Header["X-Field"], r.Trailer})
		w.Header().Set("X-Last", "bye")
	})
	// quic-go notes trailers in a request of which Caddy passes a copy on, so
	// that none arrive.
	fin := map[string][]string{"HTTP/1.1": {"fin"}, "HTTP/2.0": {"fin"}}
	for _, protocol := range caddytest.Protocols {
		for _, test := range []struct {
			name    string
			request wiretest.Request
			want    seen
		}{
			{"nothing said", wiretest.Request{}, seen{Method: "GET", Target: "/", Host: s.Addr()}},
			{
				"every part",
				wiretest.Request{
					Method: "POST", Path: "/a%2fb/../c?d", Authority: "shop.example.com",
					Fields: []string{"X-Field: one", "x-field: two", "Trailer: X-End"}, Body: []string{"he", "llo"}, Trailer: []string{"X-End: fin"},
				},
				seen{"POST", "/a%2fb/../c?d", "shop.example.com", "hello", -1, []string{"one", "two"}, http.Header{"X-End": fin[protocol]}},
			},
			{
				"a length",
				wiretest.Request{Method: "PUT", Fields: []string{"Content-Length: 5"}, Body: []string{"hello"}},
				seen{Method: "PUT", Target: "/", Host: s.Addr(), Body: "hello", Length: 5},
			},
		} {
			answer := wiretest.Send(t, s, protocol, test.request)
			if answer.Broken != nil || answer.Status != http.StatusOK || answer.Trailer.Get("X-Last") != "bye" {
				t.Errorf("%s over %s: %+v", test.name, protocol, answer)
			}
			var got seen
			if err := json.Unmarshal([]byte(answer.Body), &got); err != nil || fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("%s over %s: got %+v, want %+v (%v)", test.name, protocol, got, test.want, err)
			}
		}
	}
}

// Go's HTTP/2 server knows extended CONNECT only where the environment of the
// process says so.
func TestStreamBreaks(t *testing.T) {
	s := startUpstream(t, func(http.ResponseWriter, *http.Request) {})
	if answer := wiretest.Send(t, s, "HTTP/2.0", wiretest.Request{Protocol: "websocket"}); answer.Broken == nil {
		t.Errorf("%+v", answer)
	}
}

func TestOpenWebSocket(t *testing.T) {
	s := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		connection, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer connection.Close()
		_, _ = fmt.Fprintf(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Seen: %s %s\r\n\r\n", r.Method, r.RequestURI)
		line, _ := buffered.ReadString('\n')
		_, _ = io.WriteString(connection, strings.ToUpper(line))
	})
	for protocol, status := range map[string]int{"HTTP/1.1": http.StatusSwitchingProtocols, "HTTP/3.0": http.StatusOK} {
		stream := wiretest.Open(t, s, protocol, wiretest.Request{Path: "/chat", Protocol: "websocket", Fields: []string{"Sec-WebSocket-Version: 13"}})
		if stream.Status != status || stream.Header.Get("X-Seen") != "GET /chat" {
			t.Fatalf("over %s: status %d, %v", protocol, stream.Status, stream.Header)
		}
		if _, err := io.WriteString(stream, "hello\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(stream).ReadString('\n'); err != nil || line != "HELLO\n" {
			t.Errorf("over %s: read %q, %v", protocol, line, err)
		}
	}
}

func TestOpenHTTP2(t *testing.T) {
	s := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		controller := http.NewResponseController(w)
		_ = controller.EnableFullDuplex()
		_ = controller.Flush()
		line, _ := bufio.NewReader(r.Body).ReadString('\n')
		_, _ = io.WriteString(w, strings.ToUpper(line))
	})
	stream := wiretest.Open(t, s, "HTTP/2.0", wiretest.Request{Method: "POST", Body: []string{"he"}})
	if _, err := io.WriteString(stream, "llo\n"); err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(stream); err != nil || string(body) != "HELLO\n" {
		t.Errorf("read %q, %v", body, err)
	}
}

func TestSendEarly(t *testing.T) {
	s := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Method, r.Header["Early-Data"]) // which Caddy sets (RFC 8470 section 5.1)
	})
	for range 3 {
		if answer := wiretest.SendEarly(t, s, wiretest.Request{Method: "POST"}); answer.Broken != nil || answer.Body != "POST[1]" {
			t.Errorf("%+v", answer)
		}
	}
}
