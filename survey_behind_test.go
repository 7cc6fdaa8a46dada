package logtoauth

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// behindText writes what runs behind each logto_auth, which a realm names.
func behindText(auths []*foundAuth) []string {
	var texts []string
	for _, auth := range auths {
		words := append([]string{auth.settings.Realm + ":"}, auth.behind.scopes...)
		if auth.behind.organization {
			words = append(words, "organization")
		}
		for _, path := range auth.behind.claims {
			words = append(words, "claim="+path)
		}
		texts = append(texts, strings.Join(words, " "))
	}
	return texts
}

// serversOf are the servers in an adapted config, by name.
func serversOf(t *testing.T, adapted []byte) []surveyedServer {
	t.Helper()
	var config struct {
		Apps struct {
			HTTP struct {
				Servers map[string]surveyedServer `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(adapted, &config); err != nil {
		t.Fatal(err)
	}
	var servers []surveyedServer
	for _, name := range slices.Sorted(maps.Keys(config.Apps.HTTP.Servers)) {
		servers = append(servers, config.Apps.HTTP.Servers[name])
	}
	return servers
}

// auth is a logto_auth for Caddyfiles, with a realm to know it by.
func auth(realm string) string {
	return "logto_auth {\nendpoint http://127.0.0.1:1\naudience " + testAPI + "\nrealm " + realm + "\n}\n"
}

func TestWhatRunsBehindALogtoAuth(t *testing.T) {
	for _, test := range []struct {
		name, caddyfile string
		want            []string
	}{
		{"nothing", ":80 {\n" + auth("a") + "}", []string{"a:"}},
		{"all that is asked", ":80 {\n" + auth("a") + `logto_require /x* read write
			logto_require /y* {
				any_scope write admin
				organization any
				claim roles admin
			}
			logto_require {
				claim roles member
				claim address.country AT
			}
		}`, []string{"a: read write admin organization claim=roles claim=address.country"}},
		{"an organization by its ID", ":80 {\n" + auth("a") + "logto_require {\norganization org1\n}\n}", []string{"a: organization"}},
		{"no organization", ":80 {\n" + auth("a") + "logto_require {\norganization forbid\n}\n}", []string{"a:"}},
		{"handle behind", ":80 {\n" + auth("a") + "handle /x* {\nhandle /x/y* {\nlogto_require read\n}\n}\nhandle {\nlogto_require write\n}\n}", []string{"a: read write"}},
		{
			"another handle is not behind", ":80 {\nhandle /x* {\n" + auth("a") + "logto_require read\n}\nhandle {\n" + auth("b") + "logto_require write\n}\n}",
			[]string{"a: read", "b: write"},
		},
		{"behind a handle", ":80 {\nroute {\nhandle /x* {\n" + auth("a") + "}\nlogto_require read\n}\n}", []string{"a: read"}},
		{"before in a route", ":80 {\nroute {\nlogto_require read\n" + auth("a") + "logto_require write\n}\n}", []string{"a: write"}},
		{
			"several logto_auth", ":80 {\nroute {\n" + auth("a") + "logto_require read\n" + auth("b") + "logto_require write\n}\n}",
			[]string{"a: read write", "b: write"},
		},
		{
			"two sites", "a.test {\n" + auth("a") + "logto_require read\n}\nb.test {\n" + auth("b") + "logto_require write\n}",
			[]string{"a: read", "b: write"},
		},
		{
			"a named route behind", "&(rules) {\nlogto_require read\nhandle /x* {\nlogto_require write\n}\n}\n:80 {\nroute {\n" + auth("a") + "invoke rules\n}\n}",
			[]string{"a: read write"},
		},
		{
			"a logto_auth in a named route", "&(auth) {\n" + auth("a") + "}\n:80 {\nroute {\ninvoke auth\nhandle /x* {\nlogto_require read\n}\n}\n}",
			[]string{"a: read"},
		},
		{
			"error routes", "a.test {\n" + auth("a") + "handle_errors {\nlogto_require read\n}\n}\nb.test {\n" + auth("b") + "handle_errors {\nlogto_require write\n}\n}",
			[]string{"a: read", "b: write"},
		},
		{"inside another module's handler", ":80 {\n" + auth("a") + "reverse_proxy 127.0.0.1:1 {\nhandle_response {\nlogto_require read\n}\n}\n}", []string{"a: read"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, server := range serversOf(t, caddytest.Adapt(t, test.caddyfile)) {
				auths, _ := server.findAuths()
				got = append(got, behindText(auths)...)
			}
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestWhatRunsBehindALogtoAuthInJSON judges what no Caddyfile adapts to.
func TestWhatRunsBehindALogtoAuthInJSON(t *testing.T) {
	const a = `{"handler": "logto_auth", "realm": "a"}`
	require := func(scope string) string { return `{"handler": "logto_require", "scopes": ["` + scope + `"]}` }
	for _, test := range []struct {
		name, server string
		want         []string
	}{
		{"one route", `{"routes": [{"handle": [` + require("x") + `, ` + a + `, ` + require("y") + `]}]}`, []string{"a: y"}},
		{"a terminal route", `{"routes": [{"match": [{"path": ["/x"]}], "handle": [` + a + `, ` + require("x") + `], "terminal": true}, {"handle": [` + require("y") + `]}]}`, []string{"a: x"}},
		{"named routes in a circle", `{"routes": [{"handle": [{"handler": "invoke", "name": "n"}]}], "named_routes": {
			"n": {"handle": [` + a + `, {"handler": "invoke", "name": "m"}]}, "m": {"handle": [{"handler": "invoke", "name": "n"}, ` + require("x") + `]}}}`, []string{"a: x"}},
		{"error routes of a subroute", `{"routes": [{"handle": [{"handler": "subroute",
			"routes": [{"handle": [` + a + `], "terminal": true}], "errors": {"routes": [{"handle": [` + require("x") + `]}]}}]}]}`, []string{"a: x"}},
		{"another module's handlers", `{"routes": [{"handle": [{"handler": "other", "then": [{"routes": [{"handle": [` + a + `, ` + require("x") + `]}]}]}, ` + require("y") + `]}]}`, []string{"a: x y"}},
		{"hosts in a route of no site", `{"routes": [{"match": [{"host": ["a.test"]}], "handle": [` + a + `]},
			{"match": [{"host": ["b.test"]}], "handle": [` + require("x") + `]}, {"match": [{"host": ["*.test"]}], "handle": [` + require("y") + `]}]}`, []string{"a: y"}},
		{"what does not decode", `{"routes": [{"handle": [{"handler": "logto_auth", "realm": 1}, {"handler": "logto_require", "scopes": 1}, 1]}]}`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var server surveyedServer
			if err := json.Unmarshal([]byte(test.server), &server); err != nil {
				t.Fatal(err)
			}
			auths, _ := server.findAuths()
			if got := behindText(auths); !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestRequiredByInARunningCaddy shows that a handler that is provisioned finds
// what runs behind it, in whichever server.
func TestRequiredByInARunningCaddy(t *testing.T) {
	t.Setenv("TEST_APP_SECRET", testSecret)
	caddytest.Start(t, `http://a.test {
		logto_auth {
			endpoint http://127.0.0.1:1
			audience https://api.example.com
			sign_in app {env.TEST_APP_SECRET}
		}
		handle /x* {
			logto_require read
		}
	}
	http://b.test {
		logto_auth {
			endpoint http://127.0.0.1:1
			audience https://b.example.com
		}
		logto_require write
	}`)
	var found []*Handler
	var collect func(routes caddyhttp.RouteList)
	collect = func(routes caddyhttp.RouteList) {
		for _, route := range routes {
			for _, handler := range route.Handlers {
				switch h := handler.(type) {
				case *Handler:
					found = append(found, h)
				case *caddyhttp.Subroute:
					collect(h.Routes)
				}
			}
		}
	}
	ctx := caddy.ActiveContext()
	http, err := ctx.App("http")
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range http.(*caddyhttp.App).Servers {
		collect(server.Routes)
	}
	own, err := ctx.App(appName)
	if err != nil {
		t.Fatal(err)
	}
	app := own.(*App)
	var got []string
	for _, h := range append(found, &Handler{written: "elsewhere"}) {
		got = append(got, fmt.Sprintf("%v: %v", h.Audiences, app.requiredBy(h).scopes))
	}
	if want := []string{"[https://api.example.com]: [read]", "[https://b.example.com]: [write]", "[]: [read write]"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
