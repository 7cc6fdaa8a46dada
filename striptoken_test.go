package logtoauth_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/fcgi"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// copying is a handler of somebody else's that hands on a copy of the request,
// as tracing does.
type copying struct{}

func (copying) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.logto_test_copy", New: func() caddy.Module { return new(copying) }}
}

func (copying) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return next.ServeHTTP(w, r.WithContext(r.Context()))
}

// showing is a handler of somebody else's that shows all it sees of the URL.
type showing struct{}

func (showing) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.logto_test_show", New: func() caddy.Module { return new(showing) }}
}

func (showing) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	original := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	_, err := io.WriteString(w, strings.Join([]string{
		r.RequestURI, r.URL.RequestURI(), original.RequestURI, original.URL.RequestURI(),
		repl.ReplaceAll("{http.request.uri} {http.request.orig_uri} {http.request.orig_uri.path}?{http.request.orig_uri.query}", ""),
	}, " "))
	return err
}

func init() {
	for _, module := range []interface {
		caddy.Module
		caddyhttp.MiddlewareHandler
	}{copying{}, showing{}} {
		caddy.RegisterModule(module)
		httpcaddyfile.RegisterHandlerDirective(module.CaddyModule().ID.Name(), func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
			return module, nil
		})
	}
}

// Caddy puts the original URL back before error routes.
func TestStrippedQueryTokenStaysAway(t *testing.T) {
	const strips = `logto_auth {
		endpoint ENDPOINT
		audience ` + api + `
		token_from query access_token
		strip_token
		errors handle_errors
		SETTINGS
	}
	`
	for _, test := range []struct{ name, site string }{
		{"admitted", strips + "logto_test_show"},
		{"after an error", strips + "error 502\n}\nhandle_errors {\nroute {\nlogto_test_show\n}"},
		{"after a refusal", strings.Replace(strips, "SETTINGS", "scopes admin", 1) + "}\nhandle_errors {\nroute {\nlogto_test_show\n}"},
		{"within handle", "handle {\nroute {\n" + strips + "error 502\n}\n}\n}\nhandle_errors {\nroute {\nlogto_test_show\n}"},
	} {
		for _, before := range []string{"", "logto_test_copy\n"} {
			s := startSite(t, ":80 {\nroute {\n"+before+strings.Replace(test.site, "SETTINGS", "", 1)+"\n}\n}")
			token := s.alice(nil)
			answer := s.Get("/a%20b?x=%41&access_token=" + token + "&y=1")
			want := strings.TrimPrefix(strings.Repeat(" /a%20b?x=%41&y=1", 6)+" /a b?x=%41&y=1", " ")
			if answer.Body != want {
				t.Errorf("%s %s: shown: %s\nnot %s", before, test.name, strings.ReplaceAll(answer.Body, token, "TOKEN"), want)
			}
		}
	}
}

// Nothing else is taken away.
func TestOriginalURLWithoutATokenIsKept(t *testing.T) {
	s := startSite(t, `:80 {
		route {
			logto_auth {
				endpoint ENDPOINT
				audience `+api+`
				token_from header
				token_from query access_token
				strip_token
			}
			error 502
		}
		handle_errors {
			route {
				logto_test_show
			}
		}
	}`)
	const uri = "/a%2Fb;c?&&x=%41;y=+&"
	answer := s.Get(uri, caddytest.Bearer(s.alice(nil)))
	if want := strings.Repeat(uri+" ", 6) + "/a/b;c?&&x=%41;y=+&"; answer.Body != want {
		t.Errorf("shown: %s\nnot %s", answer.Body, want)
	}
}

// PHP reads REQUEST_URI, which Caddy takes from the original request.
func TestStrippedQueryTokenDoesNotReachFastCGI(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		_ = fcgi.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, r.RequestURI, r.URL, fcgi.ProcessEnv(r), r.Header)
		}))
	}()
	s := startSite(t, `:80 {
		logto_auth {
			endpoint ENDPOINT
			audience `+api+`
			token_from query access_token
			strip_token
		}
		reverse_proxy `+listener.Addr().String()+` {
			transport fastcgi
		}
	}`)
	token := s.alice(nil)
	answer := s.Get("/index.php?a=1&access_token=" + token)
	if answer.StatusCode != http.StatusOK || strings.Contains(answer.Body, token) || !strings.Contains(answer.Body, "/index.php?a=1") {
		t.Errorf("%d, arrived: %s", answer.StatusCode, strings.ReplaceAll(answer.Body, token, "TOKEN"))
	}
}

// A token has no business in trailers, but HTTP/1.1 servers pass it on there.
func TestTokenInTrailersIsStripped(t *testing.T) {
	s := startSite(t, `:80 {
		route {
			logto_test_copy
			logto_auth {
				endpoint ENDPOINT
				audience `+api+`
				token_from header
				token_from header X-Token
				token_from cookie session
				strip_token
			}
			error /fail 502
			reverse_proxy UPSTREAM
		}
		handle_errors {
			reverse_proxy UPSTREAM
		}
	}`)
	token := s.alice(nil)
	for _, path := range []string{"/", "/fail"} {
		got := arrivedRaw(t, s.Raw("POST "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "+token+"\r\n"+
			"Transfer-Encoding: chunked\r\nTrailer: Authorization, Cookie, X-Token, X-Checksum\r\n\r\n"+
			"5\r\nhello\r\n0\r\nAuthorization: Bearer "+token+"\r\nCookie: session="+token+"\r\nX-Token: "+token+"\r\nX-Checksum: 1\r\n\r\n"))
		if got.Body != "hello" || fmt.Sprint(got.Trailer) != "map[X-Checksum:[1]]" {
			t.Errorf("%s: body %q, trailers %v", path, got.Body, strings.ReplaceAll(fmt.Sprint(got.Trailer), token, "TOKEN"))
		}
	}
}
