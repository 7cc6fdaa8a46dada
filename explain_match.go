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

	"github.com/caddy-logto/caddy-logto-auth/internal/httproutes"
)

// certainty says whether something is so, as far as URL and method tell.
type certainty int

const (
	no certainty = iota
	maybe
	yes
)

// not is what `not` makes of an answer: a maybe stays one.
func (c certainty) not() certainty { return yes - c }

// urlMatchers are the matchers that a URL and a method decide, each with the
// part of the request that it sees.
var urlMatchers = map[string]requestPart{
	"host": fixedPart, "protocol": fixedPart,
	endpointsName: fixedPart, // it looks at the request as the client sent it
	"path":        urlPart, "path_regexp": urlPart, "query": urlPart,
	"method": methodPart,
}

// urlPlaceholders begin the names of the placeholders that a URL and a method
// decide.
var urlPlaceholders = map[string]requestPart{
	"http.request.host": fixedPart, "http.request.port": fixedPart, "http.request.scheme": fixedPart,
	"http.request.uri": urlPart, "http.request.method": methodPart,
}

// requestPart is a part of a request, as far as directives change it.
type requestPart int

const (
	fixedPart  requestPart = iota // host and scheme
	urlPart                       // path and query
	methodPart                    // the method
)

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

// rewriters are the directives that may have changed the request so far, by
// the part of it that they change.
type rewriters map[requestPart][]string

// with adds those of another position.
func (w rewriters) with(others rewriters) rewriters {
	all := rewriters{}
	for _, some := range []rewriters{w, others} {
		for part, directives := range some {
			for _, directive := range directives {
				if !slices.Contains(all[part], directive) {
					all[part] = append(slices.Clone(all[part]), directive)
				}
			}
		}
	}
	return all
}

// doubt tells why a text that depends on a part of the request cannot be
// judged.
func (w rewriters) doubt(text string, part requestPart) string {
	return text + " (" + strings.Join(w[part], " or ") + " may change the request first)"
}

// decides reports whether the request decides the value of a placeholder, and if
// it does not, which part of it may have been changed.
func (q question) decides(placeholder string, rewritten rewriters) (decided bool, changed requestPart) {
	if strings.HasPrefix(placeholder, "env.") {
		return true, fixedPart
	}
	for prefix, part := range urlPlaceholders {
		switch {
		case !strings.HasPrefix(placeholder, prefix):
		case q.original == nil:
			return false, fixedPart
		case len(rewritten[part]) > 0:
			return false, part
		default:
			return true, fixedPart
		}
	}
	return false, fixedPart
}

// match reports whether the request matches, and on what it depends if that is
// not known.
func (q question) match(sets httproutes.MatcherSets, rewritten rewriters) (matched certainty, depends []string, err error) {
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

// matchOne judges one matcher of a set. It never guesses: what URL and method do
// not decide, or what a handler before may have changed, is a maybe and is named.
func (q question) matchOne(name string, raw json.RawMessage, rewritten rewriters) (certainty, []string, error) {
	if name == "not" {
		var sets httproutes.MatcherSets
		if err := json.Unmarshal(raw, &sets); err != nil {
			return no, nil, fmt.Errorf("matcher not: %w", err)
		}
		if len(sets) == 0 {
			return yes, nil, nil // there are none to match
		}
		matched, depends, err := q.match(sets, rewritten)
		return matched.not(), depends, err
	}
	if name == httproutes.AnyReadingName {
		return q.matchAnyReading(raw, rewritten)
	}
	if httproutes.IsSortKey(name, raw) {
		return yes, nil, nil
	}
	part, known := urlMatchers[name]
	text := httproutes.MatcherText(name, raw)
	if q.original == nil || !known {
		return maybe, []string{text}, nil
	}
	decided, changed := q.decidesAll(raw, rewritten)
	if len(rewritten[part]) > 0 {
		decided, changed = false, part
	}
	switch {
	case !decided && changed != fixedPart:
		return maybe, []string{rewritten.doubt(text, changed)}, nil
	case !decided:
		return maybe, []string{text}, nil
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
func (q question) matchAnyReading(raw json.RawMessage, rewritten rewriters) (certainty, []string, error) {
	var sets httproutes.MatcherSets
	if err := json.Unmarshal(raw, &sets); err != nil {
		return no, nil, fmt.Errorf("matcher %s: %w", httproutes.AnyReadingName, err)
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
		for _, text := range on {
			if !slices.Contains(depends, text) {
				depends = append(depends, text)
			}
		}
	}
	return matched, depends, nil
}

// decidesAll is the same for every placeholder in a matcher's settings.
func (q question) decidesAll(raw json.RawMessage, rewritten rewriters) (decided bool, changed requestPart) {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return false, fixedPart
	}
	decided = true
	for _, text := range textsIn(value) {
		_, err := caddy.NewEmptyReplacer().ReplaceFunc(text, func(placeholder string, _ any) (any, error) {
			if one, part := q.decides(placeholder, rewritten); !one {
				decided, changed = false, max(changed, part)
			}
			return nil, nil
		})
		decided = decided && err == nil
	}
	return decided, changed
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
