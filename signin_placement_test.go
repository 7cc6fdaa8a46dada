package logtoauth

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// Where the directive may be written, and what may run before it.
func TestEndpointsWhereverTheDirectiveIs(t *testing.T) {
	const auth = "logto_auth MATCHER {\n\t\tendpoint TENANT\n\t\tSIGN_IN\n\t}\n"
	for name, text := range map[string]string{
		"plain":             auth + "respond \"hello {http.auth.user.id}\"",
		"a matcher":         strings.Replace(auth, "MATCHER", "/private*", 1) + "respond \"hello {http.auth.user.id}\"",
		"a named matcher":   "@x header X-Never 1\n" + strings.Replace(auth, "MATCHER", "@x", 1) + strings.Replace(auth, "MATCHER", "/private*", 1) + "respond \"hello {http.auth.user.id}\"",
		"a rewrite":         "rewrite * /index.html\n" + auth + "respond \"hello {http.auth.user.id}\"",
		"a rewrite of some": "rewrite /.logto/* /elsewhere\n" + auth + "respond \"hello {http.auth.user.id}\"",
		"uri":               "uri replace logto xxx\nuri strip_prefix /.xxx\n" + auth + "respond \"hello {http.auth.user.id}\"",
		"try_files":         "root * /nonexistent\ntry_files {path} /index.html\n" + auth + "respond \"hello {http.auth.user.id}\"",
		"route":             "route {\n" + auth + "respond \"hello {http.auth.user.id}\"\n}",
		"route, a rewrite":  "route {\nrewrite * /x\n" + auth + "respond \"hello {http.auth.user.id}\"\n}",
		"handle":            "handle {\n" + auth + "respond \"hello {http.auth.user.id}\"\n}",
		"two of one app":    auth + strings.Replace(auth, "MATCHER", "/private*", 1) + "respond \"hello {http.auth.user.id}\"",
		"behind another":    "logto_auth /api* {\nendpoint TENANT\naudience https://api.example.com\n}\n" + auth + "respond \"hello {http.auth.user.id}\"",
		"before another":    auth + "logto_auth /api* {\nendpoint TENANT\naudience https://api.example.com\n}\nrespond \"hello {http.auth.user.id}\"",
		"logto_require":     auth + "logto_require\nrespond \"hello {http.auth.user.id}\"",
		"forward_claim":     strings.Replace(auth, "SIGN_IN", "forward_claim sub X-User\nSIGN_IN", 1) + "respond \"hello {http.auth.user.id}\"",
		"a named route":     "invoke members",
	} {
		t.Run(name, func(t *testing.T) {
			site := "www.example.com {\n" + text + "\n}\n"
			if name == "a named route" {
				site = "&(members) {\n" + auth + "respond \"hello {http.auth.user.id}\"\n}\n" + site
			}
			p := newMembers(t, strings.ReplaceAll(site, "MATCHER", "")).browser()
			checkSignInAndOut(t, p, "/private/x", "/.logto")
		})
	}
	t.Run("handle_path", func(t *testing.T) {
		p := newMembers(t, "www.example.com {\nhandle_path /app/* {\n"+strings.Replace(strings.Replace(auth, "MATCHER", "", 1), "SIGN_IN", "SIGN_IN {\npath /app/.logto\n}", 1)+
			"respond \"hello {http.auth.user.id}\"\n}\nrespond outside\n}").browser()
		checkSignInAndOut(t, p, "/app/private/x", "/app/.logto")
		if answer := p.fetch("/.logto/session"); answer.Body != "outside" {
			t.Errorf("outside of it: %s", answer.Body)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		m := newMembers(t, smallest)
		config := caddytest.Adapt(t, m.text(smallest))
		adapted := string(config)
		if strings.Count(adapted, `"handler":"logto_endpoints"`) != 1 || strings.Count(adapted, `"handler":"logto_auth"`) != 1 {
			t.Fatalf("%s", adapted)
		}
		// Only the handler itself, as JSON users write it.
		if err := m.LoadJSON([]byte(withoutHandler(t, adapted, "logto_endpoints"))); err != nil {
			t.Fatal(err)
		}
		checkSignInAndOut(t, m.browser(), "/private/x", "/.logto")
	})
}

// withoutHandler takes the routes with a handler out of a config.
func withoutHandler(tb testing.TB, config, handler string) string {
	tb.Helper()
	var tree any
	if err := json.Unmarshal([]byte(config), &tree); err != nil {
		tb.Fatal(err)
	}
	var prune func(any) any
	prune = func(value any) any {
		switch value := value.(type) {
		case map[string]any:
			for name := range value {
				value[name] = prune(value[name])
			}
		case []any:
			kept := []any{}
			for _, element := range value {
				text, _ := json.Marshal(element)
				if route, ok := element.(map[string]any); ok && route["handle"] != nil && strings.Contains(string(text), handler) && !strings.Contains(string(text), "logto_auth") {
					continue
				}
				kept = append(kept, prune(element))
			}
			return kept
		}
		return value
	}
	pruned, err := json.Marshal(prune(tree))
	if err != nil || strings.Contains(string(pruned), `"handler":"`+handler+`"`) {
		tb.Fatalf("%s: %v", pruned, err)
	}
	return string(pruned)
}

func checkSignInAndOut(t *testing.T, p *person, page, prefix string) {
	t.Helper()
	if answer := p.open(prefix + "/nothing"); answer.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown name: %d %s", answer.StatusCode, answer.Body)
	}
	answer := p.open(p.callback(p.start(page), alice))
	goesTo(t, "the callback", answer, http.StatusSeeOther, page)
	if answer := p.open(page); !strings.HasPrefix(answer.Body, "hello alice") {
		t.Errorf("signed in: %d %s", answer.StatusCode, answer.Body)
	}
	if answer := p.fetch(prefix + "/session"); answer.StatusCode != http.StatusOK || !strings.Contains(answer.Body, `"sub":"alice"`) {
		t.Errorf("session: %d %s", answer.StatusCode, answer.Body)
	}
	if answer := p.fetch(prefix+"/sign-out", caddytest.Method(http.MethodPost)); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("sign-out: %d %s", answer.StatusCode, answer.Body)
	}
	p.start(page)
}
