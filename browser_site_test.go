package logtoauth_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// browsing is a site for browsers, whose token may stand anywhere.
const browsing = `:80 {
	logto_auth {
		endpoint ENDPOINT
		audience ` + api + `
		token_from header
		token_from header X-Token
		token_from cookie session
		token_from query access_token
		trusted_origins https://app.example.com
		strip_token
	}
	reverse_proxy UPSTREAM
}`

// placed gives the option that puts a token into a place, for the target.
func placed(place, token string) (target string, option caddytest.Option) {
	switch place {
	case "cookie":
		return "/?a=%41", caddytest.Header("Cookie", "a=1; session="+token+"; b=2")
	case "query":
		return "/?access_token=" + token + "&a=%41", func(*http.Request) {}
	case "own header":
		return "/?a=%41", caddytest.Header("X-Token", token)
	default:
		return "/?a=%41", caddytest.Bearer(token)
	}
}

func TestTokenDoesNotReachTheUpstream(t *testing.T) {
	s := startSite(t, browsing)
	for _, place := range []string{"header", "own header", "cookie", "query"} {
		token := s.alice(nil)
		target, option := placed(place, token)
		got := arrived(t, s.Get(target, option))
		if text := fmt.Sprint(got); strings.Contains(text, token) {
			t.Errorf("from the %s the token arrived: %s", place, text)
		}
		if got.URI != "/?a=%41" {
			t.Errorf("from the %s: %s arrived", place, got.URI)
		}
		if place == "cookie" && got.Header.Get("Cookie") != "a=1; b=2" {
			t.Errorf("cookies arrived as %q", got.Header.Get("Cookie"))
		}
	}
}

// A later handler must not get a token that was refused either.
func TestRefusedTokenIsStripped(t *testing.T) {
	for name, site := range map[string]string{
		"let pass by report_only": "report_only\n}\nreverse_proxy UPSTREAM",
		"sent to an error route":  "errors handle_errors\n}\nhandle_errors {\nreverse_proxy UPSTREAM\n}",
	} {
		s := startSite(t, ":80 {\nlogto_auth {\nendpoint ENDPOINT\naudience https://other.example.com\nstrip_token\n"+site+"\n}")
		if got := arrived(t, s.Get("/", caddytest.Bearer(s.alice(nil)))); got.Header.Get("Authorization") != "" {
			t.Errorf("%s: the token arrived", name)
		}
		if got := arrived(t, s.Get("/", caddytest.Header("Authorization", "Basic YTpi"))); got.Header.Get("Authorization") != "Basic YTpi" {
			t.Errorf("%s: credentials of another scheme did not arrive", name)
		}
	}
}

func TestSeveralTokensAreRefused(t *testing.T) {
	s := startSite(t, browsing)
	token := s.alice(nil)
	for name, answer := range map[string]*caddytest.Response{
		"two Authorization headers":  s.Get("/", caddytest.Bearer(token), caddytest.Bearer("evil")),
		"duplicate cookie":           s.Get("/", caddytest.Header("Cookie", "session="+token+"; session=evil")),
		"duplicate parameter":        s.Get("/?access_token=" + token + "&access_token=evil"),
		"encoded duplicate":          s.Get("/?access_token=" + token + "&acces%73_token=evil"),
		"parameter beside a header":  s.Get("/?access_token="+token, caddytest.Bearer(token)),
		"duplicate behind semicolon": s.Get("/?access_token=" + token + ";access_token=evil"),
	} {
		if answer.StatusCode != http.StatusBadRequest || answer.Body != `{"error":"Multiple access tokens"}` ||
			answer.Header.Get("Www-Authenticate") != `Bearer error="invalid_request"` {
			t.Errorf("%s: %d %s %s", name, answer.StatusCode, answer.Body, answer.Header.Get("Www-Authenticate"))
		}
	}
}

func TestCrossSitePostWithACookieToken(t *testing.T) {
	s := startSite(t, browsing)
	from := func(origin string) caddytest.Option { return caddytest.Header("Origin", origin) }
	cookie := caddytest.Header("Cookie", "session="+s.alice(nil))
	post := caddytest.Method(http.MethodPost)

	answer := s.Get("/", post, cookie, from("https://evil.example.com"))
	if answer.StatusCode != http.StatusForbidden || answer.Body != `{"error":"Cross-origin request refused"}` ||
		answer.Header.Get("Www-Authenticate") != "" || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %s %v", answer.StatusCode, answer.Body, answer.Header)
	}
	expired := caddytest.Header("Cookie", "session=a.b.c")
	if answer := s.Get("/", post, expired, from("https://evil.example.com")); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a bad token is told first: %d %s", answer.StatusCode, answer.Body)
	}
	for name, answer := range map[string]*caddytest.Response{
		"trusted origin":           s.Get("/", post, cookie, from("https://app.example.com")),
		"own origin":               s.Get("/", post, cookie, from(s.URL)),
		"read":                     s.Get("/", cookie, from("https://evil.example.com")),
		"token in a header":        s.Get("/", post, caddytest.Bearer(s.alice(nil)), from("https://evil.example.com")),
		"header beside the cookie": s.Get("/", post, caddytest.Bearer(s.alice(nil)), cookie, from("https://evil.example.com")),
	} {
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", name, answer.StatusCode, answer.Body)
		}
	}
}

// A proxy in front may be the one that the browser uses plain http to.
func TestCrossSchemePostWithACookieToken(t *testing.T) {
	for name, trusted := range map[string]bool{"unknown proxy": false, "trusted proxy": true} {
		settings := ""
		if trusted {
			settings = "{\nservers {\ntrusted_proxies static private_ranges\n}\n}\n"
		}
		s := startTLSSite(t, settings+browsing)
		cookie := caddytest.Header("Cookie", "session="+s.alice(nil))
		forwarded := caddytest.Header("X-Forwarded-Proto", "http")
		for origin, want := range map[string]int{
			"https://" + s.Addr(): http.StatusOK,
			"http://" + s.Addr():  http.StatusForbidden,
		} {
			from := caddytest.Header("Origin", origin)
			if answer := s.Get("/", caddytest.Method(http.MethodPost), cookie, from); answer.StatusCode != want {
				t.Errorf("%s, from %s: %d %s", name, origin, answer.StatusCode, answer.Body)
			}
			if trusted {
				want = http.StatusOK
			}
			if answer := s.Get("/", caddytest.Method(http.MethodPost), cookie, from, forwarded); answer.StatusCode != want {
				t.Errorf("%s that forwards http, from %s: %d %s", name, origin, answer.StatusCode, answer.Body)
			}
		}
	}
}

func TestSharedCacheCannotMixUpUsers(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "page.html"), []byte(strings.Repeat("page ", 400)), 0o600); err != nil {
		t.Fatal(err)
	}
	public := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, s-maxage=600, max-age=60")
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Vary", "Origin")
		_, _ = io.WriteString(w, strings.Repeat("answer ", 400))
	})
	s := startSiteBefore(t, public, `:80 {
		header /page.html Cache-Control "public, s-maxage=600, max-age=60"
		logto_auth {
			endpoint ENDPOINT
			audience `+api+`
			optional
			token_from header
			token_from header X-Token
			token_from cookie session
			token_from query access_token
		}
		encode gzip
		handle /page.html {
			root `+filepath.ToSlash(folder)+`
			file_server
		}
		respond /respond "hello"
		reverse_proxy UPSTREAM
	}`)
	for _, path := range []string{"/page.html", "/proxied"} {
		for _, encoding := range []string{"identity", "gzip"} {
			for place, want := range map[string]string{
				"header":     "public, s-maxage=600, max-age=60",
				"own header": "private, max-age=60",
				"cookie":     "private, max-age=60",
				"query":      "private, max-age=60",
				"nowhere":    "public, s-maxage=600, max-age=60",
			} {
				target, option := placed(place, s.alice(nil))
				if place == "nowhere" {
					option = func(*http.Request) {}
				}
				answer := s.Get(path+strings.TrimPrefix(target, "/"), option, caddytest.Header("Accept-Encoding", encoding))
				name := fmt.Sprintf("%s with the token in %s as %s", path, place, encoding)
				if answer.StatusCode != http.StatusOK || (answer.Header.Get("Content-Encoding") == "gzip") != (encoding == "gzip") {
					t.Errorf("%s: %d, encoded as %q", name, answer.StatusCode, answer.Header.Get("Content-Encoding"))
				}
				if got := strings.Join(answer.Header.Values("Cache-Control"), " and "); got != want {
					t.Errorf("%s: Cache-Control is %q, want %q", name, got, want)
				}
				vary := strings.Join(answer.Header.Values("Vary"), ", ")
				for _, header := range []string{"Authorization", "X-Token", "Cookie"} {
					if !strings.Contains(vary, header) {
						t.Errorf("%s: Vary is %q", name, vary)
					}
				}
			}
		}
	}
	refused := s.Get("/", caddytest.Bearer("a.b.c"))
	if vary := strings.Join(refused.Header.Values("Vary"), ", "); vary != "Authorization, X-Token, Cookie" || refused.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("refused: Vary %q, Cache-Control %q", vary, refused.Header.Get("Cache-Control"))
	}
	_, cookie := placed("cookie", s.alice(nil))
	if got := s.Get("/respond", cookie).Header.Get("Cache-Control"); got != "private" {
		t.Errorf("without any Cache-Control it became %q", got)
	}
}

// Caddy applies a deferred header directive when the answer is written, after
// everything that runs behind it. The docs say so.
func TestDeferredHeadersHaveTheLastWord(t *testing.T) {
	for _, test := range []struct{ header, want string }{
		{`header Cache-Control "public"`, "no-store"},
		{"header {\nCache-Control public\nX-Frame-Options DENY\n}", "no-store"},
		{`header >Cache-Control "public"`, "public"},
		{"header {\ndefer\nCache-Control public\n}", "public"},
		{"header {\n-Server\nCache-Control public\n}", "public"},
		{"header {\n?Cache-Control public\n}", "no-store"},
	} {
		s := startSite(t, ":80 {\n"+test.header+"\nlogto_auth {\nendpoint ENDPOINT\naudience "+api+"\n}\n}")
		if got := strings.Join(s.Get("/").Header.Values("Cache-Control"), " and "); got != test.want {
			t.Errorf("%s: Cache-Control of a 401 is %q, want %q", test.header, got, test.want)
		}
	}
}

// basic_auth sets the name of its user, whom Caddy asks first.
func TestAnotherAuthenticationBehindMixesUsers(t *testing.T) {
	s := startSite(t, `:80 {
		logto_auth {
			endpoint ENDPOINT
			audience `+api+`
			token_from cookie session
			forward_claim sub X-User
		}
		basic_auth {
			bob $2a$04$.u1z4V9.OB/xofnUn0IeM.5KML/KDvvnPr2ZoJGp24ZtcjJc2xtRG
		}
		respond "{http.auth.user.id} {http.auth.user.sub} {header.X-User}"
	}`)
	_, cookie := placed("cookie", s.alice(nil))
	answer := s.Get("/", cookie, func(r *http.Request) { r.SetBasicAuth("bob", "secret") })
	if answer.StatusCode != http.StatusOK || answer.Body != "bob alice alice" {
		t.Errorf("%d %s", answer.StatusCode, answer.Body)
	}
}
