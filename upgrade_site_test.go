package logtoauth_test

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/wiretest"
)

// What a client sends inside an upgraded connection is seen by nobody in
// between, so that docs/security.md says how to refuse h2c.
func TestUpgradeToH2CPastCaddy(t *testing.T) {
	page, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^\s*@h2c .*\n\s*request_header @h2c .*\n`).FindString(string(page))
	if lines == "" {
		t.Fatal("docs/security.md does not show the lines")
	}
	for _, test := range []struct {
		name, before string
		passesH2C    bool
	}{{"without the lines", "", true}, {"with the lines", lines, false}} {
		caddyfile := strings.Replace(streaming, "logto_auth", test.before+"logto_auth", 1)
		for _, proxy := range []string{"reverse_proxy UPSTREAM", "handle /socket* {\nreverse_proxy UPSTREAM\n}"} {
			s := startSiteBefore(t, http.HandlerFunc(upgradeOnly), strings.Replace(caddyfile, "reverse_proxy UPSTREAM", proxy, 1))
			for _, try := range []struct {
				protocol string
				more     []string
				passes   bool
			}{
				{"h2c", nil, test.passesH2C},
				{"H2C", nil, test.passesH2C},
				{"foo, h2c", nil, test.passesH2C},
				{"h2c", []string{"Upgrade: websocket"}, test.passesH2C},
				{"websocket", nil, true},
				{"WebSocket", nil, true},
			} {
				answer := wiretest.Open(t, s.Server, caddytest.Protocols[0], wiretest.Request{
					Path: "/socket", Protocol: try.protocol, Fields: append(try.more, "Cookie: session="+s.alice(nil), "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"),
				})
				if passed := answer.Status == http.StatusSwitchingProtocols; passed != try.passes {
					t.Errorf("%s, %s: Upgrade: %s with %q gave %d", test.name, proxy, try.protocol, try.more, answer.Status)
				}
			}
		}
	}
}

// upgradeOnly accepts any protocol upgrade.
func upgradeOnly(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		return
	}
	shout(w, r)
}
