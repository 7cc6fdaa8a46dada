package logtoauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
	"github.com/caddy-logto/caddy-logto-auth/internal/httproutes"
)

// explainCaddyfile asks a Caddyfile about a token.
func explainCaddyfile(t *testing.T, caddyfile, token, address, method string) *report {
	t.Helper()
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
	if err != nil {
		t.Fatal(err)
	}
	original, err := parseQuestion(address, method)
	if err != nil {
		t.Fatal(err)
	}
	result, err := explainConfig(config, token, original, "", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// The command must say what the handlers do. Here it is asked about every
// token at every site, and the same request is sent to a Caddy that serves the
// same config.
func TestExplainSaysWhatTheHandlersDo(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	other := devtenant.New(devtenant.Options{Issuer: tenant.Issuer()})
	const api = "https://api.example.com"
	site := func(host, settings, rest string) string {
		return fmt.Sprintf("http://%s.test {\nlogto_auth {\nendpoint %s\n%s\n}\n%s\nrespond ok\n}\n", host, tenant.URL, settings, rest)
	}
	caddyfile := site("global", "audience "+api, "logto_require /scoped read write\nlogto_require /member {\norganization any\n}\nlogto_require /admin {\nclaim role admin\n}") +
		site("scoped", "audience "+api+"\nscopes read\nany_scope admin write", "") +
		site("organization", "organization org-1 org-2", "") +
		site("anyorganization", "organization any\nscopes read", "logto_require /forbid {\norganization forbid\n}") +
		site("organizationapi", "audience "+api+"\norganization org-1", "") +
		site("byhost", "audience "+api+"\norganization {http.request.host.labels.0}", "") +
		site("ignore", "audience "+api+"\norganization ignore\nmax_age 1m", "") +
		site("untyped", "audience client-1\ntoken_type any", "") +
		site("rsa", "audience "+api+"\nalgorithms RS256", "") +
		site("reporting", "audience https://else.example.com\nreport_only", "logto_require /more more") +
		site("elsewhere", "audience "+api+"\nissuer https://login.example.com/oidc "+tenant.Issuer(), "") +
		"http://open.test {\nlogto_require /members\nrespond ok\n}\n"
	global := devtenant.TokenRequest{Resource: api, Scope: "read"}
	with := func(change func(*devtenant.TokenRequest)) string {
		request := global
		change(&request)
		return tenant.Token(request)
	}
	valid := tenant.Token(global)
	header, _, _ := strings.Cut(valid, ".")
	tokens := map[string]string{
		"valid":               valid,
		"read and write":      with(func(r *devtenant.TokenRequest) { r.Scope = "read write" }),
		"admin":               with(func(r *devtenant.TokenRequest) { r.Extra = map[string]any{"role": "admin"} }),
		"organization":        tenant.Token(devtenant.TokenRequest{OrganizationID: "org-1", Scope: "read"}),
		"organization API":    with(func(r *devtenant.TokenRequest) { r.OrganizationID = "org-1" }),
		"host's organization": with(func(r *devtenant.TokenRequest) { r.OrganizationID = "byhost" }),
		"odd organization":    with(func(r *devtenant.TokenRequest) { r.Extra = map[string]any{"organization_id": []string{"org-1"}} }),
		"other API":           with(func(r *devtenant.TokenRequest) { r.Resource = "https://other.example.com" }),
		"expired":             with(func(r *devtenant.TokenRequest) { r.ExpiresIn = -time.Hour }),
		"old":                 with(func(r *devtenant.TokenRequest) { r.Extra = map[string]any{"iat": time.Now().Add(-time.Hour).Unix()} }),
		"other issuer":        with(func(r *devtenant.TokenRequest) { r.Issuer = "https://login.example.com/oidc" }),
		"no client":           with(func(r *devtenant.TokenRequest) { r.Extra = map[string]any{"client_id": nil} }),
		"bound":               with(func(r *devtenant.TokenRequest) { r.Extra = map[string]any{"cnf": map[string]any{"jkt": "x"}} }),
		"forged":              valid[:len(valid)-8] + "AAAAAAAA",
		"unknown key":         other.Token(global),
		"opaque":              tenant.OpaqueToken(),
		"ID token":            tenant.IDToken("user-1", "client-1"),
		"extension":           tenant.Sign(map[string]any{"crit": []string{"exp"}}, tenant.Claims(global)),
		"another algorithm":   tenant.Sign(map[string]any{"alg": "ES256"}, tenant.Claims(global)),
		"cut off":             header,
		"encrypted":           "a.b.c.d.e",
	}
	s := caddytest.Start(t, caddyfile)
	for _, target := range []string{
		"global.test/", "global.test/scoped", "global.test/member", "global.test/admin", "scoped.test/", "organization.test/",
		"anyorganization.test/", "anyorganization.test/forbid", "organizationapi.test/", "byhost.test/", "ignore.test/",
		"untyped.test/", "rsa.test/", "reporting.test/", "reporting.test/more", "elsewhere.test/", "open.test/members",
	} {
		host, path, _ := strings.Cut(target, "/")
		for name, token := range tokens {
			t.Run(target+" "+name, func(t *testing.T) {
				answer := s.Get("/"+path, caddytest.Header("Host", host), caddytest.Bearer(token))
				said := explainCaddyfile(t, caddyfile, token, "http://"+target, "")
				if want := answer.StatusCode == http.StatusOK; (said.Outcome == verdictAdmitted) != want {
					t.Fatalf("the site answers %d, explain says %s", answer.StatusCode, said.Outcome)
				}
				for _, told := range said.Handlers {
					consistent(t, told)
					if told.Outcome != verdictRefused || told.ReportOnly {
						continue
					}
					var body struct {
						Error string `json:"error"`
					}
					if err := json.Unmarshal([]byte(answer.Body), &body); err != nil {
						t.Fatal(err)
					}
					if told.Status != answer.StatusCode || told.Error != body.Error {
						t.Errorf("the site answers %d %q, explain says %d %q", answer.StatusCode, body.Error, told.Status, told.Error)
					}
					break
				}
			})
		}
	}
}

// A path that servers read in different ways is judged under each reading, by
// the command as by the handlers.
func TestExplainReadsPathsAsTheHandlersDo(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	token := tenant.Token(devtenant.TokenRequest{Resource: testAPI})
	const auth = "logto_auth {\nendpoint ENDPOINT\naudience " + testAPI + "\n}\n"
	caddyfile := strings.ReplaceAll("http://a.test {\n"+auth+"logto_require /admin* admin\nrespond ok\n}\n"+
		"http://b.test {\n@guarded not path /assets/*\n"+auth+"logto_require @guarded admin\nrespond ok\n}\n"+
		// Two lines of which Caddy runs the second first: the first gets a sort key.
		"http://c.test {\n"+auth+"logto_require /x* admin\nlogto_require /x/y* more\nrespond ok\n}\n", "ENDPOINT", tenant.URL)
	s := caddytest.Start(t, caddyfile)
	for _, target := range []string{
		"a.test/", "a.test/admin", "a.test/admin/..%2fx", "a.test/x%2f..%2fadmin", "a.test/%61dmin", "a.test/ad;x/min", "a.test/admin;x", "a.test/x%5c..%5cadmin",
		"b.test/", "b.test/assets/x", "b.test/assets/x%2f..%2f..%2fy", "b.test/assets/..%5cy", "b.test/assets/;a/x",
		"c.test/", "c.test/x/y", "c.test/z%2f..%2fx", "c.test/z",
	} {
		host, path, _ := strings.Cut(target, "/")
		answer := s.Get("/"+path, caddytest.Header("Host", host), caddytest.Bearer(token))
		said := explainCaddyfile(t, caddyfile, token, "http://"+target, "")
		if want := answer.StatusCode == http.StatusOK; (said.Outcome == verdictAdmitted) != want {
			t.Errorf("%s: the site answers %d, explain says %s", target, answer.StatusCode, said.Outcome)
		}
		if host == "a.test" && said.Outcome == verdictRefused && said.Handlers[1].Where != "a.test:80, path /admin*" {
			t.Errorf("%s: where is %q", target, said.Handlers[1].Where)
		}
		if lines := strings.Join(told(said), "\n"); strings.Contains(lines, "~") || strings.Contains(lines, httproutes.AnyReadingName) {
			t.Errorf("%s: it shows what the Caddyfile does not have:\n%s", target, lines)
		}
	}
}

// consistent checks that the list of checks fits the verdict: the reason is
// that of the first check that failed, and nothing failed where the token is
// admitted.
func consistent(t *testing.T, told *explanation) {
	t.Helper()
	var failed Reason
	for _, check := range told.Checks {
		if check.Result == checkFailed {
			failed = check.Reason
			break
		}
	}
	switch {
	case told.Outcome == verdictAdmitted && failed != "":
		t.Errorf("%s admits although a check says %s", told.Directive, failed)
	case told.Outcome == verdictRefused && failed != told.Reason && len(told.Checks) > 0:
		t.Errorf("%s refuses with %s, the first failed check says %q", told.Directive, told.Reason, failed)
	case told.Outcome == verdictRefused && told.Hint == "":
		t.Errorf("%s refuses with %s and gives no hint", told.Directive, told.Reason)
	}
}
