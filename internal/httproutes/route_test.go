package httproutes

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func routesFrom(t *testing.T, text string) []Route {
	t.Helper()
	var routes []Route
	if err := json.Unmarshal([]byte(text), &routes); err != nil {
		t.Fatal(err)
	}
	return routes
}

func TestHostsOfARoute(t *testing.T) {
	for text, want := range map[string][]string{
		`[{}]`: nil,
		`[{"match":[{"host":["a.test","b.test"]}]}]`:                               {"a.test", "b.test"},
		`[{"match":[{"host":["a.test"]},{"host":["b.test"],"path":["/x"]}]}]`:      {"a.test", "b.test"},
		`[{"match":[{"host":["a.test"]},{"path":["/x"]}]}]`:                        nil,
		`[{"match":[{"logto_any_reading":[{"host":["a.test"]}]}]}]`:                nil,
		`[{"match":[{"host":[]}]}]`:                                                nil,
		`[{"match":[{"host":"a.test"}],"handle":[{"handler":"static_response"}]}]`: nil,
	} {
		if got := routesFrom(t, text)[0].Hosts(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, not %q", text, got, want)
		}
	}
}

func TestSortKeysAreNotShown(t *testing.T) {
	sets := routesFrom(t, `[{"match":[{"logto_any_reading":[{"path":["/a*"]}],"path":["{~/a~}*"]},{"path":["/b"],"method":["GET"]}]}]`)[0].Match
	if got, want := sets.String(), "path /a*; or method GET, path /b"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	if !IsSortKey("path", sets[0]["path"]) || IsSortKey("path", sets[1]["path"]) || IsSortKey("method", sets[0]["path"]) {
		t.Error("a sort key is taken for a path, or a path for one")
	}
}

func TestWarningsOfRewritesBeforeADirective(t *testing.T) {
	const guard = `{"match":[{"logto_any_reading":[{"path":["/admin*"]}]}],"handle":[{"handler":"guard"}]}`
	rewrite := func(settings string) string {
		return `[{"handle":[{"handler":"rewrite",` + settings + `}]},` + guard + `]`
	}
	for text, want := range map[string]string{
		rewrite(`"uri":"/index.html"`):                                                             "rewrite … /index.html runs before guard /admin*",
		rewrite(`"uri":"{http.matchers.file.relative}"`):                                           "try_files runs before guard /admin*",
		rewrite(`"strip_path_prefix":"/admin"`):                                                    "uri strip_prefix /admin runs before guard /admin*",
		rewrite(`"strip_path_prefix":"/api"`):                                                      "",
		rewrite(`"uri":"?x=1"`):                                                                    "",
		`[` + guard + `,{"handle":[{"handler":"rewrite","uri":"/x"}]}]`:                            "",
		`[{"match":[{"path":["/x*"]}],"handle":[{"handler":"rewrite","uri":"/y"}]},` + guard + `]`: "",
	} {
		got := RewriteWarnings(routesFrom(t, text), "guard")
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], want)) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		if others := RewriteWarnings(routesFrom(t, text), "other"); len(others) > 0 {
			t.Errorf("%s: %q", text, others)
		}
	}
}
