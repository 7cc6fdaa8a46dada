package logtoauth

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

const operationPath = "docs/operation.md"

// operationSection returns the text of docs/operation.md below a heading, as far
// as the next one.
func operationSection(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile(operationPath)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"+heading+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", operationPath, heading)
	}
	section, _, _ = strings.Cut(section, "\n#")
	return section
}

func TestOperationTellsEveryMetric(t *testing.T) {
	told := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| `(caddy_logto_auth_[^`]+)` ").FindAllStringSubmatch(operationSection(t, "## Metrics"), -1) {
		told[row[1]] = true
	}
	if registered := registeredMetrics(t); !maps.Equal(told, registered) {
		t.Errorf("told %v, registered %v", told, registered)
	}
}

// registeredMetrics returns each metric as its name and, in braces, its labels.
func registeredMetrics(t *testing.T) map[string]bool {
	t.Helper()
	m := newInstruments()
	descs := make(chan *prometheus.Desc, 100)
	for _, collector := range m.collectors() {
		collector.Describe(descs)
	}
	close(descs)
	registered := make(map[string]bool)
	// A Desc tells its name and labels in its text only.
	description := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: (\{[\w,]*\})`)
	for desc := range descs {
		parts := description.FindStringSubmatch(desc.String())
		if parts == nil {
			t.Fatalf("unreadable: %s", desc)
		}
		registered[parts[1]+strings.TrimSuffix(parts[2], "{}")] = true
	}
	return registered
}

func TestOperationShowsWhatTheAdminAPIAnswers(t *testing.T) {
	_, sample, found := strings.Cut(operationSection(t, "## Admin API"), "logto_auth/tenants\n    [")
	if !found {
		t.Fatal("no answer is shown")
	}
	sample, _, _ = strings.Cut("["+sample, "\n\n")
	var shown []map[string]any
	if err := json.Unmarshal([]byte(sample), &shown); err != nil || len(shown) != 1 {
		t.Fatalf("%v in %s", err, sample)
	}
	var status []keys.Status
	if err := json.Unmarshal([]byte(sample), &status); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	var answered []map[string]any
	if err := json.Unmarshal(text, &answered); err != nil {
		t.Fatal(err)
	}
	if got, want := asJSON(t, shown), asJSON(t, answered); got != want {
		t.Errorf("shown    %s\nanswered %s", got, want)
	}
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value) // sorts the members
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestOperationShowsWhatExplainPrints(t *testing.T) {
	_, sample, found := strings.Cut(operationSection(t, "## Command line"), "\n    logto_require for ")
	if !found {
		t.Fatal("no output is shown")
	}
	sample, _, _ = strings.Cut("    logto_require for "+sample, "\n\n")
	sample = strings.ReplaceAll("\n"+sample, "\n    ", "\n")
	e := newExplained(t, "audience https://api.example.com")
	token := e.tenant.Token(devtenant.TokenRequest{Resource: "https://api.example.com", Scope: "read:products"})
	tell(t, token, e.arguments("--url", "https://api.example.com/orders", "--method", "POST"), 1, sample)
}

func TestDocsNameFlagsThatTheCommandsHave(t *testing.T) {
	commands := map[string]*cobra.Command{"check": checkCommand(), "explain": explainCommand(), "revoke": revokeCommand()}
	shown := make(map[string]int)
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range regexp.MustCompile("caddy logto-auth (\\w+)([^\n`]*)").FindAllStringSubmatch(string(text), -1) {
			command := commands[line[1]]
			if command == nil {
				t.Errorf("%s: %s: there is no such command", page, line[0])
				continue
			}
			shown[page]++
			for _, flag := range regexp.MustCompile(`--([\w-]+)`).FindAllStringSubmatch(line[2], -1) {
				if command.Flags().Lookup(flag[1]) == nil {
					t.Errorf("%s: %s: %s has no flag --%s", page, line[0], line[1], flag[1])
				}
			}
		}
	}
	if shown[operationPath] < 3 || shown["README.md"] < 1 {
		t.Errorf("commands are shown %v", shown)
	}
	prose := operationSection(t, "## Command line")
	for _, flag := range []string{"jwks-file", "at", "json"} {
		if commands["explain"].Flags().Lookup(flag) == nil || !strings.Contains(prose, "`--"+flag+"`") {
			t.Errorf("--%s", flag)
		}
	}
}
