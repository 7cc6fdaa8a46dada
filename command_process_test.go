package logtoauth_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddy-logto/caddy-logto-auth" // its commands must be registered before the init below
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// commandVariable makes a test binary behave as Caddy, which decides the exit
// codes that scripts see.
const commandVariable = "LOGTO_AUTH_TEST_AS_CADDY"

func init() {
	if os.Getenv(commandVariable) != "" {
		caddycmd.Main()
		os.Exit(0)
	}
}

// caddyProcess runs `caddy logto-auth` in a process and a directory of its own.
func caddyProcess(t *testing.T, stdin string, arguments ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"logto-auth"}, arguments...)...)
	cmd.Env = append(os.Environ(), commandVariable+"=1", "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home, "HOME="+home)
	cmd.Dir = home
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(home)
	if err != nil || len(left) > 0 {
		t.Errorf("the command left %v behind, %v", left, err)
	}
	return code, out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{Issuer: "https://tenant.example.com/oidc"})
	dir := t.TempDir()
	config, keys := filepath.Join(dir, "Caddyfile"), filepath.Join(dir, "jwks.json")
	caddyfile := "http://a.test {\nlogto_auth {\nendpoint https://tenant.example.com\naudience https://api.example.com\n}\n}\n"
	for path, text := range map[string][]byte{config: []byte(caddyfile), keys: tenant.JWKS()} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	online := devtenanttest.NewServer(t, devtenant.Options{})
	fetched := filepath.Join(dir, "fetched.Caddyfile")
	caddyfile = strings.Replace(caddyfile, "https://tenant.example.com", online.URL, 1)
	if err := os.WriteFile(fetched, []byte(caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	explain := []string{"explain", "--config", config, "--jwks-file", keys}
	token := tenant.Token(devtenant.TokenRequest{Resource: "https://api.example.com"})
	for _, test := range []struct {
		name, stdin string
		arguments   []string
		code        int
	}{
		{"admitted", token, explain, 0},
		{"admitted by keys that are fetched", online.Token(devtenant.TokenRequest{Resource: "https://api.example.com"}), []string{"explain", "--config", fetched}, 0},
		{"refused", "opaque", explain, 1},
		{"tenant that cannot be reached", "", []string{"check", "--endpoint", "http://127.0.0.1:1"}, 1},
		{"unknown flag", "", []string{"check", "--bogus"}, 2},
		{"unknown command", "", []string{"bogus"}, 2},
		{"no Caddyfile there", token, []string{"explain"}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := caddyProcess(t, test.stdin, test.arguments...)
			if code != test.code || strings.Contains(stdout+stderr, "goroutine") || strings.Contains(stdout+stderr, "panic") {
				t.Errorf("exit code %d, not %d\n%s%s", code, test.code, stdout, stderr)
			}
		})
	}
}
