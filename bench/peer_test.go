//go:build linux

package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// What is examined here are the peers themselves, as far as they are
// installed.
func TestPeersDecide(t *testing.T) {
	here, missing, err := findPeers(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range missing {
		t.Log(line)
	}
	for _, p := range here {
		for _, w := range hot {
			t.Run(p.name+"/"+w.algorithm, func(t *testing.T) {
				tenant, endTenant, err := startTenant(t.Context(), w.algorithm)
				if err != nil {
					t.Fatal(err)
				}
				defer endTenant()
				keys := httptest.NewTLSServer(tenant)
				defer keys.Close()
				check, err := checkFor(tenant, w.algorithm, keys.URL)
				if err != nil {
					t.Fatal(err)
				}
				s, err := startServer(t.Context(), t.TempDir(), p.site(p.program, check))
				if err != nil {
					t.Fatal(err)
				}
				defer s.stop()
				if err := examine(t.Context(), s.addr, tenant, w.algorithm); err != nil {
					t.Errorf("%v\n%s", err, s.log)
				}
			})
		}
	}
}

func TestExamine(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	subject := func(r *http.Request) string { return r.Header.Get("Authorization") }
	tests := []struct {
		name   string
		status func(r *http.Request) int
		want   string
	}{
		{"a server that admits everything", func(*http.Request) int { return 200 }, "200 to a token that is forged"},
		{"a server that refuses everything", func(*http.Request) int { return 401 }, "401 to a token that is good"},
		{"a server that fails", func(*http.Request) int { return 500 }, "500 to a token that is good"},
		{"a server that asks for any token", func(r *http.Request) int {
			if subject(r) == "" {
				return 401
			}
			return 200
		}, "200 to a token that is forged"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(test.status(r))
			}))
			defer server.Close()
			err := examine(t.Context(), server.Listener.Addr().String(), tenant, "ES384")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want …%s…", err, test.want)
			}
		})
	}
}
