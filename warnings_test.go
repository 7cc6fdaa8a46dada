package logtoauth

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestWarnings(t *testing.T) {
	for _, test := range []struct {
		name    string
		handler Handler
		want    []string
	}{
		{"nothing odd", Handler{Audiences: []string{"https://a.example.com", "https://b.example.com/"}, TokenTypes: []string{"at+jwt"}, OrganizationMode: "any"}, nil},
		{"any type", Handler{TokenTypes: []string{"any"}}, []string{"token_type"}},
		{"organization not checked", Handler{OrganizationMode: "ignore"}, []string{"organization"}},
		{"nothing enforced", Handler{ReportOnly: true}, []string{"report_only"}},
		{"trailing slash, later", Handler{Audiences: []string{"https://a.example.com", "https://a.example.com/"}}, []string{"audience"}},
		{"trailing slash, earlier", Handler{Audiences: []string{"https://a.example.com/", "urn:x", "https://a.example.com"}}, []string{"audience"}},
		{"query", Handler{TokenSources: []TokenSource{{From: "header", Name: "Authorization"}, {From: "query", Name: "access_token"}}}, []string{"token_from"}},
		{"an audience without scheme", Handler{Audiences: []string{"api.example.com"}}, []string{"audience"}},
		{"a client's ID as the audience of ID tokens", Handler{Audiences: []string{"spa"}, TokenTypes: []string{"any"}}, []string{"token_type"}},
		{"an audience with a comma", Handler{Audiences: []string{"https://a.example.com/x,y"}}, []string{"audience"}},
		{"scopes with commas", Handler{Scopes: []string{"a,", "b,c"}, AnyScopes: []string{"d,e"}}, []string{"scopes", "any_scope"}},
		{"an issuer without /oidc", Handler{Issuers: []string{"https://a.example.com/oidc", "https://b.example.com"}}, []string{"issuer"}},
		{"an issuer with a slash too many", Handler{Issuers: []string{"https://a.example.com/oidc/"}}, []string{"issuer"}},
		{"the Management API's path", Handler{Endpoint: "https://auth.example.com/api"}, []string{"endpoint"}},
		{"a claim like a header", Handler{ForwardClaims: []ForwardClaim{{Claim: "sub", Header: "X-User"}, {Claim: "remote_user", Header: "sub"}}}, []string{"forward_claim"}},
		{"sessions of 14 days", Handler{SignIn: &SignIn{Lifetime: caddy.Duration(14 * 24 * time.Hour), Idle: caddy.Duration(20 * 24 * time.Hour)}}, nil},
		{"sessions of 15 days", Handler{SignIn: &SignIn{Lifetime: caddy.Duration(15 * 24 * time.Hour)}}, []string{"sign_in.lifetime"}},
		{"metadata for tokens that are refused", Handler{SignIn: &SignIn{}, ResourceMetadata: &ResourceMetadata{}}, []string{"resource_metadata"}},
		{"metadata beside sign_in", Handler{SignIn: &SignIn{}, Audiences: []string{"https://a.example.com"}, ResourceMetadata: &ResourceMetadata{}}, nil},
		{"all at once", Handler{ReportOnly: true, OrganizationMode: "ignore"}, []string{"organization", "report_only"}},
	} {
		core, logs := observer.New(zapcore.DebugLevel)
		warn(zap.New(core), test.handler.warnings())
		var settings []string
		for _, entry := range logs.All() {
			if entry.Level != zapcore.WarnLevel || entry.Message == "" {
				t.Errorf("%s: %s %q", test.name, entry.Level, entry.Message)
			}
			settings = append(settings, entry.ContextMap()["setting"].(string))
		}
		if !slices.Equal(settings, test.want) {
			t.Errorf("%s: warned of %v, not %v", test.name, settings, test.want)
		}
	}
}

func TestWarningsOfRequire(t *testing.T) {
	q := Require{Scopes: []string{"read:a,", "write:a"}, AnyScopes: []string{"x"}}
	found := q.warnings()
	if len(found) != 1 || found[0].setting != "scopes" || !strings.HasSuffix(found[0].text, ": scopes read:a write:a") {
		t.Errorf("%v", found)
	}
	if found := (&Require{Scopes: []string{"read:a"}}).warnings(); len(found) > 0 {
		t.Errorf("%v", found)
	}
}
