package docs_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

func TestCaddyfilesOfDeploymentsAreValid(t *testing.T) {
	t.Setenv("LOGTO_DOMAIN", "login.localhost")
	t.Setenv("LOGTO_ADMIN_DOMAIN", "admin.localhost")
	t.Setenv("API_DOMAIN", "api.localhost")
	_, kubernetes, found := strings.Cut(read(t, "../deploy/kubernetes.md"), "  Caddyfile: |\n")
	kubernetes, _, closed := strings.Cut(kubernetes, "\n---\n")
	if !found || !closed {
		t.Fatal("kubernetes.md has no Caddyfile")
	}
	// YAML has no tabs, and indents the text by four.
	kubernetes = strings.ReplaceAll(strings.ReplaceAll("\n"+kubernetes+"\n", "\n    ", "\n"), "  ", "\t")[1:]
	for name, text := range map[string]string{"compose": read(t, "../deploy/Caddyfile"), "kubernetes": kubernetes} {
		t.Run(name, func(t *testing.T) {
			if formatted := string(caddyfile.Format([]byte(text))); formatted != text {
				t.Errorf("caddy fmt makes of it:\n%s", formatted)
			}
			validate(t, caddytest.Adapt(t, text))
		})
	}
}

// What the Caddyfile reads and where it sends requests is in compose.yaml.
func TestComposeHasWhatItsCaddyfileNeeds(t *testing.T) {
	compose, site := read(t, "../deploy/compose.yaml"), read(t, "../deploy/Caddyfile")
	_, caddy, found := strings.Cut(compose, "\n  caddy:\n")
	if !found {
		t.Fatal("compose.yaml has no service caddy")
	}
	variables := regexp.MustCompile(`\{\$(\w+)\}`).FindAllStringSubmatch(site, -1)
	if len(variables) < 3 {
		t.Errorf("the Caddyfile reads %v", variables)
	}
	for _, variable := range variables {
		if !strings.Contains(caddy, "\n      "+variable[1]+": ") {
			t.Errorf("compose.yaml does not give %s to Caddy", variable[1])
		}
	}
	for _, service := range regexp.MustCompile(`(?:reverse_proxy |http://)(\w+):\d+`).FindAllStringSubmatch(site, -1) {
		if !strings.Contains(compose, "\n  "+service[1]+":\n") {
			t.Errorf("compose.yaml has no service %s", service[1])
		}
	}
}

// The image has the Caddy and the Go of go.mod.
func TestDockerfileHasTheVersionsOfGoMod(t *testing.T) {
	dockerfile, module := read(t, "../deploy/Dockerfile"), read(t, "../go.mod")
	caddy := regexp.MustCompile(`(?m)^\tgithub\.com/caddyserver/caddy/v2 v(\S+)$`).FindStringSubmatch(module)
	language := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(module)
	if caddy == nil || language == nil {
		t.Fatal("go.mod cannot be read")
	}
	for _, line := range []string{"FROM caddy:" + caddy[1] + "\n", "FROM golang:" + language[1] + "-"} {
		if !strings.Contains(dockerfile, line) {
			t.Errorf("the Dockerfile has no %q", line)
		}
	}
}

// Nothing gets into a release that a change does not go through as well.
func TestReleasesUseTheActionsOfChanges(t *testing.T) {
	changes := read(t, "../.github/workflows/ci.yml")
	uses := regexp.MustCompile(`uses: (\S+)`).FindAllStringSubmatch(read(t, "../.github/workflows/release.yml"), -1)
	if len(uses) == 0 {
		t.Error("release.yml uses no action")
	}
	for _, use := range uses {
		if !strings.Contains(changes, use[0]+"\n") {
			t.Errorf("ci.yml does not use %s", use[1])
		}
	}
}
