package logtoauth

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// surveyAuth is a logto_auth for surveyCases; nothing is fetched.
const surveyAuth = `endpoint http://127.0.0.1:1
	audience https://api.example.com`

// surveyCases are Caddyfiles and the warnings about their sites, each by its
// setting, its site and a part of its text. AUTH stands for the lines of a
// logto_auth.
var surveyCases = []struct {
	name, caddyfile string
	want            []string
}{
	{"nothing odd", `:80 {
		logto_auth {
			AUTH
		}
		logto_require /orders* read:orders
		respond "{http.auth.user.id}{http.auth.user.claims.email}{http.auth.logto.reason}"
	}`, nil},

	{"try_files before a path", `:80 {
		root * /srv
		try_files {path} /index.html
		logto_auth /app/* {
			AUTH
		}
		file_server
	}`, []string{"matcher|:80|try_files runs before logto_auth /app/*"}},
	{"try_files before a path, in one of two sites", `a.example.com {
		try_files {path} /index.html
		@app path /app /app/*
		logto_auth @app {
			AUTH
		}
	}
	b.example.com {
		logto_auth /app/* {
			AUTH
		}
	}`, []string{"matcher|a.example.com|try_files runs before logto_auth /app /app/*"}},
	{"a rewrite of everything", `a.example.com {
		rewrite * /v2{uri}
		logto_auth {
			AUTH
		}
		logto_require /orders* read:orders
	}`, []string{"matcher|a.example.com|runs before logto_require /orders*"}},
	{"a rewrite of protected paths", `:80 {
		rewrite /APP/old/* /v2{uri}
		logto_auth /app/* {
			AUTH
		}
	}`, []string{"matcher|:80|runs before logto_auth /app/*"}},
	{"a rewrite of other paths", `:80 {
		rewrite /old/* /app{uri}
		rewrite /favicon.ico /app/favicon.ico
		logto_auth /app/* {
			AUTH
		}
	}`, nil},
	{"a rewrite of the query", `:80 {
		rewrite * ?{query}&v=2
		rewrite * {path}?v=2
		uri query v 3
		method GET
		logto_auth /app/* {
			AUTH
		}
	}`, nil},
	{"uri strip_prefix of protected paths", `:80 {
		uri strip_prefix /app
		logto_auth /app/* {
			AUTH
		}
	}`, []string{"matcher|:80|uri strip_prefix /app runs before logto_auth /app/*"}},
	{"uri strip_prefix of other paths", `:80 {
		uri strip_prefix /v1
		logto_auth /app/* {
			AUTH
		}
	}`, nil},
	{"uri replace", `:80 {
		uri replace /app /other
		logto_auth /app/* {
			AUTH
		}
	}`, []string{"matcher|:80|uri runs before logto_auth /app/*"}},
	{"a regular expression", `:80 {
		try_files {path} /index.html
		@app path_regexp ^/app/
		logto_auth @app {
			AUTH
		}
	}`, []string{"matcher|:80|logto_auth path_regexp ^/app/"}},
	{"an expression", `:80 {
		try_files {path} /index.html
		@app expression path('/app', '/app/*') && method('GET')
		logto_auth @app {
			AUTH
		}
	}`, []string{"matcher|:80|logto_auth /app /app/*"}},
	{"the whole site but some paths", `:80 {
		try_files {path} /index.html
		@private not path /assets/*
		logto_auth @private {
			AUTH
		}
		@inner expression !path('/assets/*')
		logto_require @inner read
		@write method POST
		logto_require @write write
	}`, nil},
	{"the whole site", `:80 {
		try_files {path} /index.html
		logto_auth * {
			AUTH
			forward_claim sub X-User
		}
		logto_require /* read
	}`, nil},
	{"the rewrite is inside", `:80 {
		handle /app/* {
			logto_auth {
				AUTH
			}
			try_files {path} /index.html
			file_server
		}
		handle_path /x/* {
			logto_auth /y* {
				AUTH
			}
		}
	}`, nil},
	{"the order is written", `:80 {
		route {
			logto_auth /app/* {
				AUTH
			}
			try_files {path} /index.html
		}
	}`, nil},
	{"the directive is inside", `:80 {
		try_files {path} /index.html
		handle {
			logto_auth /app/* {
				AUTH
			}
		}
	}`, []string{"matcher|:80|logto_auth /app/*"}},

	{"logto_require alone", `a.example.com {
		logto_require /orders* read:orders
	}
	b.example.com {
		logto_auth {
			AUTH
		}
		logto_require read
	}`, []string{"logto_require|a.example.com|no logto_auth"}},
	{"logto_require alone, on a port", `:80 {
		logto_require read:orders
	}`, []string{"logto_require|:80|no logto_auth"}},
	{"logto_auth deep inside", `a.example.com {
		handle /x* {
			route {
				reverse_proxy localhost:1 {
					handle_response {
						logto_auth {
							AUTH
						}
						logto_require read
					}
				}
			}
		}
	}`, nil},
	{"logto_auth in a named route", `&(api) {
		logto_auth {
			AUTH
		}
	}
	a.example.com {
		invoke api
		logto_require read
	}`, nil},

	{"no handle_errors", `a.example.com {
		logto_auth {
			AUTH
			errors handle_errors
		}
	}
	b.example.com {
		handle_errors {
			respond "b"
		}
	}`, []string{"errors|a.example.com|handle_errors"}},
	{"handle_errors", `a.example.com {
		logto_auth {
			AUTH
			errors handle_errors
		}
		handle_errors 401 {
			respond "a"
		}
	}`, nil},
	{"handle_errors of a wildcard", `{
		logto_auth {
			errors handle_errors
		}
	}
	http://a.example.com {
		logto_auth {
			AUTH
		}
	}
	http://*.example.com {
		handle_errors {
			respond "wildcard"
		}
	}`, nil},
	{"handle_errors of another wildcard", `http://a.b.example.com {
		logto_auth {
			AUTH
			errors handle_errors
		}
	}
	http://*.example.com {
		handle_errors {
			respond "wildcard"
		}
	}`, []string{"errors|a.b.example.com|handle_errors"}},
	{"handle_errors of one host does not answer for a wildcard", `http://*.example.com {
		logto_auth {
			AUTH
			errors handle_errors
		}
	}
	http://a.example.com {
		handle_errors {
			respond "a"
		}
	}`, []string{"errors|*.example.com|handle_errors"}},
	{"handle_errors on a port", `{
		logto_auth {
			errors handle_errors
		}
	}
	:80 {
		logto_auth {
			AUTH
		}
		handle_errors {
			respond "a"
		}
	}`, nil},
	{"no handle_errors on a port", `{
		logto_auth {
			errors handle_errors
		}
	}
	:80 {
		logto_auth {
			AUTH
		}
	}`, []string{"errors|:80|handle_errors"}},

	{"unknown placeholders", `a.example.com {
		header X-User "{http.auth.user.subject}"
		logto_auth {
			AUTH
		}
		handle {
			@staff expression {http.auth.user.scope} == "staff"
			respond @staff "{\"a\": \"{http.auth.user.email}\", \"b\": \"{http.auth.user.}\"}"
		}
		handle_errors {
			respond "{http.auth.user.clientid}"
		}
	}
	b.example.com {
		respond "{http.auth.user.email}"
	}`, []string{
		"placeholder|a.example.com|{http.auth.user.}; a claim is {http.auth.user.claims.<path>}",
		"placeholder|a.example.com|{http.auth.user.clientid}; did you mean {http.auth.user.client_id}?",
		"placeholder|a.example.com|{http.auth.user.email}; if this is a claim, write {http.auth.user.claims.email}",
		"placeholder|a.example.com|{http.auth.user.scope}; did you mean {http.auth.user.scopes}?",
		"placeholder|a.example.com|{http.auth.user.subject}; if this is a claim",
	}},
	{"an unknown placeholder in the error routes of a wildcard", `http://a.example.com {
		logto_auth {
			AUTH
		}
	}
	http://b.example.com {
		logto_auth {
			AUTH
		}
		handle_errors {
			respond "b"
		}
	}
	http://*.example.com {
		handle_errors {
			respond "{http.auth.user.clientid}"
		}
	}`, []string{"placeholder|a.example.com|{http.auth.user.clientid}"}},
	{"an unknown placeholder before logto_auth", `:80 {
		header X-User "{http.auth.user.claims}"
		logto_auth {
			AUTH
		}
	}`, []string{"placeholder|:80|{http.auth.user.claims}; a claim is"}},
	{"placeholders of another module", `:80 {
		logto_auth {
			AUTH
		}
		basic_auth /x {
			bob $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG
		}
		respond "{http.auth.user.email}"
	}`, nil},
	{"scopes that no session can have", `:80 {
		logto_auth {
			endpoint http://127.0.0.1:1
			sign_in app 0123456789abcdef01234567
		}
		logto_require /x* read
		handle /y* {
			logto_require {
				organization org1
			}
		}
		logto_require /z* {
			claim roles admin
			organization forbid
		}
	}`, []string{"scopes|:80|logto_require refuses everyone", "organization|:80|logto_require refuses everyone"}},
	{"scopes that a session can have", `a.test {
		logto_auth {
			AUTH
			sign_in app 0123456789abcdef01234567
		}
		logto_require read
	}
	b.test {
		logto_auth {
			endpoint http://127.0.0.1:1
			sign_in app 0123456789abcdef01234567
		}
		handle /api/* {
			logto_auth {
				AUTH
				sign_in app 0123456789abcdef01234567
			}
			logto_require read
		}
	}`, nil},
}

// TestSurveyOfAdaptedSites judges the JSON of the adapted Caddyfiles.
func TestSurveyOfAdaptedSites(t *testing.T) {
	for _, test := range surveyCases {
		t.Run(test.name, func(t *testing.T) {
			adapted := caddytest.Adapt(t, strings.ReplaceAll(test.caddyfile, "AUTH", surveyAuth))
			compareSiteWarnings(t, surveyJSON(t, adapted), test.want)
		})
	}
}

func surveyJSON(t *testing.T, adapted []byte) []siteWarning {
	t.Helper()
	var found []siteWarning
	for _, server := range serversOf(t, adapted) {
		auths, unmet := server.findAuths()
		found = slices.Concat(found, server.warnings(), unmet, conflictingWebhooks(auths))
	}
	return found
}

// TestSurveyOfWhatWeRecommend shows that no Caddyfile of the documentation and
// the examples is warned of.
func TestSurveyOfWhatWeRecommend(t *testing.T) {
	texts := make(map[string][]string) // by file
	for _, pattern := range []string{"Caddyfile.example", "examples/*/Caddyfile", "*.md", "docs/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(string(content), "\r\n", "\n")
			if filepath.Ext(file) != ".md" {
				texts[file] = []string{text}
			}
			for _, block := range regexp.MustCompile("(?ms)^```caddyfile\n(.*?)\n```$").FindAllStringSubmatch(text, -1) {
				texts[file] = append(texts[file], block[1])
			}
		}
	}
	surveyed := 0
	for file, blocks := range texts {
		for _, block := range blocks {
			adapted, _, err := adaptCaddyfile(block)
			if err != nil || !strings.Contains(block, authDirective) {
				continue // a part of a Caddyfile, or none of ours
			}
			surveyed++
			for _, w := range surveyJSON(t, adapted) {
				t.Errorf("%s: %s: %s\n%s", file, w.site, w.text, block)
			}
		}
	}
	if surveyed < 20 {
		t.Errorf("only %d Caddyfiles were found", surveyed)
	}
}

// TestSurveyOfLoadedSites shows that a running Caddy, which has forgotten part
// of its JSON by then, says the same, on every reload.
func TestSurveyOfLoadedSites(t *testing.T) {
	s := caddytest.Start(t, ":80 {\n\trespond ok\n}")
	for _, test := range append(slices.Clone(surveyCases), surveyCases[1]) {
		t.Run(test.name, func(t *testing.T) {
			seen := len(s.Logs())
			if err := s.Load(strings.ReplaceAll(test.caddyfile, "AUTH", surveyAuth)); err != nil {
				t.Fatal(err)
			}
			var got []siteWarning
			for line := range strings.Lines(s.Logs()[seen:]) {
				var entry struct{ Level, Logger, Msg, Setting, Site string }
				if err := json.Unmarshal([]byte(line), &entry); err != nil {
					t.Fatal(err)
				}
				if entry.Level == "warn" && entry.Logger == appName && entry.Site != "" {
					got = append(got, siteWarning{strings.ReplaceAll(entry.Site, "127.0.0.1:0", ":80"), warning{entry.Setting, entry.Msg}})
				}
			}
			compareSiteWarnings(t, got, test.want)
		})
	}
}

// TestSurveyOfValidatedSites shows that `caddy validate` warns: it provisions a
// config and never starts it.
func TestSurveyOfValidatedSites(t *testing.T) {
	logs := filepath.Join(t.TempDir(), "log")
	var config caddy.Config
	adapted := caddytest.Adapt(t, `{
		admin off
		storage file_system `+t.TempDir()+`
		log {
			output file `+logs+`
		}
	}
	a.example.com {
		tls internal
		logto_require read
	}`)
	if err := json.Unmarshal(adapted, &config); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&config); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(logs)
	if err != nil || strings.Count(string(got), `"site":"a.example.com"`) != 1 {
		t.Errorf("%v: %s", err, got)
	}
}

// TestSurveyOfJSON judges what no Caddyfile adapts to.
func TestSurveyOfJSON(t *testing.T) {
	for _, test := range []struct {
		name, server string
		want         []string
	}{
		{"nothing", `{}`, nil},
		{"named routes in a circle", `{"routes": [{"handle": [{"handler": "invoke", "name": "a"}]}], "named_routes": {
			"a": {"handle": [{"handler": "invoke", "name": "b"}]},
			"b": {"handle": [{"handler": "invoke", "name": "a"}, {"handler": "logto_require"}]}}}`, []string{"logto_require||"}},
		{"one logto_auth before all sites", `{"routes": [
			{"handle": [{"handler": "logto_auth"}]},
			{"match": [{"host": ["a.example"]}], "handle": [{"handler": "logto_require"}]}]}`, nil},
		{"some hosts only", `{"routes": [
			{"match": [{"host": ["a.example"]}, {"path": ["/a"]}], "handle": [{"handler": "logto_auth"}]},
			{"match": [{"host": ["b.example"]}, {"host": ["c.example"]}], "handle": [{"handler": "logto_require"}]}]}`, nil},
		{"a site is not another", `{"routes": [
			{"match": [{"host": ["a.example"]}], "handle": [{"handler": "logto_auth"}]},
			{"match": [{"host": ["b.example"]}, {"host": ["c.example"]}], "handle": [{"handler": "logto_require"}]}]}`, []string{"logto_require|b.example c.example|"}},
		{"the readings of a path", `{"routes": [
			{"handle": [{"handler": "rewrite", "uri": "/x"}]},
			{"match": [{"logto_any_reading": [{"path": ["/a"]}]}], "handle": [{"handler": "logto_auth"}]},
			{"match": [{"logto_any_reading": [{"not": [{"path": ["/a"]}]}]}], "handle": [{"handler": "logto_auth"}]}]}`, []string{"matcher||rewrite … /x runs before logto_auth /a"}},
		{"one of two sets has no path", `{"routes": [
			{"handle": [{"handler": "rewrite", "uri": "/x"}]},
			{"match": [{"path": ["/a"]}, {"method": ["POST"]}], "handle": [{"handler": "logto_auth"}]}]}`, nil},
		{"error routes of a subroute", `{"routes": [{"handle": [
			{"handler": "subroute", "routes": [{"handle": [{"handler": "logto_auth", "errors": "handle_errors"}]}], "errors": {"routes": [{"handle": [{"handler": "static_response"}]}]}}]}]}`, nil},
		{"error routes of a hundred hosts and a wildcard", `{"routes": [
			{"match": [{"host": ["a.example"]}], "handle": [{"handler": "logto_auth", "errors": "handle_errors"}]}], "errors": {"routes": [
			{"match": [{"host": [` + strings.Repeat(`"b.test", `, 100) + `"*.example"]}], "handle": [{"handler": "static_response"}]}]}}`, nil},
		{"error routes that only tidy up", `{"routes": [{"handle": [{"handler": "logto_auth", "errors": "handle_errors"}]}],
			"errors": {"routes": [{"handle": [{"handler": "subroute", "routes": [{"handle": [{"handler": "logto_strip_identity"}]}]}]}]}}`, []string{"errors||"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var server surveyedServer
			if err := json.Unmarshal([]byte(test.server), &server); err != nil {
				t.Fatal(err)
			}
			compareSiteWarnings(t, server.warnings(), test.want)
		})
	}
}

func compareSiteWarnings(t *testing.T, got []siteWarning, want []string) {
	t.Helper()
	for i, w := range got {
		if i >= len(want) {
			t.Errorf("an unexpected warning: %s|%s|%s", w.setting, w.site, w.text)
			continue
		}
		parts := strings.SplitN(want[i], "|", 3)
		if w.setting != parts[0] || w.site != parts[1] || !strings.Contains(w.text, parts[2]) {
			t.Errorf("got %s|%s|%s, want %s", w.setting, w.site, w.text, want[i])
		}
	}
	if len(got) < len(want) {
		t.Errorf("no warning: %v", want[len(got):])
	}
}
