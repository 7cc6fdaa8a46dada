package logtoauth

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/httproutes"
)

func init() {
	caddy.RegisterModule(new(AnyReading))
}

// AnyReading is a request matcher that matches if its matcher sets match under
// any reading of the request's path. Like `not`, it is a list of matcher sets,
// of which one must match.
//
// Caddy's `path` matcher compares the decoded path with `..` and `//` resolved,
// but `reverse_proxy` forwards the path as the client sent it, and many
// services route on that. So `/admin/..%2fhealthz` is `/healthz` for Caddy and
// below `/admin` for the service. What protects a path must apply to both. The
// readings are:
//
//   - Caddy's own;
//   - the path as sent, with its escapes;
//   - the path decoded once, with `..`, `.` and `//` left as they are;
//   - the path resolved, decoded before or after that, with and without `\`
//     taken for `/`, `;…` cut from every segment, empty segments merged, and
//     the first segment of `//x/y` taken for a host.
//
// An empty path and `*` read as `/`. A CONNECT request reads as GET too,
// because proxies turn a WebSocket over HTTP/2 and HTTP/3 (RFC 8441, RFC 9220)
// into one. A request that has one reading only costs nothing more. One whose
// path has several and is longer than 1 KiB matches in any case.
//
// A Caddyfile puts it around the matcher of every `logto_auth` and
// `logto_require`; in JSON, do the same:
//
//	"match": [{"logto_any_reading": [{"path": ["/admin*"]}]}]
type AnyReading struct {
	// The matcher sets, of which one must match under one of the readings.
	MatcherSetsRaw caddyhttp.RawMatcherSets `json:"-" caddy:"namespace=http.matchers"`

	sets caddyhttp.MatcherSets
}

// CaddyModule returns the Caddy module information.
func (*AnyReading) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers." + httproutes.AnyReadingName,
		New: func() caddy.Module { return new(AnyReading) },
	}
}

// UnmarshalJSON reads the list of matcher sets.
func (m *AnyReading) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &m.MatcherSetsRaw)
}

// MarshalJSON writes the list of matcher sets.
func (m *AnyReading) MarshalJSON() ([]byte, error) {
	return json.Marshal(m.MatcherSetsRaw)
}

// Provision loads the matchers.
func (m *AnyReading) Provision(ctx caddy.Context) error {
	sets, err := ctx.LoadModule(m, "MatcherSetsRaw")
	if err != nil {
		return fmt.Errorf("loading the matchers: %w", err)
	}
	return m.sets.FromInterface(sets)
}

// MatchWithError reports whether the request matches under any reading.
func (m *AnyReading) MatchWithError(r *http.Request) (bool, error) {
	// Caddy's own reading leaves what the matchers note (the captures of a
	// path_regexp) for later handlers, as it does without this matcher.
	matched, err := m.sets.AnyMatchWithError(r)
	if matched || err != nil || hasOneReading(r) {
		return matched, err
	}
	if len(r.URL.Path)+len(r.URL.Opaque) > maxOddPath {
		return true, nil
	}
	for _, other := range otherReadings(r) {
		if matched, err := m.sets.AnyMatchWithError(other.of(r)); matched || err != nil {
			return matched, err
		}
	}
	return false, nil
}

// maxOddPath bounds the work that the readings of a path make, for each line
// with a matcher. Nobody links to such a path.
const maxOddPath = 1 << 10

// reading is what a server may take a request for.
type reading struct {
	method        string
	path, rawPath string // as in url.URL
}

// of returns the request under this reading. Whatever matchers note about it,
// in placeholders, variables or the access log, is lost with it.
func (as reading) of(r *http.Request) *http.Request {
	ctx := r.Context()
	read := r.WithContext(ctx) // a shallow copy
	read.Method = as.method
	read.URL = new(*r.URL)
	read.URL.Opaque, read.URL.Path, read.URL.RawPath = "", as.path, as.rawPath
	read.RequestURI = read.URL.RequestURI()
	if as.method != r.Method {
		// What reverse_proxy makes of an extended CONNECT.
		read.Header = r.Header.Clone()
		read.Header.Set("Connection", "Upgrade")
		read.Header.Set("Upgrade", "websocket")
	}

	// The first provider that knows a placeholder wins. The URL's come from this
	// reading, and what it does not know (a map's outputs, earlier captures) from
	// the request itself. So does the body, which can be read only there: its
	// placeholders read it and put it back.
	repl := caddy.NewReplacer()
	own, hasOwn := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if hasOwn {
		repl.Map(func(key string) (any, bool) {
			if !strings.HasPrefix(key, "http.request.body") {
				return nil, false
			}
			return own.Get(key)
		})
	}
	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	read = caddyhttp.PrepareRequest(read, repl, nil, server)
	if hasOwn {
		repl.Map(own.Get)
	}
	if own, ok := ctx.Value(caddyhttp.VarsCtxKey).(map[string]any); ok {
		maps.Copy(read.Context().Value(caddyhttp.VarsCtxKey).(map[string]any), own)
	}
	if own, ok := ctx.Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && own.URL != nil && own.URL.Path != r.URL.Path {
		// The path was rewritten, so this is no reading of the original one. The
		// replacer holds on to this very request: it must not be another copy.
		*read = *read.WithContext(context.WithValue(read.Context(), caddyhttp.OriginalRequestCtxKey, own))
	}
	return read
}

// plainOctets are those of which a path may consist that everybody reads
// alike. Of these, markOctets stand in a sent path either as they are or
// escaped; net/url then keeps the sent form.
const (
	plainOctets = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~$&+,/:=@" + markOctets
	markOctets  = "!'()*"
)

// The kinds of octets in a path.
const (
	oddOctet uint8 = iota
	plainOctet
	markOctet
)

var octetKinds = func() (kinds [256]uint8) {
	for _, octet := range []byte(plainOctets) {
		kinds[octet] = plainOctet
	}
	for _, octet := range []byte(markOctets) {
		kinds[octet] = markOctet
	}
	return kinds
}()

// hasOneReading reports whether every server reads the request's path and
// method alike. It is asked of each request, and nearly all are plain.
func hasOneReading(r *http.Request) bool {
	u := r.URL
	if r.Method == http.MethodConnect || u.Opaque != "" || u.RawPath != "" && u.RawPath != u.Path {
		return false
	}
	if u.Path == "" || u.Path[0] != '/' {
		return false
	}
	previous := byte(0)
	for i := range len(u.Path) {
		octet := u.Path[i]
		switch kind := octetKinds[octet]; {
		case kind == oddOctet, kind == markOctet && u.RawPath == "":
			return false
		case previous == '/' && (octet == '/' || octet == '.' && isDotSegment(u.Path[i:])):
			return false
		}
		previous = octet
	}
	return true
}

// isDotSegment reports whether the first segment of rest is `.` or `..`.
func isDotSegment(rest string) bool {
	segment, _, _ := strings.Cut(rest, "/")
	return segment == "." || segment == ".."
}

// otherReadings returns the readings of a request besides Caddy's own.
func otherReadings(r *http.Request) []reading {
	own := reading{method: r.Method, path: r.URL.Path, rawPath: r.URL.RawPath}
	methods := []string{r.Method}
	if r.Method == http.MethodConnect {
		methods = append(methods, http.MethodGet)
	}
	var others []reading
	for _, method := range methods {
		for _, path := range pathReadings(r.URL) {
			path.method = method
			if path != own && !slices.Contains(others, path) {
				others = append(others, path)
			}
		}
	}
	return others
}

// pathReadings returns all readings of a path, which have no method yet. Caddy's
// matchers look at path, and at rawPath only for patterns with a `%`; they clean
// both. So of `/a%2fb/../c` the paths are `/a/b/../c` (cleaned by the matcher to
// `/a/c`), `/a%2fb/.../c` (as sent), `/a/b/.../c` (decoded), `/a/c` (decoded,
// then resolved) and `/c` (resolved, then decoded).
func pathReadings(u *url.URL) []reading {
	readings := []reading{{path: u.Path, rawPath: u.RawPath}}
	for _, sent := range rootedPaths(u) {
		decoded, err := url.PathUnescape(sent)
		if err != nil {
			decoded = sent // net/http refuses such a request; a rewrite may have made it
		}
		readings = append(readings, reading{path: decoded, rawPath: sent})

		// As sent, for those who compare the escapes as letters.
		literal := keepSegments(sent)
		readings = append(readings, reading{path: literal})
		// As sent, for Caddy's patterns with a `%`, which it compares with the
		// escaped path.
		if decoded, err := url.PathUnescape(literal); err == nil {
			readings = append(readings, reading{path: decoded, rawPath: literal})
		}

		readings = append(readings, reading{path: keepSegments(decoded)})
		for _, path := range resolvedPaths(decoded, strings.ReplaceAll(decoded, `\`, "/")) {
			readings = append(readings, reading{path: path})
		}
		dotted := escapedDots.Replace(sent)
		for _, path := range resolvedPaths(dotted, escapedBackslashes.Replace(dotted)) {
			readings = append(readings, reading{path: path})
			// Resolved first and decoded then, by routers that do so segment by
			// segment.
			if decoded, err := url.PathUnescape(path); err == nil {
				readings = append(readings, reading{path: keepSegments(decoded), rawPath: path})
			}
		}
	}
	return readings
}

// rootedPaths returns the escaped path, with a slash in front where there is
// none: an upstream is sent `/` for an empty path (`GET http://host`), for `*`,
// and for an opaque URI (`GET x:admin`), or a slash and what follows.
func rootedPaths(u *url.URL) []string {
	switch sent := u.EscapedPath(); {
	case u.Opaque != "":
		return []string{"/", "/" + strings.TrimLeft(u.Opaque, "/")}
	case sent == "" || sent == "*":
		return []string{"/"}
	case sent[0] != '/':
		return []string{"/" + sent}
	default:
		return []string{sent}
	}
}

// standIn takes the place of a segment that Caddy's matchers would resolve:
// they clean each path that they are given, and cleaning leaves three dots as
// they are. It matches what any segment matches, such as `/x*` and `[^/]+`.
const standIn = "..."

// keepSegments returns the path in a form that stays as it is when it is
// cleaned: its `.`, `..` and empty segments are replaced.
func keepSegments(path string) string {
	segments := strings.Split(path, "/")
	// The first is empty because of the slash in front, the last because of one
	// at the end; cleaning keeps both.
	for i, segment := range segments {
		inside := i > 0 && i < len(segments)-1
		if segment == "." || segment == ".." || segment == "" && inside {
			segments[i] = standIn
		}
	}
	return strings.Join(segments, "/")
}

// resolvedPaths returns what servers make of paths that resolve them, each in a
// form that stays as it is when it is cleaned. They differ in what they take
// for a slash and for a segment: `/a%2fb/../../admin` is `/admin` to those that
// decode before they resolve, and `/../admin` is to those that do not (RFC 3986
// section 5.2.4 and the WHATWG URL standard, so Node and many frameworks).
func resolvedPaths(paths ...string) []string {
	var resolved []string
	for _, path := range paths {
		forms := []string{path}
		if rest, ok := strings.CutPrefix(path, "//"); ok {
			// A request target that is parsed as a reference begins with a host,
			// to browsers' parsers behind any number of slashes.
			_, behind, _ := strings.Cut(rest, "/")
			_, behindAll, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
			forms = append(forms, "/"+behind, "/"+behindAll)
		}
		for _, form := range forms {
			for _, cut := range []bool{false, true} {
				for _, merge := range []bool{false, true} {
					one := keepSegments(resolve(form, cut, merge))
					if !slices.Contains(resolved, one) {
						resolved = append(resolved, one)
					}
				}
			}
		}
	}
	return resolved
}

var (
	// escapedDots are dots to who resolves a path without decoding it.
	escapedDots = strings.NewReplacer("%2e", ".", "%2E", ".")
	// escapedBackslashes are slashes to Windows and to browsers' URL parsers, in
	// both forms.
	escapedBackslashes = strings.NewReplacer(`\`, "/", "%5c", "/", "%5C", "/")
)

// resolve resolves the dot segments of a path that begins with a slash. If cut
// is set, it takes parameters from segments first, as Java servlets do. If
// merge is set, it drops empty segments first; else `..` takes one away like
// any other.
func resolve(path string, cut, merge bool) string {
	segments := strings.Split(path, "/")[1:]
	kept := segments[:0]
	for i, segment := range segments {
		if cut {
			segment, _, _ = strings.Cut(segment, ";")
		}
		last := i == len(segments)-1
		switch {
		case segment == "..":
			kept = kept[:max(len(kept)-1, 0)]
		case segment == ".", segment == "" && merge:
		default:
			kept = append(kept, segment)
			continue
		}
		if last {
			kept = append(kept, "") // the slash at the end stays
		}
	}
	return "/" + strings.Join(kept, "/")
}

// Interface guards.
var (
	_ caddy.Module                      = (*AnyReading)(nil)
	_ caddy.Provisioner                 = (*AnyReading)(nil)
	_ caddyhttp.RequestMatcherWithError = (*AnyReading)(nil)
	_ json.Marshaler                    = (*AnyReading)(nil)
	_ json.Unmarshaler                  = (*AnyReading)(nil)
)
