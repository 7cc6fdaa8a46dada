package jsonobject

import (
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"
)

// FuzzMembersAreThoseOfEncodingJSON compares the members with the same text
// decoded by encoding/json.
func FuzzMembersAreThoseOfEncodingJSON(f *testing.F) {
	for _, text := range []string{
		``, ` `, `{}`, ` { } `, `null`, `[]`, `"a"`, `1`, `{"a":1}x`, `{"a":1,}`, `{"a" 1}`, `{"a":tru}`, `{"a":1`, `{a:1}`,
		`{"a":1}`, "\t{\r\n\"a\" : 1 ,\n\"b\":\t-1.5e+3 }\n", `{"a":1,"a":2}`, `{"a":1,"A":2}`, `{"a":1,"\u0061":2}`,
		`{"":""}`, `{"a":"}\"]\\","b":"\\"}`, `{"a":{"b":[1,{"c":"]}"}]},"d":[]}`, `{"a":[{},[]],"b":{}}`,
		`{"a":null,"b":true,"c":false}`, `{"a":"ſub","ſub":"é"}`, "{\"a\":\"\xff\"}", `{"\ud800":1}`, `{"a\u0000":"\u0000"}`,
		`{"a":0,"b":-0,"c":10.01,"d":-1e5,"e":2E+7,"f":3.5e-2}`, `{"a":01}`, `{"a":-}`, `{"a":1.}`, `{"a":.5}`, `{"a":1e}`, `{"a":1e+}`, `{"a":+1}`,
		`{"a":"\"\\\/\b\f\n\r\t\uABcd"}`, `{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":"\u12`, `{"a":"\`, "{\"a\":\"\n\"}", "{\"a\":\"\x7f\"}", `{"\x":1}`,
		`{"a":[}`, `{"a":[1,]}`, `{"a":[{"b":]}]}`, `{"a":["]"]}`, `{"a":{"b":1,}}`, `{"a":[1 2]}`, `{"a":nulll}`, `{"a":nul`, `{"a":[tru]}`, `{"a":1}{`,
		`{,}`, `{"a"}`, `{"a":}`, `{"a":1 "b":2}`, `{"a":1,,"b":2}`, "{\"a\":1\u00a0}", "{\"a\"\x00:1}", "{\"a\":1}\x00", "\ufeff{}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := Parse(text)
		var want map[string]json.RawMessage
		valid := utf8.ValidString(text) && json.Unmarshal([]byte(text), &want) == nil && want != nil
		if ok != valid {
			t.Fatalf("taken apart: %t; an object: %t", ok, valid)
		}
		for _, member := range got {
			if _, ok := want[member.name]; !ok {
				t.Errorf("there is no member %q", member.name)
			}
		}
		for name, value := range want {
			if string(got.Get(name)) != string(value) {
				t.Errorf("member %q is %q, not %q", name, got.Get(name), value)
			}
			checkMemberText(t, got, name, value)
			checkMemberList(t, got, name, value)
		}
	})
}

func checkMemberText(t *testing.T, m Members, name string, value json.RawMessage) {
	t.Helper()
	var want *string
	ofType := json.Unmarshal(value, &want) == nil
	if got, present, usable := m.Text(name); usable != ofType || present != (string(value) != "null") || ofType && want != nil && got != *want {
		t.Errorf("the text of %s is %q, present: %t, usable: %t", value, got, present, usable)
	}
}

func checkMemberList(t *testing.T, m Members, name string, value json.RawMessage) {
	t.Helper()
	var text *string
	var list []*string
	isText := json.Unmarshal(value, &text) == nil && text != nil
	isList := json.Unmarshal(value, &list) == nil
	for _, element := range list {
		isList = isList && element != nil
	}
	got, usable := m.List(name)
	if usable != (isText || isList) {
		t.Errorf("%s is usable as a list: %t", value, usable)
	}
	want := make([]string, 0, len(list))
	for _, element := range list {
		if usable {
			want = append(want, *element)
		}
	}
	if isText {
		want = []string{*text}
	}
	if usable && !slices.Equal(got, want) {
		t.Errorf("the list of %s is %q, not %q", value, got, want)
	}
}
