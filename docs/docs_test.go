// Package docs_test shows that the pages do not say what is not so.
package docs_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	_ "github.com/caddy-logto/caddy-logto-auth"
	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// pages returns the texts of all pages by their names.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for _, pattern := range []string{"*.md", "internals/*.md", "../deploy/*.md"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("no pages %s: %v", pattern, err)
		}
		for _, path := range paths {
			texts[filepath.ToSlash(path)] = read(t, path)
		}
	}
	return texts
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

var fence = regexp.MustCompile("(?ms)^```caddyfile\n(.*?\n)```$")

func TestCaddyfilesOfThePagesCanBeCopied(t *testing.T) {
	setApp(t)
	blocks := 0
	for page, text := range pages(t) {
		for i, block := range fence.FindAllStringSubmatch(text, -1) {
			blocks++
			t.Run(fmt.Sprintf("%s %d", page, i), func(t *testing.T) {
				if formatted := string(caddyfile.Format([]byte(block[1]))); formatted != block[1] {
					t.Errorf("caddy fmt makes of it:\n%s", formatted)
				}
				validate(t, caddytest.Adapt(t, block[1]))
			})
		}
	}
	if blocks < 10 {
		t.Errorf("only %d Caddyfiles were found", blocks)
	}
}

// setApp sets what the Caddyfiles of the pages take from the environment.
func setApp(t *testing.T) {
	t.Helper()
	t.Setenv("LOGTO_APP_ID", "app")
	t.Setenv("LOGTO_APP_SECRET", "a-secret-of-the-app-with-32-chars")
	t.Setenv("LOGTO_WEBHOOK_KEY", "a-signing-key-of-the-webhook")
	t.Setenv("SESSION_KEY_1", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=")
	t.Setenv("SESSION_KEY_2", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=")
}

// validate provisions a config as `caddy validate` does, with its storage in
// the test's folder and without its logs.
func validate(t *testing.T, config []byte) {
	t.Helper()
	var tree map[string]any
	if err := json.Unmarshal(config, &tree); err != nil {
		t.Fatal(err)
	}
	tree["admin"] = map[string]any{"disabled": true}
	tree["storage"] = map[string]any{"module": "file_system", "root": t.TempDir()}
	logTo(tree, map[string]any{"output": "discard"})
	contained, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	var decoded *caddy.Config
	if err := json.Unmarshal(contained, &decoded); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(decoded); err != nil {
		t.Error(err)
	}
}

func TestLinksOfThePagesLeadSomewhere(t *testing.T) {
	links := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for page, text := range pages(t) {
		for _, link := range links.FindAllStringSubmatch(text, -1) {
			u, err := url.Parse(link[1])
			if err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if u.IsAbs() {
				continue
			}
			target := page
			if u.Path != "" {
				target = filepath.Join(filepath.Dir(page), u.Path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if u.Fragment != "" && !slices.Contains(anchors(read(t, target)), u.Fragment) {
				t.Errorf("%s: %s has no heading #%s", page, target, u.Fragment)
			}
		}
	}
}

// anchors returns the names that GitHub gives to the headings of a page.
func anchors(text string) []string {
	var names []string
	dropped := regexp.MustCompile("[^a-z0-9 _-]")
	for _, heading := range regexp.MustCompile("(?m)^#+ (.+)$").FindAllStringSubmatch(text, -1) {
		name := dropped.ReplaceAllString(strings.ToLower(heading[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

func TestEveryPageIsListed(t *testing.T) {
	index, introduction := read(t, "README.md"), read(t, "../README.md")
	for page := range pages(t) {
		if page != "README.md" && !strings.Contains(index, "("+page+")") && !strings.Contains(introduction, "(docs/"+page) {
			t.Errorf("neither README.md leads to %s", page)
		}
	}
}

// referenced returns the names in the first column of a table of the
// reference, which a test of the module keeps true.
func referenced(t *testing.T, heading string) []string {
	t.Helper()
	_, section, found := strings.Cut(read(t, "reference.md"), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("reference.md has no %s", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var names []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1) {
		names = append(names, row[1])
	}
	if len(names) == 0 {
		t.Fatalf("the reference has no %s", heading)
	}
	return names
}

func TestTroubleshootingHasEachReasonOnce(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "troubleshooting.md"), "\n## By reason\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var told []string
	for _, heading := range regexp.MustCompile("(?m)^### (.+)$").FindAllStringSubmatch(section, -1) {
		told = append(told, heading[1])
	}
	if reasons := referenced(t, "Reasons"); !slices.Equal(slices.Sorted(slices.Values(told)), slices.Sorted(slices.Values(reasons))) {
		t.Errorf("told of are %v, reasons are %v", told, reasons)
	}
}

var metricName = regexp.MustCompile(`caddy_logto_auth_[a-z_]+`)

// metricsIn returns the metrics that a text names, those of a histogram by its
// own name.
func metricsIn(text string) []string {
	var names []string
	for _, name := range metricName.FindAllString(text, -1) {
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			name = strings.TrimSuffix(name, suffix)
		}
		names = append(names, name)
	}
	return names
}

type dashboard struct {
	Panels []struct {
		Title   string `json:"title"`
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
}

func TestDashboardShowsTheMetrics(t *testing.T) {
	text := read(t, "grafana/logto-auth.json")
	var board dashboard
	if err := json.Unmarshal([]byte(text), &board); err != nil {
		t.Fatal(err)
	}
	metrics := referenced(t, "Metrics")
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			named := metricsIn(target.Expr)
			if len(named) == 0 {
				t.Errorf("%s: %s names no metric", panel.Title, target.Expr)
			}
			for _, name := range named {
				if !slices.Contains(metrics, name) {
					t.Errorf("%s: there is no metric %s", panel.Title, name)
				}
			}
		}
	}
	for _, name := range metrics {
		if !slices.Contains(metricsIn(text), name) {
			t.Errorf("no panel shows %s", name)
		}
	}
}

func TestAlertsNameMetrics(t *testing.T) {
	metrics := referenced(t, "Metrics")
	for _, path := range []string{"alerts/logto-auth.rules.yml", "alerts/logto-auth.test.yml"} {
		for _, name := range metricsIn(read(t, path)) {
			if !slices.Contains(metrics, name) {
				t.Errorf("%s: there is no metric %s", path, name)
			}
		}
	}
}

// Prometheus's own tool knows whether the expressions are right, and whether
// the alerts fire. PROMTOOL says where it is.
func TestPromtoolAgrees(t *testing.T) {
	promtool := os.Getenv("PROMTOOL")
	if promtool == "" {
		t.Skip("PROMTOOL does not name it")
	}
	var board dashboard
	if err := json.Unmarshal([]byte(read(t, "grafana/logto-auth.json")), &board); err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	rules.WriteString("groups: [{name: dashboard, rules: [\n")
	for i, panel := range board.Panels {
		for j, target := range panel.Targets {
			expression, err := json.Marshal(strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*").Replace(target.Expr))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&rules, "{record: 'panel:%d_%d', expr: %s},\n", i, j, expression)
		}
	}
	rules.WriteString("]}]\n")
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, arguments := range [][]string{
		{"check", "rules", "alerts/logto-auth.rules.yml"},
		{"test", "rules", "alerts/logto-auth.test.yml"},
		{"check", "rules", path},
	} {
		output, err := exec.CommandContext(t.Context(), promtool, arguments...).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %v\n%s", arguments, err, output)
		}
	}
}
