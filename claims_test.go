package logtoauth

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"
)

func TestDecodeClaimsReadsEveryField(t *testing.T) {
	info := mustDecode(t, `{"jti":"id-1","sub":"user-1","iat":1795189979,"exp":1795193579,"nbf":1795189970,
		"scope":"read:products write:orders","client_id":"app-1","iss":"https://t.example/oidc",
		"aud":["https://api.example.com","https://b.example.com"],"organization_id":"org-1","act":{"sub":"actor-1"}}`)

	for _, field := range []struct{ name, got, want string }{
		{"TokenID", info.TokenID, "id-1"},
		{"Subject", info.Subject, "user-1"},
		{"ClientID", info.ClientID, "app-1"},
		{"Issuer", info.Issuer, "https://t.example/oidc"},
		{"OrganizationID", info.OrganizationID, "org-1"},
		{"organizationID", info.organizationID, "org-1"},
		{"Actor", info.Actor, "actor-1"},
	} {
		if field.got != field.want {
			t.Errorf("%s is %q, not %q", field.name, field.got, field.want)
		}
	}
	if want := []string{"read:products", "write:orders"}; !slices.Equal(info.Scopes, want) {
		t.Errorf("Scopes are %q, not %q", info.Scopes, want)
	}
	if want := []string{"https://api.example.com", "https://b.example.com"}; !slices.Equal(info.Audience, want) {
		t.Errorf("Audience is %q, not %q", info.Audience, want)
	}
	if want := time.Unix(1795189979, 0); !info.IssuedAt.Equal(want) || !info.hasIssuedAt || info.issuedAt != want.Unix() {
		t.Errorf("IssuedAt is %v (%d), not %v", info.IssuedAt, info.issuedAt, want)
	}
	if want := time.Unix(1795193579, 0); !info.ExpiresAt.Equal(want) || info.expiresAt != want.Unix() {
		t.Errorf("ExpiresAt is %v (%d), not %v", info.ExpiresAt, info.expiresAt, want)
	}
	if info.notBefore != 1795189970 {
		t.Errorf("notBefore is %d", info.notBefore)
	}
	if info.organization != organizationString {
		t.Errorf("organization is %d, not a string", info.organization)
	}
	if info.key != nil {
		t.Error("claims that nobody verified have a key")
	}
}

func TestDecodeClaimsOfLeastToken(t *testing.T) {
	info := mustDecode(t, `{"exp":1}`)
	if info.notBefore != math.MinInt64 {
		t.Errorf("without nbf the token is valid from %d on, not always", info.notBefore)
	}
	if info.hasIssuedAt || !info.IssuedAt.IsZero() {
		t.Error("a token without iat has been issued at some time")
	}
	if info.organization != organizationAbsent {
		t.Error("an organization appears from nowhere")
	}
	if len(info.Scopes) != 0 || len(info.Audience) != 0 || info.Actor != "" {
		t.Errorf("something appears from nowhere: %+v", info)
	}
}

func TestDecodeClaimsRefuses(t *testing.T) {
	for _, test := range []struct {
		name, payload string
		reason        Reason
		detail        string
	}{
		{"no JSON", `sub=admin`, ReasonMalformedToken, "the claims are not a JSON object"},
		{"null", `null`, ReasonMalformedToken, "the claims are not a JSON object"},
		{"an array", `[{"sub":"admin"}]`, ReasonMalformedToken, "the claims are not a JSON object"},
		{"a string", `"admin"`, ReasonMalformedToken, "the claims are not a JSON object"},
		{"two objects", `{"exp":1}{"exp":2}`, ReasonMalformedToken, "the claims are not a JSON object"},
		{"a byte order mark", "\ufeff" + `{"exp":1}`, ReasonMalformedToken, "the claims are not a JSON object"},
		{"a comment", `{"exp":1/**/}`, ReasonMalformedToken, "the claims are not a JSON object"},
		{"cut off", `{"exp":1,"sub":"adm`, ReasonMalformedToken, "the claims are not a JSON object"},
		{"invalid UTF-8 that would be read as another name", "{\"exp\":1,\"s\xffub\":\"admin\"}", ReasonMalformedToken, "the claims are not a JSON object"},
		{"invalid UTF-8 in a value", "{\"exp\":1,\"sub\":\"adm\xffin\"}", ReasonMalformedToken, "the claims are not a JSON object"},
		{"a raw line break in a string", "{\"exp\":1,\"sub\":\"a\nb\"}", ReasonMalformedToken, "the claims are not a JSON object"},

		{"a number as subject", `{"exp":1,"sub":1}`, ReasonMalformedToken, "sub"},
		{"an array as subject", `{"exp":1,"sub":["admin"]}`, ReasonMalformedToken, "sub"},
		{"an object as client", `{"exp":1,"client_id":{}}`, ReasonMalformedToken, "client_id"},
		{"an array as issuer", `{"exp":1,"iss":["https://t.example/oidc"]}`, ReasonMalformedToken, "iss"},
		{"a boolean as token id", `{"exp":1,"jti":true}`, ReasonMalformedToken, "jti"},

		{"a line feed in the subject, to forge a log line", `{"exp":1,"sub":"a\nb"}`, ReasonMalformedToken, "sub"},
		{"a carriage return in the subject, to forge a header", `{"exp":1,"sub":"a\rb"}`, ReasonMalformedToken, "sub"},
		{"NUL in the subject, to cut it short in C", `{"exp":1,"sub":"admin\u0000x"}`, ReasonMalformedToken, "sub"},
		{"DEL in the client", `{"exp":1,"client_id":"a\u007f"}`, ReasonMalformedToken, "client_id"},
		{"a C1 control in the client", `{"exp":1,"client_id":"a\u0085"}`, ReasonMalformedToken, "client_id"},
		{"a raw C1 control in the token id", "{\"exp\":1,\"jti\":\"a\u009bb\"}", ReasonMalformedToken, "jti"},
		{"an escape sequence in the organization", `{"exp":1,"organization_id":"\u001b[2J"}`, ReasonMalformedToken, "organization_id"},
		{"a tab in the issuer", `{"exp":1,"iss":"a\tb"}`, ReasonMalformedToken, "iss"},

		{"no exp, to live for ever", `{"sub":"a"}`, ReasonMissingClaim, "exp"},
		{"null as exp", `{"exp":null}`, ReasonMissingClaim, "exp"},
		{"exp in another case", `{"EXP":99999999999}`, ReasonMissingClaim, "exp"},
		{"a string as exp", `{"exp":"99999999999"}`, ReasonMalformedToken, "exp"},
		{"a boolean as exp", `{"exp":true}`, ReasonMalformedToken, "exp"},
		{"an array as exp", `{"exp":[99999999999]}`, ReasonMalformedToken, "exp"},
		{"an exp that overflows a float", `{"exp":1e400}`, ReasonMalformedToken, "exp"},
		{"an exp that overflows an int64 to the past or future", `{"exp":9223372036854775808}`, ReasonMalformedToken, "exp"},
		{"an exp that wraps when the leeway is added", `{"exp":9223372036854775807}`, ReasonMalformedToken, "exp"},
		{"an exp past exact floats", `{"exp":9007199254740994}`, ReasonMalformedToken, "exp"},
		{"a string as nbf", `{"exp":1,"nbf":"1"}`, ReasonMalformedToken, "nbf"},
		{"a huge negative nbf", `{"exp":1,"nbf":-1e300}`, ReasonMalformedToken, "nbf"},
		{"an object as iat", `{"exp":1,"iat":{}}`, ReasonMalformedToken, "iat"},

		{"an array as scope", `{"exp":1,"scope":["read:products"]}`, ReasonMalformedToken, "scope"},
		{"a number as scope", `{"exp":1,"scope":1}`, ReasonMalformedToken, "scope"},
		{"a number as audience", `{"exp":1,"aud":1}`, ReasonMalformedToken, "aud"},
		{"an object as audience", `{"exp":1,"aud":{"0":"https://api.example.com"}}`, ReasonMalformedToken, "aud"},
		{"a number among the audiences", `{"exp":1,"aud":["https://api.example.com",1]}`, ReasonMalformedToken, "aud"},
		{"null among the audiences", `{"exp":1,"aud":["https://api.example.com",null]}`, ReasonMalformedToken, "aud"},
		{"an array among the audiences", `{"exp":1,"aud":[["https://api.example.com"]]}`, ReasonMalformedToken, "aud"},

		{"a token bound to a key", `{"exp":1,"cnf":{"jkt":"x"}}`, ReasonBoundToken, "cnf"},
		{"a token bound to nothing that can be read", `{"exp":1,"cnf":false}`, ReasonBoundToken, "cnf"},
		{"an empty binding", `{"exp":1,"cnf":{}}`, ReasonBoundToken, "cnf"},
		{"a binding that stands after null", `{"exp":1,"cnf":null,"cnf":{"jkt":"x"}}`, ReasonBoundToken, "cnf"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, refusal := decodeClaims(test.payload)
			if reasonOf(refusal) != test.reason {
				t.Fatalf("the reason is %q, not %q", reasonOf(refusal), test.reason)
			}
			if string(refusal.Detail) != test.detail {
				t.Errorf("the detail is %q, not %q", refusal.Detail, test.detail)
			}
		})
	}
}

// Of a member that stands twice the last one counts, everywhere: a check must
// not read another value than a placeholder shows.
func TestDecodeClaimsNeverMixesDuplicates(t *testing.T) {
	info := mustDecode(t, `{"exp":1,"exp":2,"sub":"a","sub":"b","client_id":"a","client_id":"b","iss":"a","iss":"b",
		"jti":"a","jti":"b","aud":"a","aud":["b"],"scope":"a","scope":"b","organization_id":1,"organization_id":"b",
		"act":{"sub":"a"},"act":{"sub":"x","sub":"b"},"roles":{"a":1},"roles":{"b":2,"b":3}}`)
	for claim, field := range map[string]string{
		"sub": info.Subject, "client_id": info.ClientID, "iss": info.Issuer, "jti": info.TokenID,
		"aud.0": info.Audience[0], "scope": info.Scopes[0], "organization_id": info.OrganizationID, "act.sub": info.Actor,
	} {
		value, _ := info.Claim(claim)
		if value != "b" || field != "b" {
			t.Errorf("%s is %q as a field and %q as a claim; both must be the last one", claim, field, value)
		}
	}
	if info.expiresAt != 2 {
		t.Errorf("exp is %d, not the last one", info.expiresAt)
	}
	if value, ok := info.Claim("roles.a"); ok {
		t.Errorf("an object that stands twice is merged: roles.a is %v", value)
	}
	if value, _ := info.Claim("roles.b"); value != json.Number("3") {
		t.Errorf("roles.b is %v, not the last one", value)
	}
	if len(info.Audience) != 1 || len(info.Scopes) != 1 {
		t.Errorf("lists are merged: %q %q", info.Audience, info.Scopes)
	}
}

func TestDecodeClaimsComparesNamesWithTheirCase(t *testing.T) {
	info := mustDecode(t, `{"exp":1,"Sub":"x","SUB":"x","ſub":"x","Client_ID":"x","ISS":"x","iſſ":"x","AUD":"x","Scope":"x",
		"Organization_ID":"x","CNF":{"jkt":"x"},"Act":{"sub":"x"},"act":{"Sub":"x"},"NBF":99999999999,"IAT":99999999999}`)
	for name, field := range map[string]string{
		"sub": info.Subject, "client_id": info.ClientID, "iss": info.Issuer, "act.sub": info.Actor, "organization_id": info.OrganizationID,
	} {
		if field != "" {
			t.Errorf("%s was taken from a name in another case", name)
		}
	}
	if len(info.Audience) != 0 || len(info.Scopes) != 0 || info.hasIssuedAt || info.notBefore != math.MinInt64 || info.organization != organizationAbsent {
		t.Errorf("a claim was taken from a name in another case: %+v", info)
	}
}

func TestDecodeClaimsOrganizationIsAbsentOnlyIfAbsentOrNull(t *testing.T) {
	for _, test := range []struct {
		json string
		want organizationClaim
		id   string
	}{
		{`"org-1"`, organizationString, "org-1"},
		{`""`, organizationString, ""},
		{`"\u006frg-1"`, organizationString, "org-1"},
		{`null`, organizationAbsent, ""},
		{`1`, organizationUnusable, ""},
		{`0`, organizationUnusable, ""},
		{`false`, organizationUnusable, ""},
		{`[]`, organizationUnusable, ""},
		{`["org-1"]`, organizationUnusable, ""},
		{`{}`, organizationUnusable, ""},
		{`{"id":"org-1"}`, organizationUnusable, ""},
	} {
		t.Run(test.json, func(t *testing.T) {
			info := mustDecode(t, `{"exp":1,"organization_id":`+test.json+`}`)
			if info.organization != test.want {
				t.Errorf("the claim is of kind %d, not %d", info.organization, test.want)
			}
			if info.OrganizationID != test.id || info.organizationID != test.id {
				t.Errorf("the organization is %q and %q, not %q", info.OrganizationID, info.organizationID, test.id)
			}
		})
	}
}

// act is free for a tenant's script, which must not lock users out with it.
func TestDecodeClaimsActorOfAnyType(t *testing.T) {
	for act, want := range map[string]string{
		`{"sub":"admin"}`: "admin", `null`: "", `"admin"`: "", `1`: "", `["admin"]`: "",
		`{}`: "", `{"sub":1}`: "", `{"sub":null}`: "", `{"sub":["admin"]}`: "",
	} {
		if info := mustDecode(t, `{"exp":1,"act":`+act+`}`); info.Actor != want {
			t.Errorf("of act %s the actor is %q, not %q", act, info.Actor, want)
		}
	}
}

func TestDecodeClaimsDates(t *testing.T) {
	for text, want := range map[string]int64{
		"1795193579":       1795193579,
		"1795193579.999":   1795193579,
		"1.795193579e9":    1795193579,
		"-1":               -1,
		"-0.5":             -1,
		"0":                0,
		"9007199254740992": 1 << 53,
	} {
		info := mustDecode(t, `{"exp":`+text+`,"nbf":`+text+`,"iat":`+text+`}`)
		if info.expiresAt != want || info.notBefore != want || info.issuedAt != want {
			t.Errorf("%s is read as exp %d, nbf %d, iat %d", text, info.expiresAt, info.notBefore, info.issuedAt)
		}
	}
}

func TestDecodeClaimsStrings(t *testing.T) {
	for text, want := range map[string]string{
		`"plain"`:              "plain",
		`""`:                   "",
		`"a\"b\\c\/d"`:         `a"b\c/d`,
		`"\u0041\ud83d\ude00"`: "A😀",
		`"日本"`:                 "日本",
		`"{env.HOME}"`:         "{env.HOME}",
	} {
		if info := mustDecode(t, `{"exp":1,"sub":`+text+`}`); info.Subject != want {
			t.Errorf("%s is read as %q, not %q", text, info.Subject, want)
		}
	}
}

// A scope list is split at spaces only. Whoever splits at other white space
// finds scopes in it that nobody granted.
func TestSplitScopesAtSpacesOnly(t *testing.T) {
	for scope, want := range map[string][]string{
		"":                       nil,
		" ":                      nil,
		"read":                   {"read"},
		"  read   write ":        {"read", "write"},
		"read write read":        {"read", "write", "read"},
		"read\twrite":            {"read\twrite"},
		"read\nwrite":            {"read\nwrite"},
		"read\u00a0write":        {"read\u00a0write"},
		"read\u2003write\u3000x": {"read\u2003write\u3000x"},
		"read,write":             {"read,write"},
	} {
		if got := splitScopes(scope); !slices.Equal(got, want) {
			t.Errorf("%q is split into %q, not %q", scope, got, want)
		}
	}
}

func TestDecodeClaimsAudience(t *testing.T) {
	for aud, want := range map[string][]string{
		`"https://api.example.com"`: {"https://api.example.com"},
		`["a","b"]`:                 {"a", "b"},
		`[]`:                        {},
		`null`:                      {},
		`""`:                        {""},
		`"a b"`:                     {"a b"},
	} {
		if info := mustDecode(t, `{"exp":1,"aud":`+aud+`}`); !slices.Equal(info.Audience, want) {
			t.Errorf("aud %s is read as %q, not %q", aud, info.Audience, want)
		}
	}
}
