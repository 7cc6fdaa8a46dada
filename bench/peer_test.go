//go:build linux

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

var withPeers = flag.Bool("with-peers", false, "also start the peers that are installed")

// TestPeersDecide examines the peers themselves, as far as they are installed.
// They listen on ports that were free a moment before, so this is no test for
// every run; the program examines them anyway before it measures.
func TestPeersDecide(t *testing.T) {
	if !*withPeers {
		t.Skip("starts other servers: go test -C bench . -with-peers")
	}
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
	tests := []struct {
		name   string
		status func(r *http.Request) int
		want   string
	}{
		{"a server that admits everything", func(*http.Request) int { return 200 }, "200 to a token that is forged"},
		{"a server that refuses everything", func(*http.Request) int { return 401 }, "401 to a token that is good"},
		{"a server that fails", func(*http.Request) int { return 500 }, "500 to a token that is good"},
		{"a server that asks for any token", func(r *http.Request) int {
			if r.Header.Get("Authorization") == "" {
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

// admits answers as a server that lets these in and refuses all else.
func admits(t *testing.T, tenant *devtenant.Tenant, passes func(claims map[string]any, forged bool) bool) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		parts := strings.Split(token, ".")
		if len(parts) != 3 {
			w.WriteHeader(401)
			return
		}
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			t.Error(err)
		}
		var claims map[string]any
		if err := json.Unmarshal(payload, &claims); err != nil {
			t.Error(err)
		}
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(tenant.JWKS(), &set); err != nil {
			t.Error(err)
		}
		signed, err := jose.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES384})
		if err != nil {
			t.Error(err)
			return
		}
		_, err = signed.Verify(set)
		if !passes(claims, err != nil) {
			w.WriteHeader(403)
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestExamineFindsTheCheckThatIsMissing(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	issuer := func(claims map[string]any) bool { return claims["iss"] == tenant.Issuer() }
	audience := func(claims map[string]any) bool { return claims["aud"] == resource }
	lives := func(claims map[string]any) bool { return claims["exp"].(float64) > float64(time.Now().Unix()) }
	tests := []struct {
		name   string
		passes func(claims map[string]any, forged bool) bool
		want   string
	}{
		{"none", func(c map[string]any, forged bool) bool { return !forged && issuer(c) && audience(c) && lives(c) }, ""},
		{"the signature", func(c map[string]any, _ bool) bool { return issuer(c) && audience(c) && lives(c) }, "forged"},
		{"exp", func(c map[string]any, forged bool) bool { return !forged && issuer(c) && audience(c) }, "expired"},
		{"iss", func(c map[string]any, forged bool) bool { return !forged && audience(c) && lives(c) }, "of another issuer"},
		{"aud", func(c map[string]any, forged bool) bool { return !forged && issuer(c) && lives(c) }, "for another audience"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := examine(t.Context(), admits(t, tenant, test.passes), tenant, "ES384")
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.HasSuffix(err.Error(), "200 to a token that is "+test.want) {
				t.Errorf("got %v, want one about a token that is %s", err, test.want)
			}
		})
	}
}

func TestFindPeers(t *testing.T) {
	tests := []struct {
		name, names, want string
	}{
		{"none", "none", ""},
		{"a name that nobody has", "haproxy,nobody", `no peer is called "nobody"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			here, missing, err := findPeers(t.Context(), test.names)
			if len(here)+len(missing) != 0 {
				t.Errorf("got %v and %v, want none", here, missing)
			}
			if (err == nil) != (test.want == "") || err != nil && err.Error() != test.want {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestMissingPeerIsLeftOutUnlessItIsAskedFor(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	absent := peer{name: "absent", packages: "absent-server", find: func(context.Context) (string, error) {
		return findProgram("absent-server", "/nowhere/absent-server")
	}}
	defer func(all []peer) { peers = all }(peers)
	peers = []peer{absent}
	here, missing, err := findPeers(t.Context(), "")
	if want := "absent is left out: apt-get install absent-server"; err != nil || len(here) != 0 || len(missing) != 1 || missing[0] != want {
		t.Errorf("got %v, %q and %v, want one line: %s", here, missing, err, want)
	}
	if _, _, err := findPeers(t.Context(), "absent"); !errors.Is(err, errNotInstalled) {
		t.Errorf("got %v, want %v", err, errNotInstalled)
	}
}
