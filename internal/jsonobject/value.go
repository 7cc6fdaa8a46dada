package jsonobject

import (
	"encoding/json"
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
	if value, ok := decodeString(string(v)); ok {
		return []string{value}, true
	}
	var array []json.RawMessage
	if err := json.Unmarshal([]byte(v), &array); err != nil {
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
