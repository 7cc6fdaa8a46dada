package logtoauth

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/fields"
)

// organizationIDs are the organizations a site asks for.
type organizationIDs struct {
	ids []organizationID

	// static are the wanted ones if no id holds a placeholder of request time.
	static wantedOrganizations
}

// organizationID is an id as it was written, and what must hold of a request
// before the placeholders in it can be believed.
type organizationID struct {
	text    string
	dynamic bool

	// headers are the request headers that placeholders read, canonical;
	// cookies and parameters are those of the query, as skeletons.
	headers, cookies, parameters []string
	// host and path tell that a placeholder reads the host, or may read the
	// path: all but header and host placeholders may, through map and vars.
	host, path bool
	// unknown are the placeholders that others set, such as `map` and `vars`,
	// as they were written. They may come from anywhere in the request.
	unknown []string
}

// parseOrganizationIDs takes the ids of a config. Placeholders of load time
// are expanded here, all others in each request.
func parseOrganizationIDs(repl *caddy.Replacer, texts []string) (organizationIDs, error) {
	parsed := organizationIDs{static: wantedOrganizations{resolved: true}}
	for _, text := range texts {
		expanded, err := expandAtLoad(repl, text)
		if err != nil {
			return organizationIDs{}, err
		}
		id := organizationID{text: expanded}
		// ReplaceFunc tells which placeholders Caddy will see; its result is
		// of no interest.
		_, err = caddy.NewEmptyReplacer().ReplaceFunc(expanded, func(key string, _ any) (any, error) {
			id.read(key)
			return nil, nil
		})
		if err != nil {
			return organizationIDs{}, err
		}
		parsed.ids = append(parsed.ids, id)
		if id.dynamic {
			parsed.static.resolved = false
		}
		parsed.static.ids = append(parsed.static.ids, expanded)
	}
	return parsed, nil
}

// expandAtLoad expands the placeholders that are known when a config is loaded
// and leaves the others. A value must not itself hold a placeholder: it would
// be expanded once more in each request.
func expandAtLoad(repl *caddy.Replacer, text string) (string, error) {
	return repl.ReplaceFunc(text, func(key string, value any) (any, error) {
		if !strings.HasPrefix(key, "env.") && !strings.HasPrefix(key, "file.") {
			return "{" + key + "}", nil
		}
		expanded := caddy.ToString(value)
		if expanded == "" {
			return nil, fmt.Errorf("placeholder {%s} is empty", key)
		}
		if strings.ContainsAny(expanded, "{}") {
			return nil, fmt.Errorf("the value of placeholder {%s} holds a brace", key)
		}
		if strings.Contains(expanded, ",") {
			return nil, fmt.Errorf("the value of placeholder {%s} holds a comma, which no ID of Logto does; give each organization a placeholder of its own", key)
		}
		return expanded, nil
	})
}

// read notes what a placeholder reads from the request.
func (id *organizationID) read(key string) {
	id.dynamic = true
	const host = "http.request.host"
	if name, ok := strings.CutPrefix(key, "http.request.header."); ok {
		id.headers = append(id.headers, textproto.CanonicalMIMEHeaderKey(name))
		return
	}
	if key == host || key == "http.request.hostport" || strings.HasPrefix(key, host+".") {
		id.host = true
		return
	}
	id.path = true
	if name, ok := strings.CutPrefix(key, "http.request.cookie."); ok {
		id.cookies = append(id.cookies, fields.Skeleton(name))
	}
	if name, ok := strings.CutPrefix(key, "http.request.uri.query."); ok {
		id.parameters = append(id.parameters, fields.Skeleton(name))
	}
	if isServerName(key) {
		// Refused in an ID itself, and no better in what a variable is set from.
		id.unknown = append(id.unknown, "{"+key+"}")
	}
	if !slices.ContainsFunc(ownSources, func(prefix string) bool { return strings.HasPrefix(key, prefix) }) {
		id.unknown = append(id.unknown, "{"+key+"}")
	}
}

// isServerName reports whether a placeholder reads the server name of the TLS
// connection (SNI), which Caddy compares with the host only with
// `strict_sni_host`. Caddy takes the names of TLS placeholders in any case.
func isServerName(key string) bool {
	return strings.EqualFold(key, "http.request.tls.server_name")
}

// ownSources begin the names of placeholders that say themselves what they
// read. All others are set by a handler, a matcher or another module, from
// whatever the config names there: `map`, `vars`, `path_regexp`.
var ownSources = []string{"http.request.", "http.auth.user.", "system.", "time."}

// resolve returns the ids for one request. Every id must resolve: one that
// does not refuses the request and never means "skip".
func (o organizationIDs) resolve(r *http.Request) wantedOrganizations {
	if o.static.resolved {
		return o.static
	}
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return wantedOrganizations{}
	}
	wanted := wantedOrganizations{ids: make([]string, 0, len(o.ids)), resolved: true}
	for _, id := range o.ids {
		text := id.text
		if id.dynamic {
			if !id.believable(r) {
				return wantedOrganizations{}
			}
			// One pass: a value from the request that looks like a placeholder
			// stays as it is. Each placeholder must be known and not empty.
			var err error
			if text, err = repl.ReplaceOrErr(id.text, true, true); err != nil {
				return wantedOrganizations{}
			}
		}
		wanted.ids = append(wanted.ids, text)
	}
	return wanted
}

// keepHeaders takes the headers that ids read out of the client's Connection
// header. The reverse proxy would drop them as hop-by-hop, and the upstream
// would act on another organization than the one that was checked.
func (o organizationIDs) keepHeaders(r *http.Request) {
	for _, id := range o.ids {
		for _, header := range id.headers {
			fields.RemoveFromConnection(r.Header, header)
		}
		if len(id.cookies) > 0 {
			fields.RemoveFromConnection(r.Header, "Cookie")
		}
		if len(id.unknown) > 0 {
			// Any header may have been read.
			fields.FilterConnection(r.Header, fields.IsHopByHop)
		}
	}
}

// believable reports whether what the placeholders read is what every later
// handler will act on.
func (id *organizationID) believable(r *http.Request) bool {
	for _, header := range id.headers {
		if !fields.HeaderStandsOnce(r.Header, header) {
			return false
		}
	}
	for _, cookie := range id.cookies {
		if !fields.CookieStandsOnce(r.Header["Cookie"], cookie) {
			return false
		}
	}
	for _, parameter := range id.parameters {
		if !fields.ParameterStandsOnce(r.URL.RawQuery, parameter) {
			return false
		}
	}
	// Of what map and vars read nothing is known: it may be the host.
	if (id.host || len(id.unknown) > 0) && (!fields.PlainHost(r.Host) || fields.NamesHost(r.Header)) {
		return false
	}
	if id.path {
		if !fields.PlainPath(r.URL) {
			return false
		}
		// A vars or map placeholder may have been read before a rewrite.
		original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
		if ok && original.URL != nil && !fields.PlainPath(original.URL) {
			return false
		}
	}
	return true
}

// requestPrefix begins the placeholders of which Caddy's HTTP app knows all
// there are. Any other may come from a `map` or another module.
const requestPrefix = "http.request."

// knownToCaddy reports whether Caddy's HTTP app has a value for a placeholder
// of the request. Caddy has no list of them, so it is asked with a request.
func knownToCaddy(key string) bool {
	// Caddy reads the local address without a look whether there is one.
	ctx := context.WithValue(context.Background(), http.LocalAddrContextKey, net.Addr(new(net.TCPAddr)))
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}, Host: "localhost", Header: http.Header{}}
	repl := caddy.NewEmptyReplacer()
	caddyhttp.PrepareRequest(r.WithContext(ctx), repl, nil, nil)
	_, known := repl.Get(key)
	return known
}

// organizationPlaceholders are those that an organization is usually read
// from.
var organizationPlaceholders = []string{
	"http.request.host", "http.request.host.labels", "http.request.header", "http.request.cookie",
	"http.request.uri.path", "http.request.uri.query",
}

// similarPlaceholder names the placeholder that may be meant by an unknown
// one, as the end of a message.
func similarPlaceholder(key string) string {
	name, last := key, ""
	if i := strings.LastIndexByte(key, '.'); i > len(requestPrefix) {
		name, last = key[:i], key[i:]
	}
	nearest := slices.MinFunc(organizationPlaceholders, func(a, b string) int {
		return editDistance(name, a) - editDistance(name, b)
	})
	if nearest == name || editDistance(name, nearest) > 2 || !knownToCaddy(nearest+last) {
		return ""
	}
	return "; did you mean {" + nearest + last + "}?"
}
