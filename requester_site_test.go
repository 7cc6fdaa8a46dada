package logtoauth_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// One client shows more tokens with made-up kids than it has places to wait.
// The surplus is refused at once, and another client's token, of a key that
// was rotated a moment ago, waits for the fetch and is admitted. Which client
// it is, trusted_proxies says.
func TestOneClientsMadeUpKidsLeavePlacesForOthers(t *testing.T) {
	s := startSite(t, `{
		servers {
			trusted_proxies static 127.0.0.1/32
			client_ip_headers X-Client
		}
	}
	http://localhost {
		logto_auth {
			endpoint ENDPOINT
			audience https://api.example.com
			fetch_timeout 1m
		}
		respond ok
	}`)
	get := func(client, token string) int {
		return s.Get("/", caddytest.Header("Host", "localhost"), caddytest.Header("X-Client", client), caddytest.Bearer(token)).StatusCode
	}
	if status := get("192.0.2.1", s.alice(nil)); status != http.StatusOK {
		t.Fatalf("answered with %d", status)
	}
	s.tenant.SetJWKSFault(devtenant.Slow)
	claims := s.tenant.Claims(devtenant.TokenRequest{Subject: "mallory", ClientID: "spa", Resource: api})
	madeUp := s.tenant.Sign(map[string]any{"kid": "made-up"}, claims)
	const waiting, surplus = 128, 8
	strangers := make(chan int, waiting+surplus)
	for range waiting + surplus {
		go func() { strangers <- get("192.0.2.66", madeUp) }()
	}
	for range surplus {
		select {
		case status := <-strangers:
			if status != http.StatusUnauthorized {
				t.Errorf("a stranger got %d", status)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("all of them wait")
		}
	}
	s.tenant.Rotate("")
	s.tenant.Release()
	if status := get("192.0.2.1", s.alice(nil)); status != http.StatusOK {
		t.Errorf("the good token got %d", status)
	}
	for range waiting {
		if status := <-strangers; status != http.StatusUnauthorized {
			t.Errorf("a stranger got %d", status)
		}
	}
}
