package logtoauth_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// No request carries an identity of the client's own making, whatever the
// directive's matcher is and wherever Caddy sorts it.
func TestNoForgedIdentityInAnyOrder(t *testing.T) {
	const settings = `
		endpoint ENDPOINT
		audience ` + api
	type attempt struct {
		target string
		token  bool
		status int    // 0 is 200
		want   string // what stands in X-User; "" is absent
	}
	for _, test := range []struct {
		name     string
		site     string
		attempts []attempt
	}{
		{
			"paths that the matcher leaves out",
			`logto_auth /api* {` + settings + `
				forward_claim sub X-User
			}`,
			[]attempt{{target: "/public"}, {target: "/public", token: true}, {target: "/api", status: 401}, {target: "/api", token: true, want: "alice"}},
		},
		{
			"a matcher that looks at the header",
			`@unknown not header X-User *
			logto_auth @unknown {` + settings + `
				forward_claim sub X-User
			}`,
			[]attempt{{target: "/", status: 401}, {target: "/", token: true, want: "alice"}},
		},
		{
			"a matcher that looks at the header, beside longer paths and other matchers",
			`logto_auth /api/long/path* {` + settings + `
				forward_claim sub X-User
			}
			@unknown not header X-User *
			@get method GET
			logto_auth @unknown {` + settings + `
				forward_claim sub X-User
			}
			logto_auth @get {` + settings + `
				optional
			}`,
			[]attempt{{target: "/", status: 401}, {target: "/api/long/path", status: 401}},
		},
		{
			"the one that runs last speaks",
			`logto_auth {` + settings + `
				forward_claim client_id X-User
			}
			logto_auth /api* {` + settings + `
				forward_claim sub X-User
			}`,
			[]attempt{{target: "/api", token: true, want: "spa"}, {target: "/public", token: true, want: "spa"}, {target: "/api", status: 401}},
		},
		{
			"the one that runs last forwards nothing",
			`logto_auth {` + settings + `
				optional
			}
			logto_auth /api* {` + settings + `
				forward_claim sub X-User
			}`,
			[]attempt{{target: "/api", token: true}, {target: "/public"}},
		},
		{
			"the one that runs last finds no token",
			`logto_auth {` + settings + `
				optional
				token_from cookie session
			}
			logto_auth /api* {` + settings + `
				forward_claim sub X-User
			}`,
			[]attempt{{target: "/api", token: true}},
		},
		{
			"a route in written order",
			`route {
				logto_auth /api* {` + settings + `
					forward_claim sub X-User
				}
				respond /stop 204
				logto_auth /api/admin* {` + settings + `
					forward_claim client_id X-User
				}
				reverse_proxy UPSTREAM
			}`,
			[]attempt{{target: "/public"}, {target: "/api", token: true, want: "alice"}, {target: "/api/admin", token: true, want: "spa"}},
		},
		{
			"another block is its own",
			`handle /api* {
				logto_auth {` + settings + `
					forward_claim sub X-User
				}
				reverse_proxy UPSTREAM
			}`,
			[]attempt{{target: "/api", token: true, want: "alice"}, {target: "/public", want: "admin"}},
		},
		{
			"a block within the block",
			`logto_auth {` + settings + `
				forward_claim sub X-User
			}
			handle /api* {
				logto_auth /api/admin* {` + settings + `
					forward_claim client_id X-User
				}
				reverse_proxy UPSTREAM
			}`,
			[]attempt{{target: "/api", token: true, want: "alice"}, {target: "/api/admin", token: true, want: "spa"}, {target: "/public", token: true, want: "alice"}},
		},
		{
			"anonymous",
			`logto_auth {` + settings + `
				optional
				forward_claim sub X-User
			}`,
			[]attempt{{target: "/"}, {target: "/", token: true, want: "alice"}},
		},
		{
			"refused, but let pass by report_only",
			`logto_auth {` + settings + `
				report_only
				scopes admin
				forward_claim sub X-User
			}`,
			[]attempt{{target: "/"}, {target: "/", token: true}},
		},
		{
			"admitted, then refused by a later one with report_only",
			`logto_auth {` + settings + `
				report_only
				scopes admin
			}
			logto_auth /api* {` + settings + `
				forward_claim sub X-User
			}`,
			[]attempt{{target: "/api", token: true}},
		},
		{
			"an error route",
			`logto_auth {` + settings + `
				errors handle_errors
				scopes admin
				forward_claim sub X-User
			}
			handle_errors {
				reverse_proxy UPSTREAM
			}`,
			[]attempt{{target: "/"}, {target: "/", token: true}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startSite(t, ":80 {\n"+test.site+"\nreverse_proxy UPSTREAM\n}")
			for _, attempt := range test.attempts {
				options := []caddytest.Option{caddytest.Header("X-User", "admin")}
				if attempt.token {
					options = append(options, caddytest.Bearer(s.alice(nil)))
				}
				answer := s.Get(attempt.target, options...)
				if attempt.status != 0 {
					if answer.StatusCode != attempt.status {
						t.Errorf("%+v: status %d", attempt, answer.StatusCode)
					}
					continue
				}
				got := arrived(t, answer)
				if value := strings.Join(named("X-User", got.Header), " and "); value != attempt.want {
					t.Errorf("%+v: X-User arrived as %q", attempt, value)
				}
			}
		})
	}
}

func TestNoForgedIdentityInAPreflight(t *testing.T) {
	s := startSite(t, `:80 {
		logto_auth {
			endpoint ENDPOINT
			audience `+api+`
			bypass_cors_preflight
			forward_claim sub X-User
		}
		reverse_proxy UPSTREAM
	}`)
	got := arrived(t, s.Get("/", caddytest.Method(http.MethodOptions), caddytest.Header("Origin", "https://app.example.com"),
		caddytest.Header("Access-Control-Request-Method", "POST"), caddytest.Header("X-User", "admin")))
	if values := named("X-User", got.Header); len(values) > 0 {
		t.Errorf("arrived: %v", values)
	}
}

// What forward_claim and resource_metadata add must not change the order of
// the directives, which decides whose word is last. Caddy's order is no strict
// one where matchers of different kinds meet, so that a route too many could.
func TestExtraRoutesKeepTheOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	matchers := []string{"", "/a*", "/a", "/bb*", "/ccc/ccc", "/dddd/dddd/dddd*", "@header", "@header", "@other", "@several"}
	for range 300 {
		var plain, extra strings.Builder
		for _, b := range []*strings.Builder{&plain, &extra} {
			b.WriteString(":80 {\n@header header X-User *\n@other method GET\n@several path /e /f\n")
		}
		count := 2 + random.IntN(4)
		written := make([]string, count)
		for i := range count {
			written[i] = matchers[random.IntN(len(matchers))]
			directive := fmt.Sprintf("logto_auth %s {\nendpoint https://tenant.example\naudience %s\nrealm r%d\n", written[i], api, i)
			plain.WriteString(directive + "}\n")
			extra.WriteString(directive)
			if random.IntN(3) > 0 {
				fmt.Fprintf(&extra, "forward_claim sub X-User-%d\n", i)
			}
			if random.IntN(3) == 0 {
				extra.WriteString("resource_metadata\n")
			}
			extra.WriteString("}\n")
		}
		want, _ := authOrder(t, caddytest.Adapt(t, plain.String()+"}\n"))
		got, handlers := authOrder(t, caddytest.Adapt(t, extra.String()+"}\n"))
		if !slices.Equal(got, want) {
			t.Fatalf("order %v, without the extra routes %v, of %q:\n%s", got, want, written, extra.String())
		}
		// A matcher that is no path might look at the header.
		for i, matcher := range written {
			strip := slices.Index(handlers, fmt.Sprintf("strip X-User-%d", i))
			auth := slices.Index(handlers, fmt.Sprintf("auth r%d", i))
			if strings.HasPrefix(matcher, "@") && strip > auth {
				t.Fatalf("the header of r%d is deleted after its matcher: %v, of %q", i, handlers, written)
			}
		}
	}
}

// authOrder lists the realms of the logto_auth handlers of a site, in their
// order, and all handlers of ours.
func authOrder(tb testing.TB, adapted []byte) (realms, handlers []string) {
	tb.Helper()
	var config struct {
		Apps struct {
			HTTP struct {
				Servers map[string]struct {
					Routes []struct {
						Handle []struct {
							Handler string   `json:"handler"`
							Realm   string   `json:"realm"`
							Headers []string `json:"headers"`
						} `json:"handle"`
					} `json:"routes"`
				} `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(adapted, &config); err != nil {
		tb.Fatalf("decoding: %v", err)
	}
	for _, route := range config.Apps.HTTP.Servers["srv0"].Routes {
		for _, handler := range route.Handle {
			switch handler.Handler {
			case "logto_auth":
				realms = append(realms, handler.Realm)
				handlers = append(handlers, "auth "+handler.Realm)
			case "logto_strip_identity":
				handlers = append(handlers, "strip "+strings.Join(handler.Headers, " "))
			}
		}
	}
	if len(realms) == 0 {
		tb.Fatalf("no logto_auth in %s", adapted)
	}
	return realms, handlers
}
