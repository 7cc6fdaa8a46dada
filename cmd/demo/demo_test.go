package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const exampleCaddyfile = "../../Caddyfile.example"

// keepEnvironment restores after the test what adapt sets, and returns the
// directory for temporary files that the demo will use.
func keepEnvironment(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"LOGTO_ENDPOINT", "LOGTO_APP_ID", "LOGTO_APP_SECRET", "DEMO_SITE"} {
		t.Setenv(name, "")
	}
	temporary := t.TempDir()
	for _, name := range []string{"TMPDIR", "TMP"} { // Unix, Windows
		t.Setenv(name, temporary)
	}
	return temporary
}

func TestCheckGetsTheAnswersThatTheGuideTells(t *testing.T) {
	keepEnvironment(t)
	var out strings.Builder
	if err := checkAnswers(t.Context(), exampleCaddyfile, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
}

func TestCheckFailsWhenAnAnswerDiffers(t *testing.T) {
	text, err := os.ReadFile(exampleCaddyfile)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		line, more string // added to Caddyfile.example
		differing  []string
	}{
		"the API takes the tokens of every organization": {
			line: "audience https://api.example.com", more: "organization ignore",
			differing: []string{"an organization's token"},
		},
		"keys are of no use once a fetch has failed": {
			line: "endpoint {$LOGTO_ENDPOINT:http://localhost:3001}", more: "max_stale 0",
			differing: []string{"the tenant is gone, and Caddy has asked for keys in vain: a new token"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			keepEnvironment(t)
			config := filepath.Join(t.TempDir(), "Caddyfile")
			changed := strings.Replace(string(text), test.line, test.line+"\n\t\t"+test.more, 1)
			if err := os.WriteFile(config, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			err := checkAnswers(t.Context(), config, &out)
			if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("%d of ", len(test.differing))) {
				t.Errorf("answers that differ were told as %v", err)
			}
			if got := strings.Count(out.String(), "DIFFERS"); got != len(test.differing) {
				t.Errorf("%d lines say DIFFERS, not %d:\n%s", got, len(test.differing), out.String())
			}
			for _, name := range test.differing {
				if !regexp.MustCompile(`(?m)^  DIFFERS +` + regexp.QuoteMeta(name)).MatchString(out.String()) {
					t.Errorf("no line says DIFFERS of %q:\n%s", name, out.String())
				}
			}
		})
	}
}

func TestGuideHoldsAWorkingLineForEachCheck(t *testing.T) {
	keepEnvironment(t)
	var lines []string
	err := withStack(t.Context(), exampleCaddyfile, "ERROR", func(s *stack) error {
		var out strings.Builder
		if err := printGuide(&out, s); err != nil {
			return err
		}
		lines = regexp.MustCompile(`(?m)^ *curl .*$`).FindAllString(out.String(), -1)
		return runWithCurl(t, lines)
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := len(answersOfTheGuide()); len(lines) != want {
		t.Errorf("the guide has %d curl lines, not %d", len(lines), want)
	}
}

// answersOfTheGuide are those to its curl lines, in their order: one that gets
// a token, three of the admin API, then the checks.
func answersOfTheGuide() []answer {
	wanted := []answer{
		{200, `{"access_token":"ey`, ""},
		{200, `"last_error":""`, ""},
		{200, `"source":"tenant"`, ""},
		{200, "\ncaddy_logto_auth_jwks_keys{", ""},
	}
	for _, section := range sections {
		if section.onlyCheck != "" {
			continue
		}
		for _, check := range section.checks {
			wanted = append(wanted, check.want)
		}
	}
	return wanted
}

// runWithCurl sends the printed lines by hand, as a reader does.
func runWithCurl(t *testing.T, lines []string) error {
	t.Helper()
	curl, _ := exec.LookPath("curl") // empty if there is none
	if curl == "" {
		t.Log("curl is not installed: its lines are counted only")
		return nil
	}
	wanted := answersOfTheGuide()
	for i, line := range lines {
		words := regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(line, -1)
		for j := range words {
			words[j] = strings.Trim(words[j], `"`)
		}
		words = append(words[1:], "-sS", "-w", "\n%{http_code}")
		output, err := exec.CommandContext(t.Context(), curl, words...).CombinedOutput()
		if err != nil {
			return errors.New(line + ": " + string(output))
		}
		got := string(output)
		if status := got[len(got)-3:]; status != wanted[i].String()[:3] {
			t.Errorf("%s\nanswered %s, not %d", line, got, wanted[i].status)
		}
		if !strings.Contains(got, wanted[i].body) {
			t.Errorf("%s\nanswered %s, not %s", line, got, wanted[i].body)
		}
	}
	return nil
}

func TestServeEndsCleanlyWhenInterrupted(t *testing.T) {
	temporary := keepEnvironment(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	reader, writer := io.Pipe()
	served := make(chan error, 1)
	go func() {
		err := serve(ctx, exampleCaddyfile, writer)
		writer.CloseWithError(err)
		served <- err
	}()
	// The guide comes in one write; the rest would be from a second one.
	guide := make([]byte, 64<<10)
	n, err := reader.Read(guide)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(map[string]string)
	for _, address := range regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(string(guide[:n]), -1) {
		if answers[address], err = answerOf(address); err != nil {
			t.Fatal(err)
		}
	}
	interrupt()
	if err := <-served; err != nil {
		t.Fatalf("interrupted, serve returned %v", err)
	}
	for address, before := range answers {
		// A test of another package may have been given the port meanwhile.
		if after, err := answerOf(address); err == nil && after == before {
			t.Errorf("%s still listens", address)
		}
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// answerOf tells the servers of the demo from any other.
func answerOf(address string) (string, error) {
	client := http.Client{Timeout: shutdownTimeout}
	defer client.CloseIdleConnections()
	var all strings.Builder
	for _, path := range []string{"/", "/oidc/jwks", "/logto_auth/tenants"} {
		response, err := client.Get("http://" + address + path)
		if err != nil {
			return "", err
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&all, "%s %s\n", response.Status, body)
	}
	return all.String(), nil
}

func TestAMistakenConfigEndsTheDemo(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"syntax":       {":8080 {\n\tlogto_auth {\n\t\taudiense x\n\t}\n}\n", "audiense"},
		"no site":      {"{\n\tdebug\n}\n", "0 addresses"},
		"two ports":    {":8080 {\n}\n\n:8081 {\n}\n", "2 addresses"},
		"provisioning": {":8080 {\n\tlogto_auth {\n\t\tendpoint {env.NO_SUCH_VARIABLE_HERE}\n\t\taudience x\n\t}\n}\n", "endpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			temporary := keepEnvironment(t)
			config := filepath.Join(t.TempDir(), "Caddyfile")
			if err := os.WriteFile(config, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			err := serve(t.Context(), config, io.Discard)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error that names %q", err, test.want)
			}
			if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestAMissingConfigIsToldWithItsMend(t *testing.T) {
	keepEnvironment(t)
	err := serve(t.Context(), filepath.Join(t.TempDir(), "none"), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "-config") {
		t.Errorf("got %v", err)
	}
}
