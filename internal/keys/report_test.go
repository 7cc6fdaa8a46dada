package keys

import (
	"crypto/elliptic"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible/legibletest"
)

// outagesInDocs returns the text of docs/operation.md about tenants that do not
// answer.
func outagesInDocs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operation.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n## When the tenant does not answer\n")
	if !found {
		t.Fatal("docs/operation.md has no such section")
	}
	section, _, _ = strings.Cut(section, "\n#")
	return section
}

// The tables of log lines hold every line that the keys of a tenant leave from
// INFO on, and no other.
func TestDocsTellTheLogLinesOfAnOutage(t *testing.T) {
	told := make(map[string]bool)
	for _, line := range regexp.MustCompile("(?m)^\\|.*\\b(INFO|WARN|ERROR) (?:\\| )?`([^`]+)` \\|").
		FindAllStringSubmatch(outagesInDocs(t), -1) {
		told[line[1]+" "+line[2]] = true
	}
	logged := make(map[string]bool)
	synctest.Test(t, func(t *testing.T) {
		storage := newMemoryStorage()
		b := newBench(t, newTenant(), testConfig(), storage)
		b.fetched(t)
		synctest.Wait() // keys are stored beside
		b.AddKey(map[string]any{"kty": "oct", "kid": "symmetric", "k": "AAAA"})
		b.Rotate("")
		storage.fail("store", errors.New("no space left"))
		b.fetched(t)
		synctest.Wait()
		storage.fail("store", nil)
		b.Rotate("")
		b.fetched(t)
		synctest.Wait()
		b.SetFault(devtenant.Down)
		advance(25 * time.Hour)
		b.SetFault(devtenant.None)
		advance(10 * time.Second)
		for _, entry := range b.logs.All() {
			logged[entry.Level.CapitalString()+" "+entry.Message] = true
		}
	})
	if !maps.Equal(told, logged) {
		t.Errorf("told:\n%s\n\nlogged:\n%s", strings.Join(slices.Sorted(maps.Keys(told)), "\n"), strings.Join(slices.Sorted(maps.Keys(logged)), "\n"))
	}
}

// What a tenant writes into its keys reaches logs and the admin API without
// what does something to a terminal or a line.
func TestKeyLogsAndStatusShowNoEscapeSequenceOfATenant(t *testing.T) {
	const kid = "k\u202e\u2066\u2028id"
	synctest.Test(t, func(t *testing.T) {
		b := ready(t)
		b.AddKey(curveJWK(t, elliptic.P256()).with(jwk{"kid": kid}))
		b.AddKey(jwk{"kty": legibletest.Nasty, "kid": "x"})
		b.AddKey(jwk{"kty": legibletest.Nasty, "kid": legibletest.Nasty})
		b.fetched(t)
		b.RemoveKey(kid)
		b.SetJWKS(jwksOf(t, jwk{"kty": legibletest.Nasty, "kid": "x"}))
		if err := b.ks.RefreshNow(t.Context()); err == nil {
			t.Fatal("the keys were taken")
		}
		logs := b.logs.All()
		if len(logs) < 3 { // new keys, keys left out, a fetch that failed
			t.Fatalf("%d log lines", len(logs))
		}
		for i := range logs {
			legibletest.Expect(t, "the log line", fmt.Sprint(logs[i].Message, logs[i].ContextMap()))
		}
		status := b.ks.Status()
		if len(status.Keys) != 2 || status.LastError == "" {
			t.Errorf("the status is %+v", status)
		}
		legibletest.Expect(t, "the status", fmt.Sprintf("%+v", status))
	})
}
