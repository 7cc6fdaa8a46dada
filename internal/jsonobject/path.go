package jsonobject

import (
	"errors"
	"strconv"
	"strings"
)

// ParsePath splits the path of a claim at its dots. A backslash takes
// the next character as it is, so that `https://example\.com/role` is one
// segment.
func ParsePath(path string) ([]string, error) {
	var (
		segments []string
		segment  strings.Builder
		escaped  bool
	)
	flush := func() bool {
		if segment.Len() == 0 {
			return false
		}
		segments = append(segments, segment.String())
		segment.Reset()
		return true
	}
	for i := range len(path) {
		switch c := path[i]; {
		case escaped:
			segment.WriteByte(c)
			escaped = false
		case c == '\\':
			escaped = true
		case c == '.':
			if !flush() {
				return nil, errors.New("empty segment in claim path (write a literal dot as `\\.`)")
			}
		default:
			segment.WriteByte(c)
		}
	}
	if escaped {
		return nil, errors.New("claim path ends in a backslash")
	}
	if !flush() {
		return nil, errors.New("empty segment in claim path (write a literal dot as `\\.`)")
	}
	return segments, nil
}

// Lookup descends into claims along the segments: objects by name, arrays
// by decimal index. JSON null counts as absent, at the end as on the way.
func Lookup(claims map[string]any, segments []string) (any, bool) {
	var value any = claims
	for _, segment := range segments {
		switch v := value.(type) {
		case map[string]any:
			value = v[segment]
		case []any:
			i, err := strconv.ParseUint(segment, 10, 31)
			if err != nil || int(i) >= len(v) {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return value, value != nil
}
