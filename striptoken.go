package logtoauth

import (
	"context"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/fields"
)

// strip takes the token out of the request in every configured place, and out
// of what Caddy has kept of it: the original URL, and the trailers to come.
func (s *requestState) strip(r *http.Request, sources tokenSources) {
	sources.strip(r)
	if original := sources.stripOriginal(r); original != nil {
		s.later().original = original
	}
	if r.Trailer != nil {
		names := sources.headers()
		names.takeOutOfTrailers(r)
		s.later().trailers = append(s.later().trailers, names...)
	}
}

// stripOriginal takes the token out of the query of the request's original URL
// and returns the original request if it had one. Caddy puts the original back
// before error routes, and {http.request.orig_uri}, templates and FastCGI's
// REQUEST_URI read it on every request.
func (s tokenSources) stripOriginal(r *http.Request) *http.Request {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || original.URL == nil {
		return nil
	}
	query := original.URL.RawQuery
	for _, source := range s {
		if source.From == sourceQuery {
			fields.StripParameter(&original, source.Name)
		}
	}
	if original.URL.RawQuery == query {
		return nil
	}
	setOriginal(r, &original)
	// The placeholder reads the request of Caddy's server, of which a handler
	// before us, such as tracing, may have made a copy.
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Set("http.request.orig_uri", original.RequestURI)
	}
	return &original
}

// setOriginal replaces the original request, of which only the URL is shared.
// It changes r in place, since Caddy's server has the same one.
func setOriginal(r, original *http.Request) {
	*r = *r.WithContext(context.WithValue(r.Context(), caddyhttp.OriginalRequestCtxKey, *original))
}

// stripAgain takes out what was taken out before. Caddy's server may have kept
// another copy of the request than the one the handlers changed.
func (u *unfinished) stripAgain(r *http.Request) {
	if u.original != nil {
		r.RequestURI = u.original.RequestURI
		setOriginal(r, u.original)
	}
	if len(u.trailers) > 0 {
		u.trailers.takeOutOfTrailers(r)
	}
}

// headers are the folded names of the headers in which a token may stand. RFC
// 9110 section 6.5.1 allows none of them in trailers, but net/http takes and
// sends them in HTTP/1.1.
func (s tokenSources) headers() headerNames {
	var names headerNames
	for _, name := range s.vary() {
		names = append(names, fields.FoldHeader(name))
	}
	return names
}
