package logtoauth

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// readmeSection returns the text of README.md below a heading, as far as the
// next one.
func readmeSection(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"+heading+"\n")
	if !found {
		t.Fatalf("README.md has no heading %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n#")
	return section
}

// The tables of log lines hold every line that the keys of a tenant leave from
// INFO on, and no other.
func TestReadmeTellsTheLogLinesOfAnOutage(t *testing.T) {
	told := make(map[string]bool)
	for _, line := range regexp.MustCompile("(?m)^\\|.*\\b(INFO|WARN|ERROR) (?:\\| )?`([^`]+)` \\|").
		FindAllStringSubmatch(readmeSection(t, "### When the tenant does not answer"), -1) {
		told[line[1]+" "+line[2]] = true
	}
	logged := make(map[string]bool)
	synctest.Test(t, func(t *testing.T) {
		storage := newMemoryStorage()
		b := newBench(t, newTenant(), testConfig(), storage)
		b.fetched(t)
		synctest.Wait() // keys are stored beside
		b.AddKey(map[string]any{"kty": "oct", "kid": "symmetric", "k": "AAAA"})
		b.Rotate("")
		storage.fail("store", errors.New("no space left"))
		b.fetched(t)
		synctest.Wait()
		storage.fail("store", nil)
		b.Rotate("")
		b.fetched(t)
		synctest.Wait()
		b.SetFault(devtenant.Down)
		advance(25 * time.Hour)
		b.SetFault(devtenant.None)
		advance(10 * time.Second)
		for _, entry := range b.logs.All() {
			logged[entry.Level.CapitalString()+" "+entry.Message] = true
		}
	})
	if !maps.Equal(told, logged) {
		t.Errorf("told:\n%s\n\nlogged:\n%s", strings.Join(slices.Sorted(maps.Keys(told)), "\n"), strings.Join(slices.Sorted(maps.Keys(logged)), "\n"))
	}
}

func TestReadmeTellsEveryMetric(t *testing.T) {
	told := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| `(caddy_logto_auth_[^`]+)` ").FindAllStringSubmatch(readmeSection(t, "### Metrics"), -1) {
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
	for _, collector := range []prometheus.Collector{m.requests, m.tokenCache, m.signatures, m.fetches, m.keys} {
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

func TestReadmeShowsWhatTheAdminAPIAnswers(t *testing.T) {
	_, sample, found := strings.Cut(readmeSection(t, "### Admin API"), "logto_auth/tenants\n    [")
	if !found {
		t.Fatal("no answer is shown")
	}
	sample, _, _ = strings.Cut("["+sample, "\n\n")
	var shown []map[string]any
	if err := json.Unmarshal([]byte(sample), &shown); err != nil || len(shown) != 1 {
		t.Fatalf("%v in %s", err, sample)
	}
	var status []tenantStatus
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

func TestReadmeShowsWhatExplainPrints(t *testing.T) {
	_, sample, found := strings.Cut(readmeSection(t, "### Command line"), "\n    logto_require for ")
	if !found {
		t.Fatal("no output is shown")
	}
	sample, _, _ = strings.Cut("    logto_require for "+sample, "\n\n")
	sample = strings.ReplaceAll("\n"+sample, "\n    ", "\n")
	e := newExplained(t, "audience https://api.example.com")
	token := e.tenant.Token(devtenant.TokenRequest{Resource: "https://api.example.com", Scope: "read:products"})
	tell(t, token, e.arguments("--url", "https://api.example.com/orders", "--method", "POST"), 1, sample)
}

func TestReadmeNamesFlagsThatTheCommandsHave(t *testing.T) {
	commands := map[string]*cobra.Command{"check": checkCommand(), "explain": explainCommand()}
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile("caddy logto-auth (\\w+)([^\n`]*)").FindAllStringSubmatch(string(text), -1)
	if len(lines) < 2 {
		t.Errorf("%d commands are shown", len(lines))
	}
	for _, line := range lines {
		command := commands[line[1]]
		if command == nil {
			t.Errorf("%s: there is no such command", line[0])
			continue
		}
		for _, flag := range regexp.MustCompile(`--([\w-]+)`).FindAllStringSubmatch(line[2], -1) {
			if command.Flags().Lookup(flag[1]) == nil {
				t.Errorf("%s: %s has no flag --%s", line[0], line[1], flag[1])
			}
		}
	}
	for _, flag := range []string{"jwks-file", "at", "json"} { // named in prose
		if commands["explain"].Flags().Lookup(flag) == nil || !strings.Contains(string(text), "`--"+flag+"`") {
			t.Errorf("--%s", flag)
		}
	}
}
