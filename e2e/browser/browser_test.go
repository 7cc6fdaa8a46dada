//go:build e2e

// Package browser tests a single-page app's API in a real browser: preflights,
// refusals that the app can read, and what a foreign page can do with a cookie.
// Run it with `make e2e`.
package browser

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	_ "github.com/caddy-logto/caddy-logto-auth"
	"github.com/caddy-logto/caddy-logto-auth/e2e/internal/chromium"
	"github.com/caddy-logto/caddy-logto-auth/e2e/internal/npm"
	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// upstream greets users and notes which requests arrived.
type upstream struct {
	mu      sync.Mutex
	arrived []string
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.arrived = append(u.arrived, r.Method+" "+r.URL.Path+" from "+r.Header.Get("Origin"))
	u.mu.Unlock()
	greeting := "hello " + r.Header.Get("X-User")
	if r.Header.Get("Upgrade") != "websocket" {
		_, _ = io.WriteString(w, greeting)
		return
	}
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer connection.Close()
	// RFC 6455 sections 1.3 and 5.2: the handshake, and one frame of text.
	accept := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, _ = fmt.Fprintf(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n\x81%c%s",
		base64.StdEncoding.EncodeToString(accept[:]), len(greeting), greeting)
	_, _ = io.Copy(io.Discard, connection) // until the browser leaves
}

// from lists what arrived from an origin.
func (u *upstream) from(origin string) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var found []string
	for _, arrived := range u.arrived {
		if request, ok := strings.CutSuffix(arrived, " from "+origin); ok {
			found = append(found, request)
		}
	}
	return found
}

// openPage serves an empty page of an origin of its own.
func openPage(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>page</title>")
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestPagesOfSeveralOrigins(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	behind := new(upstream)
	server := httptest.NewServer(behind)
	t.Cleanup(server.Close)
	// To a browser, ports make another origin and hosts another site.
	app, neighbour := localhost(openPage(t)), localhost(openPage(t))
	foreign := openPage(t)
	s := caddytest.Start(t, `:80 {
		header {
			Access-Control-Allow-Origin `+app+`
			Access-Control-Allow-Credentials true
			Access-Control-Expose-Headers WWW-Authenticate
		}
		logto_auth {
			endpoint `+tenant.URL+`
			audience https://api.example.com
			token_from header
			token_from cookie session
			trusted_origins `+app+`
			bypass_cors_preflight
			forward_claim sub X-User
			strip_token
		}
		@preflight method OPTIONS
		handle @preflight {
			header Access-Control-Allow-Methods "GET, POST, DELETE"
			header Access-Control-Allow-Headers Authorization
			respond 204
		}
		handle {
			reverse_proxy `+server.Listener.Addr().String()+`
		}
	}`)
	settings, err := json.Marshal(map[string]any{
		"executablePath": chromium.Executable(t),
		"token":          tenant.Token(devtenant.TokenRequest{Subject: "alice", ClientID: "spa", Resource: "https://api.example.com"}),
		"api":            localhost(s.URL),
		"app":            app,
		"foreign":        map[string]string{"neighbour": neighbour, "stranger": foreign},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(npm.Start(t, "browser.mjs", string(settings)).ReadLine(t)), &got); err != nil {
		t.Fatal(err)
	}

	const (
		unreadable  = "TypeError: Failed to fetch"
		crossOrigin = `403 {"error":"Cross-origin request refused"}`
	)
	want := map[string]string{
		"app: token in a header":              "cors 200 hello alice ",
		"app: write with a token in a header": "cors 200 hello alice ",
		"app: no token":                       `cors 401 {"error":"Authorization header is missing"} Bearer`,
		"app: bad token":                      `cors 401 {"error":"Invalid token"} Bearer error="invalid_token", error_description="The token is not a well-formed JWT access token"`,
		"app: write with the cookie":          "cors 200 hello alice ",
		"app: WebSocket with the cookie":      "hello alice",

		"neighbour: token in a header":         unreadable,
		"neighbour: read with the cookie":      unreadable,
		"neighbour: write with the cookie":     "opaque 0  ",
		"neighbour: WebSocket with the cookie": "error",
		"neighbour: form with the cookie":      crossOrigin,

		"stranger: token in a header":         unreadable,
		"stranger: read with the cookie":      unreadable,
		"stranger: write with the cookie":     "opaque 0  ",
		"stranger: WebSocket with the cookie": "error",
		"stranger: form with the cookie":      crossOrigin,

		"own: write with the cookie":     "basic 200 hello alice ",
		"own: WebSocket with the cookie": "hello alice",
	}
	for name, result := range want {
		if got[name] != result {
			t.Errorf("%s: %q, want %q", name, got[name], result)
		}
	}
	// The cookie came along with what the neighbour did and with the stranger's
	// form: it was not for its absence that these were refused. (The stranger's
	// other requests carry it only where a browser lets third parties use it.)
	if refused := strings.Count(s.Logs(), `"reason":"cross_origin"`); refused < 4 {
		t.Errorf("%d requests were refused as cross-origin, want 4", refused)
	}
	// Of foreign pages only reads may arrive, whose answers they cannot read.
	if got, want := behind.from(neighbour), []string{"GET /orders"}; !slices.Equal(got, want) {
		t.Errorf("of the neighbour arrived %q, want %q", got, want)
	}
	for _, request := range behind.from(foreign) {
		if request != "GET /orders" {
			t.Errorf("of the stranger arrived %q", request)
		}
	}
}

func localhost(address string) string {
	return strings.Replace(address, "127.0.0.1", "localhost", 1)
}
