package logtoauth

import (
	"net/http"
	"net/http/httptest"
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
		"a chunked body":                  func(r *http.Request) { r.ContentLength = -1 },
		"a body over HTTP/2":              func(r *http.Request) { r.ContentLength, r.ProtoMajor = 1, 2 },
		"a body over HTTP/3":              func(r *http.Request) { r.ContentLength, r.ProtoMajor = 1, 3 },
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
	for _, major := range []int{2, 3} {
		r := genuine()
		r.ContentLength, r.ProtoMajor = -1, major
		if !isPreflight(r, sources) {
			t.Errorf("over HTTP/%d it is none without a length", major)
		}
	}
}
