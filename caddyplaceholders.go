package logtoauth

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

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
