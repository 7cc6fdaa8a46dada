package logtoauth_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// fence matches a fenced code block: its indentation, language and text.
var fence = regexp.MustCompile("(?ms)^( *)```(\\w+)\n(.*?\n) *```$")

// blocksOf returns the code blocks of a page in a language.
func blocksOf(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, match := range fence.FindAllStringSubmatch(strings.ReplaceAll(string(text), "\r\n", "\n"), -1) {
		if indentation := match[1]; match[2] == language {
			block := strings.ReplaceAll("\n"+match[3], "\n"+indentation, "\n")
			blocks = append(blocks, block[1:])
		}
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no %s block", page, language)
	}
	return blocks
}

func TestCaddyfilesOfTheReadmeCanBeCopied(t *testing.T) {
	t.Setenv("LOGTO_APP_ID", "app")
	t.Setenv("LOGTO_APP_SECRET", "a-secret-of-the-app-with-32-chars")
	for i, block := range blocksOf(t, "README.md", "caddyfile") {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if formatted := string(caddyfile.Format([]byte(block))); formatted != block {
				t.Errorf("caddy fmt makes of it:\n%s", formatted)
			}
			if err := validate(t, caddytest.Adapt(t, block)); err != nil {
				t.Errorf("%v\n%s", err, block)
			}
		})
	}
}

func TestJSONOfTheDocsCanBeCopied(t *testing.T) {
	for i, block := range blocksOf(t, "docs/json.md", "json") {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if !json.Valid([]byte(block)) {
				t.Fatal("not valid JSON")
			}
			if err := validate(t, []byte(block)); err != nil {
				t.Error(err)
			}
		})
	}
}

// The trap that docs/path-rules.md warns of, and the way around it that it
// shows.
func TestNamedRouteKeepsOnlyItsFirstHandler(t *testing.T) {
	const (
		header = "header X-Served-By api\n"
		handle = "handle {\nlogto_auth {\nendpoint https://your-tenant.logto.app\naudience https://api.example.com\n}\n}\n"
	)
	for name, test := range map[string]struct {
		contents string
		kept     bool
	}{
		"logto_auth inside a handle behind another directive": {header + handle, false},
		"the same in a route":                 {"route {\n" + header + handle + "}\n", true},
		"the same in a handle":                {"handle {\n" + header + handle + "}\n", true},
		"logto_auth behind another directive": {header + strings.TrimSuffix(strings.TrimPrefix(handle, "handle {\n"), "}\n"), true},
		"logto_require":                       {header + "logto_require\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			config := string(caddytest.Adapt(t, "&(api) {\n"+test.contents+"}\n\n:8080 {\ninvoke api\n}\n"))
			if kept := strings.Contains(config, `"handler":"logto_`); kept != test.kept {
				t.Errorf("our handler is left: %t, not %t, in %s", kept, test.kept, config)
			}
		})
	}
}

// Nobody reads an introduction of seven hundred lines. What does not fit has its
// page in docs.
func TestReadmeIsShort(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines > 220 {
		t.Errorf("README.md has %d lines, 220 are the most", lines)
	}
}

func TestLinksOfTheReadmeLeadSomewhere(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	anchors := func(page []byte) map[string]bool {
		names := make(map[string]bool)
		for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(string(page), -1) {
			names[strings.ReplaceAll(strings.ToLower(heading[1]), " ", "-")] = true
		}
		return names
	}
	links := regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(string(text), -1)
	if len(links) == 0 {
		t.Error("there are none")
	}
	for _, link := range links {
		target, fragment, _ := strings.Cut(link[1], "#")
		if strings.HasPrefix(target, "https://") {
			continue
		}
		if target == "" {
			target = "README.md"
		}
		if _, err := os.Stat(target); err != nil {
			t.Error(err)
		} else if fragment != "" {
			page, err := os.ReadFile(target)
			if err != nil || !anchors(page)[fragment] {
				t.Errorf("%s has no heading #%s: %v", target, fragment, err)
			}
		}
	}
}
