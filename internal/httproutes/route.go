// Package httproutes reads the routes of Caddy's HTTP app as a config has them
// in JSON: what their matchers look like in a Caddyfile, to which paths they are
// limited, and which rewrites come before them.
package httproutes

import (
	"encoding/json"
	"strings"
)

// Route is what is looked at of a route.
type Route struct {
	Group    string            `json:"group"`
	Match    MatcherSets       `json:"match"`
	Handle   []json.RawMessage `json:"handle"`
	Terminal bool              `json:"terminal"`
}

// MatcherSets are matchers as they stand in a config: one of the sets must
// match, of a set every matcher.
type MatcherSets []map[string]json.RawMessage

// Hosts returns the hosts to which a route is limited, or none.
func (r Route) Hosts() []string {
	var all []string
	for _, set := range r.Match {
		var hosts []string
		if json.Unmarshal(set["host"], &hosts) != nil || len(hosts) == 0 {
			return nil
		}
		all = append(all, hosts...)
	}
	return all
}

// AnyReadingName is the name of our matcher that has other matchers inside.
const AnyReadingName = "logto_any_reading"

// EndpointsName is the name of our matcher for the endpoints of sign_in and revocation.
const EndpointsName = "logto_endpoints"

// OnlyPath returns the pattern of a matcher set whose `path` has exactly one,
// which is what Caddy sorts routes by, or nothing.
func OnlyPath(set map[string]json.RawMessage) string {
	var patterns []string
	if err := json.Unmarshal(set["path"], &patterns); err != nil || len(patterns) != 1 {
		return ""
	}
	return patterns[0]
}

// SortKeyPrefix begins a sort key: a `path` that matches every request and
// only tells Caddy how to sort the route. No placeholder has a name that begins
// with a tilde.
const SortKeyPrefix = "{~"

// IsSortKey reports whether a matcher of a set is a sort key.
func IsSortKey(name string, raw json.RawMessage) bool {
	if name != "path" {
		return false
	}
	return strings.HasPrefix(OnlyPath(map[string]json.RawMessage{name: raw}), SortKeyPrefix)
}
