package logtoauth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

const testSecret = "s3cr3t-of-the-app-s3cr3t-of-the-a"

// validSignIn has nothing to complain about, in identity mode; the tests spoil
// it.
func validSignIn() *Handler {
	return &Handler{Endpoint: "https://tenant.logto.app", SignIn: &SignIn{ClientID: "app", ClientSecret: testSecret}}
}

// TestSignInProblems holds what only JSON can say, or only the moment of
// loading shows; the golden Caddyfiles hold the rest.
func TestSignInProblems(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(h *Handler, s *SignIn)
		want  []string
	}{
		{"nothing wrong", func(*Handler, *SignIn) {}, nil},
		{"nothing at all", func(_ *Handler, s *SignIn) { *s = SignIn{} }, []string{"sign_in", "sign_in"}},
		{"an id with a line feed", func(_ *Handler, s *SignIn) { s.ClientID = "app\n" }, []string{"sign_in"}},
		{"an id that was not expanded", func(_ *Handler, s *SignIn) { s.ClientID = "{env.ID}" }, []string{"sign_in"}},
		{"a secret of 23", func(_ *Handler, s *SignIn) { s.ClientSecret = testSecret[:23] }, []string{"sign_in"}},
		{"a secret of 24", func(_ *Handler, s *SignIn) { s.ClientSecret = testSecret[:24] }, nil},
		{"a secret with a line feed", func(_ *Handler, s *SignIn) { s.ClientSecret += "\n" }, []string{"sign_in"}},
		{"half a placeholder", func(_ *Handler, s *SignIn) { s.ClientSecret = "{env.LOGTO_APP_SECRET_OF_WWW" }, []string{"sign_in"}},

		{"with an audience", func(h *Handler, s *SignIn) {
			h.Audiences, h.Scopes, h.AnyScopes, s.ForwardToken = []string{testAPI}, []string{"a"}, []string{"b"}, true
			h.OrganizationMode = "ignore"
		}, nil},
		{"with an organization", func(h *Handler, s *SignIn) {
			h.Organizations, h.Scopes, s.ForwardToken = []string{"org1"}, []string{"a"}, true
		}, nil},
		{"claims in identity mode", func(h *Handler, _ *SignIn) {
			h.Claims = []ClaimRequirement{{Path: "roles", Values: []string{"admin"}}}
			h.ForwardClaims = []ForwardClaim{{Claim: "email", Header: "X-Email"}}
			h.MaxAge = caddy.Duration(time.Hour)
		}, nil},
		{"organization ignore in identity mode", func(h *Handler, _ *SignIn) { h.OrganizationMode = "ignore" }, []string{"organization"}},
		{"any organization of an API", func(h *Handler, _ *SignIn) {
			h.Audiences, h.OrganizationMode = []string{testAPI}, "any"
		}, []string{"organization"}},
		{"origins without a cookie source", func(h *Handler, _ *SignIn) { h.TrustedOrigins = []string{"https://a.example"} }, nil},
		{"a token in the cookies", func(h *Handler, _ *SignIn) {
			h.TokenSources = []TokenSource{{From: "header"}, {From: "cookie", Name: "t"}, {From: "query", Name: "t"}}
		}, []string{"token_from", "token_from"}},
		{"a claim into the cookies", func(h *Handler, _ *SignIn) {
			h.ForwardClaims = []ForwardClaim{{Claim: "sub", Header: "Cookie"}}
		}, []string{"forward_claim"}},
		{"a claim over the forwarded token", func(h *Handler, s *SignIn) {
			h.Audiences, s.ForwardToken = []string{testAPI}, true
			h.TokenSources = []TokenSource{{From: "header", Name: "X-Token"}}
			h.ForwardClaims = []ForwardClaim{{Claim: "sub", Header: "authorization"}}
		}, []string{"forward_claim"}},

		{"the first issuer is plain http", func(h *Handler, _ *SignIn) {
			h.Issuers = []string{"http://logto/oidc", "https://tenant.logto.app/oidc"}
		}, []string{"issuer"}},
		{"a later issuer is plain http", func(h *Handler, _ *SignIn) {
			h.Issuers = []string{"https://tenant.logto.app/oidc", "http://logto/oidc"}
		}, nil},
		{"plain http that was allowed", func(h *Handler, _ *SignIn) {
			h.Issuers, h.InsecureHTTP = []string{"http://logto/oidc"}, true
		}, nil},
		{"keys from a file", func(h *Handler, _ *SignIn) {
			h.Endpoint, h.Issuers, h.JWKSFile = "", []string{"https://tenant.logto.app/oidc"}, "keys.json"
		}, nil},

		{"negative durations", func(_ *Handler, s *SignIn) { s.Lifetime, s.Idle = -1, -1 }, []string{"sign_in.idle", "sign_in.lifetime"}},
		{"idle over lifetime", func(_ *Handler, s *SignIn) { s.Lifetime, s.Idle = 1, 2 }, nil},
		{"offline_access where offline is on", func(_ *Handler, s *SignIn) { s.Scopes = []string{"offline_access"} }, nil},
		{"an empty scope", func(_ *Handler, s *SignIn) { s.Scopes = []string{""} }, []string{"sign_in.scopes"}},
		{"prompt of two words", func(_ *Handler, s *SignIn) { s.Prompt = "login consent" }, []string{"sign_in.prompt"}},
		{"an empty locale", func(_ *Handler, s *SignIn) { s.UILocales = []string{"en", ""} }, []string{"sign_in.ui_locales"}},
		{"a keyword in capitals", func(_ *Handler, s *SignIn) { s.Unauthenticated = "Auto" }, []string{"sign_in.unauthenticated"}},
		{"a base_url that was not expanded", func(_ *Handler, s *SignIn) { s.BaseURL = "https://{env.HOST}" }, []string{"sign_in.base_url"}},
		{"one key twice, one empty", func(_ *Handler, s *SignIn) {
			key := base64.StdEncoding.EncodeToString(make([]byte, 32))
			s.SessionKeys = []string{key, key, ""}
		}, []string{"sign_in.session_key", "sign_in.session_key"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := validSignIn()
			test.spoil(h, h.SignIn)
			if got := settingsOf(h.problems(loading)); !slices.Equal(got, test.want) {
				t.Errorf("got problems with %v, want %v: %v", got, test.want, joinProblems(h.problems(loading)))
			}
			h.applyDefaults()
			if got := settingsOf(h.problems(loading)); !slices.Equal(got, test.want) {
				t.Errorf("with defaults got problems with %v, want %v", got, test.want)
			}
		})
	}
}

// TestNoMessageShowsTheSecret spoils the secret and the keys in many ways.
func TestNoMessageShowsTheSecret(t *testing.T) {
	const secret = "Zq7-Zq7"
	for _, value := range []string{
		secret, secret + "{", "{" + secret, "{" + secret + "}", secret + "{http.request.host}", secret + " ", "\x00" + secret,
		"{env." + secret, secret + "}", "{env.A}" + secret + "{" + secret + "}", "{{" + secret + "}}", `\{` + secret,
	} {
		lines := []string{
			"sign_in " + value, "sign_in a " + value, "sign_in " + value + " a", "sign_in a b " + value,
			"sign_in " + value + " " + value + " {\nidle 1h\n}",
			"sign_in a {env.B} {\nsession_key " + value + "\n}", "sign_in a {env.B} {\nsession_key " + value + " " + value + "\n}",
		}
		for _, line := range lines {
			_, _, err := adaptCaddyfile(":80 {\n\tlogto_auth {\n\t\tendpoint https://tenant.example\n" + line + "\n\t}\n}\n")
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%q: %v", line, err)
			}
		}
		h := validSignIn()
		h.SignIn = &SignIn{ClientID: value, ClientSecret: value, SessionKeys: []string{value}}
		err := h.expand(caddy.NewReplacer())
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", value, err)
		}
		if err := joinProblems(h.problems(loading)); err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestSignInPlaceholdersOfLoadTime(t *testing.T) {
	key := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 32)))
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(testSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_APP_ID", "app")
	t.Setenv("TEST_KEY", key)
	t.Setenv("TEST_BASE_URL", "https://WWW.Example.com:443/")
	t.Setenv("TEST_EMPTY", "")
	h := validSignIn()
	h.SignIn = &SignIn{
		ClientID: "{env.TEST_APP_ID}", ClientSecret: "{file." + file + "}",
		SessionKeys: []string{"{env.TEST_KEY}"}, BaseURL: "{env.TEST_BASE_URL}",
	}
	if err := h.expand(caddy.NewReplacer()); err != nil {
		t.Fatal(err)
	}
	if s := h.SignIn; s.ClientID != "app" || s.ClientSecret != testSecret || s.SessionKeys[0] != key || s.BaseURL != "https://www.example.com" {
		t.Errorf("got %+v", s)
	}
	if problems := h.problems(loading); len(problems) > 0 {
		t.Error(problems)
	}

	h.SignIn = &SignIn{ClientID: "{env.TEST_EMPTY}", ClientSecret: "{file.nowhere}", SessionKeys: []string{"x{env.TEST_KEY}{evn.KEY}"}}
	err := h.expand(caddy.NewReplacer())
	for _, want := range []string{
		"sign_in: the app id comes from {env.TEST_EMPTY}, which is empty or not there",
		"sign_in: the app secret comes from {file.nowhere}, which is empty or not there",
		"sign_in.session_key: a key holds a placeholder that is empty or unknown",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestSignInDefaults(t *testing.T) {
	h := validSignIn()
	h.applyDefaults()
	got, err := json.Marshal(h.SignIn)
	if want := `{"client_id":"app","client_secret":"` + testSecret + `","path":"/.logto","scopes":["profile"],"offline":true,` +
		`"lifetime":604800000000000,"idle":86400000000000,"unauthenticated":"auto"}`; err != nil || string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	set := SignIn{Path: "/a", Scopes: []string{"email"}, Offline: new(false), Lifetime: 1, Idle: 2, Unauthenticated: "401"}
	kept := set
	kept.applyDefaults()
	a, _ := json.Marshal(set)
	b, _ := json.Marshal(kept)
	if !bytes.Equal(a, b) {
		t.Errorf("defaults changed %s to %s", a, b)
	}
}

func TestSessionKeys(t *testing.T) {
	octets := []byte(strings.Repeat("\xfb\xef\xbe\xff", 8)) // has + and / in base64
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		s := SignIn{ClientSecret: testSecret, SessionKeys: []string{encoding.EncodeToString(octets)}}
		keys, err := s.keys()
		if err != nil || len(keys) != 1 || !bytes.Equal(keys[0], octets) {
			t.Errorf("%s: %q, %v", s.SessionKeys[0], keys, err)
		}
	}
	keys, err := (&SignIn{ClientSecret: testSecret}).keys()
	if err != nil || len(keys) != 1 || string(keys[0]) != testSecret {
		t.Errorf("without keys: %q, %v", keys, err)
	}
	text := base64.StdEncoding.EncodeToString(octets)
	for _, bad := range []string{
		"", "x", text[:40], text + "AAAA", text + text, text[:10] + "\n" + text[10:], "=" + text, text + "=",
		base64.StdEncoding.EncodeToString(octets[:31]), base64.StdEncoding.EncodeToString(append(octets, 1)), testSecret[:32],
	} {
		if keys, err := (&SignIn{ClientSecret: testSecret, SessionKeys: []string{text, bad}}).keys(); err == nil {
			t.Errorf("%q is %q", bad, keys)
		}
	}
}

func TestSignInPath(t *testing.T) {
	for path, valid := range map[string]bool{
		"/.logto": true, "/a": true, "/app/.logto": true, "/A-z_0~.": true, "/...": true, "/" + strings.Repeat("a", 99): true,
		"": false, "/": false, ".logto": false, "//": false, "/a/": false, "/a//b": false, "//a": false, "/./a": false, "/a/.": false,
		"/..": false, "/a/../b": false, "/%2e": false, "/a%20b": false, "/a b": false, "/a*": false, "/*": false, "/{env.A}": false,
		"/a?b": false, "/a#b": false, `/a\b`: false, "/ä": false, "/a\n": false, "/a;b": false, "/" + strings.Repeat("a", 100): false,
		"https://a.example/b": false,
	} {
		if err := vetSignInPath(path); (err == nil) != valid {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestSignInBaseURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://www.example.com": "https://www.example.com", "https://www.example.com/": "https://www.example.com",
		"HTTPS://WWW.Example.COM": "https://www.example.com", "https://a.example:443": "https://a.example", "https://a.example:": "https://a.example",
		"https://a.example:8443/": "https://a.example:8443", "https://a.example:80": "https://a.example:80",
		"http://localhost:8080": "http://localhost:8080", "http://localhost:80/": "http://localhost", "http://127.0.0.1": "http://127.0.0.1",
		"http://[::1]:8080": "http://[::1]:8080", "https://[2001:DB8::1]:443": "https://[2001:db8::1]",

		"": "", "www.example.com": "", "//www.example.com": "", "ftp://a.example": "", "http://a.example": "", "https://": "", "https://a.example/b": "",
		"https://a.example//": "", "https://a.example?": "", "https://a.example/#": "", "https://u@a.example": "", "https://u:p@a.example": "",
		"https://a.example:0": "", "https://a.example:65536": "", "https://a.example:0443": "", "https://a;b.example": "", "https://a'b": "",
		"https://a%2eexample": "", "https://ä.example": "", "https://*.example": "", "https://a.example:x": "", "https://a b": "",
	} {
		got, err := parseBaseURL(raw)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", raw, got, err)
		}
	}
}

func TestSignedOutTarget(t *testing.T) {
	for target, valid := range map[string]bool{
		"/": true, "/bye": true, "/bye/?a=b&c=/d": true, "/b%20e": true, "https://www.example.com/bye?x=1": true, "http://www.example.com": true,
		"": false, "bye": false, "//evil.example": false, `/\evil.example`: false, `\\evil.example`: false, "/a\tb": false, "/\t/a": false,
		"/a b": false, "/ä": false, "/a#b": false, "https://a.example/#b": false, "https://u:p@a.example": false, "https://": false,
		"javascript:alert(1)": false, "ftp://a.example": false, "/.//a.example": false, "/..//a.example": false,
		"/.logto": false, "/.logto/sign-in": false, "/x/../.LOGTO/sign-out": false, "/{http.request.host}": false, "https://a;b.example": false,
	} {
		if err := vetSignedOut(target, ""); (err == nil) != valid {
			t.Errorf("%q: %v", target, err)
		}
	}
	if vetSignedOut("/.logto/x", "/other") != nil || vetSignedOut("/other/x", "/other") == nil {
		t.Error("it is not the configured path that is compared")
	}
}

// TestIdentityModeAdmitsNoToken shows that a site without an audience does not
// let tokens in that are for any API.
func TestIdentityModeAdmitsNoToken(t *testing.T) {
	h := validSignIn()
	q := siteRequirements(t, h)
	if !h.identityMode() || q.model != modelGlobal || len(q.audiences) > 0 || q.organization != (organizationRule{}) {
		t.Errorf("the site asks for %+v", q)
	}
	for _, claims := range []string{
		`{"sub":"a","aud":"https://api.example.com"}`, `{"sub":"a"}`, `{"sub":"a","aud":[]}`, `{"sub":"a","aud":""}`, `{"sub":"a","aud":"app"}`,
		`{"sub":"a","aud":"urn:logto:organization:org1"}`,
	} {
		info, refusal := decodeClaims(claims)
		if refusal != nil {
			continue
		}
		if _, refusal := q.check(info, wantedOrganizations{}); reasonOf(refusal) != ReasonWrongAudience {
			t.Errorf("%s: %v", claims, refusal)
		}
	}
	for name, site := range map[string]*Handler{
		"no sign_in":   {Organizations: []string{"a"}},
		"audience":     {SignIn: &SignIn{}, Audiences: []string{testAPI}},
		"organization": {SignIn: &SignIn{}, Organizations: []string{"a"}},
	} {
		if site.identityMode() {
			t.Errorf("%s: identity mode", name)
		}
	}
	if q := siteRequirements(t, &Handler{SignIn: &SignIn{}, Organizations: []string{"org1"}}); q.model != modelOrganization {
		t.Errorf("with an organization the model is %d", q.model)
	}
}

// TestSignInThroughCaddy shows that a running site refuses bearer tokens in
// identity mode, admits them with an audience, and that mistakes of loading
// name the setting.
func TestSignInThroughCaddy(t *testing.T) {
	t.Setenv("TEST_APP_SECRET", testSecret)
	t.Setenv("TEST_SHORT_SECRET", "short")
	server, tenant := serve(t, `http://identity.test {
		logto_auth {
			sign_in app {env.TEST_APP_SECRET}
		}
		respond ok
	}
	http://api.test {
		logto_auth {
			audience https://api.example.com
			sign_in app {env.TEST_APP_SECRET}
		}
		respond ok
	}`)
	bearer := options(caddytest.Bearer(tenant.Token(devtenant.TokenRequest{Subject: "user-1", Resource: testAPI})))
	bearerTo := func(host string) []caddytest.Option {
		return append(slices.Clone(bearer), caddytest.Header("Host", host))
	}
	visitAll(t, server, []visit{
		{"no audience", "/", bearerTo("identity.test"), 403, refusedWith("Invalid audience")},
		{"an audience", "/", bearerTo("api.test"), 200, "ok"},
	})
	for line, want := range map[string]string{
		"sign_in app {env.TEST_SHORT_SECRET}":   "sign_in: the app secret has 5 characters; it must have at least 24",
		"sign_in app {env.TEST_NOT_SET_AT_ALL}": "sign_in: the app secret comes from {env.TEST_NOT_SET_AT_ALL}, which is empty or not there",
	} {
		err := server.Load(":80 {\n\tlogto_auth {\n\t\tendpoint " + tenant.URL + "\n\t\t" + line + "\n\t}\n}\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
}
