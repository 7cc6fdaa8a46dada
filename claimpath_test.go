package logtoauth

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestParseClaimPath(t *testing.T) {
	for path, want := range map[string][]string{
		`sub`:                          {"sub"},
		`act.sub`:                      {"act", "sub"},
		`https://example\.com/role`:    {"https://example.com/role"},
		`https://example\.com/role.0`:  {"https://example.com/role", "0"},
		`a\\.b`:                        {`a\`, "b"},
		`a\\\.b`:                       {`a\.b`},
		`\a`:                           {"a"},
		`\é.x`:                         {"é", "x"},
		`é\.日.本`:                       {"é.日", "本"},
		`organization_data.0.name`:     {"organization_data", "0", "name"},
		` spaced .key`:                 {" spaced ", "key"},
		`\.`:                           {"."},
		strings.Repeat(`a.`, 99) + `a`: slices.Repeat([]string{"a"}, 100),
	} {
		got, err := parseClaimPath(path)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is taken apart as %q, %v; want %q", path, got, err, want)
		}
	}
}

func TestParseClaimPathRefusesEmptySegments(t *testing.T) {
	for path, want := range map[string]string{
		``:      "empty segment",
		`.`:     "empty segment",
		`.a`:    "empty segment",
		`a.`:    "empty segment",
		`a..b`:  "empty segment",
		`a\`:    "backslash",
		`a.b\`:  "backslash",
		`a\\\`:  "backslash",
		`a.b.\`: "backslash",
	} {
		got, err := parseClaimPath(path)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is taken apart as %q, %v; want an error with %q", path, got, err, want)
		}
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
