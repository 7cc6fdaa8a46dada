package logtoauth

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/httproutes"
)

// underAnyReading puts the matcher of a directive inside an AnyReading. What
// matches every request stays as it is.
func underAnyReading(matcher caddy.ModuleMap, order *pathOrder) caddy.ModuleMap {
	pattern := httproutes.OnlyPath(matcher)
	if len(matcher) == 0 || pattern == "*" {
		return matcher
	}
	wrapped := caddy.ModuleMap{
		httproutes.AnyReadingName: caddyconfig.JSON(caddyhttp.RawMatcherSets{matcher}, nil),
	}
	if pattern != "" {
		order.add(pattern, wrapped)
	}
	return wrapped
}

// pathOrder keeps the directives of one name in a block in the order in which
// Caddy would sort them. Caddy looks for a `path` with one pattern in each
// route's matcher set and runs longer ones first. It does not find one that is
// inside an AnyReading, so these routes would run as they are written. Where
// that makes a difference, each gets a sort key.
type pathOrder struct {
	block  uintptr // tells the blocks of a Caddyfile apart
	routes []pathRoute
	keyed  bool

	// first are the matcher sets of routes that come before all with a path.
	first []caddy.ModuleMap
}

// pathRoute is a route with one path, as it was written.
type pathRoute struct {
	pattern string
	set     caddy.ModuleMap // shared with the route, so that it can still be changed
}

// orderOf returns the order of the directive's name in the block that h is in.
func orderOf(h httpcaddyfile.Helper, directive string) *pathOrder {
	key := directive + " " + httproutes.AnyReadingName
	// Nested blocks get a copy of the state around them. All sites of a
	// Caddyfile share one: at worst a route gets a key that it does not need.
	block := reflect.ValueOf(h.BlockState).Pointer()
	if order, ok := h.BlockState[key].(*pathOrder); ok && order.block == block {
		return order
	}
	order := &pathOrder{block: block}
	if h.BlockState != nil {
		h.BlockState[key] = order
	}
	return order
}

// add notes a route that was written after those noted before.
func (o *pathOrder) add(pattern string, set caddy.ModuleMap) {
	route := pathRoute{pattern: pattern, set: set}
	o.keyed = o.keyed || slices.ContainsFunc(o.routes, route.belongsBefore)
	o.routes = append(o.routes, route)
	if o.keyed {
		for _, route := range o.routes {
			route.setSortKey()
		}
	}
	o.keepFirst()
}

// addFirst notes a route without a path that comes before all with one. Alone it
// needs no sort key, which would cost each request a comparison of paths: Caddy
// runs routes with a matcher before those without.
func (o *pathOrder) addFirst(set caddy.ModuleMap) {
	o.first = append(o.first, set)
	o.keepFirst()
}

func (o *pathOrder) keepFirst() {
	if len(o.routes) == 0 {
		return
	}
	for _, set := range o.first {
		// Longer than any path that somebody writes.
		set["path"] = sortKey(strings.Repeat("~", 200))
	}
}

// belongsBefore reports whether a request could match both routes and Caddy
// would let this one, which was written later, run first.
func (p pathRoute) belongsBefore(earlier pathRoute) bool {
	mine, its := strings.TrimSuffix(p.pattern, "*"), strings.TrimSuffix(earlier.pattern, "*")
	if strings.ContainsAny(mine+its, `*?[\{%`) {
		return len(mine) >= len(its) // who knows what they match
	}
	return len(p.pattern) != len(earlier.pattern) && len(mine) >= len(its) && strings.HasPrefix(strings.ToLower(mine), strings.ToLower(its))
}

// setSortKey gives the route's matcher set a `path` that sorts as the written
// pattern does and matches every request: Caddy replaces a placeholder that
// nobody knows by nothing when the path is matched, which leaves `*`, but sorts
// the pattern as it is written.
func (p pathRoute) setSortKey() {
	if p.set["path"] != nil {
		return // the path itself
	}
	// Caddy compares what stands before the `*`, by length and then by letters,
	// and runs /a before /a*.
	text, isPrefix := strings.CutSuffix(p.pattern, "*")
	if isPrefix {
		text += "~"
	} else {
		text += "!"
	}
	text = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`{}\`, r) {
			return '_'
		}
		return r
	}, text)
	p.set["path"] = sortKey(text)
}

// sortKey is a `path` that sorts as a text and matches every request.
func sortKey(text string) json.RawMessage {
	return caddyconfig.JSON(caddyhttp.MatchPath{httproutes.SortKeyPrefix + text + "}*"}, nil)
}
