package logtoauth

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The reference has every subdirective: what a site can write and what the
// global option takes. README.md shows a few, which must exist.
func TestReadmeNamesSubdirectivesThatExist(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n| subdirective | meaning |\n")
	if !found {
		t.Fatal("README.md has no table of subdirectives")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	words := regexp.MustCompile("(?m)^\\| `(\\w+)").FindAllStringSubmatch(table, -1)
	for _, word := range words {
		if _, exists := handlerSettings[word[1]]; !exists {
			t.Errorf("there is no subdirective %s", word[1])
		}
	}
	if len(words) < 8 {
		t.Errorf("README.md shows %d subdirectives", len(words))
	}
}

func TestReferenceTellsWhatTheGlobalOptionTakes(t *testing.T) {
	text, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	_, global, found := strings.Cut(string(text), "\n## The global option\n")
	if !found {
		t.Fatalf("%s has no section on the global option", referencePath)
	}
	global, _, _ = strings.Cut(global, "\n```")
	for word := range handlerSettings {
		if _, takes := globalSettings[word]; takes != strings.Contains(global, "`"+word+"`") {
			t.Errorf("%s: the global option takes it: %t, and %s says otherwise", word, takes, referencePath)
		}
	}
}
