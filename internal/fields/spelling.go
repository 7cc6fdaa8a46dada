package fields

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// Servers do not agree on the name of a query parameter or cookie. This file
// knows the names that one of them may take for another's:
//
//   - PHP drops spaces in front, makes `_` of ` `, `.` and a `[` that nothing
//     closes, and cuts at another `[` and at NUL: `org.id`, `+org_id`, `org[id`,
//     `org_id[x]` and `org_id%00x` are all `org_id`.
//   - qs (Express) and Rack (Rails) cut at `[` too, and take `[org_id]` and
//     (Rack) `org_id]` for `org_id`.
//   - qs with allowDots, and others that make objects of parameters, cut at `.`:
//     `org_id=acme&org_id.0=evil` is a list of two.
//   - ASP.NET and others know no case; some frameworks know neither `_` nor
//     `-`, so that `org_id` is `orgId`.
//   - PHP before 7.4 and Rack before 2.2 decode cookie names, too.

// Skeleton returns what is left of a name in all these readings: its letters
// and digits, in lower case. Names with one skeleton are one name to some server.
func Skeleton(name string) string {
	var b strings.Builder
	for _, r := range name {
		if c := foldLetter(r); c != 0 {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// foldLetter returns the ASCII letter or digit that a character is in any
// case, or 0. Unicode has other cases of two: U+017F is an s and U+212A a k.
func foldLetter(r rune) byte {
	if r >= 0x80 {
		r = unicode.ToLower(unicode.ToUpper(r))
	}
	if r >= 0x80 {
		return 0
	}
	if c := foldOctet(byte(r)); c != '-' { //nolint:gosec // r is ASCII
		return c
	}
	return 0
}

// What may end a name before its last octet. No server is known to make an
// object of cookies at dots, and names such as `org.sid` are common there.
const (
	cookieEnds    = "[]\x00"
	parameterEnds = cookieEnds + "."
)

// mayRead reports whether some server may read a decoded name as one with this
// skeleton: all of it, or what stands before one of the ends.
func mayRead(name, skeleton, ends string) bool {
	read := 0
	for _, r := range name {
		if read == len(skeleton) && strings.ContainsRune(ends, r) {
			return true
		}
		c := foldLetter(r)
		if c == 0 {
			continue
		}
		if read == len(skeleton) || skeleton[read] != c {
			return false
		}
		read++
	}
	return read == len(skeleton)
}

// spelling is what servers may make of a name as the client wrote it.
type spelling int

const (
	otherName spelling = iota
	sameName
	anyName // what it decodes to differs from server to server
)

// spellingOf compares a name with a skeleton. Where percent-encoding is broken,
// servers keep the percent sign, drop it, or decode what follows all the same.
func spellingOf(name, skeleton, ends string) spelling {
	decoded, err := url.QueryUnescape(name)
	switch {
	case err != nil:
		return anyName
	case mayRead(decoded, skeleton, ends) || mayRead(name, skeleton, ends):
		return sameName
	default:
		return otherName
	}
}

// ParameterStandsOnce reports whether a parameter of the query stands exactly
// once, in whatever spelling. net/url, and so Caddy, drops those with a
// semicolon or a broken value, and reads on behind a `#`.
func ParameterStandsOnce(rawQuery, skeleton string) bool {
	if strings.Contains(rawQuery, "#") {
		return false
	}
	count := 0
	for pair := range queryPairs(rawQuery) {
		key, _, _ := strings.Cut(strings.TrimLeft(pair, "="), "=")
		switch spellingOf(key, skeleton, parameterEnds) {
		case sameName:
			count++
		case anyName:
			return false
		case otherName:
		}
	}
	return count == 1
}

// cookieSeparators are what parts cookies: `;` for all servers, `,` too for
// those that know RFC 2965, and white space for Python's http.cookies.
var cookieSeparators = []string{";", ";, \t"}

// CookieStandsOnce is the same for a cookie, whatever parts it from others.
// Caddy takes the first in any case that net/http does not drop, an
// application perhaps the last, or another.
func CookieStandsOnce(lines []string, skeleton string) bool {
	for _, separators := range cookieSeparators {
		count := 0
		for _, line := range lines {
			for pair := range strings.FieldsFuncSeq(line, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
				key, _, _ := strings.Cut(strings.TrimLeft(pair, "= \t"), "=")
				switch spellingOf(key, skeleton, cookieEnds) {
				case sameName:
					count++
				case anyName:
					// Behind a comma or a space this is more likely a value.
					if separators == ";" {
						return false
					}
				case otherName:
				}
			}
		}
		if count != 1 {
			return false
		}
	}
	return !slices.ContainsFunc(lines, func(line string) bool { return quotesCookie(line, skeleton) })
}

// quotesCookie reports whether a cookie of a line stands in what servers that
// know quoted values (RFC 2109) take for the value of another one.
func quotesCookie(line, skeleton string) bool {
	quoted := false
	for pair := range strings.SplitSeq(line, ";") {
		if key, _, _ := strings.Cut(pair, "="); quoted && spellingOf(key, skeleton, cookieEnds) == sameName {
			return true
		}
		for i := 0; i < len(pair); i++ {
			switch {
			case quoted && pair[i] == '\\':
				i++
			case pair[i] == '"':
				quoted = !quoted
			}
		}
	}
	return false
}
