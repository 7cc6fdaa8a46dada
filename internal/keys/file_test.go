package logtoauth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

func writeJWKS(tb testing.TB, document []byte) (path string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "jwks.json")
	rewrite(tb, path, document)
	return path
}

func rewrite(tb testing.TB, path string, document []byte) {
	tb.Helper()
	if err := os.WriteFile(path, document, 0o600); err != nil {
		tb.Fatal(err)
	}
}

func fileConfig(path string) tenantConfig {
	cfg := testConfig()
	cfg.Endpoint, cfg.Issuers, cfg.JWKSFile = "", []string{testEndpoint + "/oidc"}, path
	return cfg
}

func TestJWKSFileWithoutAUsableKeyIsRefusedAtLoad(t *testing.T) {
	dir := t.TempDir()
	for name, path := range map[string]string{
		"no file":     filepath.Join(dir, "absent.json"),
		"a directory": dir,
		"empty":       writeJWKS(t, nil),
		"no key":      writeJWKS(t, []byte(`{"keys":[]}`)),
		"garbage":     writeJWKS(t, []byte("\x00\x01")),
		"too large":   writeJWKS(t, append(newTenant().JWKS(), strings.Repeat(" ", maxResponseBody)...)),
		"a token":     writeJWKS(t, []byte(newTenant().Token(devtenant.TokenRequest{Resource: "https://api.example"}))),
	} {
		t.Run(name, func(t *testing.T) {
			a := new(App)
			for range 2 { // two handlers with the same mistake
				_, err := a.keySet(fileConfig(path))
				if err == nil || !strings.Contains(err.Error(), "jwks_file "+path) {
					t.Errorf("error %v", err)
				}
			}
			do(t, a.Cleanup)
			if references(fileConfig(path)) != 0 {
				t.Error("the pool keeps the key set")
			}
		})
	}
}

func TestJWKSFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant()
		first := tenant.SigningKID()
		path := writeJWKS(t, tenant.JWKS())
		cfg := fileConfig(path)
		a, ks, logs := provisioned(t, nil, cfg)
		serves := func(kid string) bool { return ks.current(time.Now()).key(kid) != nil }
		if !serves(first) || ks.current(time.Now()).source != originFile {
			t.Fatalf("not read at load: %+v", ks.status())
		}
		do(t, a.Start)

		second := tenant.Rotate("")
		rewrite(t, path, tenant.JWKS())
		if s := ks.awaitKey(t.Context(), second, nobody); s.key(second) == nil {
			t.Error("an unknown kid does not read the file")
		}

		third := tenant.Rotate("")
		rewrite(t, path, tenant.JWKS())
		advance(10 * time.Minute)
		if !serves(third) || serves(first) {
			t.Error("not read again after refresh_interval")
		}

		fourth := tenant.Rotate("")
		rewrite(t, path, tenant.JWKS())
		next, _, _ := provisioned(t, nil, cfg)
		if !serves(fourth) {
			t.Error("not read again on a reload")
		}
		do(t, next.Start, a.Stop, a.Cleanup)

		rewrite(t, path, []byte("{"))
		if _, err := new(App).keySet(cfg); err == nil {
			t.Error("a reload with a broken file succeeded")
		}
		advance(48 * time.Hour)
		if !serves(fourth) {
			t.Error("the old keys are gone, although a file has no outage")
		}
		if logs.Len() == 0 || references(cfg) != 1 {
			t.Errorf("log %v, %d references", logs.All(), references(cfg))
		}
		do(t, next.Stop, next.Cleanup)
	})
}

// A named pipe that nobody writes to would keep the reload waiting for ever.
func TestJWKSFileThatIsADevice(t *testing.T) {
	if _, err := readBounded(os.DevNull); err == nil {
		t.Error("a device was read")
	}
}

func TestMaxStaleZeroDoesNotApplyToAFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant()
		path := writeJWKS(t, tenant.JWKS())
		cfg := fileConfig(path)
		cfg.MaxStale = 0
		a, ks, _ := provisioned(t, nil, cfg)
		do(t, a.Start)
		rewrite(t, path, nil)
		advance(time.Hour)
		if s := ks.current(time.Now()); s == nil || s.key(tenant.SigningKID()) == nil || ks.status().LastError == "" {
			t.Errorf("the old keys are gone: %+v", ks.status())
		}
		do(t, a.Stop, a.Cleanup)
	})
}
