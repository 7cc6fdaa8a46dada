package logtoauth

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// What counts as API cannot appear without its line in the changelog.
func TestChangelogNamesEverythingThatCountsAsAPI(t *testing.T) {
	text, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	named := func(kind, name string) {
		t.Helper()
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("CHANGELOG.md does not name the %s %s", kind, name)
		}
	}
	for word := range handlerSettings {
		named("subdirective", word)
	}
	for _, module := range []any{Handler{}, Require{}, StripIdentity{}, Metadata{}, ClaimRequirement{}, TokenSource{}, ForwardClaim{}, ResourceMetadata{}, SignIn{}, Revocation{}, revocation{}, keys.Status{}, keys.KeyStatus{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(module)) {
			if key, _, _ := strings.Cut(field.Tag.Get("json"), ","); key != "" && key != "-" {
				named("JSON key", key)
			}
		}
	}
	for _, id := range caddy.Modules() {
		if strings.Contains(id, "logto") && !strings.Contains(id, "logto_test") {
			named("module", id)
		}
	}
	for _, reason := range reasons {
		named("reason", string(reason))
	}
	for metric := range registeredMetrics(t) {
		named("metric", metric)
	}
	for _, command := range []*cobra.Command{checkCommand(), explainCommand(), revokeCommand()} {
		named("command", "caddy logto-auth "+command.Name())
		for _, flag := range regexp.MustCompile(`--[\w-]+`).FindAllString(command.Flags().FlagUsages(), -1) {
			named("flag", flag)
		}
	}
}
