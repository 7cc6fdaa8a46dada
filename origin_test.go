package logtoauth

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestOnlyGenuinePreflights(t *testing.T) {
	sources := newTokenSources([]TokenSource{fromAuthorization, fromCookie, fromQuery})
	genuine := func() *http.Request {
		r := httptest.NewRequest(http.MethodOptions, "https://api.example.com/orders", http.NoBody)
		r.Header.Set("Origin", "https://app.example.com")
		r.Header.Set("Access-Control-Request-Method", "DELETE")
		r.Header.Set("Access-Control-Request-Headers", "authorization")
		return r
	}
	for name, change := range map[string]func(*http.Request){
		"":                                func(*http.Request) {},
		"another method":                  func(r *http.Request) { r.Method = http.MethodPost },
		"method in lower case":            func(r *http.Request) { r.Method = "options" },
		"no origin":                       func(r *http.Request) { r.Header.Del("Origin") },
		"empty origin":                    func(r *http.Request) { r.Header.Set("Origin", "") },
		"two origins":                     func(r *http.Request) { r.Header.Add("Origin", "https://other.example.com") },
		"plain OPTIONS":                   func(r *http.Request) { r.Header.Del("Access-Control-Request-Method") },
		"two requested methods":           func(r *http.Request) { r.Header.Add("Access-Control-Request-Method", "GET") },
		"empty requested method":          func(r *http.Request) { r.Header.Set("Access-Control-Request-Method", "") },
		"a body":                          func(r *http.Request) { r.ContentLength = 1 },
		"a body of unknown length":        func(r *http.Request) { r.ContentLength = -1 },
		"a protocol upgrade":              func(r *http.Request) { r.Header.Set("Upgrade", "websocket") },
		"a method override":               func(r *http.Request) { r.Header.Set("X-HTTP-Method-Override", "DELETE") },
		"another method override":         func(r *http.Request) { r.Header.Set("X-Method-Override", "DELETE") },
		"a third method override":         func(r *http.Request) { r.Header.Set("X-HTTP-Method", "DELETE") },
		"a token":                         func(r *http.Request) { r.Header.Set("Authorization", "Bearer a.b.c") },
		"credentials of another scheme":   func(r *http.Request) { r.Header.Set("Authorization", "Basic YTpi") },
		"a token in a cookie":             func(r *http.Request) { r.Header.Set("Cookie", "session=a.b.c") },
		"a token in the query":            func(r *http.Request) { r.URL.RawQuery = "access_token=a.b.c" },
		"an empty parameter for a token":  func(r *http.Request) { r.URL.RawQuery = "access_token" },
		"an encoded parameter, duplicate": func(r *http.Request) { r.URL.RawQuery = "a=1;%61ccess_token=a" },
	} {
		r := genuine()
		change(r)
		if got := isPreflight(r, sources); got != (name == "") {
			t.Errorf("with %q it is a preflight: %t", name, got)
		}
	}
}

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
