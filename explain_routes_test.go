package logtoauth

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// told lists what was said, one line per handler.
func told(r *report) []string {
	lines := make([]string, 0, len(r.Handlers))
	for _, h := range r.Handlers {
		line := h.Directive + " [" + h.Where + "] " + string(h.Outcome)
		if len(h.Depends) > 0 {
			line += " if " + strings.Join(h.Depends, " and ")
		}
		lines = append(lines, line)
	}
	return lines
}

func TestExplainShowsWhatARequestMeets(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	const api = "https://api.example.com"
	token := tenant.Token(devtenant.TokenRequest{Resource: api, Scope: "read"})
	auth := func(matcher, settings string) string {
		return fmt.Sprintf("logto_auth %s {\nendpoint %s\naudience %s\n%s\n}\n", matcher, tenant.URL, api, settings)
	}
	refusing := strings.ReplaceAll(auth("", ""), "audience "+api, "audience https://else.example.com")

	for _, test := range []struct {
		name, caddyfile, url, method string
		outcome                      verdict
		want                         []string
	}{
		{
			"all of a config", "a.test {\n" + auth("", "") + "logto_require /x* read\n}\nb.test {\n" + refusing + "}\n",
			"", "", verdictRefused,
			[]string{"logto_auth [a.test:443] admitted", "logto_require [a.test:443, path /x*] admitted", "logto_auth [b.test:443] refused"},
		},
		{
			"a site's logto_require is not judged by another site's logto_auth",
			"aa.test {\n" + auth("", "") + "}\nb.test {\nlogto_require\n}\n",
			"", "", verdictRefused,
			[]string{"logto_auth [aa.test:443] admitted", "logto_require [b.test:443] refused"},
		},
		{
			"host", "a.test {\n" + auth("", "") + "}\nb.test {\n" + refusing + "}\n",
			"https://a.test/", "", verdictAdmitted,
			[]string{"logto_auth [a.test:443] admitted"},
		},
		{
			"no host of the config", "a.test {\n" + auth("", "") + "}\n",
			"https://b.test/", "", verdictNotReached, nil,
		},
		{
			"path", "a.test {\n" + auth("", "") + "logto_require /x* read\nlogto_require /y* write\n}\n",
			"https://a.test/x/1", "", verdictAdmitted,
			[]string{"logto_auth [a.test:443] admitted", "logto_require [a.test:443, path /x*] admitted"},
		},
		{
			"method", "a.test {\n@writes method POST PUT\n" + auth("", "") + "logto_require @writes write\n}\n",
			"https://a.test/", "POST", verdictRefused,
			[]string{"logto_auth [a.test:443] admitted", "logto_require [a.test:443, method POST PUT] refused"},
		},
		{
			"not", "a.test {\n@guarded not path /public*\n" + auth("@guarded", "") + "}\n",
			"https://a.test/public/1", "", verdictNotReached, nil,
		},
		{
			"a header that the URL does not tell", "a.test {\n@tagged header X-Tag on\n" + auth("", "") + "logto_require @tagged write\n}\n",
			"https://a.test/", "", verdictDepends,
			[]string{
				"logto_auth [a.test:443] admitted",
				`logto_require [a.test:443, header X-Tag on] refused if whether the request matches header X-Tag on`,
			},
		},
		{
			"a header that may leave the site open", "a.test {\n@tagged header X-Tag on\n" + auth("@tagged", "") + "}\n",
			"https://a.test/", "", verdictDepends,
			[]string{`logto_auth [a.test:443, header X-Tag on] admitted if whether the request matches header X-Tag on`},
		},
		{
			"a path after a rewrite", "a.test {\nrewrite * /x\n" + auth("", "") + "logto_require /x read\n}\n",
			"https://a.test/", "", verdictAdmitted,
			[]string{"logto_auth [a.test:443] admitted", "logto_require [a.test:443, path /x] admitted if whether the request matches path /x (rewrite may change the request first)"},
		},
		{
			"a placeholder in a matcher", "a.test {\n@own path /{http.vars.tenant}/*\n" + auth("@own", "") + "}\n",
			"https://a.test/org-1/", "", verdictDepends,
			[]string{"logto_auth [a.test:443, path /{http.vars.tenant}/*] admitted if whether the request matches path /{http.vars.tenant}/*"},
		},
		{
			"blocks that exclude each other", "a.test {\nhandle /x* {\n" + refusing + "}\nhandle {\n" + auth("", "") + "}\n}\n",
			"https://a.test/x", "", verdictRefused,
			[]string{"logto_auth [a.test:443, path /x*] refused"},
		},
		{
			"the other one of them", "a.test {\nhandle /x* {\n" + refusing + "}\nhandle {\n" + auth("", "") + "}\n}\n",
			"https://a.test/y", "", verdictAdmitted,
			[]string{"logto_auth [a.test:443] admitted"},
		},
		{
			"an answer before the check", "a.test {\nroute {\nrespond /health ok\n" + auth("", "") + "}\n}\n",
			"https://a.test/health", "", verdictNotReached, nil,
		},
		{
			"a named route", "&(guard) {\n" + auth("", "") + "}\na.test {\ninvoke guard\n}\n",
			"https://a.test/", "", verdictAdmitted,
			[]string{"logto_auth [a.test:443, path *] admitted"},
		},
		{
			"two logto_auth: the last one counts for logto_require", "a.test {\n" + auth("/x/*", "organization any") + auth("", "") + "logto_require\n}\n",
			"https://a.test/x/1", "", verdictRefused,
			[]string{"logto_auth [a.test:443, path /x/*] refused", "logto_auth [a.test:443] admitted", "logto_require [a.test:443] admitted"},
		},
		{
			"logto_require behind a refusal", "a.test {\n" + refusing + "logto_require\n}\n",
			"https://a.test/", "", verdictRefused,
			[]string{"logto_auth [a.test:443] refused", "logto_require [a.test:443] not_reached"},
		},
		{
			"an organization that only the request tells", "a.test {\n" + auth("", "organization {http.request.header.X-Org}") + "}\n",
			"https://a.test/", "", verdictRefused,
			[]string{"logto_auth [a.test:443] refused"},
		},
		{
			"a site before one for all hosts", "http://a.test {\n" + auth("", "") + "}\nhttp:// {\n" + refusing + "}\n",
			"http://a.test/", "", verdictAdmitted,
			[]string{"logto_auth [a.test:80] admitted"},
		},
		{
			"all of a config: blocks that exclude each other", "a.test {\nhandle /x* {\n" + auth("", "") + "}\nhandle {\nlogto_require\n}\n}\n",
			"", "", verdictRefused,
			[]string{"logto_auth [a.test:443, path /x*] admitted", "logto_require [a.test:443] refused"},
		},
		{
			"an answer that a header decides", "a.test {\nroute {\n@tagged header X-Tag on\nrespond @tagged ok\n" + auth("", "") + "}\n}\n",
			"https://a.test/", "", verdictDepends,
			[]string{`logto_auth [a.test:443] admitted if whether the request matches header X-Tag on`},
		},
		{
			"ports", "http://a.test:8080 {\n" + auth("", "") + "}\nhttp://a.test:9090 {\n" + refusing + "}\n",
			"http://a.test:8080/", "", verdictAdmitted,
			[]string{"logto_auth [a.test:8080] admitted"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := explainCaddyfile(t, test.caddyfile, token, test.url, test.method)
			if lines := told(got); !slices.Equal(lines, test.want) {
				t.Errorf("told\n%s\nnot\n%s", strings.Join(lines, "\n"), strings.Join(test.want, "\n"))
			}
			if got.Outcome != test.outcome {
				t.Errorf("outcome %s (%s), not %s", got.Outcome, got.Summary, test.outcome)
			}
		})
	}
}

// What a request's header or variable asks for is not known here. Everything
// else is judged, and the outcome is left open.
func TestExplainLeavesOrganizationsOpenThatOnlyARequestTells(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	member := tenant.Token(devtenant.TokenRequest{OrganizationID: "org-1", Scope: "read"})
	for _, test := range []struct {
		name, organization, rest, url string
		want                          []string
	}{
		{"a header", "{http.request.header.X-Org}", "", "https://a.test/", []string{"logto_auth [a.test:443] depends if {http.request.header.X-Org}"}},
		{"the host, of all requests", "{http.request.host.labels.1}", "", "", []string{"logto_auth [a.test:443] depends if {http.request.host.labels.1}"}},
		{"the host, of one request", "{http.request.host.labels.1}", "", "https://a.test/", []string{"logto_auth [a.test:443] refused"}},
		{"a path segment after a rewrite", "org-{http.request.uri.path.0}", "rewrite * /1", "https://a.test/x", []string{"logto_auth [a.test:443] depends if {http.request.uri.path.0} (rewrite may change the request first)"}},
		{"a header, and a scope is missing", "{http.request.header.X-Org}", "logto_require write", "https://a.test/", []string{
			"logto_auth [a.test:443] depends if {http.request.header.X-Org}", "logto_require [a.test:443] refused",
		}},
		{"a header that logto_require reads", "any", "logto_require {\norganization {http.request.header.X-Org}\n}", "https://a.test/", []string{
			"logto_auth [a.test:443] admitted", "logto_require [a.test:443] depends if {http.request.header.X-Org}",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			caddyfile := fmt.Sprintf("a.test {\n%s\nlogto_auth {\nendpoint %s\norganization %s\n}\n}\n", test.rest, tenant.URL, test.organization)
			got := explainCaddyfile(t, caddyfile, member, test.url, "")
			if lines := told(got); !slices.Equal(lines, test.want) {
				t.Errorf("told %q, not %q", lines, test.want)
			}
			if got.Outcome == verdictAdmitted {
				t.Error("the token is called admitted")
			}
		})
	}
}

func TestExplainEndsWhereRoutesInvokeEachOther(t *testing.T) {
	loop := []byte(`{"apps":{"http":{"servers":{"s":{"routes":[{"handle":[{"handler":"invoke","name":"a"}]}],
		"named_routes":{"a":{"handle":[{"handler":"invoke","name":"a"}]}}}}}}}`)
	if _, err := explainConfig(loop, "token", nil, "", time.Now); err == nil || !strings.Contains(err.Error(), "nested") {
		t.Errorf("error %v", err)
	}
}

func TestExplainTellsWhyKeysAreMissing(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	tenant.SetFault(devtenant.HTML)
	token := tenant.Token(devtenant.TokenRequest{Resource: "https://api.example.com"})
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(
		[]byte("http://a.test {\nlogto_auth {\nendpoint "+tenant.URL+"\naudience https://api.example.com\n}\n}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	result, err := explainConfig(config, token, nil, "", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Handlers[0]; got.Reason != ReasonKeysUnavailable || !strings.Contains(got.Hint, "login page") {
		t.Errorf("%s: %s", got.Reason, got.Hint)
	}
}

func TestQuestionsThatAreNone(t *testing.T) {
	for _, test := range []struct{ url, method string }{
		{"", "POST"},
		{"api.example.com", ""},
		{"/products", ""},
		{"ftp://api.example.com", ""},
		{"https://", ""},
		{"https://api.example.com", "BAD METHOD"},
		{"http://[::1", ""},
	} {
		if _, err := parseQuestion(test.url, test.method); err == nil {
			t.Errorf("%q %q is taken for a request", test.method, test.url)
		}
	}
	r, err := parseQuestion("https://api.example.com#x", "post")
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/" || r.TLS == nil {
		t.Errorf("%v, %v", r, errors.Unwrap(err))
	}
}
