package logtoauth

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// sources are the texts that `map` and `vars` handlers give to placeholders,
// by their names.
type sources map[string][]string

// addHandler notes what a handler gives to placeholders.
func (s sources) addHandler(name string, settings map[string]any) {
	switch name {
	case "vars":
		for variable, value := range settings {
			if variable != "handler" {
				key := "http.vars." + variable
				s[key] = append(s[key], textsIn(value)...)
			}
		}
	case "map":
		from := slices.Concat(textsIn(settings["source"]), textsIn(settings["mappings"]), textsIn(settings["defaults"]))
		for _, destination := range textsIn(settings["destinations"]) {
			key := strings.Trim(destination, "{}") // without braces once it is provisioned
			s[key] = append(s[key], from...)
		}
	}
}

// addMatcher notes which captures a matcher leaves in placeholders.
func (s sources) addMatcher(name string, settings any) {
	switch name {
	case "path_regexp":
		s.addCaptures(settings, "{http.request.uri.path}")
	case "header_regexp":
		fields, _ := settings.(map[string]any)
		for field, regexp := range fields {
			s.addCaptures(regexp, "{http.request.header."+field+"}")
		}
	case "vars_regexp":
		variables, _ := settings.(map[string]any)
		for variable, regexp := range variables {
			if !strings.HasPrefix(variable, "{") {
				variable = "{http.vars." + variable + "}"
			}
			s.addCaptures(regexp, variable)
		}
	}
}

func (s sources) addCaptures(regexp any, from string) {
	settings, _ := regexp.(map[string]any)
	if name, ok := settings["name"].(string); ok && name != "" {
		s[capturesPrefix+name] = append(s[capturesPrefix+name], from)
	}
}

// capturesPrefix begins the placeholders of captures; then comes the name of
// the regular expression.
const capturesPrefix = "http.regexp."

// named returns the name under which a placeholder's sources are known.
func named(placeholder string) string {
	key := strings.Trim(placeholder, "{}")
	if capture, ok := strings.CutPrefix(key, capturesPrefix); ok {
		name, _, _ := strings.Cut(capture, ".")
		return capturesPrefix + name
	}
	return key
}

// leaveDoubt reports whether a placeholder may be set from what a client can
// send twice or under two names: a header, a query parameter, a cookie, or from
// where nobody can tell here. What is checked of these when an organization
// reads them cannot be checked of a variable that was set from them. Host and
// path are checked all the same.
func (s sources) leaveDoubt(placeholder string) bool { return s.leaveDoubtBehind(placeholder, 5) }

// leaveDoubtBehind follows at most so many steps: variables may be set from
// each other, in a circle too.
func (s sources) leaveDoubtBehind(placeholder string, steps int) bool {
	texts := s[named(placeholder)]
	from, err := readBy(texts)
	if err != nil || steps == 0 || len(texts) == 0 || len(from.headers)+len(from.cookies)+len(from.parameters) > 0 {
		return true
	}
	return slices.ContainsFunc(from.unknown, func(other string) bool { return s.leaveDoubtBehind(other, steps-1) })
}

// readBy returns what the placeholders in texts read from the request.
func readBy(texts []string) (organizationID, error) {
	var read organizationID
	for _, text := range texts {
		_, err := caddy.NewEmptyReplacer().ReplaceFunc(text, func(key string, _ any) (any, error) {
			if !strings.HasPrefix(key, "env.") && !strings.HasPrefix(key, "file.") {
				read.read(key)
			}
			return nil, nil
		})
		if err != nil {
			return read, err
		}
	}
	return read, nil
}

// doubtfulOrganizations returns the placeholders in the IDs of organizations
// that leave doubt, each once.
func (c *contents) doubtfulOrganizations(set sources) []string {
	read, err := readBy(c.organizations)
	if err != nil {
		return nil // loading fails and says why
	}
	doubtful := slices.DeleteFunc(read.unknown, func(placeholder string) bool { return !set.leaveDoubt(placeholder) })
	slices.Sort(doubtful)
	return slices.Compact(doubtful)
}
