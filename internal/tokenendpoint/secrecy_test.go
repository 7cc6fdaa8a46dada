package tokenendpoint_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
	"github.com/caddy-logto/caddy-logto-auth/internal/tokenendpoint"
)

// A server or proxy that echoes the request, in whatever part of the answer,
// gets nothing of it into an error, and so into a log.
func TestErrorsQuoteNothingThatIsSecret(t *testing.T) {
	const appSecret = "s3cr:t%+é-VE3KQ8MB5NW2"
	code := tokenendpoint.Code{Code: "C0DE:%+é", RedirectURI: callback, Verifier: "V3R1F1ER", Resource: api}
	refresh := session.RefreshRequest{RefreshToken: "R3FRE5H:%+é", Target: session.Target{Resource: api}}
	secrets := []string{
		appSecret, url.QueryEscape(appSecret), base64.StdEncoding.EncodeToString([]byte(app + ":" + url.QueryEscape(appSecret))),
		"VE3KQ8", "C0DE", "V3R1F1ER", "R3FRE5H", "Basic ",
	}
	for name, echo := range map[string]func(authorization, form string) string{
		"as it came":     func(authorization, form string) string { return "Authorization: " + authorization + "\r\n\r\n" + form },
		"in the version": func(authorization, form string) string { return "HTTP/1.1" + authorization + " 200 OK\r\n\r\n" },
		"as status":      func(authorization, form string) string { return "HTTP/1.1 " + authorization + "\r\n\r\n" },
		"as reason":      func(authorization, form string) string { return "HTTP/1.1 400 " + form + authorization + "\r\n\r\n" },
		"as a malformed header": func(authorization, form string) string {
			return "HTTP/1.1 200 OK\r\n" + authorization + form + "\r\n\r\n"
		},
		"as a header's name": func(authorization, form string) string {
			return "HTTP/1.1 200 OK\r\n" + authorization + ": " + form + "\r\n\r\n"
		},
		"as length": func(authorization, form string) string {
			return "HTTP/1.1 200 OK\r\nContent-Length: " + authorization + form + "\r\n\r\n"
		},
		"as transfer coding": func(authorization, form string) string {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + form + authorization + "\r\n\r\n"
		},
		"as a chunk's length": func(authorization, form string) string {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + form + "\r\n"
		},
		"as a trailer": func(authorization, form string) string {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + authorization + "\r\n\r\n"
		},
		"as type": func(authorization, form string) string {
			return "HTTP/1.1 200 OK\r\nContent-Type: " + authorization + form + "\r\n\r\n"
		},
		"as address": func(authorization, form string) string {
			return "HTTP/1.1 307 Moved\r\nLocation: https://" + authorization + form + "\r\n\r\n"
		},
		"as Retry-After": func(authorization, form string) string {
			return "HTTP/1.1 503 Busy\r\nRetry-After: " + authorization + "\r\n\r\n"
		},
		"as body":             func(authorization, form string) string { return "HTTP/1.1 200 OK\r\n\r\n" + form + authorization },
		"as body of an error": func(authorization, form string) string { return "HTTP/1.1 400 Bad\r\n\r\n" + form + authorization },
		"as error": func(authorization, form string) string {
			return "HTTP/1.1 400 Bad\r\n\r\n" + `{"error":` + strconv.Quote(authorization+form) + `,"error_description":` + strconv.Quote(form) + `}`
		},
		"as token type": func(authorization, form string) string {
			return "HTTP/1.1 200 OK\r\n\r\n" + `{"access_token":"C0DE","token_type":` + strconv.Quote(authorization+form) + `}`
		},
		"as tokens": func(authorization, form string) string {
			return "HTTP/1.1 200 OK\r\n\r\n" + `{"access_token":"R3FRE5H\u0000","id_token":1,"token_type":"Bearer"}`
		},
		"as a member twice": func(authorization, form string) string {
			return "HTTP/1.1 200 OK\r\n\r\n{" + strconv.Quote(form) + ":1," + strconv.Quote(form) + ":1}"
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newRawServer(t, func(_ *rawServer, c net.Conn) {
				request, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				form, _ := io.ReadAll(request.Body)
				_, _ = io.WriteString(c, echo(request.Header.Get("Authorization"), string(form)))
			})
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := tokenendpoint.New(&http.Client{Transport: transport}, configOf("http://"+s.Addr().String(), devtenant.App{ID: app, Secret: appSecret}))
			_, exchanged := client.Exchange(t.Context(), code)
			_, refreshed := client.Refresh(t.Context(), refresh)
			_, judged := client.ForSessions(nil).Refresh(t.Context(), refresh)
			revoked := client.Revoke(t.Context(), refresh.RefreshToken)
			for what, err := range map[string]error{"exchange": exchanged, "refresh": refreshed, "session": judged, "revocation": revoked} {
				if err == nil {
					if what != "revocation" { // 200 is all that it needs
						t.Errorf("%s: no error", what)
					}
					continue
				}
				// Nor by way of a wrapped error, or of a field.
				text := fmt.Sprintf("%v %+v %#v", err, err, err)
				for _, one := range secrets {
					if strings.Contains(text, one) {
						t.Errorf("%s: %q is in %s", what, one, text)
					}
				}
				if strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("%s: %q", what, err)
				}
			}
		})
	}
}
