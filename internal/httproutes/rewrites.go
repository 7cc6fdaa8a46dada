package httproutes

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// RewriteWarnings tells of directives that are limited to paths and come
// behind a rewrite in the list of a site's routes. Caddy orders `rewrite`,
// `uri` and `try_files` before them, so their matchers see another path than
// the client's: what the rewrite leads out of the matcher passes them by.
func RewriteWarnings(routes []Route, directives ...string) []string {
	var (
		rewrites []pathRewrite
		found    []string
	)
	for _, route := range routes {
		for _, raw := range route.Handle {
			if text, paths, ok := changesPath(raw); ok {
				if paths == nil {
					paths = route.Match.paths()
				}
				rewrites = append(rewrites, pathRewrite{text, paths})
			}
		}
		for _, rule := range pathRules(route, directives) {
			for _, rewrite := range rewrites {
				if overlap(rewrite.paths, rule.paths) {
					found = append(found, fmt.Sprintf("%s runs before %s %s, whose matcher sees the path after it: requests that it leads to another path pass unchecked; "+
						"protect the whole site and except paths (@private not path …), or put %[1]s into the handle or route that needs it",
						rewrite.text, rule.directive, strings.Join(rule.paths, " ")))
					break
				}
			}
		}
	}
	return found
}

// pathRewrite is a handler that changes the path of requests.
type pathRewrite struct {
	text  string   // as in a Caddyfile
	paths []string // whose path it changes; nil: any
}

// changesPath reports whether a handler may change the path, and of which
// requests, if it says so itself.
func changesPath(raw json.RawMessage) (text string, paths []string, changes bool) {
	var r struct {
		Handler         string            `json:"handler"`
		URI             string            `json:"uri"`
		StripPathPrefix string            `json:"strip_path_prefix"`
		StripPathSuffix string            `json:"strip_path_suffix"`
		URISubstring    []json.RawMessage `json:"uri_substring"`
		PathRegexp      []json.RawMessage `json:"path_regexp"`
	}
	if json.Unmarshal(raw, &r) != nil || r.Handler != "rewrite" {
		return "", nil, false
	}
	switch {
	case r.URI == "{http.matchers.file.relative}":
		return "try_files", nil, true
	case r.URI != "" && !keepsPath(r.URI):
		return "rewrite … " + r.URI, nil, true
	case r.StripPathPrefix != "":
		return "uri strip_prefix " + r.StripPathPrefix, []string{"/" + strings.Trim(r.StripPathPrefix, "/") + "*"}, true
	case r.StripPathSuffix != "" || len(r.URISubstring) > 0 || len(r.PathRegexp) > 0:
		return "uri", nil, true
	}
	return "", nil, false
}

// keepsPath reports whether a rewrite to uri changes the query only.
func keepsPath(uri string) bool {
	path, _, _ := strings.Cut(uri, "?")
	return path == "" || path == "{http.request.uri.path}" || path == "{http.request.uri}"
}

// pathRule is a directive that is limited to paths.
type pathRule struct {
	directive string
	paths     []string
}

// pathRules gives those of a route and of all routes nested in it.
func pathRules(route Route, directives []string) []pathRule {
	var found []pathRule
	paths := route.Match.paths()
	for _, raw := range route.Handle {
		var kind struct {
			Handler string  `json:"handler"`
			Routes  []Route `json:"routes"`
		}
		if json.Unmarshal(raw, &kind) != nil {
			continue
		}
		switch {
		case slices.Contains(directives, kind.Handler):
			if paths != nil {
				found = append(found, pathRule{kind.Handler, paths})
			}
		case kind.Handler == "subroute":
			for _, nested := range kind.Routes {
				found = append(found, pathRules(nested, directives)...)
			}
		}
	}
	return found
}

// paths gives the paths to which matchers are limited, or nil if some request
// may match with any path. What a `not` leaves out is no limit.
func (sets MatcherSets) paths() []string {
	var all []string
	for _, set := range sets {
		paths := setPaths(set)
		if paths == nil {
			return nil
		}
		all = append(all, paths...)
	}
	return all
}

// The paths in an expression: the calls of path(), and the strings in them.
var (
	expressionPaths  = regexp.MustCompile(`\bpath\(([^)]*)\)`)
	expressionString = regexp.MustCompile(`'[^']*'|"[^"]*"`)
)

func setPaths(set map[string]json.RawMessage) []string {
	var wrapped MatcherSets
	if raw, ok := set[AnyReadingName]; ok && json.Unmarshal(raw, &wrapped) == nil {
		if paths := wrapped.paths(); paths != nil {
			return paths
		}
	}
	var paths []string
	if json.Unmarshal(set["path"], &paths) == nil && len(paths) > 0 {
		if slices.ContainsFunc(paths, func(path string) bool { return path == "*" || path == "/*" }) {
			return nil
		}
		return paths
	}
	var regexpMatcher struct {
		Pattern string `json:"pattern"`
	}
	if json.Unmarshal(set["path_regexp"], &regexpMatcher) == nil && regexpMatcher.Pattern != "" {
		return []string{"path_regexp " + regexpMatcher.Pattern}
	}
	return inExpression(set["expression"])
}

// inExpression gives the paths to which an expression is limited, as far as
// its text tells: one with ! or || may match elsewhere, too.
func inExpression(raw json.RawMessage) []string {
	var expression struct {
		Expr string `json:"expr"`
	}
	if json.Unmarshal(raw, &expression.Expr) != nil && json.Unmarshal(raw, &expression) != nil ||
		strings.Contains(expression.Expr, "!") || strings.Contains(expression.Expr, "||") {
		return nil
	}
	var paths []string
	for _, call := range expressionPaths.FindAllStringSubmatch(expression.Expr, -1) {
		for _, text := range expressionString.FindAllString(call[1], -1) {
			paths = append(paths, text[1:len(text)-1])
		}
	}
	return paths
}

// overlap reports whether some path may match a pattern of both; nil is any
// path.
func overlap(rewritten, protected []string) bool {
	if rewritten == nil {
		return true
	}
	for _, a := range rewritten {
		for _, b := range protected {
			if patternsOverlap(strings.ToLower(a), strings.ToLower(b)) {
				return true
			}
		}
	}
	return false
}

// patternsOverlap compares what two patterns have in front of their first
// star. Of what is no plain pattern (a regular expression, a placeholder)
// nothing is known.
func patternsOverlap(a, b string) bool {
	if !strings.HasPrefix(a, "/") || !strings.HasPrefix(b, "/") {
		return true
	}
	prefixA, _, starA := strings.Cut(a, "*")
	prefixB, _, starB := strings.Cut(b, "*")
	switch {
	case starA && starB:
		return strings.HasPrefix(prefixA, prefixB) || strings.HasPrefix(prefixB, prefixA)
	case starA:
		return strings.HasPrefix(b, prefixA)
	case starB:
		return strings.HasPrefix(a, prefixB)
	}
	return a == b
}
