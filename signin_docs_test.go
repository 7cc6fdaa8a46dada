package logtoauth

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Who sees a page looks its title up in docs/sign-in.md.
func TestDocsTellEveryPage(t *testing.T) {
	text, err := os.ReadFile("docs/sign-in.md")
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[string]string)
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \| (\d{3}[^|]*) \|`).FindAllStringSubmatch(string(text), -1) {
		told[row[1]] = row[2]
	}
	pages := signInPages()
	for name, test := range pages {
		want := strings.TrimSuffix(fmt.Sprintf("%d `%s`", test.status, test.reason), " ``")
		if got := told[test.page.title]; got != want {
			t.Errorf("%s: of %q is told %q, not %q", name, test.page.title, got, want)
		}
	}
	if len(told) != len(pages) {
		t.Errorf("the table has %d rows for %d pages", len(told), len(pages))
	}
}
