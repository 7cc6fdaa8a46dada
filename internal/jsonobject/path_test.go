package jsonobject

import (
	"slices"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
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
		got, err := ParsePath(path)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is taken apart as %q, %v; want %q", path, got, err, want)
		}
	}
}

func TestParsePathRefusesEmptySegments(t *testing.T) {
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
		got, err := ParsePath(path)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is taken apart as %q, %v; want an error with %q", path, got, err, want)
		}
	}
}
