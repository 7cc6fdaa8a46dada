// Package legibletest tells whether what is shown to people lets through what
// somebody else wrote to mislead them.
package legibletest

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Nasty holds one of everything that does something to a terminal or a line
// instead of being seen.
const Nasty = "n\x1b]0;x\x07\u009b31m\u202e\u2066\u200b\ufeff\u2028\u2029\U000e0041y"

// Expect fails the test if somebody else's text got through. Line breaks of the
// text's own are expected.
func Expect(tb testing.TB, what, text string) {
	tb.Helper()
	if !utf8.ValidString(text) {
		tb.Errorf("%s is not valid UTF-8: %q", what, text)
	}
	for _, r := range strings.ReplaceAll(text, "\n", "") {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) { // not by what is tested
			tb.Errorf("%s has %U in it: %q", what, r, text)
			return
		}
	}
}
