package logtoauth

import (
	"slices"
	"testing"

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
		{"trailing slash, earlier", Handler{Audiences: []string{"https://a.example.com/", "x", "https://a.example.com"}}, []string{"audience"}},
		{"query", Handler{TokenSources: []TokenSource{{From: "header", Name: "Authorization"}, {From: "query", Name: "access_token"}}}, []string{"token_from"}},
		{"all at once", Handler{ReportOnly: true, OrganizationMode: "ignore"}, []string{"organization", "report_only"}},
	} {
		core, logs := observer.New(zapcore.DebugLevel)
		test.handler.warn(zap.New(core))
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
