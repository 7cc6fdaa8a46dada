package logtoauth

import (
	"context"
	"net/http"
	"net/url"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// originalURL is the URL as the client sent it: rewrite, uri and try_files run
// before us.
func originalURL(r *http.Request) *url.URL {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.URL != nil {
		return original.URL
	}
	return r.URL
}

// stripOriginal takes something out of the query of the original request, as
// it was taken out of r. Caddy puts the original back before error routes, and
// {http.request.orig_uri}, templates and FastCGI's REQUEST_URI read it on every
// request. Its URL is changed in place: a handler before us, such as tracing,
// may have made a copy of the request, and Caddy's server puts the URL back
// from its own.
func (s *requestState) stripOriginal(r *http.Request, strip func(*http.Request)) {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || original.URL == nil {
		return
	}
	query := original.URL.RawQuery
	strip(&original)
	if original.URL.RawQuery == query {
		return
	}
	setOriginal(r, &original)
	s.later().original = &original
	// The placeholder reads the request of Caddy's server, which may be another
	// copy.
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Set("http.request.orig_uri", original.RequestURI)
	}
}

// setOriginal replaces the original request, of which only the URL is shared.
// It changes r in place, since Caddy's server has the same one.
func setOriginal(r, original *http.Request) {
	*r = *r.WithContext(context.WithValue(r.Context(), caddyhttp.OriginalRequestCtxKey, *original))
}
