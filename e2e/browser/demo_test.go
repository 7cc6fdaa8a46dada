//go:build e2e

package browser

import (
	"bufio"
	"encoding/json"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/e2e/internal/chromium"
	"github.com/caddy-logto/caddy-logto-auth/e2e/internal/npm"
)

var screenshot = flag.String("screenshot", "", "where to write a picture of the demo's page")

// startDemo starts the demo and returns the address of its page.
func startDemo(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "demo")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/demo").CombinedOutput(); err != nil {
		t.Fatalf("building the demo: %v\n%s", err, output)
	}
	demo := exec.CommandContext(t.Context(), program)
	demo.Dir = "../.."
	output, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	// The test's context ends it. Interrupted it cleans up, on Windows it cannot.
	demo.Cancel = func() error {
		if runtime.GOOS == "windows" {
			return demo.Process.Kill()
		}
		return demo.Process.Signal(os.Interrupt)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = demo.Wait() })
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if _, address, found := strings.Cut(lines.Text(), "In a browser  "); found {
			go func() { _, _ = io.Copy(io.Discard, output) }() // or it would wait for us
			return address
		}
	}
	t.Fatal("the demo does not say where its page is")
	return ""
}

func TestDemoPage(t *testing.T) {
	type pick struct {
		Press   string `json:"press"`
		Request string `json:"request"`
		Token   string `json:"token"`
	}
	executable := chromium.Executable(t)
	settings, err := json.Marshal(map[string]any{
		"executablePath": executable, "address": startDemo(t), "screenshot": *screenshot,
		"picks": []pick{
			{"", "GET /healthz", ""},
			{"", "GET /api/products", "alice"},
			{"Suspend Alice", "GET /api/products", "alice"},
			{"Reinstate Alice", "GET org.localhost/api/members", "acme"},
			{"", "POST /api/orders", "alice"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Answers  []map[string]string `json:"answers"`
		Members  string              `json:"members"`
		Problems []string            `json:"problems"`
	}
	if err := json.Unmarshal([]byte(npm.Start(t, "demo.mjs", string(settings)).ReadLine(t)), &got); err != nil {
		t.Fatal(err)
	}
	want := []map[string]string{
		{"status": "200 OK", "body": "OK", "challenge": "–", "reason": "–", "hint": "–"},
		{"status": "200 OK", "body": "Hello, alice", "challenge": "–", "reason": "–", "hint": "–"},
		{
			"status": "401 Unauthorized", "body": `{"error":"Invalid token"}`,
			"challenge": `Bearer error="invalid_token", error_description="The token was revoked"`, "reason": "revoked",
		},
		{"status": "200 OK", "body": "Hello, alice", "challenge": "–", "reason": "–", "hint": "–"},
		{
			"status": "403 Forbidden", "body": `{"error":"Insufficient scope"}`,
			"challenge": `Bearer error="insufficient_scope", scope="write:orders"`, "reason": "insufficient_scope",
			"hint": "the token lacks the scopes write:orders: the client must request them, and a role must grant them",
		},
	}
	if len(got.Answers) != len(want) {
		t.Fatalf("%d answers, want %d", len(got.Answers), len(want))
	}
	for i, answer := range want {
		for field, text := range answer {
			if got.Answers[i][field] != text {
				t.Errorf("answer %d: %s is %q, want %q", i, field, got.Answers[i][field], text)
			}
		}
	}
	if got.Members != "Welcome to the Rowing Club" || len(got.Problems) > 0 {
		t.Errorf("the link leads to %q; problems: %q", got.Members, got.Problems)
	}
}
