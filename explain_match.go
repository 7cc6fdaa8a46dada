package logtoauth

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// certainty tells whether something holds, as far as its URL and method tell.
type certainty int

const (
	no certainty = iota
	maybe
	yes
)

func (c certainty) not() certainty { return yes - c }

// matcherSets are matchers as they stand in a config: one of the sets must
// match, of a set every matcher.
type matcherSets []map[string]json.RawMessage

// urlMatchers are the matchers that a URL and a method decide, and whether a
// rewrite changes what they see.
var urlMatchers = map[string]bool{
	"host": false, "protocol": false,
	"path": true, "path_regexp": true, "query": true, "method": true,
}

// urlPlaceholders begin the names of the placeholders that a URL and a method
// decide, and tell whether a rewrite changes them.
var urlPlaceholders = map[string]bool{
	"http.request.host": false, "http.request.port": false, "http.request.scheme": false,
	"http.request.uri": true, "http.request.method": true,
}

// question is the request that a config is asked about.
type question struct {
	ctx caddy.Context

	// original is nil if the question is about all requests.
	original *http.Request
}

// request returns the request as Caddy hands it to matchers and handlers. In
// a question about all requests it is some request.
func (q question) request() *http.Request {
	original := q.original
	if original == nil {
		original = &http.Request{Method: http.MethodGet, URL: someURL, Host: someURL.Host, Header: http.Header{}}
	}
	return caddyhttp.PrepareRequest(original.Clone(q.ctx), caddy.NewReplacer(), nil, nil)
}

// decides tells whether the request decides the value of a placeholder.
func (q question) decides(placeholder string, rewritten bool) bool {
	if strings.HasPrefix(placeholder, "env.") {
		return true
	}
	for prefix, rewritable := range urlPlaceholders {
		if strings.HasPrefix(placeholder, prefix) {
			return q.original != nil && (!rewritten || !rewritable)
		}
	}
	return false
}

// match tells whether the request matches, and on what it depends if that is
// not known.
func (q question) match(sets matcherSets, rewritten bool) (matched certainty, depends []string, err error) {
	if len(sets) == 0 {
		return yes, nil, nil
	}
	for _, set := range sets {
		inSet := yes
		for _, name := range slices.Sorted(maps.Keys(set)) {
			one, on, err := q.matchOne(name, set[name], rewritten)
			if err != nil {
				return no, nil, err
			}
			inSet = min(inSet, one)
			depends = append(depends, on...)
		}
		matched = max(matched, inSet)
	}
	if matched != maybe {
		depends = nil
	}
	return matched, depends, nil
}

func (q question) matchOne(name string, raw json.RawMessage, rewritten bool) (certainty, []string, error) {
	if name == "not" {
		var sets matcherSets
		if err := json.Unmarshal(raw, &sets); err != nil {
			return no, nil, fmt.Errorf("matcher not: %w", err)
		}
		if len(sets) == 0 {
			return yes, nil, nil // there are none to match
		}
		matched, depends, err := q.match(sets, rewritten)
		return matched.not(), depends, err
	}
	if name == anyReadingName {
		return q.matchAnyReading(raw, rewritten)
	}
	if isSortKey(name, raw) {
		return yes, nil, nil
	}
	rewritable, known := urlMatchers[name]
	if q.original == nil || !known || rewritten && rewritable || !q.decidesAll(raw, rewritten) {
		return maybe, []string{matcherText(name, raw)}, nil
	}
	module, err := q.ctx.LoadModuleByID("http.matchers."+name, raw)
	if err != nil {
		return no, nil, fmt.Errorf("matcher %s: %w", name, err)
	}
	matched, err := caddyhttp.MatcherSet{module}.MatchWithError(q.request())
	if err != nil || !matched {
		return no, nil, err
	}
	return yes, nil, nil
}

// matchAnyReading answers for an AnyReading: some reading must match.
func (q question) matchAnyReading(raw json.RawMessage, rewritten bool) (certainty, []string, error) {
	var sets matcherSets
	if err := json.Unmarshal(raw, &sets); err != nil {
		return no, nil, fmt.Errorf("matcher %s: %w", anyReadingName, err)
	}
	matched, depends, err := q.match(sets, rewritten)
	if matched == yes || err != nil || q.original == nil || hasOneReading(q.original) {
		return matched, depends, err
	}
	r := q.request()
	for _, other := range otherReadings(r) {
		read := question{ctx: q.ctx, original: other.of(r)}
		one, on, err := read.match(sets, rewritten)
		if one == yes || err != nil {
			return one, nil, err
		}
		matched = max(matched, one)
		depends = append(depends, on...)
	}
	return matched, depends, nil
}

// decidesAll tells whether the request decides every placeholder in a
// matcher's settings.
func (q question) decidesAll(raw json.RawMessage, rewritten bool) bool {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return false
	}
	decided := true
	for _, text := range textsIn(value) {
		_, err := caddy.NewEmptyReplacer().ReplaceFunc(text, func(placeholder string, _ any) (any, error) {
			decided = decided && q.decides(placeholder, rewritten)
			return nil, nil
		})
		decided = decided && err == nil
	}
	return decided
}

// textsIn returns all strings in a JSON value, names of members included.
func textsIn(value any) []string {
	var texts []string
	switch v := value.(type) {
	case string:
		texts = append(texts, v)
	case []any:
		for _, element := range v {
			texts = append(texts, textsIn(element)...)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			texts = append(append(texts, name), textsIn(v[name])...)
		}
	}
	return texts
}

// String describes the requests that match, for people.
func (sets matcherSets) String() string {
	texts := make([]string, 0, len(sets))
	for _, set := range sets {
		var all []string
		for _, name := range slices.Sorted(maps.Keys(set)) {
			if !isSortKey(name, set[name]) {
				all = append(all, matcherText(name, set[name]))
			}
		}
		texts = append(texts, strings.Join(all, ", "))
	}
	return strings.Join(texts, "; or ")
}

// matcherText describes one matcher: lists of texts as in a Caddyfile, all
// else as JSON.
func matcherText(name string, raw json.RawMessage) string {
	const most = 200
	var list []string
	text := string(raw)
	if name == anyReadingName {
		var sets matcherSets
		if json.Unmarshal(raw, &sets) == nil {
			return sets.String()
		}
	}
	if json.Unmarshal(raw, &list) == nil {
		text = strings.Join(list, " ")
	}
	if name == "host" {
		return cutText(text, most)
	}
	return name + " " + cutText(text, most)
}

func cutText(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
