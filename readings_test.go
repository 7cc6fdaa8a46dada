package logtoauth

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/httproutes"
)

// newAnyReading provisions the matcher around matcher sets in JSON.
func newAnyReading(tb testing.TB, sets string) *AnyReading {
	tb.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: tb.Context()})
	tb.Cleanup(cancel)
	module, err := ctx.LoadModuleByID("http.matchers."+httproutes.AnyReadingName, json.RawMessage(sets))
	if err != nil {
		tb.Fatal(err)
	}
	return module.(*AnyReading)
}

// sentRequest is the request of a line as a server gets it.
func sentRequest(tb testing.TB, method, target string) *http.Request {
	tb.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		tb.Fatalf("%s: %v", target, err)
	}
	r := &http.Request{
		Method: method, URL: u, RequestURI: target, Host: "example.com", Header: http.Header{},
		ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: "192.0.2.1:1234",
	}
	return caddyhttp.PrepareRequest(r.WithContext(tb.Context()), caddy.NewReplacer(), httptest.NewRecorder(), nil)
}

func TestAnyReadingMatches(t *testing.T) {
	const (
		admin     = `[{"path":["/admin*"]}]`
		private   = `[{"not":[{"path":["/healthz"]}]}]`
		assets    = `[{"not":[{"path":["/assets/*"]}]}]`
		everyPath = `[{"path":["/*"]}]`
		reads     = `[{"method":["GET","HEAD"]}]`
	)
	tests := []struct {
		name    string
		sets    string
		method  string
		target  string
		matches bool
	}{
		{"plain", admin, "GET", "/admin/x", true},
		{"plain, other", admin, "GET", "/public", false},
		{"plain, excepted", private, "GET", "/healthz", false},
		{"plain, excepted with a query", private, "GET", "/healthz?a=%2f..", false},

		{"an escaped slash is kept", admin, "GET", "/admin/..%2fhealthz", true},
		{"dots are kept", admin, "GET", "/admin/../x", true},
		{"escaped dots are kept", admin, "GET", "/admin/%2e%2e/x", true},
		{"escaped dots and slash", admin, "GET", "/admin/users/..%2f..%2fx", true},
		{"an empty segment and dots", admin, "GET", "/admin//../../x", true},
		{"decoded, then resolved", admin, "GET", "/x/..%2fadmin", true},
		{"a backslash", admin, "GET", `/x\..\admin`, true},
		{"an escaped backslash", admin, "GET", "/x%5c..%5Cadmin", true},
		{"a parameter of a segment", admin, "GET", "/x/..;a=b/admin", true},
		{"an escaped letter", admin, "GET", "/%61dmin", true},
		{"another case", admin, "GET", "/ADMIN/%2e%2e/x", true},
		{"resolved with an escaped slash inside a segment", admin, "GET", "/a%2fb/../admin", true},
		{"resolved without merging slashes", admin, "GET", "/admin//../x", true},
		{"resolved without merging slashes, deeper", `[{"path":["/admin/users*"]}]`, "GET", "/admin//../users", true},
		{"escaped dots and an escaped slash", admin, "GET", "/a%2fb/%2e%2E/admin", true},
		{"behind what is taken for a host", admin, "GET", "//x/admin/users", true},
		{"behind a host and a backslash", admin, "GET", `/\x/admin`, true},
		{"decoded after it is resolved", admin, "GET", "/a%2fb/../%61dmin", true},
		{"too long to be read in every way", admin, "GET", "/x" + strings.Repeat("//", maxOddPath/2), true},
		{"long and plain", admin, "GET", "/x" + strings.Repeat("/y", maxOddPath), false},
		{"escaped twice", admin, "GET", "/%2561dmin", false},
		{"escaped twice, dots", admin, "GET", "/admi%256e/%252e%252e/x", false},
		{"never below it", admin, "GET", "/x/../y%2fz", false},

		{"not the excepted path: escaped slash", private, "GET", "/admin/..%2fhealthz", true},
		{"not the excepted path: dots", private, "GET", "/admin/x/../../healthz", true},
		{"not the excepted path: escaped dots", private, "GET", "/admin/x/%2e%2e/%2e%2e/healthz", true},
		{"not the excepted path: empty segment", private, "GET", "/admin//../../healthz", true},
		{"not the excepted path: empty in front", private, "GET", "//healthz", true},
		{"not the excepted path: a parameter", private, "GET", "/healthz;/../admin", true},
		{"not below the excepted path", assets, "DELETE", "/admin/users/7%2f..%2f..%2f..%2fassets%2fx", true},
		{"not below the excepted path: dots inside", assets, "GET", "/assets/../admin", true},
		{"not below the excepted path: escaped slash inside a segment", assets, "GET", "/assets/a%2fb/../../admin/users", true},
		{"not below the excepted path: backslash", assets, "GET", `/assets/..%5cadmin`, true},

		{"every set is asked", `[{"path":["/a"]},{"path":["/admin*"]}]`, "GET", "/admin/../x", true},
		{"every matcher of a set is asked", `[{"path":["/admin*"],"method":["POST"]}]`, "GET", "/admin/../x", false},
		{"no set matches everything", `[]`, "GET", "/x", true},
		{"an escape in the pattern", `[{"path":["/a%2fb/*"]}]`, "GET", "/a%2fb/..", true},
		{"two slashes in the pattern", `[{"path":["/a//b*"]}]`, "GET", "/a//b/c", true},
		{"path_regexp", `[{"path_regexp":{"pattern":"^/admin(/|$)"}}]`, "GET", "/admin/..%2fx", true},
		{"not path_regexp", `[{"not":[{"path_regexp":{"pattern":"^/healthz$"}}]}]`, "GET", "/a/..%2fhealthz", true},
		{"expression", `[{"expression":"path('/admin*')"}]`, "GET", "/admin/../x", true},
		{"expression of a placeholder", `[{"expression":"{http.request.uri.path}.startsWith('/admin')"}]`, "GET", "/x/..%2fadmin", true},
		{"expression, plain", `[{"expression":"path('/admin*')"}]`, "GET", "/x", false},
		{"vars of a placeholder", `[{"vars":{"{http.request.uri.path}":["/admin"]}}]`, "GET", "/x/%2e%2e/admin", true},

		{"an empty path", everyPath, "GET", "http://example.com", true},
		{"an empty path with a query", everyPath, "GET", "http://example.com?action=list", true},
		{"an asterisk", everyPath, "OPTIONS", "*", true},
		{"an opaque URI", admin, "GET", "x:admin", true},
		{"an opaque URI is no other path", admin, "GET", "x:public", false},

		{"CONNECT may become GET", reads, "CONNECT", "/orders", true},
		{"CONNECT of a path", `[{"path":["/orders"],"method":["GET"]}]`, "CONNECT", "/orders", true},
		{"CONNECT becomes an upgrade", `[{"header":{"Connection":["*Upgrade*"],"Upgrade":["websocket"]}}]`, "CONNECT", "/orders", true},
		{"GET is no upgrade", `[{"header":{"Upgrade":["websocket"]}}]`, "GET", "/orders/../x", false},
		{"CONNECT is no POST", `[{"method":["POST"]}]`, "CONNECT", "/orders", false},
		{"POST is no GET", reads, "POST", "/orders/../x", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			matched, err := newAnyReading(t, test.sets).MatchWithError(sentRequest(t, test.method, test.target))
			if err != nil || matched != test.matches {
				t.Errorf("%s %s: %v, %v", test.method, test.target, matched, err)
			}
		})
	}
}

// TestReadingsLeaveNoTrace shows that a reading's captures reach no later
// handler, while those of the request itself do.
func TestReadingsLeaveNoTrace(t *testing.T) {
	matcher := newAnyReading(t, `[{"path_regexp":{"name":"re","pattern":"^/admin/(.*)$"}}]`)
	for target, want := range map[string]string{
		"/admin/a":     "a",
		"/admin/b%20c": "b c",
		"/admin/../x":  "",
	} {
		r := sentRequest(t, http.MethodGet, target)
		caddyhttp.SetVar(r.Context(), "mine", "kept")
		repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		repl.Set("earlier", "known")
		before := maps.Clone(r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any))
		url := *r.URL
		if matched, err := matcher.MatchWithError(r); !matched || err != nil {
			t.Errorf("%s: %v, %v", target, matched, err)
		}
		if got := repl.ReplaceAll("{http.regexp.re.1}", ""); got != want {
			t.Errorf("%s: the capture is %q, not %q", target, got, want)
		}
		if after := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any); !maps.Equal(before, after) {
			t.Errorf("%s: the variables were %v and are %v", target, before, after)
		}
		if *r.URL != url || r.Method != http.MethodGet {
			t.Errorf("%s: the request was changed", target)
		}
	}
}

// TestReadingsSeeWhatTheRequestKnows shows that matchers of placeholders and
// variables work under every reading.
func TestReadingsSeeWhatTheRequestKnows(t *testing.T) {
	for name, set := range map[string]string{
		"a variable":                   `{"vars":{"mine":["kept"]}}`,
		"a variable in a placeholder":  `{"vars":{"{http.vars.mine}":["kept"]}}`,
		"a placeholder set before":     `{"vars":{"{earlier}":["known"]}}`,
		"a placeholder of the request": `{"vars":{"{http.request.method}":["PUT"]}}`,
		"the body":                     `{"vars":{"{http.request.body}":["text"]}}`,
		"the original path":            `{"vars":{"{http.request.orig_uri.path}":["/x/../y"]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			r := sentRequest(t, http.MethodPut, "/x/../y")
			r.Body = http.NoBody
			*r = *r.WithContext(r.Context())
			caddyhttp.SetVar(r.Context(), "mine", "kept")
			r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).Set("earlier", "known")
			if name == "the body" {
				r.Body = readCloser{strings.NewReader("text")}
			}
			if name == "the original path" {
				r.URL.Path = "/rewritten/../z"
			}
			// Only a reading has this path: under Caddy's own the set does not match.
			matcher := newAnyReading(t, `[`+set+`]`)
			matcher.sets[0] = append(matcher.sets[0], sees(func(path string) bool { return strings.Contains(path, standIn) }))
			if matched, err := matcher.MatchWithError(r); !matched || err != nil {
				t.Errorf("%v, %v", matched, err)
			}
		})
	}
}

// sees is a matcher of the path alone.
type sees func(path string) bool

func (s sees) MatchWithError(r *http.Request) (bool, error) { return s(r.URL.Path), nil }

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// TestAnErrorUnderAReadingIsAnError shows that a matcher that cannot decide
// does not let the request pass.
func TestAnErrorUnderAReadingIsAnError(t *testing.T) {
	matcher := newAnyReading(t, `[]`)
	matcher.sets = caddyhttp.MatcherSets{{failsOn{standIn}}}
	if _, err := matcher.MatchWithError(sentRequest(t, http.MethodGet, "/a/../b")); err == nil {
		t.Error("no error")
	}
	if matched, err := matcher.MatchWithError(sentRequest(t, http.MethodGet, "/a/b")); matched || err != nil {
		t.Errorf("a plain path: %v, %v", matched, err)
	}
}

type failsOn struct{ part string }

func (f failsOn) MatchWithError(r *http.Request) (bool, error) {
	if strings.Contains(r.URL.Path, f.part) {
		return false, context.DeadlineExceeded
	}
	return false, nil
}

// FuzzReadings states: if a service that reads paths in one of the listed ways
// sees a protected path, the request was judged.
func FuzzReadings(f *testing.F) {
	for _, target := range []string{
		"/healthz", "/admin", "/admin/..%2fhealthz", "/admin/../x", "/admin//../../healthz", "//healthz", `/a\..\admin`, "/a%5c../admin",
		"/;/admin", "/admin;a/../healthz", "/%2e%2e/admin", "/@scope%2fpkg", "/%61dmin", "/healthz/", "/healthz/.", "/.../admin", "/a%2fb/../admin", "/admin//../healthz", "//x/admin", "///x/admin", `/\\x/admin`, "/healthz/%2e%2e/admin", "/a!b", "/a%21b", "*", "x:admin", "/%",
	} {
		f.Add(target)
	}
	admin := newAnyReading(f, `[{"path":["/admin*"]}]`)
	private := newAnyReading(f, `[{"not":[{"path":["/healthz"]}]}]`)
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" {
			t.Skip("no server gets such a request")
		}
		r := sentRequest(t, http.MethodGet, target)
		for _, seen := range seenByServices(u) {
			if strings.HasPrefix(seen, "/admin") {
				if matched, err := admin.MatchWithError(r); !matched || err != nil {
					t.Errorf("%q is %q for a service, below /admin, and was not judged: %v", target, seen, err)
				}
			}
			if seen != "/healthz" {
				if matched, err := private.MatchWithError(r); !matched || err != nil {
					t.Errorf("%q is %q for a service, not /healthz, and was not judged: %v", target, seen, err)
				}
			}
		}
	})
}

// seenByServices are the paths that services may see in a URL, in lower case as
// Caddy compares them. It is another implementation than the matcher's.
func seenByServices(u *url.URL) []string {
	sent := u.EscapedPath()
	switch {
	case u.Opaque != "":
		sent = "/" + u.Opaque
	case sent == "" || sent == "*":
		sent = "/"
	}
	decoded, err := url.PathUnescape(sent)
	if err != nil {
		decoded = sent
	}
	var cut strings.Builder
	skipping := false
	for _, octet := range []byte(strings.ReplaceAll(decoded, `\`, "/")) {
		skipping = octet != '/' && (skipping || octet == ';')
		if !skipping {
			cut.WriteByte(octet)
		}
	}
	clean := func(p string) string {
		cleaned := path.Clean(p)
		if strings.HasSuffix(p, "/") && cleaned != "/" {
			cleaned += "/"
		}
		return cleaned
	}
	// RFC 3986, as net/url resolves a reference.
	resolved := (&url.URL{Scheme: "http", Host: "a", Path: "/"}).ResolveReference(&url.URL{Path: decoded, RawPath: sent})
	seen := []string{sent, decoded, clean(decoded), clean(cut.String()), resolved.EscapedPath(), resolved.Path, browserPath(sent)}
	for i := range seen {
		seen[i] = strings.ToLower(seen[i])
	}
	return slices.Compact(seen)
}

// browserPath is the path that the WHATWG URL standard reads in a request
// target, as Node's URL class does: `new URL(target, "http://a")`.
func browserPath(target string) string {
	rest := strings.ReplaceAll(target, `\`, "/")
	if authority, ok := strings.CutPrefix(rest, "//"); ok {
		// More slashes before the host are skipped.
		_, after, _ := strings.Cut(strings.TrimLeft(authority, "/"), "/")
		rest = "/" + after
	}
	var out []string
	parts := strings.Split(strings.TrimPrefix(rest, "/"), "/")
	for i, part := range parts {
		plain := strings.ReplaceAll(strings.ToLower(part), "%2e", ".")
		last := i == len(parts)-1
		if plain == ".." && len(out) > 0 {
			out = out[:len(out)-1]
		}
		if plain != "." && plain != ".." {
			out = append(out, part)
		} else if last {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/")
}

// TestPlainPathsAreReadOnce shows which paths cost nothing more.
func TestPlainPathsAreReadOnce(t *testing.T) {
	for target, plain := range map[string]bool{
		"/": true, "/a": true, "/a/": true, "/a/b.html": true, "/.well-known/x": true, "/a..b": true, "/a/...": true, "/..a": true,
		"/a?b=%2f..//": true, "/a:b@c+d,e=f&g$h~": true, "/a!b'(c)*": true,
		"": false, "*": false, "x:a": false, "//": false, "/a//b": false, "/.": false, "/..": false, "/a/./b": false, "/a/../b": false, "/a/..": false,
		"/a%2fb": false, "/a%20b": false, "/%61": false, `/a\b`: false, "/a;b": false, "/a%21": false, "/é": false, "/%C3%A9": false,
	} {
		r := sentRequest(t, http.MethodGet, "/")
		if target == "" {
			r.URL = &url.URL{}
		} else {
			r = sentRequest(t, http.MethodGet, target)
		}
		if got := hasOneReading(r); got != plain {
			t.Errorf("%q: %v", target, got)
		}
		if others := otherReadings(r); plain && len(others) > 0 && slices.ContainsFunc(others, func(other reading) bool { return other.path != r.URL.Path }) {
			t.Errorf("%q has other readings: %v", target, others)
		}
	}
	if hasOneReading(sentRequest(t, http.MethodConnect, "/a")) {
		t.Error("CONNECT has one reading")
	}
}

func TestPlainPathsAllocateNothingMore(t *testing.T) {
	wrapped := newAnyReading(t, `[{"path":["/admin*"]}]`)
	for _, target := range []string{"/admin/users", "/public/index.html"} {
		r := sentRequest(t, http.MethodGet, target)
		bare := testing.AllocsPerRun(100, func() { _, _ = wrapped.sets.AnyMatchWithError(r) })
		if with := testing.AllocsPerRun(100, func() { _, _ = wrapped.MatchWithError(r) }); with > bare {
			t.Errorf("%s: %v allocations, and %v without readings", target, with, bare)
		}
	}
}

func BenchmarkAnyReading(b *testing.B) {
	wrapped := newAnyReading(b, `[{"path":["/admin*"]}]`)
	for name, target := range map[string]string{"match": "/admin/users/7/orders", "no_match": "/assets/app.0123456789.js", "odd": "/assets/a%2fb"} {
		r := sentRequest(b, http.MethodGet, target)
		b.Run(name+"/matcher=path", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = wrapped.sets.AnyMatchWithError(r)
			}
		})
		b.Run(name+"/matcher=logto_any_reading", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = wrapped.MatchWithError(r)
			}
		})
	}
}
