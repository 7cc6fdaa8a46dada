package jsonobject

import (
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
// octet, and then reads it again. Invalid UTF-8 is refused, since encoding/json
// would replace it and make two names alike.
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

// skipNested is skipValue for arrays and objects, with all that is in them.
func skipNested(text string, i int) int {
	var onStack [32]byte
	open := onStack[:0] // the brackets of those that have not ended
	for {
		switch bracket := at(text, i); bracket {
		case '{', '[':
			if len(open) == maxDepth-1 { // the object around all is one
				return 0
			}
			open = append(open, bracket)
			if i = skipSpace(text, i+1); at(text, i) != closing(bracket) {
				if i = skipName(text, i, bracket); i == 0 {
					return 0
				}
				continue
			}
		default:
			if i = skipValue(text, i); i == 0 {
				return 0
			}
			i = skipSpace(text, i)
		}
		// Here a value has ended, which may end those around it.
		for at(text, i) == closing(open[len(open)-1]) {
			if open = open[:len(open)-1]; len(open) == 0 {
				return i + 1
			}
			i = skipSpace(text, i+1)
		}
		if at(text, i) != ',' {
			return 0
		}
		if i = skipName(text, skipSpace(text, i+1), open[len(open)-1]); i == 0 {
			return 0
		}
	}
}

// closing returns the bracket that ends what a bracket has begun.
func closing(bracket byte) byte {
	if bracket == '{' {
		return '}'
	}
	return ']'
}

// skipName returns the index of the next value in an object or array, whose name
// begins at i if that is an object, or 0 if there is none.
func skipName(text string, i int, bracket byte) int {
	if bracket != '{' {
		return i
	}
	end := skipString(text, i)
	if end == 0 {
		return 0
	}
	if i = skipSpace(text, end); at(text, i) != ':' {
		return 0
	}
	return skipSpace(text, i+1)
}
