package logtoauth

import (
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// signInBlock is a logto_auth with sign_in for Caddyfiles.
func signInBlock(app string, lines ...string) string {
	return "logto_auth {\nendpoint http://127.0.0.1:1\nsign_in " + app + " " + testSecret + " {\n" + strings.Join(lines, "\n") + "\n}\n}\n"
}

func TestTwoSignInsOfOneSite(t *testing.T) {
	t.Setenv("TEST_APP_ID", "app1")
	const twoApps = "sign_in: two sign_in apps in one site: app1 and app2; a browser's cookies know the host only, so give each its own host"
	otherTenant := strings.Replace(signInBlock("app1"), "127.0.0.1:1", "127.0.0.1:2", 1)
	for _, test := range []struct {
		name, caddyfile, want string
	}{
		{"one", ":80 {\n" + signInBlock("app1") + "}", ""},
		{"one app in two places", ":80 {\nhandle /a* {\n" + signInBlock("app1") + "}\nhandle {\n" + signInBlock("{env.TEST_APP_ID}", "path /.logto") + "}\n}", ""},
		{"two apps", ":80 {\nhandle /a* {\n" + signInBlock("app1") + "}\nhandle {\n" + signInBlock("app2") + "}\n}", twoApps},
		{"two apps, one from the environment", ":80 {\nroute {\n" + signInBlock("{env.TEST_APP_ID}") + signInBlock("app2") + "}\n}", twoApps},
		{
			"two tenants", ":80 {\nroute {\n" + signInBlock("app1") + otherTenant + "}\n}",
			"sign_in: two sign_in apps in one site: app1 at http://127.0.0.1:1/oidc and app1 at http://127.0.0.1:2/oidc; a browser's",
		},
		{
			"two paths", ":80 {\nroute {\n" + signInBlock("app1") + signInBlock("app1", "path /in") + "}\n}",
			"sign_in: two paths of one sign_in app in one site: /.logto and /in; a callback would not be found, so give all of them the same path",
		},
		{"beside one without sign_in", ":80 {\nroute {\n" + signInBlock("app1") + auth("a") + "}\n}", ""},
		{"in a named route", "&(n) {\n" + signInBlock("app2") + "}\n:80 {\nhandle /a* {\n" + signInBlock("app1") + "}\nhandle {\ninvoke n\n}\n}", twoApps},
		{"in error routes", ":80 {\n" + signInBlock("app1") + "handle_errors {\n" + signInBlock("app2") + "}\n}", twoApps},

		{"two sites", "http://a.test {\n" + signInBlock("app1") + "}\nhttp://b.test {\n" + signInBlock("app2") + "}", ""},
		{"two sites of one host", "http://a.test/x* {\n" + signInBlock("app1") + "}\nhttp://a.test {\n" + signInBlock("app2") + "}", twoApps},
		{"two sites of one host among others", "http://a.test/x*, http://b.test {\n" + signInBlock("app1") + "}\nhttp://c.test, http://a.test {\n" + signInBlock("app2") + "}", twoApps},
		{"a host and its wildcard", "http://a.test {\n" + signInBlock("app1") + "}\nhttp://*.test {\n" + signInBlock("app2") + "}\nhttp:// {\n" + signInBlock("app3") + "}", ""},
		{"a path of a host and its wildcard", "http://a.test/x* {\n" + signInBlock("app1") + "}\nhttp://*.test {\n" + signInBlock("app2") + "}", twoApps},
		{"hosts of a wildcard site", "http://*.test {\n@a host a.test\nhandle @a {\n" + signInBlock("app1") + "}\n@b host b.test\nhandle @b {\n" + signInBlock("app2") + "}\nhandle {\n" +
			signInBlock("app3") + "}\n}", ""},
		{"hosts as matchers", "http://*.test {\n@a host a.test\nlogto_auth @a" + strings.TrimPrefix(signInBlock("app1"), "logto_auth") +
			"@b host b.test\nlogto_auth @b" + strings.TrimPrefix(signInBlock("app2"), "logto_auth") + "}", ""},
		{"two servers", "http://a.test:8080 {\n" + signInBlock("app1") + "}\nhttp://a.test:8081 {\n" + signInBlock("app2") + "}", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var err error
			for _, server := range serversOf(t, caddytest.Adapt(t, test.caddyfile)) {
				auths, _ := server.findAuths()
				if err == nil {
					err = conflictingSignIns(auths)
				}
			}
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want)) {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
}

// TestTwoSignInsDoNotLoad shows that the config is refused, also where a
// handler without sign_in is provisioned first, and that the config after it
// is judged anew.
func TestTwoSignInsDoNotLoad(t *testing.T) {
	s := caddytest.Start(t, ":80 {\n\trespond ok\n}")
	two := ":80 {\nroute {\nlogto_require\n" + signInBlock("app1") + signInBlock("app2") + "}\n}"
	if err := s.Load(two); err == nil || !strings.Contains(err.Error(), "sign_in: two sign_in apps in one site: app1 and app2") {
		t.Errorf("got %v", err)
	}
	if err := s.Load(":80 {\nroute {\nlogto_require\n" + signInBlock("app1") + signInBlock("app1") + "}\n}"); err != nil {
		t.Error(err)
	}
}
