package caddytest_test

import (
	"log"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

func TestMain(m *testing.M) { caddytest.Main(m) }

// outcomeVariable tells a process of TestMainKeepsLogsBack whether to fail.
const outcomeVariable = "CADDYTEST_OUTCOME"

func TestLoggingProcess(t *testing.T) {
	outcome := os.Getenv(outcomeVariable)
	if outcome == "" {
		t.Skip("this is what TestMainKeepsLogsBack runs")
	}
	caddy.Log().Info("before a configuration")
	log.Print("from another library")
	s := caddytest.Start(t, ":80 {\nrespond ok\n}")
	s.Get("/")
	if outcome == "fail" {
		t.Error("as it was told")
	}
}

func TestMainKeepsLogsBack(t *testing.T) {
	for _, test := range []struct {
		name, outcome string
		arguments     []string
		logs          bool
	}{
		{"a test passes", "pass", nil, false},
		{"a test fails", "fail", nil, true},
		{"a test passes with -v", "pass", []string{"-test.v"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			process := exec.CommandContext(t.Context(), os.Args[0], append(test.arguments, "-test.run=^TestLoggingProcess$")...)
			process.Env = append(os.Environ(), outcomeVariable+"="+test.outcome)
			process.Stdout, process.Stderr = &stdout, &stderr
			if err := process.Run(); (err == nil) != (test.outcome == "pass") {
				t.Errorf("the process ended with %v\n%s", err, stdout.String())
			}
			for _, line := range []string{"before a configuration", "from another library"} {
				if got := strings.Contains(stderr.String(), line); got != test.logs {
					t.Errorf("%q is on standard error: %v, want %v\n%s", line, got, test.logs, stderr.String())
				}
			}
			if strings.Contains(stderr.String(), "admin endpoint disabled") && len(test.arguments) == 0 {
				t.Errorf("among the lines are those of Main's own configuration:\n%s", stderr.String())
			}
			if !test.logs && stderr.Len() > 0 {
				t.Errorf("on standard error is %q", stderr.String())
			}
			// The last lines of a server's log belong to the test that failed.
			if got := strings.Contains(stdout.String(), "Caddy's log ends with"); got != (test.outcome == "fail") {
				t.Errorf("the failed test shows the log: %v\n%s", got, stdout.String())
			}
		})
	}
}
