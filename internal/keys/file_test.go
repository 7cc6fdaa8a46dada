package keys

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

func fileConfig(path string) Config {
	cfg := testConfig()
	cfg.Endpoint, cfg.Issuers, cfg.JWKSFile = "", []string{testEndpoint + "/oidc"}, path
	return cfg
}

// fromFile is a key set that reads this file, as a config with it is loaded.
func fromFile(t *testing.T, cfg Config) (*bench, error) {
	t.Helper()
	b := newBench(t, nil, cfg, nil)
	return b, b.ks.ReadFile()
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
			b, err := fromFile(t, fileConfig(path))
			if err == nil || !strings.Contains(err.Error(), "jwks_file "+path) {
				t.Errorf("error %v", err)
			}
			if b.ks.Held() != nil {
				t.Error("there are keys nevertheless")
			}
		})
	}
}

func TestJWKSFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant()
		first := tenant.SigningKID()
		path := writeJWKS(t, tenant.JWKS())
		b, err := fromFile(t, fileConfig(path))
		if err != nil {
			t.Fatal(err)
		}
		if !b.serves(first) || b.ks.Status().Source != originFile {
			t.Fatalf("not read at load: %+v", b.ks.Status())
		}
		b.ks.Start()

		second := tenant.Rotate("")
		rewrite(t, path, tenant.JWKS())
		if s := b.ks.AwaitKey(t.Context(), second, Nobody); s.Key(second) == nil {
			t.Error("an unknown kid does not read the file")
		}

		third := tenant.Rotate("")
		rewrite(t, path, tenant.JWKS())
		advance(10 * time.Minute)
		if !b.serves(third) || b.serves(first) {
			t.Error("not read again after refresh_interval")
		}

		fourth := tenant.Rotate("")
		rewrite(t, path, tenant.JWKS())
		if err := b.ks.ReadFile(); err != nil || !b.serves(fourth) {
			t.Errorf("not read again on a reload: %v", err)
		}

		rewrite(t, path, []byte("{"))
		if b.ks.ReadFile() == nil {
			t.Error("a reload with a broken file succeeded")
		}
		advance(48 * time.Hour)
		if !b.serves(fourth) {
			t.Error("the old keys are gone, although a file has no outage")
		}
		if b.logs.Len() == 0 {
			t.Error("nothing was logged")
		}
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
		b, err := fromFile(t, cfg)
		if err != nil {
			t.Fatal(err)
		}
		b.ks.Start()
		rewrite(t, path, nil)
		advance(time.Hour)
		if !b.serves(tenant.SigningKID()) || b.ks.Status().LastError == "" {
			t.Errorf("the old keys are gone: %+v", b.ks.Status())
		}
	})
}
