package jsonobject

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may be nested. encoding/json has the
// same bound.
const maxDepth = 10_000

// Walk calls member with the name and the value of each member of a JSON object,
// in their order, and reports whether text is such an object. If it is not, the
// calls were for nothing. Names are decoded, values are not.
//
// A refused token costs little more than the reading of its JSON. So the text is
// read once, and nothing is allocated: encoding/json first checks it octet by
// octet, and then reads it again. It still judges what is nested, which few
// tokens have. Invalid UTF-8 is refused, since encoding/json would replace it
// and make two names alike.
func Walk(text string, member func(name string, value Value)) bool {
	if !utf8.ValidString(text) {
		return false
	}
	i := skipSpace(text, 0)
	if at(text, i) != '{' {
		return false
	}
	if i = skipSpace(text, i+1); at(text, i) == '}' {
		return skipSpace(text, i+1) == len(text)
	}
	for {
		end := skipString(text, i)
		if end == 0 {
			return false
		}
		name, _ := decodeString(text[i:end])
		if i = skipSpace(text, end); at(text, i) != ':' {
			return false
		}
		i = skipSpace(text, i+1)
		if end = skipValue(text, i); end == 0 {
			return false
		}
		member(name, Value(text[i:end]))
		switch i = skipSpace(text, end); at(text, i) {
		case ',':
			i = skipSpace(text, i+1)
		case '}':
			return skipSpace(text, i+1) == len(text)
		default:
			return false
		}
	}
}

// at returns an octet of the text, or behind its end zero, which stands nowhere
// in JSON.
func at(text string, i int) byte {
	if i < len(text) {
		return text[i]
	}
	return 0
}

// skipSpace returns the index of the first octet from i on that is no white
// space.
func skipSpace(text string, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the index behind the JSON value that begins at i, or 0 if
// none does.
func skipValue(text string, i int) int {
	switch at(text, i) {
	case '"':
		return skipString(text, i)
	case '{', '[':
		return skipNested(text, i)
	case 't':
		return skipWord(text, i, "true")
	case 'f':
		return skipWord(text, i, "false")
	case 'n':
		return skipWord(text, i, "null")
	default:
		return skipNumber(text, i)
	}
}

func skipWord(text string, i int, word string) int {
	if strings.HasPrefix(text[i:], word) {
		return i + len(word)
	}
	return 0
}

// skipString is skipValue for strings (RFC 8259 section 7).
func skipString(text string, i int) int {
	if at(text, i) != '"' {
		return 0
	}
	for i++; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return 0
		case c == '\\':
			if i++; at(text, i) != 'u' {
				if strings.IndexByte(`"\/bfnrt`, at(text, i)) < 0 {
					return 0
				}
				continue
			}
			for range 4 {
				if i++; !isHex(at(text, i)) {
					return 0
				}
			}
		}
	}
	return 0
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// skipNumber is skipValue for numbers (RFC 8259 section 6).
func skipNumber(text string, i int) int {
	if at(text, i) == '-' {
		i++
	}
	whole := skipDigits(text, i)
	if whole == i || text[i] == '0' && whole > i+1 {
		return 0
	}
	i = whole
	if at(text, i) == '.' {
		fraction := i + 1
		if i = skipDigits(text, fraction); i == fraction {
			return 0
		}
	}
	if at(text, i) == 'e' || at(text, i) == 'E' {
		exponent := i + 1
		if at(text, exponent) == '+' || at(text, exponent) == '-' {
			exponent++
		}
		if i = skipDigits(text, exponent); i == exponent {
			return 0
		}
	}
	return i
}

func skipDigits(text string, i int) int {
	for i < len(text) && '0' <= text[i] && text[i] <= '9' {
		i++
	}
	return i
}

// skipNested is skipValue for arrays and objects. Where the brackets are
// balanced the value ends, if it is one, which encoding/json tells.
func skipNested(text string, i int) int {
	depth := 1 // the object around it
	for end := i; end < len(text); end++ {
		switch text[end] {
		case '"':
			behind := skipString(text, end)
			if behind == 0 {
				return 0
			}
			end = behind - 1
		case '{', '[':
			if depth++; depth > maxDepth {
				return 0
			}
		case '}', ']':
			if depth--; depth > 1 {
				continue
			}
			if !json.Valid([]byte(text[i : end+1])) {
				return 0
			}
			return end + 1
		}
	}
	return 0
}
