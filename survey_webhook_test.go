package logtoauth

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// anotherHookKey is the signing key of another webhook than that of hookKey.
const anotherHookKey = "another-signing-key-of-32-letters"

// hooked is a logto_auth for Caddyfiles that takes webhooks.
func hooked(key string, lines ...string) string {
	return "logto_auth {\nendpoint http://127.0.0.1:1\naudience " + testAPI + "\nrevocation {\nwebhook_secret " + key + "\n" + strings.Join(lines, "\n") + "\n}\n}\n"
}

func TestTwoWebhooksOfOneSite(t *testing.T) {
	t.Setenv("TEST_HOOK_KEY", hookKey)
	t.Setenv("TEST_HOOK_KEY_AGAIN", hookKey)
	t.Setenv("TEST_OTHER_HOOK_KEY", anotherHookKey)
	const (
		a, again, b = "{env.TEST_HOOK_KEY}", "{env.TEST_HOOK_KEY_AGAIN}", "{env.TEST_OTHER_HOOK_KEY}"
		both        = "two logto_auth take webhooks at /.logto/webhook with different signing keys: "
	)
	routed := func(lines ...string) string { return ":80 {\nroute {\n" + strings.Join(lines, "") + "}\n}" }
	for _, test := range []struct {
		name, caddyfile string
		want            []string
	}{
		{"one", ":80 {\n" + hooked(a) + "}", nil},
		{"the same key twice", routed(hooked(a), hooked(a)), nil},
		{"the same key from other variables", routed(hooked(a), hooked(again), hooked(hookKey)), nil},
		{"beside one that takes none", routed(hooked(a), auth("a"), signInBlock("app1")), nil},
		{"two keys", routed(hooked(a), hooked(b)), []string{":80|" + both + ":80 with {env.TEST_HOOK_KEY}, and :80 with {env.TEST_OTHER_HOOK_KEY}. Whichever"}},
		{"two keys that are written out", routed(hooked(hookKey), hooked(anotherHookKey)), []string{":80|" + both + ":80, and another one there. Whichever"}},
		{"two paths", routed(hooked(a), hooked(b, "path /hooks")), nil},
		{"one path that is no default", routed(hooked(a, "path /hooks"), hooked(b, "path /hooks")), []string{":80|two logto_auth take webhooks at /hooks/webhook with"}},
		{"the path of a sign_in", routed(
			strings.Replace(hooked(a), "audience", "sign_in app1 "+testSecret+" {\npath /in\n}\naudience", 1), hooked(b, "path /in"),
		), []string{":80|two logto_auth take webhooks at /in/webhook with"}},
		{"in handles", "a.test {\nhandle /x* {\n" + hooked(a) + "}\nhandle {\n" + hooked(b) + "}\n}", []string{
			"a.test|" + both + "a.test, path /x* with {env.TEST_HOOK_KEY}, and a.test with {env.TEST_OTHER_HOOK_KEY}.",
		}},
		{"with matchers", "a.test {\n" + strings.Replace(hooked(a), "{", "/x* {", 1) + strings.Replace(hooked(b), "{", "/y* {", 1) + "}", []string{
			"a.test|" + both + "a.test, path /x* with {env.TEST_HOOK_KEY}, and a.test, path /y* with {env.TEST_OTHER_HOOK_KEY}.",
		}},
		{"three, of which two have one key", routed(hooked(a), hooked(again), hooked(b)), []string{":80|" + both}},
		{"in a named route", "&(n) {\n" + hooked(b) + "}\n:80 {\n" + hooked(a) + "invoke n\ninvoke n\n}", []string{":80|" + both}},
		{"in error routes", ":80 {\n" + hooked(a) + "handle_errors {\n" + hooked(b) + "}\n}", []string{":80|" + both}},

		{"two sites", "a.test {\n" + hooked(a) + "}\nb.test {\n" + hooked(b) + "}", nil},
		{"two sites of one host", "http://a.test/x* {\n" + hooked(a) + "}\nhttp://a.test {\n" + hooked(b) + "}", []string{
			"a.test|" + both + "a.test, path /x* with {env.TEST_HOOK_KEY}, and a.test with",
		}},
		{"a host and its wildcard", "http://a.test {\n" + hooked(a) + "}\nhttp://*.test {\n" + hooked(b) + "}", nil},
		{"hosts of a wildcard site", "http://*.test {\n@a host a.test\nhandle @a {\n" + hooked(a) + "}\n@b host b.test\nhandle @b {\n" + hooked(b) + "}\n}", nil},
		{"two servers", "http://a.test:8080 {\n" + hooked(a) + "}\nhttp://a.test:8081 {\n" + hooked(b) + "}", nil},
		{"a variable that is not there", routed(hooked(a), hooked("{env.TEST_NO_SUCH_KEY}")), nil}, // an error of its own
	} {
		t.Run(test.name, func(t *testing.T) {
			want := slices.Clone(test.want)
			for i := range want {
				want[i] = webhookKeySetting + "|" + want[i]
			}
			got := surveyJSON(t, caddytest.Adapt(t, test.caddyfile))
			compareSiteWarnings(t, got, want)
			for _, w := range got {
				if strings.Contains(w.text, hookKey) || strings.Contains(w.text, anotherHookKey) {
					t.Errorf("a key is shown: %s", w.text)
				}
			}
		})
	}
}

// TestTwoWebhooksOfALoadedSite shows what the warning says, and that a running
// Caddy logs it, once for each config.
func TestTwoWebhooksOfALoadedSite(t *testing.T) {
	const programs = "logto_auth /api* {\nendpoint TENANT\naudience https://api.example.com\nrevocation {\nwebhook_secret KEY\n}\n}\n"
	m := newMembers(t, testHost+" {\n"+strings.Replace(programs, "KEY", hookKey, 1)+
		strings.NewReplacer("KEY", anotherHookKey, "/api*", "/v2*").Replace(programs)+"respond ok\n}\n")
	octets := encoded(t, m.tenant.DeletionEvent(alice))
	statuses := []int{
		m.send(octets, hookSignature(octets)).StatusCode,
		m.send(octets, devtenant.Webhook{SigningKey: anotherHookKey}.Signature(octets)).StatusCode,
	}
	if !slices.Equal(statuses, []int{http.StatusNoContent, http.StatusUnauthorized}) {
		t.Errorf("answered with %v: the warning is wrong", statuses)
	}
	lines := logLines(t, m.Logs(), "two logto_auth take webhooks at /.logto/webhook with different signing keys: "+
		testHost+", path /api*, and "+testHost+", path /v2*. Whichever sees a webhook first answers it, with 401 if it was signed with the key of the other one. "+
		"Keep webhook_secret in one of them: with revocation alone, the other obeys the same list. For the webhook of another tenant, give its revocation another path")
	if len(lines) != 1 || lines[0]["level"] != "warn" || lines[0]["setting"] != webhookKeySetting || lines[0]["site"] != testHost {
		t.Errorf("warned of %v in:\n%s", lines, m.Logs())
	}
}
