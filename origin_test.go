package logtoauth

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestCookieTokenOfAForeignPage(t *testing.T) {
	guard, err := newOriginGuard([]string{"https://app.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		method string
		lines  string
		admit  bool
	}{
		{"a read from anywhere", "GET", "Sec-Fetch-Site: cross-site", true},
		{"HEAD from anywhere", "HEAD", "Origin: https://evil.example.com", true},
		{"no browser", "POST", "", true},
		{"own page", "POST", "Sec-Fetch-Site: same-origin", true},
		{"typed by the user", "POST", "Sec-Fetch-Site: none", true},
		{"own page of an old browser", "POST", "Origin: https://api.example.com", true},
		{"trusted origin", "POST", "Sec-Fetch-Site: cross-site\nOrigin: https://app.example.com", true},
		{"trusted origin, old browser", "POST", "Origin: https://app.example.com", true},
		{"cross-site form", "POST", "Sec-Fetch-Site: cross-site\nOrigin: https://evil.example.com", false},
		{"cross-site form, old browser", "POST", "Origin: https://evil.example.com", false},
		{"cross-site DELETE", "DELETE", "Sec-Fetch-Site: cross-site", false},
		{"method that net/http does not know", "PURGE", "Sec-Fetch-Site: cross-site", false},
		{"subdomain that a customer has", "POST", "Sec-Fetch-Site: same-site\nOrigin: https://evil.api.example.com", false},
		{"sandboxed frame", "POST", "Origin: null", false},
		{"sandboxed frame that says where it is", "POST", "Sec-Fetch-Site: cross-site\nOrigin: null", false},
		{"trusted host over plain http", "POST", "Sec-Fetch-Site: cross-site\nOrigin: http://app.example.com", false},
		{"origin that begins like a trusted one", "POST", "Origin: https://app.example.com.evil.example", false},
		{"origin with another port", "POST", "Origin: https://api.example.com:8443", false},
		{"cross-site WebSocket", "GET", "Upgrade: websocket\nConnection: Upgrade\nOrigin: https://evil.example.com", false},
		{"cross-site WebSocket, empty Upgrade", "GET", "Upgrade:\nOrigin: https://evil.example.com", false},
		{"own WebSocket", "GET", "Upgrade: websocket\nConnection: Upgrade\nOrigin: https://api.example.com", true},
		{"trusted WebSocket", "GET", "Upgrade: websocket\nConnection: Upgrade\nOrigin: https://app.example.com", true},
		{"own host over plain http, old browser", "POST", "Origin: http://api.example.com", false},
		{"own host over plain http, read", "GET", "Origin: http://api.example.com", true},
		{"own host over plain http, WebSocket", "GET", "Upgrade: websocket\nConnection: Upgrade\nOrigin: http://api.example.com", false},
		{"own host over plain http, over a proxy that nobody trusts", "POST", "X-Forwarded-Proto: http\nOrigin: http://api.example.com", false},
		{"own host, a scheme of an extension", "POST", "Origin: chrome-extension://api.example.com", false},
		{"own host in capitals", "POST", "Origin: HTTP://api.example.com", false},
		{"cross-site WebSocket over HTTP/2", "CONNECT", ":protocol: websocket\nOrigin: https://evil.example.com", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "https://api.example.com/", http.NoBody)
		r.Method = test.method
		for line := range strings.Lines(test.lines) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
			r.Header.Add(name, strings.TrimSpace(value))
		}
		refusal := guard.check(r)
		if (refusal == nil) != test.admit {
			t.Errorf("%s: refusal %v", test.name, refusal)
		}
		if refusal != nil && refusal.Reason != ReasonCrossOrigin {
			t.Errorf("%s: reason %s", test.name, refusal.Reason)
		}
		if r.Method != test.method {
			t.Errorf("%s: the method became %s", test.name, r.Method)
		}
	}
}

// net/http compares hosts only. What the client uses is not always what Caddy
// sees: TLS may end at a proxy, or begin again behind it.
func TestCookieTokenOfAPageWithAnotherScheme(t *testing.T) {
	for _, test := range []struct {
		name      string
		site      string // as Caddy sees it
		forwarded string
		trusted   bool // the proxy, by trusted_proxies
		origin    string
		admit     bool
	}{
		{"plain http", "http", "", false, "http", true},
		{"plain http, maybe behind TLS", "http", "", false, "https", true},
		{"TLS", "https", "", false, "https", true},
		{"a page made on the way", "https", "", false, "http", false},
		{"behind TLS", "http", "https", true, "https", true},
		{"behind TLS, a page made on the way", "http", "https", true, "http", false},
		{"behind TLS, an unknown proxy", "http", "https", false, "https", true},
		{"behind TLS, an unknown proxy, a page made on the way", "http", "https", false, "http", false},
		{"behind TLS and another proxy", "http", "HTTPS , http", false, "http", false},
		{"TLS to the proxy only", "https", "http", true, "http", true},
		{"what a client says of itself", "https", "http", false, "http", false},
	} {
		for _, listed := range []bool{false, true} {
			var origins []string
			if listed {
				origins = []string{test.origin + "://api.example.com"}
			}
			guard, err := newOriginGuard(origins)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodPost, test.site+"://api.example.com/", http.NoBody)
			r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{caddyhttp.TrustedProxyVarKey: test.trusted}))
			r.Header.Set("Origin", test.origin+"://api.example.com")
			if test.forwarded != "" {
				r.Header.Set("X-Forwarded-Proto", test.forwarded)
			}
			if refusal := guard.check(r); (refusal == nil) != (test.admit || listed) {
				t.Errorf("%s, listed %t: refusal %v", test.name, listed, refusal)
			}
		}
	}
}
