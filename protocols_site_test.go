package logtoauth_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/wiretest"
)

// everyProtocol is a site that tells its upstream who the client is.
const everyProtocol = `:80 {
	logto_auth {
		endpoint ENDPOINT
		audience ` + api + `
		token_from header
		token_from cookie session
		forward_claim sub X-User
	}
	reverse_proxy UPSTREAM
}`

// What a client is told does not depend on the protocol.
func TestRefusalsOverEveryProtocol(t *testing.T) {
	s := startTLSSite(t, everyProtocol)
	other := s.tenant.Token(devtenant.TokenRequest{Resource: "https://other.example.com"})
	for _, test := range []struct {
		name    string
		request wiretest.Request
		status  int
		body    string
	}{
		{"no token", wiretest.Request{}, 401, `{"error":"Authorization header is missing"}`},
		{"no token, HEAD", wiretest.Request{Method: "HEAD"}, 401, ""},
		{"a body that nobody reads", wiretest.Request{Method: "POST", Body: []string{"hello", ""}}, 401, `{"error":"Authorization header is missing"}`},
		{"two tokens", wiretest.Request{Fields: []string{"Authorization: Bearer a", "Authorization: Bearer b"}}, 400, `{"error":"Multiple access tokens"}`},
		{"cookies in two lines", wiretest.Request{Fields: []string{"Cookie: session=a", "Cookie: session=b"}}, 400, `{"error":"Multiple access tokens"}`},
		{"a bad token", wiretest.Request{Fields: []string{"Authorization: Bearer a.b.c"}}, 401, `{"error":"Invalid token"}`},
		{"another API's token", wiretest.Request{Fields: []string{"Authorization: Bearer " + other}}, 403, `{"error":"Invalid audience"}`},
		{"a foreign page", wiretest.Request{
			Method: "POST", Fields: []string{"Cookie: session=" + s.alice(nil), "Origin: https://evil.example.com"},
		}, 403, `{"error":"Cross-origin request refused"}`},
		{"CONNECT", wiretest.Request{Method: "CONNECT"}, 401, `{"error":"Authorization header is missing"}`},
		{"CONNECT of a foreign page", wiretest.Request{
			Method: "CONNECT", Fields: []string{"Cookie: session=" + s.alice(nil), "Origin: https://evil.example.com"},
		}, 403, `{"error":"Cross-origin request refused"}`},
	} {
		for _, protocol := range caddytest.Protocols {
			answer := wiretest.Send(t, s.Server, protocol, test.request)
			if answer.Broken != nil || answer.Status != test.status || answer.Body != test.body || answer.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s over %s: %+v", test.name, protocol, answer)
			}
			if challenged := answer.Header.Get("Www-Authenticate") != ""; challenged != (test.status != 403 || test.name == "another API's token") {
				t.Errorf("%s over %s: challenged %t", test.name, protocol, challenged)
			}
		}
	}
}

func TestIdentityInATrailerOverEveryProtocol(t *testing.T) {
	s := startTLSSite(t, everyProtocol)
	for _, protocol := range caddytest.Protocols {
		answer := wiretest.Send(t, s.Server, protocol, wiretest.Request{
			Method: "POST",
			Fields: []string{"Authorization: Bearer " + s.alice(nil), "X-User: admin", "X_user: admin", "Trailer: X-User, X-Sum"},
			Body:   []string{"he", "llo"}, Trailer: []string{"X-User: admin", "x_user: admin", "X-Sum: 5"},
		})
		if answer.Broken != nil || answer.Status != http.StatusOK {
			t.Errorf("over %s: %+v", protocol, answer)
			continue
		}
		got := decode(t, answer.Body)
		if users := named("X-User", got.Header, got.Trailer); got.Body != "hello" || !slices.Equal(users, []string{"alice"}) {
			t.Errorf("over %s: arrived as %+v", protocol, got)
		}
		// quic-go notes trailers where Caddy's copy of the request does not
		// show them, so none arrive.
		if sum := got.Trailer.Get("X-Sum"); (sum == "5") != (protocol != "HTTP/3.0") {
			t.Errorf("over %s: the other trailer arrived as %q", protocol, sum)
		}
	}
}

// A WebSocket is an Upgrade in HTTP/1.1 and an extended CONNECT in HTTP/3
// (RFC 9220).
func TestWebSocketOverEveryProtocol(t *testing.T) {
	s := startSiteWith(t, caddytest.StartTLS, http.HandlerFunc(shout), streaming)
	cookie := "Cookie: a=1; session=" + s.alice(nil)
	for protocol, accepted := range map[string]int{"HTTP/1.1": http.StatusSwitchingProtocols, "HTTP/3.0": http.StatusOK} {
		for _, test := range []struct {
			name   string
			fields []string
			status int
		}{
			{"own page", []string{cookie, "Origin: " + s.URL}, accepted},
			{"trusted page", []string{cookie, "Origin: https://app.example.com"}, accepted},
			{"foreign page", []string{cookie, "Origin: https://evil.example.com"}, http.StatusForbidden},
			{"own host over http", []string{cookie, "Origin: http://" + s.Addr()}, http.StatusForbidden},
			{"no token", []string{"Origin: " + s.URL}, http.StatusUnauthorized},
		} {
			stream := wiretest.Open(t, s.Server, protocol, wiretest.Request{
				Path: "/socket", Protocol: "websocket", Fields: append(test.fields, "X-User: admin", "Sec-WebSocket-Version: 13"),
			})
			if stream.Status != test.status {
				t.Errorf("%s over %s: status %d, want %d", test.name, protocol, stream.Status, test.status)
			}
			if stream.Status != accepted {
				continue
			}
			if _, err := io.WriteString(stream, "hello\n"); err != nil {
				t.Fatal(err)
			}
			const want = "[alice] cookie \"a=1\": hello\n"
			line := make([]byte, len(want))
			if _, err := io.ReadFull(stream, line); err != nil || string(line) != want {
				t.Errorf("%s over %s: read %q, %v", test.name, protocol, line, err)
			}
		}
	}
}

// A rule for GET is also one for the extended CONNECT that reaches the service
// as a GET.
func TestWebSocketUnderARuleForGET(t *testing.T) {
	s := startSiteWith(t, caddytest.StartTLS, http.HandlerFunc(shout), `
:443 {
	logto_auth {
		endpoint ENDPOINT
		audience https://api.example.com
	}
	@read method GET HEAD
	logto_require @read read:data
	reverse_proxy UPSTREAM
}
`)
	for protocol, accepted := range map[string]int{"HTTP/1.1": http.StatusSwitchingProtocols, "HTTP/3.0": http.StatusOK} {
		for scope, status := range map[string]int{"": http.StatusForbidden, "read:data": accepted} {
			stream := wiretest.Open(t, s.Server, protocol, wiretest.Request{
				Path: "/orders", Protocol: "websocket",
				Fields: []string{"Authorization: Bearer " + s.alice(map[string]any{"scope": scope}), "Sec-WebSocket-Version: 13"},
			})
			if stream.Status != status {
				t.Errorf("scope %q over %s: status %d, want %d", scope, protocol, stream.Status, status)
			}
		}
	}
}

// Streams of one connection share nothing that tells who a client is. Run it
// under -race.
func TestManyIdentitiesOnOneConnection(t *testing.T) {
	s := startTLSSite(t, strings.Replace(everyProtocol, "forward_claim", "strip_token\nforward_claim", 1))
	const clients, requests = 8, 10
	for _, protocol := range []string{"HTTP/2.0", "HTTP/3.0"} {
		over := s.Over(protocol)
		over.Get("/") // so that all the others find the connection open
		var wait sync.WaitGroup
		for i := range clients {
			user := fmt.Sprintf("user-%d", i)
			token := s.alice(map[string]any{"sub": user})
			wait.Go(func() {
				for n := range requests {
					request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/"+user, strings.NewReader(user))
					if err != nil {
						t.Error(err)
						return
					}
					want := user
					switch n % 3 {
					case 0:
						request.Header.Set("Authorization", "Bearer "+token)
					case 1:
						request.Header.Set("Cookie", "session="+token)
					default:
						request.Header.Set("Authorization", "Bearer "+token+"A")
						want = ""
					}
					answer, err := over.Client.Do(request)
					if err != nil {
						t.Error(err)
						return
					}
					body, err := io.ReadAll(answer.Body)
					answer.Body.Close()
					if err != nil || (answer.StatusCode == http.StatusOK) != (want != "") || answer.Proto != protocol {
						t.Errorf("%s over %s: %s %s, %v", user, protocol, answer.Status, body, err)
						continue
					}
					if want == "" {
						continue
					}
					got := decode(t, string(body))
					if users := named("X-User", got.Header); !slices.Equal(users, []string{user}) || got.Body != user || got.URI != "/"+user || strings.Contains(string(body), token) {
						t.Errorf("%s over %s: arrived as %+v", user, protocol, got)
					}
				}
			})
		}
		wait.Wait()
	}
}
