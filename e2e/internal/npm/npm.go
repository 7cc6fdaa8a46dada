//go:build e2e

// Package npm runs programs of Node.js for the end-to-end tests.
package npm

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Program is a running program. It ends with the test, for which it should end
// when its standard input does.
type Program struct {
	input io.Writer
	lines *bufio.Scanner
}

// Start runs a script of the test's folder, after installing what the folder's
// lock file names. The test is skipped where there is no Node.js.
func Start(tb testing.TB, script string, arguments ...string) *Program {
	tb.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		tb.Skip("node is not installed; this test runs programs of Node.js")
	}
	install(tb)
	command := exec.CommandContext(tb.Context(), "node", append([]string{script}, arguments...)...) //nolint:gosec // scripts of the tests
	input, err := command.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	var problems strings.Builder
	command.Stderr = &problems
	if err := command.Start(); err != nil {
		tb.Fatalf("starting %s: %v", script, err)
	}
	tb.Cleanup(func() {
		input.Close()
		_ = command.Wait() // the test's context may have ended it before
		if tb.Failed() {
			tb.Logf("%s said:\n%s", script, problems.String())
		}
	})
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	return &Program{input, lines}
}

// WriteLine sends the program a line.
func (p *Program) WriteLine(tb testing.TB, line string) {
	tb.Helper()
	if _, err := io.WriteString(p.input, line+"\n"); err != nil {
		tb.Fatalf("writing to the program: %v", err)
	}
}

// ReadLine returns the next line that the program prints.
func (p *Program) ReadLine(tb testing.TB) string {
	tb.Helper()
	if !p.lines.Scan() {
		err := p.lines.Err()
		if err == nil {
			err = io.EOF
		}
		tb.Fatalf("reading what the program prints: %v", err)
	}
	return p.lines.Text()
}

// install runs npm unless node_modules is what the lock file says.
func install(tb testing.TB) {
	tb.Helper()
	lock, err := os.Stat("package-lock.json")
	if err != nil {
		tb.Fatal(err)
	}
	if installed, err := os.Stat("node_modules/.package-lock.json"); err == nil && installed.ModTime().After(lock.ModTime()) {
		return
	}
	npm := exec.CommandContext(tb.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	if output, err := npm.CombinedOutput(); err != nil {
		tb.Fatalf("npm ci: %v\n%s", err, output)
	}
}
