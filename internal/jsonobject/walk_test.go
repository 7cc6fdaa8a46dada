package jsonobject

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// checkVerdict fails unless Walk and encoding/json agree about a text.
func checkVerdict(t *testing.T, text string) {
	t.Helper()
	var want map[string]json.RawMessage
	valid := utf8.ValidString(text) && json.Unmarshal([]byte(text), &want) == nil && want != nil
	if got := Walk(text, func(string, Value) {}); got != valid {
		t.Errorf("%.60q is an object: %t, not %t", text, got, valid)
	}
}

// texts calls yield with every text of so many octets.
func texts(alphabet string, length int, yield func(text string)) {
	if length == 0 {
		yield("")
		return
	}
	texts(alphabet, length-1, func(text string) {
		for i := range len(alphabet) {
			yield(text + alphabet[i:i+1])
		}
	})
}

func TestShortTextsAreJudgedAsByEncodingJSON(t *testing.T) {
	for length := range 7 {
		texts(`{}":,1 `, length, func(text string) { checkVerdict(t, text) })
	}
	for length := range 5 {
		texts(`"\u/019-+.eE[]{},n`, length, func(text string) { checkVerdict(t, `{"a":`+text+`}`) })
	}
	for length := range 7 {
		texts(`{}[]:,1`, length, func(text string) { checkVerdict(t, `{"a":[`+strings.ReplaceAll(text, ":", `"":`)+`}`) })
	}
	for octet := range 256 {
		c := string([]byte{byte(octet)})
		for _, text := range []string{
			`{"a":"x` + c + `"}`, `{"a":"\` + c + `"}`, `{"a":"\u` + c + `000"}`, `{"a":"\u0` + c + `00"}`, `{"a":"\u00` + c + `0"}`, `{"a":"\u000` + c + `"}`,
			`{"a":1` + c + `}`, `{"a":true` + c + `}`, `{"a":tru` + c + `}`, `{` + c + `"a":1}`, `{"a"` + c + `:1}`, `{}` + c, c + `{}`, `{"a` + c + `":1}`,
		} {
			checkVerdict(t, text)
		}
	}
}

// What is nested deeper encoding/json does not read either, when claims are
// asked for.
func TestDepthIsBoundedAsInEncodingJSON(t *testing.T) {
	for depth := maxDepth - 2; depth <= maxDepth+1; depth++ {
		checkVerdict(t, `{"a":`+strings.Repeat("[", depth)+strings.Repeat("]", depth)+`}`)
		checkVerdict(t, `{"a":[`+strings.Repeat(`{"b":`, depth)+"1"+strings.Repeat("}", depth)+`]}`)
		checkVerdict(t, `{"a":`+strings.Repeat("[", depth)+strings.Repeat("]", depth)+`,"b":[[]]}`)
	}
	checkVerdict(t, `{"a":[`+strings.Repeat(`[],`, 2*maxDepth)+`[]]}`)
}
