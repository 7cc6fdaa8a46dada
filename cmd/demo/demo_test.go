package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// example is what the demo serves without -config.
var example = settings{config: "../../Caddyfile.example", guided: true, logLevel: "DEBUG"}

// keepEnvironment restores after the test what adapt sets, and returns the
// directory for temporary files that the demo will use.
func keepEnvironment(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"LOGTO_ENDPOINT", "LOGTO_APP_ID", "LOGTO_APP_SECRET", "LOGTO_WEBHOOK_KEY", "DEMO_SITE", "DEMO_PAGE"} {
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
	if err := checkAnswers(t.Context(), example, &out, false); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	fitsTheTerminal(t, out.String())
	checks := 0
	for _, section := range sections {
		checks += len(section.checks)
	}
	if got := strings.Count(out.String(), "\n  ok       "); got != checks {
		t.Errorf("%d lines say ok, not %d", got, checks)
	}
	for _, want := range []string{
		"\nPeople who sign in with a browser\n  ok       200  the start page",
		// An outage is told before it takes place, and what Caddy says of it below.
		"\n  ..       the tenant stops, and Caddy asks it for keys in vain\n           WARN ",
		fmt.Sprintf("\nAll %d answers are as expected.\n", checks),
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("not there: %q\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "want ") {
		t.Errorf("it tells what was expected of answers that are:\n%s", out.String())
	}
}

// fitsTheTerminal looks for lines that a terminal would break.
func fitsTheTerminal(t *testing.T, text string) {
	t.Helper()
	for line := range strings.SplitSeq(text, "\n") {
		if utf8.RuneCountInString(line) > columns {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(line), line)
		}
	}
}

// An answer is told as soon as it is there, not at the end.
func TestCheckTellsEachAnswerAsItComes(t *testing.T) {
	keepEnvironment(t)
	var out strings.Builder
	err := withStack(t.Context(), example, func(s *stack) error {
		before := func(context.Context, *stack) error {
			if !strings.Contains(out.String(), "ok       200  first\n") || !strings.HasSuffix(out.String(), "..       working\n") {
				t.Errorf("before the second answer it says:\n%s", out.String())
			}
			return nil
		}
		return (&checker{stack: s, out: &out}).run(t.Context(), []section{{title: "Two", checks: []check{
			{name: "first", path: "/healthz", want: answer{200, "OK", ""}},
			{name: "second", path: "/healthz", doing: "working", before: before, want: answer{200, "OK", ""}},
		}}})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCheckFailsWhenAnAnswerDiffers(t *testing.T) {
	text, err := os.ReadFile(example.config)
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
			differing: []string{"a new token while the tenant is gone"},
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
			err := checkAnswers(t.Context(), settings{config: config}, &out, false)
			if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("%d of ", len(test.differing))) {
				t.Errorf("answers that differ were told as %v", err)
			}
			if got := strings.Count(out.String(), "DIFFERS"); got != len(test.differing) {
				t.Errorf("%d lines say DIFFERS, not %d:\n%s", got, len(test.differing), out.String())
			}
			for _, name := range test.differing {
				if !regexp.MustCompile(`(?m)^  DIFFERS  \d+  ` + regexp.QuoteMeta(name) + `\n {11}want (?s:.*)\n {11}got `).MatchString(out.String()) {
					t.Errorf("no line says DIFFERS of %q:\n%s", name, out.String())
				}
			}
			fitsTheTerminal(t, out.String())
		})
	}
}

func TestServeEndsCleanlyWhenInterrupted(t *testing.T) {
	temporary := keepEnvironment(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	reader, writer := io.Pipe()
	served := make(chan error, 1)
	go func() {
		err := serve(ctx, example, writer, false)
		writer.CloseWithError(err)
		served <- err
	}()
	// The guide comes in one write; what Caddy refuses comes in others.
	guide := make([]byte, 64<<10)
	n, err := reader.Read(guide)
	if err != nil {
		t.Fatal(err)
	}
	rest := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(reader)
		rest <- string(text)
	}()
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
	said := <-rest
	if !strings.Contains(said, "401 missing_token: GET 127.0.0.1:") || !strings.Contains(said, "    the request has no access token") {
		t.Errorf("refusals are not told:\n%s", said)
	}
	if !strings.Contains(said, "\nStopping") || !strings.HasSuffix(said, "nothing is left behind.\n") {
		t.Errorf("its last words are:\n%s", said)
	}
	fitsTheTerminal(t, said)
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
	for _, path := range []string{"/", "/api/protected", "/oidc/jwks", "/logto_auth/tenants"} {
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
			err := serve(t.Context(), settings{config: config}, io.Discard, false)
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
	err := serve(t.Context(), settings{config: filepath.Join(t.TempDir(), "none")}, io.Discard, false)
	if err == nil || !strings.Contains(err.Error(), "-config") {
		t.Errorf("got %v", err)
	}
}
