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

// readmeBlocks returns the code blocks of README.md in a language.
func readmeBlocks(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile("README.md")
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
		t.Fatalf("README.md has no %s block", language)
	}
	return blocks
}

func TestCaddyfilesOfTheReadmeCanBeCopied(t *testing.T) {
	for i, block := range readmeBlocks(t, "caddyfile") {
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

func TestJSONOfTheReadmeCanBeCopied(t *testing.T) {
	for i, block := range readmeBlocks(t, "json") {
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
