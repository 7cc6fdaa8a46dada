package jsonobject

import (
	"math"
	"strconv"
	"strings"
)

// Value is the JSON text of a value, or "" for that of a member which is
// missing.
type Value string

// IsAbsent reports whether a member is missing or null, which mean the same in
// claims.
func (v Value) IsAbsent() bool { return v == "" || v == "null" }

// Text returns a string. It is absent if missing or null, and unusable if of
// another type.
func (v Value) Text() (value string, present, usable bool) {
	if v.IsAbsent() {
		return "", false, true
	}
	value, usable = decodeString(string(v))
	return value, true, usable
}

// Date returns a NumericDate (RFC 7519 section 2), cut to whole seconds.
func (v Value) Date() (seconds int64, present, usable bool) {
	if v.IsAbsent() {
		return 0, false, true
	}
	// Only a number begins like this in JSON, and every number does.
	if v[0] != '-' && (v[0] < '0' || v[0] > '9') {
		return 0, true, false
	}
	if seconds, err := strconv.ParseInt(string(v), 10, 64); err == nil && seconds >= 0 && len(v) < 16 {
		return seconds, true, true // as nearly always, and several times as fast
	}
	number, err := strconv.ParseFloat(string(v), 64)
	// Beyond 2^53 a float64 no longer tells seconds apart; no clock gets there.
	if err != nil || math.Abs(number) > 1<<53 {
		return 0, true, false
	}
	return int64(math.Floor(number)), true, true
}

// List returns what is one string or an array of strings, as `aud`.
func (v Value) List() (values []string, usable bool) {
	if v.IsAbsent() {
		return nil, true
	}
	text := string(v)
	if value, ok := decodeString(text); ok {
		return []string{value}, true
	}
	if text[0] != '[' {
		return nil, false
	}
	values = make([]string, 0, strings.Count(text, ",")+1)
	i := skipSpace(text, 1)
	if at(text, i) == ']' {
		return values, true
	}
	for {
		end := skipString(text, i)
		if end == 0 {
			return nil, false
		}
		value, _ := decodeString(text[i:end])
		values = append(values, value)
		if i = skipSpace(text, end); at(text, i) != ',' {
			return values, at(text, i) == ']'
		}
		i = skipSpace(text, i+1)
	}
}
