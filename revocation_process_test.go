package logtoauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// replica is a Caddy in a process of its own. It listens at sockets in a
// directory: a free port could be another process's before Caddy has it.
type replica struct {
	t                     *testing.T
	admin                 string // as Caddy has it
	client, administrator *http.Client
}

// startReplica runs a site of the tenant whose storage is in a directory.
func startReplica(t *testing.T, storage, endpoint string) *replica {
	t.Helper()
	home := socketDirectory(t)
	admin, site := filepath.Join(home, "admin"), filepath.Join(home, "site")
	r := &replica{t: t, admin: socketAddress(admin), client: socketClient(t, site), administrator: socketClient(t, admin)}
	caddyfile := filepath.Join(home, "Caddyfile")
	text := fmt.Sprintf("{\n\tadmin %s\n\tpersist_config off\n\tstorage file_system %q\n}\nhttp:// {\n\tbind %s\n\tlogto_auth {\n\t\tendpoint %s\n\t\taudience %s\n\t\trevocation\n\t}\n\trespond ok\n}\n",
		r.admin, storage, socketAddress(site), endpoint, api)
	if err := os.WriteFile(caddyfile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var logs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], "run", "--config", caddyfile, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), commandVariable+"=1", "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home, "HOME="+home)
	cmd.Dir, cmd.Stderr = home, &logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("a replica logged\n%s", logs.String())
		}
	})
	r.await("it starts", 30*time.Second, func() bool { return r.status("") == http.StatusUnauthorized })
	return r
}

// socketDirectory is a short one: the path of a socket has about a hundred
// octets at most, and t.TempDir names the test.
func socketDirectory(t *testing.T) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "caddy") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	return directory
}

// socketAddress is how Caddy writes the path of a socket.
func socketAddress(path string) string { return "unix/" + filepath.ToSlash(path) }

// socketClient sends all requests to a socket.
func socketClient(t *testing.T, path string) *http.Client {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// await asks until something is so.
func (r *replica) await(what string, most time.Duration, so func() bool) (took time.Duration) {
	r.t.Helper()
	began := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		if took = time.Since(began); took > most {
			r.t.Fatalf("%s: not within %s", what, most)
		}
		<-tick.C
	}
	return time.Since(began)
}

// status is what a token gets; 0 if nobody answers.
func (r *replica) status(token string) int {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://replica.test", http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := r.client.Do(request)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// What one process is told, by its admin API or by the command, another one that
// shares its storage obeys within three seconds.
func TestRevocationReachesAnotherProcess(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	storage := t.TempDir()
	one, two := startReplica(t, storage, tenant.URL), startReplica(t, storage, tenant.URL)
	for i, told := range []struct{ by, other *replica }{{one, two}, {two, one}} {
		subject := fmt.Sprint("person-", i)
		token := tenant.Token(devtenant.TokenRequest{Subject: subject, Resource: api, Extra: map[string]any{"iat": time.Now().Add(-time.Minute).Unix()}})
		for _, r := range []*replica{one, two} {
			if got := r.status(token); got != http.StatusOK {
				t.Fatalf("before: %d", got)
			}
		}
		if i == 0 {
			if code, stdout, stderr := told.by.revoke("--sub", subject); code != 0 {
				t.Fatalf("%d %s%s", code, stdout, stderr)
			}
		} else {
			told.by.post(`{"sub":"` + subject + `"}`)
		}
		if got := told.by.status(token); got != http.StatusUnauthorized {
			t.Errorf("at once, where it was told: %d", got)
		}
		took := told.other.await("the other one obeys", 3*time.Second, func() bool { return told.other.status(token) == http.StatusUnauthorized })
		t.Logf("the other one obeys after %s", took)
		if got := told.other.status(tenant.Token(devtenant.TokenRequest{Subject: "bob", Resource: api})); got != http.StatusOK {
			t.Errorf("Bob: %d", got)
		}
	}
}

// post sends a revocation to a replica's admin API.
func (r *replica) post(body string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, "http://127.0.0.1/logto_auth/revocations", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	answer, err := r.administrator.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		r.t.Fatalf("%s: %d", body, answer.StatusCode)
	}
}

// revoke runs `caddy logto-auth revoke` against a replica.
func (r *replica) revoke(arguments ...string) (code int, stdout, stderr string) {
	r.t.Helper()
	return caddyProcess(r.t, "", append([]string{"revoke", "--address", r.admin}, arguments...)...)
}

// The command's exit codes and what it prints.
func TestRevokeCommand(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	r := startReplica(t, t.TempDir(), tenant.URL)
	token := tenant.Token(devtenant.TokenRequest{Subject: "alice", Resource: api, Extra: map[string]any{"iat": time.Now().Add(-time.Minute).Unix()}})
	if got := r.status(token); got != http.StatusOK {
		t.Fatal(got)
	}
	code, stdout, stderr := r.revoke("--sub", "alice")
	if code != 0 || !strings.HasPrefix(stdout, tenant.Issuer()+": revoked: what began at 20") || !strings.HasSuffix(stdout, " or earlier is refused\n") {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	if got := r.status(token); got != http.StatusUnauthorized {
		t.Errorf("revoked: %d", got)
	}
	code, stdout, stderr = r.revoke("--list")
	var listed []map[string]string
	if err := json.Unmarshal([]byte(stdout), &listed); err != nil || code != 0 || len(listed) != 1 || listed[0]["sub"] != "alice" || listed[0]["issuer"] != tenant.Issuer() {
		t.Errorf("--list: %d %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr = r.revoke("--sub", "alice", "--undo"); code != 0 || stdout != tenant.Issuer()+": taken back\n" {
		t.Errorf("--undo: %d %s%s", code, stdout, stderr)
	}
	if got := r.status(token); got != http.StatusOK {
		t.Errorf("taken back: %d", got)
	}
	for _, test := range []struct {
		name      string
		arguments []string
		code      int
		want      string
	}{
		{"not there", []string{"--sub", "alice", "--undo"}, 1, "nothing like this is in the list"},
		{"another tenant", []string{"--sub", "alice", "--issuer", "https://other.example/oidc"}, 1, "no site has revocation"},
		{"nobody answers", []string{"--sub", "alice", "--address", "127.0.0.1:1"}, 1, "asking Caddy's admin API at 127.0.0.1:1"},
		{"nothing", nil, 2, "name exactly one of"},
		{"several", []string{"--sub", "alice", "--jti", "x"}, 2, "name exactly one of"},
		{"to come", []string{"--sub", "alice", "--not-before", "2999-01-01T00:00:00Z"}, 2, "is still to come"},
		{"no time", []string{"--sub", "alice", "--not-before", "yesterday"}, 2, "is not a time like"},
		{"list and more", []string{"--list", "--sub", "alice"}, 2, "--list"},
		{"list and undo", []string{"--list", "--undo"}, 2, "--list"},
		{"unknown flag", []string{"--user", "alice"}, 2, "--user"},
		{"an argument", []string{"alice"}, 2, "takes flags only"},
	} {
		code, stdout, stderr := r.revoke(test.arguments...)
		if code != test.code || !strings.Contains(stderr, test.want) || stdout != "" {
			t.Errorf("%s: exit code %d, not %d\n%s%s", test.name, code, test.code, stdout, stderr)
		}
	}
}
