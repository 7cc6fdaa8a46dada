package httproutes

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// MaxText bounds how much is shown of one matcher.
const MaxText = 200

// String describes the requests that match, for people.
func (sets MatcherSets) String() string {
	texts := make([]string, 0, len(sets))
	for _, set := range sets {
		texts = append(texts, strings.Join(SetTexts(set), ", "))
	}
	return strings.Join(texts, "; or ")
}

// SetTexts are the matchers of a set, all of which must match.
func SetTexts(set map[string]json.RawMessage) []string {
	texts := make([]string, 0, len(set))
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !IsSortKey(name, set[name]) {
			texts = append(texts, MatcherText(name, set[name]))
		}
	}
	return texts
}

// MatcherText writes a matcher as a Caddyfile has it. Where that takes several
// lines, a comma stands between them.
func MatcherText(name string, raw json.RawMessage) string {
	return legible.Cut(strings.Join(matcherLines(name, raw), ", "), MaxText)
}

func matcherLines(name string, raw json.RawMessage) []string {
	switch name {
	case AnyReadingName:
		// A Caddyfile does not have it: it is around what was written.
		var sets MatcherSets
		if json.Unmarshal(raw, &sets) == nil {
			return []string{sets.String()}
		}
	case EndpointsName:
		// Nor this: it is what sign_in adds for its endpoints.
		var settings struct {
			Path string `json:"path"`
		}
		if json.Unmarshal(raw, &settings) == nil {
			return []string{"path " + arguments(settings.Path+"/*")}
		}
	case "not":
		return notLines(raw)
	case "header":
		return fieldLines(raw, func(field string, values []string) string {
			if values == nil {
				return "header !" + field
			}
			return "header " + arguments(field) + " " + strings.Join(quoted(values), " or ")
		})
	case "query":
		pairs := fieldLines(raw, func(field string, values []string) string {
			texts := make([]string, 0, len(values))
			for _, value := range values {
				texts = append(texts, arguments(field+"="+value))
			}
			return strings.Join(texts, " ")
		})
		return []string{strings.TrimSpace("query " + strings.Join(pairs, " "))}
	case "vars":
		return fieldLines(raw, func(field string, values []string) string {
			return "vars " + arguments(append([]string{field}, values...)...)
		})
	case "path_regexp":
		return []string{regexpLine(name, raw)}
	case "header_regexp", "vars_regexp":
		return fieldLines(raw, func(field string, pattern json.RawMessage) string { return regexpLine(name, pattern, field) })
	}
	var settings struct {
		Expression string   `json:"expr"`
		Ranges     []string `json:"ranges"`
		TryFiles   []string `json:"try_files"`
		Complete   *bool    `json:"handshake_complete"`
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &settings) == nil && json.Unmarshal(raw, &members) == nil {
		switch {
		case name == "expression":
			return []string{"expression " + settings.Expression}
		case len(members) == 1 && settings.Ranges != nil:
			return []string{name + " " + arguments(settings.Ranges...)}
		case len(members) == 1 && name == "file" && settings.TryFiles != nil:
			return []string{"file " + arguments(settings.TryFiles...)}
		case name == "tls" && settings.Complete != nil && !*settings.Complete:
			return []string{"tls early_data"}
		}
	}
	if name == "expression" {
		var expression string
		_ = json.Unmarshal(raw, &expression) // shown empty where it is no text
		return []string{"expression " + expression}
	}
	var value any
	_ = json.Unmarshal(raw, &value) // the config was read: it is JSON
	return []string{strings.TrimSpace(name + " " + settingText(value))}
}

// notLines writes what must not match. Of several sets none may.
func notLines(raw json.RawMessage) []string {
	var sets MatcherSets
	if json.Unmarshal(raw, &sets) != nil {
		return []string{"not"}
	}
	lines := make([]string, 0, len(sets))
	for _, set := range sets {
		var inner []string
		for _, name := range slices.Sorted(maps.Keys(set)) {
			inner = append(inner, matcherLines(name, set[name])...)
		}
		if len(inner) == 1 {
			lines = append(lines, "not "+inner[0])
		} else {
			lines = append(lines, "not { "+strings.Join(inner, "; ")+" }")
		}
	}
	return lines
}

// fieldLines writes a line for each member of an object.
func fieldLines[T any](raw json.RawMessage, line func(field string, value T) string) []string {
	var fields map[string]T
	if json.Unmarshal(raw, &fields) != nil {
		return nil
	}
	lines := make([]string, 0, len(fields))
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		lines = append(lines, line(field, fields[field]))
	}
	return lines
}

// regexpLine writes a matcher with a regular expression, whose name comes
// first if it has one.
func regexpLine(matcher string, raw json.RawMessage, field ...string) string {
	var expression struct {
		Name    string `json:"name"`
		Pattern string `json:"pattern"`
	}
	_ = json.Unmarshal(raw, &expression) // shown empty where it is something else
	words := append(slices.Clone(field), expression.Pattern)
	if expression.Name != "" {
		words = append([]string{expression.Name}, words...)
	}
	return matcher + " " + arguments(words...)
}

// settingText writes the settings of a matcher that Caddy itself does not
// have, in the way that Caddyfiles commonly have them.
func settingText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return arguments(v)
	case []any:
		texts := make([]string, 0, len(v))
		for _, element := range v {
			texts = append(texts, settingText(element))
		}
		return strings.Join(texts, " ")
	case map[string]any:
		lines := make([]string, 0, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			lines = append(lines, strings.TrimSpace(name+" "+settingText(v[name])))
		}
		if len(lines) == 0 {
			return ""
		}
		return "{ " + strings.Join(lines, "; ") + " }"
	default:
		return fmt.Sprint(v)
	}
}

// arguments writes words as a Caddyfile has them on one line.
func arguments(words ...string) string { return strings.Join(quoted(words), " ") }

func quoted(words []string) []string {
	texts := make([]string, 0, len(words))
	for _, word := range words {
		switch {
		case word != "" && !strings.ContainsAny(word, " \t\r\n\"`"):
			texts = append(texts, word)
		case strings.Contains(word, `"`) && !strings.Contains(word, "`"):
			texts = append(texts, "`"+word+"`")
		default:
			texts = append(texts, `"`+strings.ReplaceAll(word, `"`, `\"`)+`"`)
		}
	}
	return texts
}
