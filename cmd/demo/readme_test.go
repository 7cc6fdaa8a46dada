package main

import (
	"os"
	"strings"
	"testing"
)

// README.md shows how to get a token of the demo's tenant for one's own site.
func TestReadmeAsksForTokensAsTheDemoGivesThem(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n### Your own Caddyfile with the demo's tenant\n")
	if !found {
		t.Fatal("README.md has no such section")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for _, part := range []string{
		"-u " + demoClient + ":" + demoSecret + " ", "-d resource=" + api + " ", "\taudience " + api + "\n", "/oidc/token", "Hello, " + demoClient,
	} {
		if !strings.Contains(section, part) {
			t.Errorf("README.md does not say %q", part)
		}
	}
}
