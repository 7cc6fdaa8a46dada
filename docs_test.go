package logtoauth_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

func TestCaddyfilesOfTheDocsCanBeCopied(t *testing.T) {
	files, err := filepath.Glob("docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no docs: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, match := range fence.FindAllStringSubmatch(strings.ReplaceAll(string(text), "\r\n", "\n"), -1) {
			if match[2] != "caddyfile" {
				continue
			}
			t.Run(fmt.Sprint(file, " ", i), func(t *testing.T) {
				block := match[3]
				if formatted := string(caddyfile.Format([]byte(block))); formatted != block {
					t.Errorf("caddy fmt makes of it:\n%s", formatted)
				}
				if err := validate(t, caddytest.Adapt(t, block)); err != nil {
					t.Errorf("%v\n%s", err, block)
				}
			})
		}
	}
}
