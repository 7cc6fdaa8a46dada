package jsonobject

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decodeString decodes a JSON value if that is a string.
func decodeString(raw string) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	text := raw[1 : len(raw)-1]
	if strings.IndexByte(text, '\\') < 0 {
		return text, true
	}
	return unescape(text), true
}

// unescape replaces the escapes of a string (RFC 8259 section 7), which must be
// well formed. encoding/json does the same for ten times the price: anybody can
// send a token with two thousand escaped names, and reading it must not cost
// more than a signature check.
func unescape(text string) string {
	var onStack [64]byte
	plain := onStack[:0]
	for {
		i := strings.IndexByte(text, '\\')
		if i < 0 {
			return string(append(plain, text...))
		}
		plain = append(plain, text[:i]...)
		escape := text[i+1]
		if escape != 'u' {
			plain = append(plain, unescaped(escape))
			text = text[i+2:]
			continue
		}
		character := codeUnit(text[i:])
		text = text[i+6:]
		if utf16.IsSurrogate(character) {
			// Half a pair is U+FFFD, as in encoding/json.
			if character = utf16.DecodeRune(character, codeUnit(text)); character != utf8.RuneError {
				text = text[6:]
			}
		}
		plain = utf8.AppendRune(plain, character)
	}
}

// unescaped returns the octet that an escape of two octets is for.
func unescaped(escape byte) byte {
	switch escape {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default: // `"`, `\` and `/`
		return escape
	}
}

// codeUnit returns the UTF-16 code unit that a text begins with as an escape of
// six octets, or -1 if it does not.
func codeUnit(text string) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseUint(text[2:6], 16, 16)
	if err != nil {
		return -1
	}
	return rune(unit)
}
