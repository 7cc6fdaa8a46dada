package logtoauth

import (
	"strings"
	"testing"
)

// checkHooks checks a config in which HOOK stands for a revocation block, and
// HOOK2 for one with another key. No key may be shown.
func checkHooks(t *testing.T, caddyfile string) (code int, report configReport, text string) {
	t.Helper()
	t.Setenv("TEST_HOOK_KEY", hookKey)
	hook := func(key string) string { return "revocation {\nwebhook_secret " + key + "\n}" }
	code, report, text = checkCaddyfile(t, strings.NewReplacer("HOOK2", hook(anotherHookKey), "HOOK", hook("{env.TEST_HOOK_KEY}")).Replace(caddyfile), appSecret)
	if strings.Contains(text, hookKey) || strings.Contains(text, anotherHookKey) {
		t.Errorf("a signing key is shown:\n%s", text)
	}
	return code, report, text
}

func TestCheckTellsTheAddressOfAWebhook(t *testing.T) {
	site := func(address, lines string) string {
		return address + " {\nlogto_auth {\nendpoint TENANT\n" + lines + "\n}\nrespond ok\n}\n"
	}
	const api = "audience https://api.example.com\n"
	for _, test := range []struct {
		name, caddyfile, host, urls, note string
	}{
		{"programs only", site("api.example.com", api+"HOOK"), "api.example.com", "https://api.example.com/.logto/webhook", ""},
		{"people too", site("www.example.com", "SIGN_IN\nHOOK"), "www.example.com", "https://www.example.com/.logto/webhook", ""},
		{"a path", site("api.example.com", api+strings.Replace("revocation {\nwebhook_secret KEY\npath /hooks\n}", "KEY", hookKey, 1)), "api.example.com", "https://api.example.com/hooks/webhook", ""},
		{"the path of sign_in", site("www.example.com", "SIGN_IN {\npath /in\n}\nHOOK"), "www.example.com", "https://www.example.com/in/webhook", ""},
		{"a port", site("api.example.com:8443", api+"HOOK"), "api.example.com", "https://api.example.com:8443/.logto/webhook", ""},
		{"behind a proxy", site("http://api.example.com:8080", api+"HOOK"), "api.example.com", "https://api.example.com/.logto/webhook", "it is served over plain http: if no proxy"},
		{"loopback", site("http://localhost:8080", api+"HOOK"), "localhost", "http://localhost:8080/.logto/webhook", "only a Logto on the same machine reaches it"},
		{"base_url", site("*.example.com", "SIGN_IN {\nbase_url https://www.example.com\n}\nHOOK"), "*.example.com", "https://www.example.com/.logto/webhook", ""},
		{"base_url elsewhere", site("a.example.com", "SIGN_IN {\nbase_url https://b.example.com\n}\nHOOK"), "a.example.com", "https://a.example.com/.logto/webhook", ""},
		{"a pattern", site("*.example.com", api+"HOOK"), "*.example.com", "https://<host>/.logto/webhook", "<host> is any host"},
		{"all hosts", site(":8080", api+"HOOK"), "all hosts", "https://<host>/.logto/webhook", "<host> is any host"},
		{"two ports", site("http://localhost:8080, http://localhost:8081", api+"HOOK"), "localhost", "http://localhost:8080/.logto/webhook http://localhost:8081/.logto/webhook", "only a Logto on the same machine reaches it"},
		{"with a matcher", strings.Replace(site("api.example.com", api+"HOOK"), "logto_auth {", "logto_auth /v1* {", 1), "api.example.com", "https://api.example.com/.logto/webhook", ""},
		{"two logto_auth of one site", "api.example.com {\nlogto_auth /v1* {\nendpoint TENANT\n" + api + "HOOK\n}\nlogto_auth /v2* {\nendpoint TENANT\n" + api + "HOOK\n}\n}", "api.example.com", "https://api.example.com/.logto/webhook", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, report, text := checkHooks(t, test.caddyfile)
			if code != 0 || len(report.Webhooks) != 1 || !report.Webhooks[0].OK || report.Webhooks[0].Issuer == "" {
				t.Fatalf("exit code %d, %+v:\n%s", code, report.Webhooks, text)
			}
			var urls, notes []string
			for _, got := range report.Webhooks[0].Sites {
				urls, notes = append(urls, got.URLs...), append(notes, got.Notes...)
				if got.Host != test.host || len(got.Obstacles) != 0 {
					t.Errorf("%+v", got)
				}
			}
			if strings.Join(urls, " ") != test.urls || (test.note == "") != (len(notes) == 0) {
				t.Errorf("URLs %v, notes %v", urls, notes)
			}
			for _, want := range append([]string{"\nwebhook of " + report.Webhooks[0].Issuer + "\n", "is set", test.note, "User.Deleted"}, urls...) {
				if !strings.Contains(text, want) {
					t.Errorf("it does not tell %q:\n%s", want, text)
				}
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		code, report, text := checkHooks(t, site("api.example.com", api+"revocation"))
		if code != 0 || report.Webhooks == nil || len(report.Webhooks) != 0 || strings.Contains(text, "webhook") {
			t.Errorf("exit code %d, %+v:\n%s", code, report.Webhooks, text)
		}
	})
	// A webhook of Logto has one address and one signing key.
	t.Run("one key at two hosts, another key at a third", func(t *testing.T) {
		code, report, text := checkHooks(t, site("a.example.com", api+"HOOK")+site("b.example.com", api+"HOOK")+site("c.example.com", api+"HOOK2"))
		if code != 0 || len(report.Webhooks) != 2 || len(report.Webhooks[0].Sites) != 2 || len(report.Webhooks[1].Sites) != 1 {
			t.Fatalf("exit code %d:\n%s", code, text)
		}
		if report.Webhooks[0].KeyFrom != "{env.TEST_HOOK_KEY}" || report.Webhooks[1].KeyFrom != "" {
			t.Errorf("%+v", report.Webhooks)
		}
		for _, want := range []string{"Enter one of these URLs and", "Enter this URL and", "is set from {env.TEST_HOOK_KEY}; ", "is set; "} {
			if strings.Count(text, want) != 1 {
				t.Errorf("it does not tell %q once:\n%s", want, text)
			}
		}
	})
}

func TestCheckTellsWhatKeepsAWebhook(t *testing.T) {
	const auth = "logto_auth {\nendpoint TENANT\naudience https://api.example.com\nHOOK\n}\n"
	other := strings.Replace(auth, "HOOK", "HOOK2", 1)
	const otherKey = "a logto_auth takes webhooks at the same address with another signing key: api.example.com"
	for _, test := range []struct {
		name, lines string
		code        int
		want        string
	}{
		{"nothing", "redir /old /new\n" + auth, 0, "endpoint URL"},
		{"redir", "redir https://example.com{uri}\n" + auth, 1, "the endpoints below /.logto are not reached: redir answers"},
		{"a foreign handle", "handle /.logto/* {\nrespond no\n}\nhandle {\n" + auth + "}", 1, "respond (path /.logto/*) answers"},
		{"in a handle", "handle /app/* {\n" + auth + "}\nrespond no", 1, "are not reached: respond answers"},
		{"GET only", "@get method GET\nhandle @get {\n" + auth + "}\nrespond no", 1, "are not reached: respond answers"},
		{"POST only", "@post method POST\nhandle @post {\n" + auth + "}\nrespond no", 0, "endpoint URL"},
		{"another key", "route {\n" + auth + other + "}", 1, otherKey + "\n"},
		{"another key in a handle", "handle /x* {\n" + other + "}\nhandle {\n" + auth + "}", 1, otherKey + ", path /x*\n"},
		{"beside a sign_in", "logto_auth /pages* {\nendpoint TENANT\nSIGN_IN\n}\n" + strings.Replace(auth, "{", "/api* {", 1), 0, "https://api.example.com/.logto/webhook"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, report, text := checkHooks(t, "api.example.com {\n"+test.lines+"\n}\n")
			if code != test.code || !strings.Contains(text, test.want) || report.Webhooks[0].OK != (code == 0) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, test.code, test.want, text)
			}
		})
	}
}
