package logtoauth

import (
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// What explain prints is what the operator finds in the Caddyfile.
func TestExplainWritesMatchersAsTheCaddyfileHasThem(t *testing.T) {
	e := newExplained(t, "audience "+testAPI)
	token := e.tenant.Token(devtenant.TokenRequest{Resource: testAPI})
	for _, lines := range []string{
		`path /x /y*`,
		`path_regexp ^/x`,
		`path_regexp name ^/x[a-z]{2}$`,
		`method GET HEAD`,
		`host b.test c.test`,
		`protocol https`,
		`header X-Tag on`,
		"header X-Tag on\nheader X-Tag off",
		"header !X-None",
		`header X-Text "two words"`,
		"header X-Quotes `say \"hi\"`",
		`header_regexp X-Tag ^o`,
		`header_regexp name X-Tag ^o`,
		`query a=b a=c d=*`,
		`query ""`,
		`remote_ip 10.0.0.0/8 ::1`,
		`client_ip 192.0.2.1`,
		`vars {http.request.header.X-Org} acme globex`,
		`vars_regexp name {http.request.header.X-Org} ^a`,
		"expression {http.request.uri.path}.startsWith(\"/x\")",
		"expression `header({'X': '1'}) && path('/x')`",
		`file`,
		`file /x /y`,
		"file {\nroot /srv\ntry_files /x\n}",
		`tls early_data`,
		`tls`,
		`not path /x`,
		"not {\nmethod GET\npath /x\n}",
		"not path /x\nnot header X-Tag on",
		"method GET\npath /x",
	} {
		t.Run(lines, func(t *testing.T) {
			caddyfile := "http://a.test {\n@m {\n" + lines + "\n}\nlogto_auth @m {\nendpoint https://tenant.example.com\naudience " + testAPI + "\n}\nrespond ok\n}\n"
			got := explainCaddyfileFrom(t, e.jwksFile, caddyfile, token).Handlers[0].Where
			if want := "a.test:80, " + oneLine(lines); got != want {
				t.Errorf("written %s, not %s", got, want)
			}
			if strings.Contains(got, `":`) {
				t.Errorf("JSON: %s", got)
			}
		})
	}
}

// oneLine is how lines of a Caddyfile are shown in one.
func oneLine(lines string) string {
	return strings.NewReplacer(
		"header X-Tag on\nheader X-Tag off", "header X-Tag on or off",
		"path_regexp ^", "path_regexp m ^",
		"header_regexp X-Tag", "header_regexp m X-Tag",
		`query ""`, "query",
		"`header({'X': '1'}) && path('/x')`", "header({'X': '1'}) && path('/x')",
		"{\n", "{ ", "\n}", " }", "GET\npath /x\n}", "GET; path /x }", "/srv\ntry", "/srv; try",
		"\n", ", ",
	).Replace(lines)
}
