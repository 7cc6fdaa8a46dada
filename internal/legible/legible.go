// Package legible cleans texts that somebody else wrote for the eyes of people:
// in logs, on a terminal, in the admin API.
package legible

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxLogField bounds what a log line takes from a token.
	maxLogField = 128

	// maxErrorText bounds what a tenant can put into our logs through a URL or
	// a kid in an error.
	maxErrorText = 512

	noRune rune = -1
)

// Text returns a text that somebody else wrote (a client, a tenant, a
// certificate) as people may see it: in logs, on a terminal, in the admin API.
// What [misleading] reports becomes U+FFFD, so that one sees that something
// was there: "adm\u202ein" must not read as "admin".
//
// Values that programs act on (placeholders, headers) are not changed by this:
// a name in Persian or an emoji needs its joiners.
func Text(s string) string { return replaceMisleading(s, noRune) }

// Lines is Text for a text of several lines.
func Lines(s string) string { return replaceMisleading(s, '\n') }

// replaceMisleading replaces all misleading characters but the kept one.
func replaceMisleading(s string, kept rune) string {
	bad := func(r rune) bool { return r != kept && misleading(r) }
	if utf8.ValidString(s) && !strings.ContainsFunc(s, bad) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if bad(r) {
			return utf8.RuneError
		}
		// A stray octet becomes U+FFFD as well: 0x9b alone is an escape
		// sequence's beginning to a terminal of 8 bits.
		return r
	}, s)
}

// misleading reports whether a character does something in place of being
// seen: control characters (Cc) move the cursor, ring and colour on a
// terminal; format characters (Cf) turn the direction of reading (U+202E,
// U+2066) or are invisible; U+2028 (Zl) and U+2029 (Zp) begin a new line that
// a log never wrote.
func misleading(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// Field is what a log line may show of a text from a token or request: at
// most 128 characters.
func Field(s string) string {
	count := 0
	for i := range s {
		if count == maxLogField {
			s = s[:i]
			break
		}
		count++
	}
	return Text(s)
}

// Error is an error fit for a log line and the admin API.
func Error(err error) string { return Cut(Text(err.Error()), maxErrorText) }

// Cut shortens a text to at most n bytes, and marks that it did.
func Cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}

// Printable replaces the control characters of a text by U+FFFD and changes
// nothing else, for values that programs act on: placeholders and headers. A
// control character would let a claim break out of a log line or header.
func Printable(s string) string {
	if !HasControl(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}

// HasControl reports whether a text has a control character.
func HasControl(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c == 0x7f:
			return true
		case c >= utf8.RuneSelf:
			return strings.IndexFunc(s[i:], unicode.IsControl) >= 0
		}
	}
	return false
}
