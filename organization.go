package logtoauth

import (
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
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
	// cookies and parameters are those of the query by their names.
	headers, cookies, parameters []string
	// host and path tell that a placeholder reads the host, or may read the
	// path: all but header and host placeholders may, through map and vars.
	host, path bool
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
		id.cookies = append(id.cookies, name)
	}
	if name, ok := strings.CutPrefix(key, "http.request.uri.query."); ok {
		id.parameters = append(id.parameters, name)
	}
}

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

// believable tells whether what the placeholders read is what every later
// handler will act on.
func (id *organizationID) believable(r *http.Request) bool {
	for _, header := range id.headers {
		if !standsOnce(r.Header, header) {
			return false
		}
	}
	for _, cookie := range id.cookies {
		if !cookieStandsOnce(r.Header["Cookie"], cookie) {
			return false
		}
	}
	for _, parameter := range id.parameters {
		if !parameterStandsOnce(r.URL.RawQuery, parameter) {
			return false
		}
	}
	if id.host && !plainHost(r.Host) {
		return false
	}
	if id.path {
		if !plainPath(r.URL) {
			return false
		}
		// A vars or map placeholder may have been read before a rewrite.
		original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
		if ok && original.URL != nil && !plainPath(original.URL) {
			return false
		}
	}
	return true
}

// keepHeaders takes the headers that ids read out of the client's Connection
// header. The reverse proxy would drop them as hop-by-hop, and the upstream
// would act on another organization than the one that was checked.
func (o organizationIDs) keepHeaders(r *http.Request) {
	for _, id := range o.ids {
		for _, header := range id.headers {
			removeFromConnection(r.Header, header)
		}
	}
}

// removeFromConnection takes a header's name, in every spelling, out of the
// client's Connection header.
func removeFromConnection(header http.Header, name string) {
	values := header["Connection"]
	if len(values) == 0 {
		return
	}
	var kept []string
	folded := foldHeader(name)
	for _, value := range values {
		for option := range strings.SplitSeq(value, ",") {
			if option = textproto.TrimString(option); option != "" && !spells(option, folded) {
				kept = append(kept, option)
			}
		}
	}
	if len(kept) == 0 {
		header.Del("Connection")
		return
	}
	header["Connection"] = []string{strings.Join(kept, ", ")}
}

// standsOnce tells whether a header stands exactly once, in whatever spelling
// a later handler may take for it (CGI and some frameworks read `X_Org` and
// `X.Org` as `X-Org`).
func standsOnce(header http.Header, name string) bool {
	count := 0
	want := foldHeader(name)
	for key, values := range header {
		if spells(key, want) {
			count += len(values)
		}
	}
	return count == 1
}

// cookieStandsOnce tells whether a cookie stands exactly once, in whatever
// case: Caddy takes the first in any case that net/http does not drop, an
// application perhaps the last, or another.
func cookieStandsOnce(lines []string, name string) bool {
	count := 0
	for cookie := range cookies(lines) {
		if strings.EqualFold(cookie, name) {
			count++
		}
	}
	return count == 1
}

// parameterStandsOnce is the same for a parameter of the query, of which
// net/url drops those with a semicolon or a broken value.
func parameterStandsOnce(rawQuery, name string) bool {
	count := 0
	for pair := range queryPairs(rawQuery) {
		key, _, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(key); err == nil && strings.EqualFold(decoded, name) {
			count++
		}
	}
	return count == 1
}

// plainHost refuses a host in which an empty label or a trailing dot moves
// labels or makes one site two.
func plainHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return !slices.Contains(strings.Split(host, "."), "")
}

// plainPath refuses a path that servers read in different ways.
func plainPath(u *url.URL) bool {
	escaped := strings.ToLower(u.EscapedPath()) // which encodes a plain backslash
	for _, sequence := range []string{"%2f", "%5c", "%2e"} {
		if strings.Contains(escaped, sequence) {
			return false
		}
	}
	segments := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	for i, segment := range segments {
		// Some servers drop a segment's parameters before they resolve dots.
		segment, _, _ = strings.Cut(segment, ";")
		if segment == "." || segment == ".." || (segment == "" && i < len(segments)-1) {
			return false
		}
	}
	return true
}
