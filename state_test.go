package logtoauth_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

func TestAccessLogTellsUserAndReason(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	auth := fmt.Sprintf("logto_auth {\nendpoint %s\naudience %s\n%%s\n}\n", tenant.URL, meteredAPI)
	s := caddytest.Start(t, "http://127.0.0.1 {\nlog\n"+
		"handle /reporting {\n"+fmt.Sprintf(auth, "report_only")+"logto_require write\nrespond ok\n}\n"+
		"handle {\n"+fmt.Sprintf(auth, "")+"respond ok\n}\n}\n")
	token := tenant.Token(devtenant.TokenRequest{Resource: meteredAPI, Subject: "user-1"})
	for _, test := range []struct {
		name, path   string
		options      []caddytest.Option
		reason, user string
	}{
		{"admitted", "/", []caddytest.Option{caddytest.Bearer(token)}, "", "user-1"},
		{"refused", "/", nil, "missing_token", ""},
		{"reported", "/reporting", nil, "missing_token", ""},
		{"reported, but verified", "/reporting", []caddytest.Option{caddytest.Bearer(token)}, "insufficient_scope", "user-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(s.Logs())
			s.Get(test.path, test.options...)
			var entry struct {
				Logger string `json:"logger"`
				Reason string `json:"logto_reason"`
				User   string `json:"user_id"`
			}
			for line := range strings.Lines(s.Logs()[before:]) {
				if strings.Contains(line, `"logger":"http.log.access"`) {
					if err := json.Unmarshal([]byte(line), &entry); err != nil {
						t.Fatal(err)
					}
				}
			}
			if entry.Logger == "" || entry.Reason != test.reason || entry.User != test.user {
				t.Errorf("logged %+v, not reason %q and user %q", entry, test.reason, test.user)
			}
		})
	}
}

// Caddy runs error routes when the handlers are done. What a logto_auth there
// refuses, the client was refused.
func TestRequestsThatErrorRoutesAnswerCountOnceToo(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	auth := func(settings string) string {
		return fmt.Sprintf("logto_auth {\n endpoint %s\n audience %s\n %s\n}\n", tenant.URL, meteredAPI, settings)
	}
	admin := "logto_auth {\n endpoint " + tenant.URL + "\n audience " + meteredAPI + "\n scopes admin\n errors handle_errors\n}\n"
	s := caddytest.Start(t, meteredSite(
		"handle /broken/* {\n"+auth("")+"error 502\n}",
		"handle /optional/* {\n"+auth("optional")+"error 502\n}",
		"handle /reporting/* {\n"+auth("report_only\nscopes admin")+"error 502\n}",
		"handle /required/* {\n"+auth("errors handle_errors")+"logto_require write\n}",
		"handle /refused/* {\n"+auth("errors handle_errors")+"}",
		"handle /before/* {\nerror 502\n}",
		`handle_errors {
			@shown path */shown
			handle @shown {
				respond oops
			}
			@optional path */optional
			handle @optional {
				`+auth("optional")+`
				respond oops
			}
			@admin path */admin
			handle @admin {
				`+strings.Replace(admin, "errors handle_errors", "", 1)+`
				respond oops
			}
			@require path */require
			handle @require {
				logto_require admin
				respond oops
			}
			@fails path */fails
			handle @fails {
				`+admin+`
			}
			@panics path */panics
			handle @panics {
				abort
			}
		}`,
	))
	token := caddytest.Bearer(tenant.Token(devtenant.TokenRequest{Resource: meteredAPI, Scope: "read"}))
	const (
		admitted  = `{outcome="admitted",reason=""}`
		anonymous = `{outcome="anonymous",reason=""}`
		missing   = `{outcome="refused",reason="missing_token"}`
		scope     = `{outcome="refused",reason="insufficient_scope"}`
		reported  = `{outcome="reported",reason="insufficient_scope"}`
	)
	for _, test := range []struct {
		path  string
		token bool
		want  string
	}{
		{"/broken/shown", true, admitted},
		{"/broken/optional", true, admitted},
		{"/broken/admin", true, scope},
		{"/broken/require", true, scope},
		{"/broken/fails", true, scope},
		{"/broken/panics", true, admitted},
		{"/optional/shown", false, anonymous},
		{"/optional/admin", false, missing},
		{"/reporting/shown", true, reported},
		{"/reporting/optional", true, reported},
		{"/reporting/admin", true, scope},
		{"/required/shown", true, scope},
		{"/required/optional", true, scope},
		{"/refused/shown", false, missing},
		{"/refused/optional", false, missing},
		{"/refused/admin", false, missing},
		{"/before/shown", true, ""},
		{"/before/optional", true, admitted},
		{"/before/admin", true, scope},
		{"/before/require", true, missing},
		{"/before/fails", true, scope},
	} {
		before := scrape(s)
		switch {
		case strings.HasSuffix(test.path, "panics"):
			// Not with GET, which net/http sends again.
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+test.path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			token(request)
			if response, err := s.Client.Do(request); err == nil {
				response.Body.Close()
				t.Errorf("%s was answered", test.path)
			}
		case test.token:
			s.Get(test.path, token)
		default:
			s.Get(test.path)
		}
		want := map[string]float64{}
		if test.want != "" {
			want[test.want] = 1
		}
		if got := requestsSince(before, scrape(s)); !maps.Equal(got, want) {
			t.Errorf("%s: counted %v, not %v", test.path, got, want)
		}
	}
}

// In JSON every subroute may have error routes, which may fail too.
func TestErrorRoutesOfASubrouteCountOnce(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	auth := fmt.Sprintf(`{"handler":"logto_auth","endpoint":%q,"audiences":[%q]`, tenant.URL, meteredAPI)
	const fail = `{"handler":"error","status_code":502}`
	admin := auth + `,"scopes":["admin"],"errors":"handle_errors"}`
	for _, test := range []struct{ name, inner, outer, want string }{
		{"answered by the subroute's", `{"handler":"static_response"}`, `{"handler":"static_response"}`, `{outcome="admitted",reason=""}`},
		{"refused by the subroute's", auth + `,"scopes":["admin"]}`, `{"handler":"static_response"}`, `{outcome="refused",reason="insufficient_scope"}`},
		{"refused by the subroute's, shown by the server's", admin, `{"handler":"static_response"}`, `{outcome="refused",reason="insufficient_scope"}`},
		{"refused by the server's", fail, admin, `{outcome="refused",reason="insufficient_scope"}`},
		{"refused by the subroute's, where the server has none", auth + `,"scopes":["admin"]}`, "", `{outcome="refused",reason="insufficient_scope"}`},
		{"failed in the subroute's, where the server has none", admin, "", `{outcome="refused",reason="insufficient_scope"}`},
	} {
		errors := ""
		if test.outer != "" {
			errors = `,"errors":{"routes":[{"handle":[` + test.outer + `]}]}`
		}
		s := caddytest.Start(t, meteredSite())
		err := s.LoadJSON([]byte(`{"apps":{"http":{"servers":{"srv0":{"listen":[":80"],"routes":[
			{"match":[{"path":["/metrics"]}],"handle":[{"handler":"metrics"}],"terminal":true},
			{"handle":[{"handler":"subroute","routes":[{"handle":[` + auth + "}," + fail + `]}],"errors":{"routes":[{"handle":[` + test.inner + `]}]}}]}]` + errors + `}}}}}`))
		if err != nil {
			t.Fatal(err)
		}
		before := scrape(s)
		s.Get("/", caddytest.Bearer(tenant.Token(devtenant.TokenRequest{Resource: meteredAPI})))
		if got, want := requestsSince(before, scrape(s)), map[string]float64{test.want: 1}; !maps.Equal(got, want) {
			t.Errorf("%s: counted %v, not %v", test.name, got, want)
		}
	}
}
