package logtoauth

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestReadmeTellsOfEverySubdirective(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for word := range handlerSettings {
		row := slices.ContainsFunc(strings.Split(string(text), "\n"), func(line string) bool {
			return strings.HasPrefix(line, "| `"+word+" ") || strings.HasPrefix(line, "| `"+word+"`")
		})
		if !row {
			t.Errorf("no table of README.md has a row for %s", word)
		}
	}
	_, global, found := strings.Cut(string(text), "\n## Defaults for all sites\n")
	if !found {
		t.Fatal("README.md has no section on the global option")
	}
	global, _, _ = strings.Cut(global, "\n## ")
	for word := range handlerSettings {
		if _, takes := globalSettings[word]; takes != strings.Contains(global, "`"+word+"`") {
			t.Errorf("%s: the global option takes it: %t, and README.md says otherwise", word, takes)
		}
	}
}
