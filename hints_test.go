package logtoauth

import (
	"strings"
	"testing"
)

func TestEveryReasonHasAHint(t *testing.T) {
	site := siteDemand(t, &Handler{Audiences: []string{testAPI}})
	info := mustDecode(t, `{"exp":1,"aud":"https://other.example.com"}`)
	for _, test := range allRefusals() {
		if hint(test.refusal, info, "opaque", site) == "" {
			t.Errorf("%s has no hint", test.reason)
		}
	}
}

// siteDemand is what a site demands whose organizations have no placeholders.
func siteDemand(tb testing.TB, h *Handler) demand {
	tb.Helper()
	return demand{requirements: siteRequirements(tb, h), organizations: h.Organizations, sources: newTokenSources(h.TokenSources)}
}

func TestHints(t *testing.T) {
	global := &Handler{Audiences: []string{testAPI, "https://api.example.com:8443/v1"}}
	organization := &Handler{Organizations: []string{"org-1"}}
	organizationAPI := &Handler{Audiences: []string{testAPI}, Organizations: []string{"org-1"}}
	audience := refuseForbidden(ReasonWrongAudience, "", "")
	opaque := refuseToken(ReasonOpaqueToken, "", "")
	for _, test := range []struct {
		name    string
		refusal *Refusal
		site    *Handler
		claims  string
		token   string
		want    string
	}{
		{"trailing slash too many", audience, global, `"aud":"https://api.example.com/"`, "", "aud https://api.example.com/ differs from https://api.example.com only by a trailing slash"},
		{"upper case", audience, global, `"aud":"https://API.example.com"`, "", "only by upper and lower case"},
		{"http for https", audience, global, `"aud":"http://api.example.com"`, "", "only by its scheme"},
		{"the second audience", audience, global, `"aud":"https://api.example.com:8443/v1/"`, "", "differs from https://api.example.com:8443/v1 only by a trailing slash"},
		{"another API", audience, global, `"aud":"https://other.example.com"`, "", "request it with resource=https://api.example.com or https://api.example.com:8443/v1 and without organization_id"},
		{"an organization's token at an API", audience, organizationAPI, `"aud":"urn:logto:organization:org-1"`, "", "keep organization_id=org-1 and add resource=https://api.example.com"},
		{"an API's token at an organization", audience, organization, `"aud":"https://api.example.com"`, "", "request it with organization_id=org-1 and without resource; aud is then urn:logto:organization:org-1"},
		{"opaque token", opaque, global, "", "abc", "opaque token: the client must ask for resource=https://api.example.com"},
		{"opaque token at an organization", opaque, organization, "", "abc", "ask for organization_id"},
		{"personal access token", opaque, global, "", "pat_abc", "personal access token"},
		{"subject token", opaque, global, "", "sub_abc", "subject token"},
		{"ID token by type", refuseToken(ReasonUnsupportedType, "", "typ"), global, "", "", "this is an ID token"},
		{"ID token by client_id", refuseMissingClaim("client_id"), global, "", "", "this is an ID token"},
		{"encrypted token", refuseMalformed(detailEncrypted), global, "", "", "JWE"},
		{"cut off", refuseMalformed("segments"), global, "", "", "cut off"},
		{"extension", refuseMalformed("crit"), global, "", "", "extension (crit)"},
		{"no organization", refuseOrganization(ReasonMissingOrganization, ""), organizationAPI, "", "", "request it with resource=https://api.example.com and organization_id=org-1"},
		{"unresolved organization", refuseOrganization(ReasonWrongOrganization, "why"), organizationAPI, "", "", "why"},
		{"claim", &Refusal{Reason: ReasonClaimMismatch, Detail: "role"}, global, "", "", "the claim role"},
	} {
		claims := `"exp":1`
		if test.claims != "" {
			claims += "," + test.claims
		}
		got := hint(test.refusal, mustDecode(t, `{`+claims+`}`), test.token, siteDemand(t, test.site))
		if !strings.Contains(got, test.want) {
			t.Errorf("%s: %q does not say %q", test.name, got, test.want)
		}
	}
}

// What cannot be read, or was never sent, is nothing to fall over.
func TestHintsWithoutASiteOrClaims(t *testing.T) {
	for _, test := range allRefusals() {
		_ = hint(test.refusal, nil, "", demand{})
	}
}

// Telling a client with a good token to send one would lead the operator away
// from the Caddyfile, which is where the mistake is.
func TestHintNamesAMissingLogtoAuth(t *testing.T) {
	refusal := new(Require).decide(new(requestState), nil)
	if got := hint(refusal, nil, "", demand{}); !strings.Contains(got, "no logto_auth matched this request") {
		t.Errorf("the hint is %q", got)
	}
}

func TestHintNamesTheTokensIssuer(t *testing.T) {
	refusal := refuseToken(ReasonWrongIssuer, "", "iss")
	if got := hint(refusal, &AuthInfo{Issuer: "https://other\n.example/oidc"}, "", demand{}); !strings.Contains(got, "https://other�.example/oidc") {
		t.Errorf("the hint is %q", got)
	}
}
