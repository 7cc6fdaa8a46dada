package logtoauth

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// What the operator is told beyond the reason.
func TestDetailsOfRefusals(t *testing.T) {
	wanted := wantedOrganizations{ids: []string{"org-1"}, resolved: true}
	api := Handler{Audiences: []string{testAPI}, Organizations: []string{"org-1"}}
	for name, test := range map[string]struct {
		site   Handler
		claims string
		wanted wantedOrganizations
		want   string
	}{
		"another organization": {api, `"aud":"` + testAPI + `","organization_id":"org-2"`, wanted, ""},
		"no organization":      {api, `"aud":"` + testAPI + `"`, wanted, ""},
		"one that is no text":  {api, `"aud":"` + testAPI + `","organization_id":["org-1"]`, wanted, "organization_id is no string"},
		"two": {
			api, `"aud":["` + testAPI + `","` + organizationURN + `org-2"],"organization_id":"org-1"`, wanted,
			"the token names more than one organization",
		},
		"none that the request asks for": {
			api, `"aud":"` + testAPI + `","organization_id":"org-1"`,
			wantedOrganizations{},
			"the organization that the request asks for is empty, unresolved or ambiguous",
		},
		"one that would climb out of a path": {
			Handler{Audiences: []string{testAPI}, OrganizationMode: "any"},
			`"aud":"` + testAPI + `","organization_id":"../x"`, wanted,
			"an organization id that is no single path segment",
		},
		"a claim": {
			Handler{Audiences: []string{testAPI}, Claims: []ClaimRequirement{{Path: "a.b", Values: []string{"x"}}}},
			`"aud":"` + testAPI + `"`, wanted,
			"a.b",
		},
	} {
		q := siteRequirements(t, &test.site)
		organization, refusal := q.check(mustDecode(t, `{"exp":1,"sub":"user-1","client_id":"app-1",`+test.claims+`}`), test.wanted)
		if refusal == nil || string(refusal.Detail) != test.want || organization != "" {
			t.Errorf("%s: %q, %+v", name, organization, refusal)
		}
	}
}

// Every permission model and organization rule against every kind of token.
// A cell is the reason, or "ok" and the organization that was checked.
func TestRequirementsEveryModelRuleAndToken(t *testing.T) {
	org1 := wantedOrganizations{ids: []string{"org-1"}, resolved: true}
	unresolved := wantedOrganizations{ids: []string{"org-1"}}
	sites := []struct {
		name   string
		site   Handler
		wanted wantedOrganizations
	}{
		{"global", Handler{Audiences: []string{testAPI}}, org1},
		{"global, forbid spelled out", Handler{Audiences: []string{testAPI}, OrganizationMode: "forbid"}, org1},
		{"ignore", Handler{Audiences: []string{testAPI}, OrganizationMode: "ignore"}, org1},
		{"API, any", Handler{Audiences: []string{testAPI}, OrganizationMode: "any"}, unresolved},
		{"API, org-1", Handler{Audiences: []string{testAPI}, Organizations: []string{"org-1"}}, org1},
		{"API, unresolved", Handler{Audiences: []string{testAPI}, Organizations: []string{"{x}"}}, unresolved},
		{"organization, any", Handler{OrganizationMode: "any"}, unresolved},
		{"organization, org-1", Handler{Organizations: []string{"org-1"}}, org1},
		{"organization, unresolved", Handler{Organizations: []string{"{x}"}}, unresolved},
	}
	const (
		aud    = "wrong_audience"
		orgNo  = "organization_forbidden"
		orgNil = "missing_organization"
		orgBad = "wrong_organization"
	)
	for _, token := range []struct {
		name, claims string
		want         [9]string
	}{
		{
			"global API token", `"aud":"https://api.example.com"`,
			[9]string{"ok", "ok", "ok", orgNil, orgNil, orgNil, aud, aud, aud},
		},
		{
			"API among several", `"aud":["https://other.example.com","https://api.example.com"]`,
			[9]string{"ok", "ok", "ok", orgNil, orgNil, orgNil, aud, aud, aud},
		},
		{
			"null organization is none", `"aud":"https://api.example.com","organization_id":null`,
			[9]string{"ok", "ok", "ok", orgNil, orgNil, orgNil, aud, aud, aud},
		},
		{
			"another API", `"aud":"https://other.example.com"`,
			[9]string{aud, aud, aud, aud, aud, aud, aud, aud, aud},
		},
		{
			"no audience", `"sub":"user-1"`,
			[9]string{aud, aud, aud, aud, aud, aud, aud, aud, aud},
		},
		{
			"empty audience", `"aud":[]`,
			[9]string{aud, aud, aud, aud, aud, aud, aud, aud, aud},
		},
		{
			"audience with a trailing slash", `"aud":"https://api.example.com/"`,
			[9]string{aud, aud, aud, aud, aud, aud, aud, aud, aud},
		},
		{
			"audience in another case", `"aud":"https://API.example.com"`,
			[9]string{aud, aud, aud, aud, aud, aud, aud, aud, aud},
		},
		{
			"audience that begins like ours", `"aud":"https://api.example.com.evil.example"`,
			[9]string{aud, aud, aud, aud, aud, aud, aud, aud, aud},
		},
		{
			"audiences joined by a space", `"aud":"https://api.example.com https://other.example.com"`,
			[9]string{aud, aud, aud, aud, aud, aud, aud, aud, aud},
		},
		{
			"organization API token", `"aud":"https://api.example.com","organization_id":"org-1"`,
			[9]string{orgNo, orgNo, "ok org-1", "ok org-1", "ok org-1", orgBad, aud, aud, aud},
		},
		{
			"organization API token of another organization", `"aud":"https://api.example.com","organization_id":"org-2"`,
			[9]string{orgNo, orgNo, "ok org-2", "ok org-2", orgBad, orgBad, aud, aud, aud},
		},
		{
			"organization in another case", `"aud":"https://api.example.com","organization_id":"ORG-1"`,
			[9]string{orgNo, orgNo, "ok ORG-1", "ok ORG-1", orgBad, orgBad, aud, aud, aud},
		},
		{
			"organization that begins like ours", `"aud":"https://api.example.com","organization_id":"org-11"`,
			[9]string{orgNo, orgNo, "ok org-11", "ok org-11", orgBad, orgBad, aud, aud, aud},
		},
		{
			"organization called like a keyword", `"aud":"https://api.example.com","organization_id":"any"`,
			[9]string{orgNo, orgNo, "ok any", "ok any", orgBad, orgBad, aud, aud, aud},
		},
		{
			"organization that is a URN", `"aud":"https://api.example.com","organization_id":"urn:logto:organization:org-1"`,
			[9]string{orgNo, orgNo, "ok urn:logto:organization:org-1", "ok urn:logto:organization:org-1", orgBad, orgBad, aud, aud, aud},
		},
		{
			"empty organization", `"aud":"https://api.example.com","organization_id":""`,
			[9]string{orgNo, orgNo, "ok", orgNil, orgNil, orgNil, aud, aud, aud},
		},
		{
			"script made the organization a number", `"aud":"https://api.example.com","organization_id":1`,
			[9]string{orgNo, orgNo, "ok", orgBad, orgBad, orgBad, aud, aud, aud},
		},
		{
			"script made the organization an array of ours", `"aud":"https://api.example.com","organization_id":["org-1"]`,
			[9]string{orgNo, orgNo, "ok", orgBad, orgBad, orgBad, aud, aud, aud},
		},
		{
			"script made the organization false", `"aud":"https://api.example.com","organization_id":false`,
			[9]string{orgNo, orgNo, "ok", orgBad, orgBad, orgBad, aud, aud, aud},
		},
		{
			"organization that climbs a path", `"aud":"https://api.example.com","organization_id":".."`,
			[9]string{orgNo, orgNo, "ok ..", orgBad, orgBad, orgBad, aud, aud, aud},
		},
		{
			"organization that is the same folder", `"aud":"https://api.example.com","organization_id":"."`,
			[9]string{orgNo, orgNo, "ok .", orgBad, orgBad, orgBad, aud, aud, aud},
		},
		{
			"organization of two path segments", `"aud":"https://api.example.com","organization_id":"org-1/x"`,
			[9]string{orgNo, orgNo, "ok org-1/x", orgBad, orgBad, orgBad, aud, aud, aud},
		},
		{
			"organization with a backslash", `"aud":"https://api.example.com","organization_id":"org-1\\x"`,
			[9]string{orgNo, orgNo, `ok org-1\x`, orgBad, orgBad, orgBad, aud, aud, aud},
		},

		{
			"organization token", `"aud":"urn:logto:organization:org-1"`,
			[9]string{aud, aud, aud, aud, aud, aud, "ok org-1", "ok org-1", orgBad},
		},
		{
			"organization token of another organization", `"aud":["urn:logto:organization:org-2"]`,
			[9]string{aud, aud, aud, aud, aud, aud, "ok org-2", orgBad, orgBad},
		},
		{
			"organization token that says the same twice", `"aud":"urn:logto:organization:org-1","organization_id":"org-1"`,
			[9]string{aud, aud, aud, aud, aud, aud, "ok org-1", "ok org-1", orgBad},
		},
		{
			"organization token with another organization_id", `"aud":"urn:logto:organization:org-1","organization_id":"org-2"`,
			[9]string{aud, aud, aud, aud, aud, aud, orgBad, orgBad, orgBad},
		},
		{
			"another organization token with our organization_id", `"aud":"urn:logto:organization:org-2","organization_id":"org-1"`,
			[9]string{aud, aud, aud, aud, aud, aud, orgBad, orgBad, orgBad},
		},
		{
			"organization token with an empty organization_id", `"aud":"urn:logto:organization:org-1","organization_id":""`,
			[9]string{aud, aud, aud, aud, aud, aud, orgNil, orgNil, orgNil},
		},
		{
			"organization token with a number as organization_id", `"aud":"urn:logto:organization:org-1","organization_id":1`,
			[9]string{aud, aud, aud, aud, aud, aud, orgBad, orgBad, orgBad},
		},
		{
			"two organizations in the audience", `"aud":["urn:logto:organization:org-1","urn:logto:organization:org-2"]`,
			[9]string{aud, aud, aud, aud, aud, aud, orgBad, orgBad, orgBad},
		},
		{
			"two organizations in the audience, ours named again", `"aud":["urn:logto:organization:org-2","urn:logto:organization:org-1"],"organization_id":"org-1"`,
			[9]string{aud, aud, aud, aud, aud, aud, orgBad, orgBad, orgBad},
		},
		{
			"our organization twice in the audience", `"aud":["urn:logto:organization:org-1","urn:logto:organization:org-1"]`,
			[9]string{aud, aud, aud, aud, aud, aud, orgBad, orgBad, orgBad},
		},
		{
			"organization URN without an id", `"aud":"urn:logto:organization:"`,
			[9]string{aud, aud, aud, aud, aud, aud, orgBad, orgBad, orgBad},
		},
		{
			"organization URN in another case", `"aud":"URN:logto:organization:org-1"`,
			[9]string{aud, aud, aud, aud, aud, aud, aud, aud, aud},
		},
		{
			"organization URN that climbs a path", `"aud":"urn:logto:organization:.."`,
			[9]string{aud, aud, aud, aud, aud, aud, orgBad, orgBad, orgBad},
		},
		{
			"organization URN of two path segments", `"aud":"urn:logto:organization:org-1/../org-2"`,
			[9]string{aud, aud, aud, aud, aud, aud, orgBad, orgBad, orgBad},
		},

		{
			"API and an organization in the audience", `"aud":["https://api.example.com","urn:logto:organization:org-1"]`,
			[9]string{"ok", "ok", "ok", orgNil, orgNil, orgNil, "ok org-1", "ok org-1", orgBad},
		},
		{
			"API and the same organization twice", `"aud":["https://api.example.com","urn:logto:organization:org-1"],"organization_id":"org-1"`,
			[9]string{orgNo, orgNo, "ok org-1", "ok org-1", "ok org-1", orgBad, "ok org-1", "ok org-1", orgBad},
		},
		{
			"API, our organization_id and another organization's audience", `"aud":["https://api.example.com","urn:logto:organization:org-2"],"organization_id":"org-1"`,
			[9]string{orgNo, orgNo, "ok org-1", orgBad, orgBad, orgBad, orgBad, orgBad, orgBad},
		},
	} {
		info := mustDecode(t, `{"exp":1,`+token.claims+`}`)
		for i, site := range sites {
			q := siteRequirements(t, &site.site)
			organization, refusal := q.check(info, site.wanted)
			got := string(reasonOf(refusal))
			if refusal == nil {
				got = strings.TrimSpace("ok " + organization)
			} else if organization != "" {
				t.Errorf("%s at %s: refused and yet of organization %q", token.name, site.name, organization)
			}
			if got != token.want[i] {
				t.Errorf("%s at %s: %q, not %q", token.name, site.name, got, token.want[i])
			}
		}
	}
}

func TestRequirementsTellTheModelFromAudienceAndOrganization(t *testing.T) {
	for _, test := range []struct {
		audiences []string
		rule      organizationRule
		want      permissionModel
	}{
		{[]string{testAPI}, organizationRule{mode: organizationForbid}, modelGlobal},
		{[]string{testAPI}, organizationRule{mode: organizationIgnore}, modelGlobal},
		{[]string{testAPI}, organizationRule{}, modelGlobal},
		{[]string{testAPI}, organizationRule{mode: organizationAny}, modelOrganizationAPI},
		{[]string{testAPI}, organizationRule{listed: true}, modelOrganizationAPI},
		{nil, organizationRule{mode: organizationAny}, modelOrganization},
		{nil, organizationRule{listed: true}, modelOrganization},
	} {
		if got := modelOf(test.audiences, test.rule); got != test.want {
			t.Errorf("audiences %q and %+v are model %d, not %d", test.audiences, test.rule, got, test.want)
		}
	}
}

// A line of its own that asks for an organization has the organization's
// texts; else it has those of the logto_auth before it.
func TestRequirementsAfterAnotherModel(t *testing.T) {
	for _, test := range []struct {
		base permissionModel
		own  organizationRule
		want permissionModel
	}{
		{modelGlobal, organizationRule{}, modelGlobal},
		{modelGlobal, organizationRule{mode: organizationForbid}, modelGlobal},
		{modelGlobal, organizationRule{mode: organizationAny}, modelOrganizationAPI},
		{modelGlobal, organizationRule{listed: true}, modelOrganizationAPI},
		{modelOrganizationAPI, organizationRule{}, modelOrganizationAPI},
		{modelOrganizationAPI, organizationRule{listed: true}, modelOrganizationAPI},
		{modelOrganization, organizationRule{}, modelOrganization},
		{modelOrganization, organizationRule{listed: true}, modelOrganization},
		{modelOrganization, organizationRule{mode: organizationForbid}, modelOrganization},
	} {
		q := requirements{organization: test.own}
		if got := q.modelAfter(&requirements{model: test.base}); got != test.want {
			t.Errorf("%+v after model %d is model %d, not %d", test.own, test.base, got, test.want)
		}
	}
}

func TestRequirementsRefuseInTheTermsOfTheModel(t *testing.T) {
	const urn = "urn:logto:organization:org-1"
	global := Handler{Audiences: []string{testAPI}, Scopes: []string{"read"}}
	organization := Handler{Organizations: []string{"org-1"}, Scopes: []string{"read"}}
	organizationAPI := Handler{Audiences: []string{testAPI}, Organizations: []string{"org-1"}, Scopes: []string{"read"}}
	wanted := wantedOrganizations{ids: []string{"org-1"}, resolved: true}

	for _, test := range []struct {
		name   string
		site   Handler
		claims string
		text   string
		code   string
	}{
		{"audience, global", global, `"aud":"x"`, "Invalid audience", "invalid_token"},
		{"audience, organization permissions", organization, `"aud":"x"`, "Invalid audience for organization permissions", "invalid_token"},
		{"audience, organization-level API", organizationAPI, `"aud":"x"`, "Invalid audience for organization-level API resources", "invalid_token"},
		{"organization on a global site", global, `"aud":"` + testAPI + `","organization_id":"org-1"`, "Organization token not accepted", "invalid_token"},
		{"another organization's permissions", organization, `"aud":"urn:logto:organization:org-2"`, "Organization ID mismatch", "invalid_token"},
		{"another organization at an API", organizationAPI, `"aud":"` + testAPI + `","organization_id":"org-2"`, "Organization ID mismatch", "invalid_token"},
		{"no organization at an API", organizationAPI, `"aud":"` + testAPI + `"`, "Organization ID mismatch", "invalid_token"},
		{"scopes, global", global, `"aud":"` + testAPI + `"`, "Insufficient scope", "insufficient_scope"},
		{"scopes, organization permissions", organization, `"aud":"` + urn + `","scope":""`, "Insufficient organization scope", "insufficient_scope"},
		{"scopes, organization-level API", organizationAPI, `"aud":"` + testAPI + `","organization_id":"org-1"`, "Insufficient organization-level API scopes", "insufficient_scope"},
	} {
		q := siteRequirements(t, &test.site)
		_, refusal := q.check(mustDecode(t, `{"exp":1,`+test.claims+`}`), wanted)
		if refusal == nil {
			t.Errorf("%s: admitted", test.name)
			continue
		}
		if refusal.Text != test.text || refusal.code != test.code || refusal.Status != http.StatusForbidden {
			t.Errorf("%s: %d %q %q, not 403 %q %q", test.name, refusal.Status, refusal.Text, refusal.code, test.text, test.code)
		}
	}
}

func TestRequirementsAudienceMismatchStatus(t *testing.T) {
	for _, test := range []struct {
		name string
		site Handler
		want int
	}{
		{"default", Handler{}, http.StatusForbidden},
		{"set to 401", Handler{AudienceMismatch: 401}, http.StatusUnauthorized},
		{"set to 403 beside metadata", Handler{AudienceMismatch: 403, ResourceMetadata: new(ResourceMetadata)}, http.StatusForbidden},
		{"metadata for MCP clients", Handler{ResourceMetadata: new(ResourceMetadata)}, http.StatusUnauthorized},
	} {
		for _, model := range []Handler{
			{Audiences: []string{testAPI}},
			{Audiences: []string{testAPI}, OrganizationMode: "any"},
			{OrganizationMode: "any"},
		} {
			site := test.site
			site.Audiences, site.OrganizationMode = model.Audiences, model.OrganizationMode
			q := siteRequirements(t, &site)
			_, refusal := q.check(mustDecode(t, `{"exp":1,"aud":"x"}`), wantedOrganizations{})
			if reasonOf(refusal) != ReasonWrongAudience || refusal.Status != test.want {
				t.Errorf("%s, model %d: %+v, not status %d", test.name, q.model, refusal, test.want)
			}
		}
		// The status is for the audience only.
		site := test.site
		site.Audiences = []string{testAPI}
		q := siteRequirements(t, &site)
		_, refusal := q.check(mustDecode(t, `{"exp":1,"aud":"`+testAPI+`","organization_id":"org-1"}`), wantedOrganizations{})
		if reasonOf(refusal) != ReasonOrganizationForbid || refusal.Status != http.StatusForbidden {
			t.Errorf("%s: an organization's token is refused with %+v", test.name, refusal)
		}
	}
}

func TestRequirementsScopes(t *testing.T) {
	for _, test := range []struct {
		name, scope   string
		all, any      []string
		want          bool
		wantChallenge string
	}{
		{"nothing asked, nothing held", ``, nil, nil, true, ""},
		{"one of one", `read`, []string{"read"}, nil, true, ""},
		{"all of two, in another order", `write read`, []string{"read", "write"}, nil, true, ""},
		{"one of two", `read`, []string{"read", "write"}, nil, false, "read write"},
		{"none", ``, []string{"read"}, nil, false, "read"},
		{"a scope that holds ours", `read:products`, []string{"read"}, nil, false, "read"},
		{"a scope that ours holds", `read`, []string{"read:products"}, nil, false, "read:products"},
		{"another case", `READ`, []string{"read"}, nil, false, "read"},
		{"two scopes in one string", "read\twrite", []string{"read"}, nil, false, "read"},
		{"a wildcard", `*`, []string{"read"}, nil, false, "read"},
		{"the management API's all", `all`, []string{"read"}, nil, false, "read"},
		{"any, the last one", `c`, nil, []string{"a", "b", "c"}, true, ""},
		{"any, none of them", `d`, nil, []string{"a", "b", "c"}, false, "a b c"},
		{"all but none of any", `read`, []string{"read"}, []string{"a", "b"}, false, "read a b"},
		{"any but not all", `a`, []string{"read"}, []string{"a", "b"}, false, "read a b"},
		{"both", `b read`, []string{"read"}, []string{"a", "b"}, true, ""},
		{"one scope in both lists", ``, []string{"read"}, []string{"read", "a"}, false, "read a"},
	} {
		q := siteRequirements(t, &Handler{Audiences: []string{testAPI}, Scopes: test.all, AnyScopes: test.any})
		refusal := q.checkPermissions(mustDecode(t, fmt.Sprintf(`{"exp":1,"scope":%q}`, test.scope)))
		if (refusal == nil) != test.want {
			t.Errorf("%s: %q", test.name, reasonOf(refusal))
			continue
		}
		if refusal != nil && (refusal.Reason != ReasonInsufficientScope || strings.Join(refusal.scopes, " ") != test.wantChallenge) {
			t.Errorf("%s: %s names %q, not %q", test.name, refusal.Reason, refusal.scopes, test.wantChallenge)
		}
	}
}

func TestRequirementsClaims(t *testing.T) {
	const payload = `{"exp":1,"role":"admin","roles":["editor","admin"],"level":3,"price":1.50,"big":9007199254740993,"on":true,"off":false,
		"nothing":null,"empty":"","none":[],"nested":{"role":"admin","list":[["admin"],{"a":"admin"}]},"mixed":["a",1,true,null,{"x":1}],
		"text":"1","braces":"{env.HOME}","csv":"admin,editor","https://example.com/role":"admin"}`
	info := mustDecode(t, payload)
	for _, test := range []struct {
		name, path string
		values     []string
		want       bool
	}{
		{"equals", "role", []string{"admin"}, true},
		{"equals the second value", "role", []string{"root", "admin"}, true},
		{"another value", "role", []string{"root"}, false},
		{"another case", "role", []string{"Admin"}, false},
		{"part of a value", "role", []string{"adm"}, false},
		{"array contains", "roles", []string{"admin"}, true},
		{"array does not contain", "roles", []string{"root"}, false},
		{"array written as JSON", "roles", []string{`["editor","admin"]`}, false},
		{"one element of the array", "roles.0", []string{"editor"}, true},
		{"another element of the array", "roles.0", []string{"admin"}, false},
		{"past the array's end", "roles.2", []string{"admin"}, false},
		{"values in one string", "csv", []string{"admin"}, false},
		{"number", "level", []string{"3"}, true},
		{"another number", "level", []string{"30"}, false},
		{"number as written", "price", []string{"1.50"}, true},
		{"number of another text", "price", []string{"1.5"}, false},
		{"number past exact floats", "big", []string{"9007199254740992"}, false},
		{"number past exact floats, itself", "big", []string{"9007199254740993"}, true},
		{"true", "on", []string{"true"}, true},
		{"false is not true", "off", []string{"true"}, false},
		{"false", "off", []string{"false"}, true},
		{"null is absent", "nothing", []string{"null", ""}, false},
		{"absent", "absent", []string{"", "null"}, false},
		{"empty string", "empty", []string{"x"}, false},
		{"empty array", "none", []string{"", "[]"}, false},
		{"object is no value", "nested", []string{`{"role":"admin"}`, "admin"}, false},
		{"nested", "nested.role", []string{"admin"}, true},
		{"array in an array", "nested.list", []string{"admin", `["admin"]`}, false},
		{"array in an array by index", "nested.list.0", []string{"admin"}, true},
		{"object in an array by index", "nested.list.1.a", []string{"admin"}, true},
		{"number in a mixed array", "mixed", []string{"1"}, true},
		{"boolean in a mixed array", "mixed", []string{"true"}, true},
		{"null in a mixed array", "mixed", []string{"", "null"}, false},
		{"object in a mixed array", "mixed", []string{`{"x":1}`}, false},
		{"namespaced", `https://example\.com/role`, []string{"admin"}, true},
		{"namespaced without the backslash", `https://example.com/role`, []string{"admin"}, false},
		{"a claim that looks like a placeholder", "braces", []string{"{env.HOME}"}, true},
		{"descending into a string", "role.admin", []string{"admin"}, false},
	} {
		q := siteRequirements(t, &Handler{Audiences: []string{testAPI}, Claims: []ClaimRequirement{{Path: test.path, Values: test.values}}})
		refusal := q.checkPermissions(info)
		if (refusal == nil) != test.want {
			t.Errorf("%s: %q", test.name, reasonOf(refusal))
		}
		if refusal != nil && (refusal.Reason != ReasonClaimMismatch || refusal.Text != "Claim requirement not met" || refusal.code != "insufficient_scope" || refusal.Status != http.StatusForbidden) {
			t.Errorf("%s: %+v", test.name, refusal)
		}
	}
}

func TestRequirementsAllClaimsMustHold(t *testing.T) {
	info := mustDecode(t, `{"exp":1,"a":"1","b":"2"}`)
	a, b, no := ClaimRequirement{"a", []string{"1"}}, ClaimRequirement{"b", []string{"2"}}, ClaimRequirement{"b", []string{"3"}}
	for _, test := range []struct {
		claims []ClaimRequirement
		want   Reason
	}{
		{[]ClaimRequirement{a, b}, ""},
		{[]ClaimRequirement{a, no}, ReasonClaimMismatch},
		{[]ClaimRequirement{no, a}, ReasonClaimMismatch},
		{[]ClaimRequirement{b, no}, ReasonClaimMismatch},
	} {
		q := siteRequirements(t, &Handler{Audiences: []string{testAPI}, Claims: test.claims})
		if got := reasonOf(q.checkPermissions(info)); got != test.want {
			t.Errorf("%v: %q, not %q", test.claims, got, test.want)
		}
	}
}

func TestRequirementsRefuseABrokenClaimPathAtLoad(t *testing.T) {
	broken := []ClaimRequirement{{Path: "a..b", Values: []string{"1"}}}
	if _, err := (&Handler{Claims: broken}).newRequirements(); err == nil || !strings.Contains(err.Error(), `claim "a..b"`) {
		t.Errorf("the error is %v", err)
	}
	if _, err := (&Require{Claims: broken}).newRequirements(); err == nil || !strings.Contains(err.Error(), `claim "a..b"`) {
		t.Errorf("the error is %v", err)
	}
}

// A token that lacks several things is told the first of the contract's table.
func TestRequirementsPrecedence(t *testing.T) {
	site := Handler{
		Audiences: []string{testAPI}, Organizations: []string{"org-1"}, Scopes: []string{"read"},
		Claims: []ClaimRequirement{{"role", []string{"admin"}}},
	}
	wanted := wantedOrganizations{ids: []string{"org-1"}, resolved: true}
	claims := []string{`"aud":"https://api.example.com"`, `"organization_id":"org-1"`, `"scope":"read"`, `"role":"admin"`}
	reasons := []Reason{ReasonWrongAudience, ReasonMissingOrganization, ReasonInsufficientScope, ReasonClaimMismatch, ""}
	for held := range len(claims) + 1 {
		info := mustDecode(t, `{`+strings.Join(append(slices.Clone(claims[:held]), `"exp":1`), ",")+`}`)
		q := siteRequirements(t, &site)
		if _, refusal := q.check(info, wanted); reasonOf(refusal) != reasons[held] {
			t.Errorf("with %d of the claims: %q, not %q", held, reasonOf(refusal), reasons[held])
		}
	}
}

// Ids that a site lists itself are its own choice; only `any` hands on what
// nobody has looked at.
func TestRequirementsListedOrganizationMayHoldASlash(t *testing.T) {
	site := Handler{Audiences: []string{testAPI}, Organizations: []string{"a/b"}}
	q := siteRequirements(t, &site)
	organization, refusal := q.check(mustDecode(t, `{"exp":1,"aud":"`+testAPI+`","organization_id":"a/b"}`), wantedOrganizations{ids: []string{"a/b"}, resolved: true})
	if refusal != nil || organization != "a/b" {
		t.Errorf("%q, %q", organization, reasonOf(refusal))
	}
}

func TestMergeScopesKeepsOrderAndEachOnce(t *testing.T) {
	got := mergeScopes([]string{"b", "a"}, nil, []string{"a", "c", "b"})
	if want := []string{"b", "a", "c"}; !slices.Equal(got, want) {
		t.Errorf("merged to %q, not %q", got, want)
	}
	if got := mergeScopes(nil, nil); len(got) != 0 {
		t.Errorf("nothing is merged to %q", got)
	}
}
