// Package jsonobject reads the JSON objects of tokens: their members, with no
// more tolerance and no more memory than needed, and values deep inside them.
package jsonobject

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Members are the members of a JSON object, in their order. Names are compared
// with their case, and one that stands twice counts once, the last time.
// Decoding into a struct would do neither: encoding/json takes `EXP`, `Aud`
// and even `ſub` for `exp`, `aud` and `sub`.
//
// The members are cut out of the object's text, which they keep alive, and
// only those that somebody asks for are decoded. A map of json.RawMessage
// would say the same with forty more allocations, for each forged token too.
type Members []member

// member is a name and the JSON text of its value.
type member struct{ name, value string }

// Parse takes a JSON object apart, and refuses all else. Invalid UTF-8 is
// refused, since encoding/json would replace it and make two names alike.
func Parse(text string) (Members, bool) {
	if !utf8.ValidString(text) || !json.Valid([]byte(text)) {
		return nil, false
	}
	i := skipSpace(text, 0)
	if text[i] != '{' {
		return nil, false
	}
	// From here on all that is wrong with JSON has been ruled out: every
	// string, array and object ends, and every member has a name and a value.
	m := make(Members, 0, min(strings.Count(text, ",")+1, 16))
	for i = skipSpace(text, i+1); text[i] != '}'; {
		end := skipValue(text, i)
		name, _ := decodeString(text[i:end])
		start := skipSpace(text, skipSpace(text, end)+len(":"))
		end = skipValue(text, start)
		m = append(m, member{name, text[start:end]})
		if i = skipSpace(text, end); text[i] == ',' {
			i = skipSpace(text, i+1)
		}
	}
	return m, true
}

// skipSpace returns the index of the first octet from i on that is no white
// space.
func skipSpace(text string, i int) int {
	for text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r' {
		i++
	}
	return i
}

// skipValue returns the index behind the JSON value that begins at i and is
// not the last of a valid text.
func skipValue(text string, i int) int {
	for depth := 0; ; i++ {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default:
			if depth == 0 {
				return i + strings.IndexAny(text[i:], ",]} \t\n\r") // a number or a word
			}
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
}

// Get returns the JSON text of a member, or "".
func (m Members) Get(name string) string {
	for _, member := range slices.Backward(m) {
		if member.name == name {
			return member.value
		}
	}
	return ""
}

// Text returns a string member. It is absent if missing or null, and unusable
// if of another type.
func (m Members) Text(name string) (value string, present, usable bool) {
	raw := m.Get(name)
	if IsAbsent(raw) {
		return "", false, true
	}
	value, usable = decodeString(raw)
	return value, true, usable
}

// Date returns a NumericDate (RFC 7519 section 2), cut to whole seconds.
func (m Members) Date(name string) (seconds int64, present, usable bool) {
	raw := m.Get(name)
	if IsAbsent(raw) {
		return 0, false, true
	}
	// Only a number begins like this in JSON, and every number does.
	if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return 0, true, false
	}
	number, err := strconv.ParseFloat(raw, 64)
	// Beyond 2^53 a float64 no longer tells seconds apart; no clock gets there.
	if err != nil || math.Abs(number) > 1<<53 {
		return 0, true, false
	}
	return int64(math.Floor(number)), true, true
}

// List returns a member that is one string or an array of strings, as `aud`.
func (m Members) List(name string) (values []string, usable bool) {
	raw := m.Get(name)
	if IsAbsent(raw) {
		return nil, true
	}
	if value, ok := decodeString(raw); ok {
		return []string{value}, true
	}
	var array []json.RawMessage
	if err := json.Unmarshal([]byte(raw), &array); err != nil {
		return nil, false
	}
	values = make([]string, 0, len(array))
	for _, element := range array {
		value, ok := decodeString(string(element))
		if !ok {
			return nil, false
		}
		values = append(values, value)
	}
	return values, true
}

// IsAbsent reports whether a member is missing or null, which mean the same in
// claims.
func IsAbsent(raw string) bool { return raw == "" || raw == "null" }

// decodeString decodes a JSON text if that is a string.
func decodeString(raw string) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	if strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], true
	}
	var value string
	if err := json.Unmarshal([]byte(raw), &value); err != nil {
		return "", false
	}
	return value, true
}
