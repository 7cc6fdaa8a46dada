package logtoauth_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/wiretest"
)

// A client that asks first must not have to send its body to learn that it is
// refused. net/http would ask for the rest of a body before it answers.
func TestRefusalBeforeTheBody(t *testing.T) {
	for _, test := range []struct{ name, settings string }{
		{"json", ""},
		{"handle_errors", "errors handle_errors"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startSite(t, `:80 {
				logto_auth /auth* {
					endpoint ENDPOINT
					audience `+api+`
					`+test.settings+`
				}
				logto_require /require* read:data
				respond "{http.request.body}"
				handle_errors {
					respond "{http.error.message}" {http.error.status_code}
				}
			}`)
			for _, request := range []string{
				"POST /auth HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
				"POST /auth HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n",
				"POST /require HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
			} {
				if status, ends := s.withoutBody(t, request); status != http.StatusUnauthorized || !ends {
					t.Errorf("%q: %d, ends the connection: %t", request, status, ends)
				}
			}
		})
	}
}

// withoutBody sends a header and returns the status of the first answer to it,
// and whether the connection ends with that.
func (s *site) withoutBody(tb testing.TB, header string) (status int, ends bool) {
	tb.Helper()
	var dialer net.Dialer
	connection, err := dialer.DialContext(tb.Context(), "tcp", s.Addr())
	if err != nil {
		tb.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(20 * time.Second)) // for a server that waits for the body
	if _, err := io.WriteString(connection, header); err != nil {
		tb.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		tb.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode, answer.Close
}

// Connection is no header of HTTP/2 and 3, whose streams end without it; and a
// client that does not ask keeps its connection.
func TestRefusalKeepsTheConnection(t *testing.T) {
	s := startTLSSite(t, `:80 {
		logto_auth {
			endpoint ENDPOINT
			audience `+api+`
		}
		respond hello
	}`)
	for _, protocol := range caddytest.Protocols {
		asks := protocol != "HTTP/1.1"
		request := wiretest.Request{Method: "POST", Body: []string{"hello"}}
		if asks {
			request.Fields = []string{"Expect: 100-continue"}
		}
		answer := wiretest.Send(t, s.Server, protocol, request)
		if answer.Broken != nil || answer.Status != http.StatusUnauthorized || answer.Header.Get("Connection") != "" {
			t.Errorf("over %s: %+v", protocol, answer)
		}
	}
}
