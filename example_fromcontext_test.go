package logtoauth_test

import (
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	logtoauth "github.com/caddy-logto/caddy-logto-auth"
)

func init() {
	caddy.RegisterModule(greeting{})
	httpcaddyfile.RegisterHandlerDirective("greeting", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return greeting{}, nil
	})
}

// greeting is a handler that runs after logto_auth.
type greeting struct{}

func (greeting) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.greeting", New: func() caddy.Module { return new(greeting) }}
}

func (greeting) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	info, ok := logtoauth.FromContext(r.Context())
	if !ok { // `optional` is on, and the request has no token
		_, err := fmt.Fprint(w, "Hello, whoever you are")
		return err
	}
	role, _ := info.Claim("role")
	_, err := fmt.Fprintf(w, "Hello, %s. You are %v here.", info.Subject, role)
	return err
}

func ExampleFromContext() {
	withExampleSite(`
		http://example.com {
			route {
				logto_auth {
					endpoint ENDPOINT
					audience https://api.example.com
					optional
				}
				greeting
			}
		}
	`, func(s *site) {
		fmt.Println(s.visit(""))
		fmt.Println(s.visit(s.alice(map[string]any{"role": "editor"})))
	})
	// Output:
	// Hello, whoever you are
	// Hello, alice. You are editor here.
}
