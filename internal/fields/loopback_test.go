package fields_test

import (
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/fields"
)

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost":           true,
		"LocalHost":           true,
		"logto.localhost":     true,
		"127.0.0.1":           true,
		"127.255.0.9":         true,
		"::1":                 true,
		"::ffff:127.0.0.1":    true,
		"":                    false,
		"localhost.":          false,
		"notlocalhost":        false,
		"localhost.example":   false,
		"127.0.0.1.example":   false,
		"127.1":               false, // Go's resolver does not read it as an address
		"0.0.0.0":             false,
		"::":                  false,
		"10.0.0.1":            false,
		"localhost:8080":      false, // a host without its port is asked for
		"logto.localhost.org": false,
	} {
		if got := fields.IsLoopback(host); got != want {
			t.Errorf("IsLoopback(%q) is %t, want %t", host, got, want)
		}
	}
}
