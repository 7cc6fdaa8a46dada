package logtoauth

import (
	"context"
	"encoding/json"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestIsAppNeedsTheSameSubjectAndClient(t *testing.T) {
	for _, test := range []struct {
		name, subject, client string
		want                  bool
	}{
		{"machine to machine", "app-1", "app-1", true},
		{"a user", "user-1", "app-1", false},
		{"an ID token, which names no client", "user-1", "", false},
		{"neither", "", "", false},
		{"another case", "app-1", "APP-1", false},
	} {
		info := &AuthInfo{Subject: test.subject, ClientID: test.client}
		if got := info.IsApp(); got != test.want {
			t.Errorf("%s: IsApp is %v", test.name, got)
		}
	}
}

func TestClaimText(t *testing.T) {
	for _, test := range []struct{ json, want string }{
		{`"bare"`, "bare"},
		{`""`, ""},
		{`"{env.HOME}"`, "{env.HOME}"},
		{`"<a href=\"x\">"`, `<a href="x">`},
		{`true`, "true"},
		{`false`, "false"},
		{`1.50`, "1.50"},
		{`-0`, "-0"},
		{`null`, ""},
		{`[]`, "[]"},
		{`{}`, "{}"},
		{`["a","b",1,null,true]`, `["a","b",1,null,true]`},
		{`{"b":1,"a":"<&>"}`, `{"a":"<&>","b":1}`},
		{`["line\nbreak"]`, `["line\nbreak"]`},
	} {
		claims := mustDecode(t, `{"exp":1,"c":`+test.json+`}`).allClaims()
		if got := claimText(claims["c"]); got != test.want {
			t.Errorf("%s is shown as %q, not %q", test.json, got, test.want)
		}
	}
}

// One AuthInfo serves all requests that show the token, so the claims are
// decoded under concurrency. Worth running with -race.
func TestClaimIsSafeForConcurrentRequests(t *testing.T) {
	info := mustDecode(t, `{"exp":1,"roles":["admin"]}`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if value, _ := info.Claim("roles.0"); value != "admin" {
				t.Errorf("roles.0 is %v", value)
			}
		})
	}
	wg.Wait()
}

func TestFromContextWithoutAdmission(t *testing.T) {
	withVars := func(vars map[string]any) context.Context {
		return context.WithValue(t.Context(), caddyhttp.VarsCtxKey, vars)
	}
	admitted := &AuthInfo{Subject: "user-1"}
	for _, test := range []struct {
		name string
		ctx  context.Context
	}{
		{"outside of Caddy", t.Context()},
		{"no logto_auth", withVars(map[string]any{})},
		{"another handler's variable of the same name", withVars(map[string]any{stateVar: admitted})},
		{"a string variable set by the site", withVars(map[string]any{stateVar: "user-1"})},
		{"refused", withVars(map[string]any{stateVar: &requestState{refusal: refusedMissingToken}})},
		{"anonymous", withVars(map[string]any{stateVar: &requestState{anonymous: refusedMissingToken}})},
		{"a preflight", withVars(map[string]any{stateVar: &requestState{preflight: true}})},
	} {
		if info, ok := FromContext(test.ctx); ok || info != nil {
			t.Errorf("%s: a user appears from nowhere: %+v", test.name, info)
		}
	}
}

func TestFromContextGivesACopyWithTheCheckedOrganization(t *testing.T) {
	shared := mustDecode(t, `{"exp":1,"sub":"user-1","aud":"urn:logto:organization:org-1","role":"admin"}`)
	state := &requestState{info: shared, organizationID: "org-1"}
	ctx := context.WithValue(t.Context(), caddyhttp.VarsCtxKey, map[string]any{stateVar: state})

	info, ok := FromContext(ctx)
	if !ok || info.Subject != "user-1" || info.OrganizationID != "org-1" {
		t.Fatalf("FromContext gives %+v, %v", info, ok)
	}
	if value, _ := info.Claim("role"); value != "admin" {
		t.Errorf("the copy has lost its claims: role is %v", value)
	}
	info.Subject = "admin"
	if shared.Subject != "user-1" || shared.OrganizationID != "" {
		t.Error("a handler can change what other requests with the same token see")
	}
}

func TestClaimGivesNumbersAsWritten(t *testing.T) {
	info := mustDecode(t, `{"exp":1795193579}`)
	if value, ok := info.Claim("exp"); !ok || value != json.Number("1795193579") {
		t.Errorf("exp is %T %v", value, value)
	}
}

func TestLookupClaim(t *testing.T) {
	const payload = `{"exp":1,"sub":"user-1","roles":["admin","editor"],"nothing":null,"n":12345678901234567890,"yes":true,
		"act":{"sub":"actor-1","nothing":null},"teams":[{"name":"a"},null,[1,[2]]],"0":"zero",
		"https://example.com/role":"namespaced","a.b":{"c.d":"dotted"},"":"empty","long":{"\u0061":"escaped"}}`
	info := mustDecode(t, payload)
	for _, test := range []struct {
		path string
		want string // as a placeholder shows it; "-" if not found
	}{
		{"sub", "user-1"},
		{"SUB", "-"},
		{"roles", `["admin","editor"]`},
		{"roles.0", "admin"},
		{"roles.1", "editor"},
		{"roles.2", "-"},
		{"roles.-1", "-"},
		{"roles.+1", "-"},
		{"roles.1e0", "-"},
		{"roles.0x1", "-"},
		{"roles. 1", "-"},
		{"roles.99999999999999999999", "-"},
		{"roles.4294967296", "-"},
		{"roles.length", "-"},
		{"roles.0.0", "-"},
		{"act.sub", "actor-1"},
		{"act.nothing", "-"},
		{"act.sub.x", "-"},
		{"act", `{"nothing":null,"sub":"actor-1"}`},
		{"nothing", "-"},
		{"nothing.x", "-"},
		{"teams.0.name", "a"},
		{"teams.1", "-"},
		{"teams.2.1.0", "2"},
		{"teams.2.1", "[2]"},
		{"0", "zero"},
		{"n", "12345678901234567890"},
		{"n.0", "-"},
		{"yes", "true"},
		{"yes.x", "-"},
		{`https://example\.com/role`, "namespaced"},
		{"https://example.com/role", "-"},
		{`a\.b.c\.d`, "dotted"},
		{"a.b", "-"},
		{"long.a", "escaped"},
		{"absent", "-"},
		{"", "-"},
		{"sub.", "-"},
		{`sub\`, "-"},
	} {
		value, ok := info.Claim(test.path)
		got := "-"
		if ok {
			got = claimText(value)
		}
		if got != test.want {
			t.Errorf("%q is %s, not %s", test.path, got, test.want)
		}
		if !ok && value != nil {
			t.Errorf("%q is not found and yet %v", test.path, value)
		}
	}
}

// A claim of twenty digits read as a float would be another user's.
func TestLookupClaimKeepsEveryDigit(t *testing.T) {
	info := mustDecode(t, `{"exp":1,"a":9007199254740993,"b":1.0,"c":1e2,"d":[9007199254740993]}`)
	for path, want := range map[string]string{"a": "9007199254740993", "b": "1.0", "c": "1e2", "d": "[9007199254740993]"} {
		value, _ := info.Claim(path)
		if got := claimText(value); got != want {
			t.Errorf("%s is %s, not %s", path, got, want)
		}
	}
	if value, _ := info.Claim("a"); value != json.Number("9007199254740993") {
		t.Errorf("a number is a %T", value)
	}
}
