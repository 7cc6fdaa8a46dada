package logtoauth

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// capturedToken is a token that a real Logto issued.
type capturedToken struct {
	Name    string         `json:"name"`
	Format  string         `json:"format"`
	Token   string         `json:"token"`
	Header  map[string]any `json:"header"`
	Payload map[string]any `json:"payload"`
}

// capturedTokens are all of them by name.
func capturedTokens(tb testing.TB) map[string]capturedToken {
	tb.Helper()
	var list []capturedToken
	if err := json.Unmarshal(captured(tb, "tokens.json"), &list); err != nil {
		tb.Fatal(err)
	}
	tokens := make(map[string]capturedToken, len(list))
	for _, token := range list {
		tokens[token.Name] = token
	}
	return tokens
}

func captured(tb testing.TB, file string) []byte {
	tb.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "logto", file))
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

// capturedIssuer is the issuer of every captured token.
const capturedIssuer = "http://localhost:3001/oidc"

// moment is when a captured token was young.
func (c capturedToken) moment() time.Time {
	issued, ok := c.Payload["iat"].(float64)
	if !ok {
		return time.Now()
	}
	return time.Unix(int64(issued)+2, 0)
}

func TestCapturedTokens(t *testing.T) {
	const (
		longlived  = "https://longlived.example.com"
		management = "https://default.logto.app/api"
		acme       = "3fmepazdyzhi"
		globex     = "qzt6mzdal737"
	)
	read := []string{"read:products"}
	api := Handler{Audiences: []string{testAPI}, Scopes: read}
	long := Handler{Audiences: []string{longlived}, Scopes: read}
	longOrganization := Handler{Audiences: []string{longlived}, Organizations: []string{acme}, Scopes: read}
	organization := Handler{Organizations: []string{acme}, Scopes: []string{"read:members"}}
	organizationAPI := Handler{Audiences: []string{testAPI}, Organizations: []string{acme}, Scopes: read}
	anyOrganization := Handler{OrganizationMode: "any"}
	apiAny := Handler{Audiences: []string{testAPI}, OrganizationMode: "any"}
	apiIgnore := Handler{Audiences: []string{testAPI}, OrganizationMode: "ignore"}

	tested := make(map[string]bool)
	tokens := capturedTokens(t)
	for _, test := range []struct {
		token string
		keys  string
		site  Handler
		want  string // "ok" and the organization, or the reason
	}{
		{"longlived-m2m-global-api", "jwks.json", long, "ok"},
		{"longlived-m2m-global-api", "jwks.json", Handler{Audiences: []string{longlived}, Scopes: []string{"read:products", "write:orders", "api:read", "api:write"}}, "ok"},
		{"longlived-m2m-global-api", "jwks.json", longOrganization, "missing_organization"},
		{"longlived-m2m-global-api", "jwks.json", api, "wrong_audience"},
		{"longlived-m2m-noscope", "jwks.json", long, "insufficient_scope"},
		{"longlived-m2m-noscope", "jwks.json", Handler{Audiences: []string{longlived}}, "ok"},
		{"longlived-m2m-org-api", "jwks.json", longOrganization, "ok " + acme},
		{"longlived-m2m-org-api", "jwks.json", long, "organization_forbidden"},
		{"longlived-user-global-api", "jwks.json", long, "ok"},
		{"longlived-user-org-api", "jwks.json", longOrganization, "ok " + acme},
		{"longlived-user-org-api", "jwks.json", Handler{Audiences: []string{longlived}, Organizations: []string{globex}}, "wrong_organization"},

		{"m2m-global-api", "jwks.json", api, "ok"},
		{"m2m-global-api", "jwks.json", apiIgnore, "ok"},
		{"m2m-global-api", "jwks.json", apiAny, "missing_organization"},
		{"m2m-global-api", "jwks.json", anyOrganization, "wrong_audience"},
		{"m2m-global-api", "jwks-0-initial-ec.json", api, "ok"},
		{"m2m-global-api", "jwks-seeded-prime256v1.json", api, "unknown_key"},
		{"m2m-global-api-noscope", "jwks.json", api, "insufficient_scope"},
		{"m2m-global-api-noscope", "jwks.json", Handler{Audiences: []string{testAPI}}, "ok"},
		{"m2m-global-api-subset", "jwks.json", api, "ok"},
		{"m2m-global-api-subset", "jwks.json", Handler{Audiences: []string{testAPI}, Scopes: []string{"read:products", "write:orders"}}, "insufficient_scope"},
		{"m2m-global-api-subset", "jwks.json", Handler{Audiences: []string{testAPI}, AnyScopes: []string{"read:products", "write:orders"}}, "ok"},
		{"m2m-organization", "jwks.json", organization, "ok " + acme},
		{"m2m-organization", "jwks.json", anyOrganization, "ok " + acme},
		{"m2m-organization", "jwks.json", api, "wrong_audience"},
		{"m2m-organization", "jwks.json", organizationAPI, "wrong_audience"},
		{"m2m-organization-globex", "jwks.json", organization, "wrong_organization"},
		{"m2m-organization-globex", "jwks.json", anyOrganization, "ok " + globex},
		{"m2m-organization-noscope", "jwks.json", organization, "insufficient_scope"},
		{"m2m-organization-noscope", "jwks.json", anyOrganization, "ok " + acme},
		{"m2m-org-api", "jwks.json", organizationAPI, "ok " + acme},
		{"m2m-org-api", "jwks.json", apiAny, "ok " + acme},
		{"m2m-org-api", "jwks.json", apiIgnore, "ok " + acme},
		{"m2m-org-api", "jwks.json", api, "organization_forbidden"},
		{"m2m-org-api", "jwks.json", organization, "wrong_audience"},
		{"m2m-org-api-globex", "jwks.json", organizationAPI, "wrong_organization"},
		{"m2m-org-api-globex", "jwks.json", apiAny, "ok " + globex},
		{"m2m-management-api", "jwks.json", Handler{Audiences: []string{management}, Scopes: []string{"all"}}, "ok"},
		{"m2m-management-api", "jwks.json", api, "wrong_audience"},

		{"user-global-api", "jwks.json", api, "ok"},
		{"user-global-api", "jwks.json", organizationAPI, "missing_organization"},
		{"user-organization", "jwks.json", organization, "ok " + acme},
		{"user-organization", "jwks.json", api, "wrong_audience"},
		{"user-org-api", "jwks.json", organizationAPI, "ok " + acme},
		{"user-org-api", "jwks.json", api, "organization_forbidden"},
		{"user-impersonation-api-act", "jwks.json", api, "ok"},
		{"user-impersonation-api-act", "jwks.json", Handler{Audiences: []string{testAPI}, Claims: []ClaimRequirement{{"act.sub", []string{"2q1jecvutosn"}}}}, "ok"},
		{"user-impersonation-api-act", "jwks.json", Handler{Audiences: []string{testAPI}, Claims: []ClaimRequirement{{"act.sub", []string{"somebody"}}}}, "claim_mismatch"},
		{"user-id-token", "jwks.json", api, "unsupported_type"},
		{"user-id-token", "jwks.json", anyOrganization, "unsupported_type"},
		{"user-id-token", "jwks.json", Handler{Audiences: []string{"7b5wru4x48p6ne3akjido"}}, "unsupported_type"},
		{"user-id-token", "jwks.json", Handler{Audiences: []string{"7b5wru4x48p6ne3akjido"}, TokenTypes: []string{"any"}}, "ok"},
		{"user-authcode-initial-access-token", "jwks.json", api, "opaque_token"},
		{"user-authcode-initial-access-token", "jwks.json", Handler{Audiences: []string{testAPI}, TokenTypes: []string{"any"}}, "opaque_token"},

		{"seeded-prime256v1", "jwks-seeded-prime256v1.json", api, "ok"},
		{"seeded-prime256v1", "jwks.json", api, "unknown_key"},
		{"seeded-secp521r1", "jwks-seeded-secp521r1.json", api, "ok"},
		{"seeded-rsa2048", "jwks-seeded-rsa2048.json", api, "ok"},
		{"seeded-rsa2048", "jwks-seeded-rsa2048.json", Handler{Audiences: []string{testAPI}, Algorithms: []string{"ES384"}}, "disallowed_algorithm"},
		{"rotate-0-initial-ec", "jwks-0-initial-ec.json", api, "ok"},
		{"rotate-0-initial-ec", "jwks-after-rotate-1-ec.json", api, "ok"},
		{"rotate-0-initial-ec", "jwks-after-rotate-2-rsa.json", api, "unknown_key"},
		{"rotate-after-rotate-1-ec", "jwks-0-initial-ec.json", api, "unknown_key"},
		{"rotate-after-rotate-1-ec", "jwks-after-rotate-1-ec.json", api, "ok"},
		{"rotate-after-rotate-1-ec", "jwks-after-rotate-2-rsa.json", api, "ok"},
		{"rotate-after-rotate-2-rsa", "jwks-after-rotate-1-ec.json", api, "unknown_key"},
		{"rotate-after-rotate-2-rsa", "jwks-after-rotate-2-rsa.json", api, "ok"},
	} {
		token, ok := tokens[test.token]
		if !ok {
			t.Errorf("there is no token %s", test.token)
			continue
		}
		tested[test.token] = true
		q := siteRequirements(t, &test.site)
		v := validatorOf(tenantOf(t, captured(t, test.keys), capturedIssuer))
		v.rules.types, v.rules.algorithms = normalizeTypes(test.site.TokenTypes), test.site.Algorithms

		info, refusal := v.validate(t.Context(), token.Token, fixed(token.moment()), nil)
		var id string
		if refusal == nil {
			id, refusal = q.check(info, wantedOrganizations{ids: test.site.Organizations, resolved: true})
		}
		got := string(reasonOf(refusal))
		if refusal == nil {
			got = strings.TrimSpace("ok " + id)
		}
		if got != test.want {
			t.Errorf("%s with %s: %q, not %q", test.token, test.keys, got, test.want)
		}
	}
	for name := range tokens {
		if !tested[name] {
			t.Errorf("%s is not tested", name)
		}
	}
}

// What the validator reads of a token is what the capture says it holds.
func TestCapturedClaimsAreReadAsIssued(t *testing.T) {
	for name, token := range capturedTokens(t) {
		if token.Format != "jwt" || name == "user-id-token" {
			continue
		}
		_, payload, _ := split(token.Token)
		info := mustDecode(t, string(decode(payload)))
		text := func(claim string) string { value, _ := token.Payload[claim].(string); return value }
		if info.Subject != text("sub") || info.ClientID != text("client_id") || info.Issuer != text("iss") || info.TokenID != text("jti") ||
			info.OrganizationID != text("organization_id") || strings.Join(info.Scopes, " ") != text("scope") ||
			!slices.Equal(info.Audience, []string{text("aud")}) {
			t.Errorf("%s is read as %+v", name, info)
		}
		if act, ok := token.Payload["act"].(map[string]any); ok && info.Actor != act["sub"] {
			t.Errorf("%s: the actor is %q", name, info.Actor)
		}
		if machine := strings.Contains(name, "m2m") || strings.HasPrefix(name, "seeded") || strings.HasPrefix(name, "rotate"); info.IsApp() != machine {
			t.Errorf("%s: IsApp is %v", name, info.IsApp())
		}
	}
}

// The others expired within the hour, and every one was young once.
func TestCapturedTokensExpire(t *testing.T) {
	v := validatorOf(tenantOf(t, captured(t, "jwks.json"), capturedIssuer))
	for name, token := range capturedTokens(t) {
		if token.Header["kid"] != "FIc7JSkgI5ExJls5t0b3gKDQDmgUceEyuLPAY_ysKMc" || name == "user-id-token" {
			continue
		}
		expires := time.Unix(int64(token.Payload["exp"].(float64)), 0)
		for at, want := range map[time.Time]Reason{
			token.moment():                   "",
			token.moment().Add(-time.Minute): ReasonNotYetValid,
			expires.Add(9 * time.Second):     "",
			expires.Add(10 * time.Second):    ReasonExpired,
		} {
			if _, refusal := v.validate(t.Context(), token.Token, fixed(at), nil); reasonOf(refusal) != want {
				t.Errorf("%s at %v: %q, not %q", name, at, reasonOf(refusal), want)
			}
		}
	}
}
