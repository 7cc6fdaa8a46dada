package logtoauth

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// lookAlike is a token of the tenant's own that comes near to what a site
// asks for.
type lookAlike struct {
	name   string
	host   string // one of lookAlikeSites
	claims map[string]any
	reason Reason
	text   string
	source string
}

// lookAlikeSites are sites of the three models and their neighbours.
const lookAlikeSites = `
http://api.example {
	logto_auth {
		audience https://api.example.com
		scopes read:orders
		claim role admin
	}
	respond "let in"
}
http://org.example {
	logto_auth {
		organization org-1
	}
	respond "let in"
}
http://orgapi.example {
	logto_auth {
		audience https://api.example.com
		organization org-1
	}
	respond "let in"
}
http://any.example {
	logto_auth {
		audience https://api.example.com
		organization any
	}
	respond "let in"
}
http://header.example {
	logto_auth {
		audience https://api.example.com
		organization {http.request.header.X-Org}
	}
	respond "let in"
}
`

// lookAlikeClaims are the claims that each site lets in.
var lookAlikeClaims = map[string]map[string]any{
	"api.example":    {"aud": testAPI, "scope": "read:orders", "role": "admin"},
	"org.example":    {"aud": organizationURN + "org-1"},
	"orgapi.example": {"aud": testAPI, "organization_id": "org-1"},
	"any.example":    {"aud": testAPI, "organization_id": "org-1"},
	"header.example": {"aud": testAPI, "organization_id": "org-1"},
}

func lookAlikes() []lookAlike {
	audience := func(name string, aud any) lookAlike {
		return lookAlike{
			name, "api.example",
			map[string]any{"aud": aud},
			ReasonWrongAudience, "Invalid audience",
			"RFC 8725 section 3.9; CVE-2020-26160 (jwt-go): the audience is compared exactly",
		}
	}
	urn := func(name string, reason Reason, text string, aud any) lookAlike {
		return lookAlike{
			name, "org.example",
			map[string]any{"aud": aud},
			reason, text,
			"Logto: urn:logto:organization:<id>, compared exactly; RFC 8725 section 3.9",
		}
	}
	organization := func(name, host string, id any) lookAlike {
		return lookAlike{
			name, host,
			map[string]any{"organization_id": id},
			ReasonWrongOrganization, "Organization ID mismatch",
			"Logto: organization_id is one text, compared exactly",
		}
	}
	none := func(name, host string, id any) lookAlike {
		missing := organization(name, host, id)
		missing.reason = ReasonMissingOrganization
		return missing
	}
	scope := func(name string, value any) lookAlike {
		return lookAlike{
			name, "api.example",
			map[string]any{"scope": value},
			ReasonInsufficientScope, "Insufficient scope",
			"RFC 6749 section 3.3: scopes are case-sensitive and parted by spaces; CVE-2021-32701 (Oathkeeper): another site's scopes",
		}
	}
	claim := func(name string, value any) lookAlike {
		return lookAlike{
			name, "api.example",
			map[string]any{"role": value},
			ReasonClaimMismatch, "Claim requirement not met",
			"RFC 7519 section 7.3: texts are compared octet by octet; types are not made alike",
		}
	}
	const noURN, mismatch = "Invalid audience for organization permissions", "Organization ID mismatch"
	return []lookAlike{
		audience("audience with a slash behind", testAPI+"/"),
		audience("audience in upper case", strings.ToUpper(testAPI)),
		audience("audience with its default port", testAPI+":443"),
		audience("audience over http", strings.Replace(testAPI, "https", "http", 1)),
		audience("audience as the beginning of a host", testAPI+".evil.example"),
		audience("audience as the beginning of a path", testAPI+"/v2"),
		audience("audience with user and password", "https://api.example.com@evil.example"),
		audience("audience of which the site's is the beginning", strings.TrimSuffix(testAPI, "m")),
		audience("audience with a space behind", testAPI+" "),
		audience("audience with a space before", " "+testAPI),
		audience("audience with a NUL behind", testAPI+"\x00"),
		audience("audience with a letter of another alphabet", "https://\u0430pi.example.com"),
		audience("audience that is encoded", "https%3A%2F%2Fapi.example.com"),
		audience("audience with a trailing dot", testAPI+"."),
		audience("audience that is a list in one text", testAPI+" https://other.example.com"),
		audience("audience that is a list with commas", testAPI+",https://other.example.com"),
		audience("audience that is a wildcard", "*"),
		audience("audience that is a pattern", "https://*.example.com"),
		audience("audience that is a placeholder", "{http.request.host}"),
		audience("audience empty", ""),
		audience("audiences, none of them", []string{}),
		audience("audiences, each nearly", []string{testAPI + "/", strings.ToUpper(testAPI), ""}),
		audience("audience null", json.RawMessage("null")),
		audience("no audience", nil),
		audience("audience that is an organization", organizationURN+"org-1"),

		urn("organization with a longer ID", ReasonWrongOrganization, mismatch, organizationURN+"org-11"),
		urn("organization with a shorter ID", ReasonWrongOrganization, mismatch, organizationURN+"org-"),
		urn("organization in another case", ReasonWrongOrganization, mismatch, organizationURN+"ORG-1"),
		urn("organization with a space behind", ReasonWrongOrganization, mismatch, organizationURN+"org-1 "),
		urn("organization with a path behind", ReasonWrongOrganization, mismatch, organizationURN+"org-1/x"),
		urn("organization with the prefix twice", ReasonWrongOrganization, mismatch, organizationURN+organizationURN+"org-1"),
		urn("organization that is a list", ReasonWrongOrganization, mismatch, organizationURN+"org-2,org-1"),
		urn("organization without an ID", ReasonWrongOrganization, mismatch, organizationURN),
		urn("organization that is any", ReasonWrongOrganization, mismatch, organizationURN+"any"),
		urn("URN in upper case", ReasonWrongAudience, noURN, strings.ToUpper(organizationURN)+"org-1"),
		urn("URN with something before it", ReasonWrongAudience, noURN, "x"+organizationURN+"org-1"),
		urn("URN of another kind", ReasonWrongAudience, noURN, "urn:logto:organizations:org-1"),
		urn("URN without its kind", ReasonWrongAudience, noURN, "org-1"),
		urn("an API in the place of an organization", ReasonWrongAudience, noURN, testAPI),
		urn("two organizations", ReasonWrongOrganization, mismatch, []string{organizationURN + "org-1", organizationURN + "org-2"}),
		{
			"organization that the claim denies", "org.example",
			map[string]any{"aud": organizationURN + "org-1", "organization_id": "org-2"},
			ReasonWrongOrganization, mismatch, "Logto: aud and organization_id name one organization",
		},

		organization("another organization", "orgapi.example", "org-2"),
		organization("organization_id in another case", "orgapi.example", "Org-1"),
		organization("organization_id with a space behind", "orgapi.example", "org-1 "),
		organization("organization_id with a letter of another alphabet", "orgapi.example", "\u043erg-1"),
		organization("organization_id that is an array", "orgapi.example", []string{"org-1"}),
		organization("organization_id that is an object", "orgapi.example", map[string]any{"id": "org-1"}),
		organization("organization_id that is a number", "orgapi.example", 1),
		organization("organization_id true", "orgapi.example", true),
		none("organization_id empty", "orgapi.example", ""),
		none("organization_id null", "orgapi.example", json.RawMessage("null")),
		none("no organization_id, as in a token for all organizations", "orgapi.example", nil),
		organization("organization_id that is a URN", "orgapi.example", organizationURN+"org-1"),
		organization("organization_id that is a list", "orgapi.example", "org-2 org-1"),
		organization("organization_id that is a keyword", "orgapi.example", "any"),
		organization("organization_id that is another keyword", "orgapi.example", "ignore"),
		none("any organization, but none is named", "any.example", nil),
		none("any organization, but the name is empty", "any.example", ""),
		organization("any organization, but there are several", "any.example", []string{"org-1", "org-2"}),
		organization("organization that is the site's placeholder", "header.example", "{http.request.header.X-Org}"),
		none("organization that no header names", "header.example", ""),
		{
			"an organization's token where none is wanted", "api.example",
			map[string]any{"organization_id": "org-1"},
			ReasonOrganizationForbid, "Organization token not accepted", "Logto: the scopes of one organization are not those of the API",
		},
		{
			"an organization's token whose organization is odd", "api.example",
			map[string]any{"organization_id": []string{}},
			ReasonOrganizationForbid, "Organization token not accepted", "Logto: the scopes of one organization are not those of the API",
		},

		scope("scope in another case", "READ:ORDERS"),
		scope("scope as the beginning of another", "read:orders:own"),
		scope("scope of which another is the beginning", "read"),
		scope("scopes with commas", "read:orders,write:orders"),
		scope("scopes with a tab between", "x\tread:orders"),
		scope("scopes with a line break between", "x\nread:orders"),
		scope("scopes with a space that is none", "x\u00a0read:orders"),
		scope("scope that is a wildcard", "*"),
		scope("scope that is a pattern", "read:*"),
		scope("scope empty", ""),
		scope("no scope", nil),
		scope("scope null", json.RawMessage("null")),

		claim("claim in another case", "Admin"),
		claim("claim with a space behind", "admin "),
		claim("claim that is true", true),
		claim("claim in an object", map[string]any{"admin": true}),
		claim("claim in an array in an array", []any{[]string{"admin"}}),
		claim("claim that is a list in one text", "user admin"),
		claim("claim null", json.RawMessage("null")),
		claim("no such claim", nil),
	}
}

// What comes near is not it, and nothing is made alike.
func TestHostileLookAlikes(t *testing.T) {
	server, tenant := serve(t, lookAlikeSites)
	send := func(host string, change map[string]any) *caddytest.Response {
		claims := maps.Clone(lookAlikeClaims[host])
		maps.Copy(claims, change)
		token := tenant.Sign(nil, tenant.Claims(devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", Resource: testAPI, Extra: claims}))
		options := options(caddytest.Header("Host", host), caddytest.Bearer(token))
		if change == nil {
			options = append(options, caddytest.Header("X-Org", "org-1"))
		}
		return server.Get("/", options...)
	}
	for host := range lookAlikeClaims {
		if got := send(host, nil); got.Body != "let in" {
			t.Errorf("%s: a true token gets %d %s", host, got.StatusCode, got.Body)
		}
	}
	for _, test := range lookAlikes() {
		before := len(server.Logs())
		got := send(test.host, test.claims)
		if got.StatusCode != http.StatusForbidden || got.Body != refusedWith(test.text) {
			t.Errorf("%s: %d %s, not %s", test.name, got.StatusCode, got.Body, test.text)
		}
		if lines := logLines(t, server.Logs()[before:], "request refused"); len(lines) != 1 || lines[0]["reason"] != string(test.reason) {
			t.Errorf("%s: the log says %v, not %s", test.name, lines, test.reason)
		}
	}
}
