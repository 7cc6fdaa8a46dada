package logtoauth

import "net/http"

// isPreflight recognizes a genuine CORS preflight (Fetch standard section
// 4.8): browsers send these without credentials, so that one can only be
// answered, not authenticated. Anything that could make an upstream do more
// than answer it is none.
func isPreflight(r *http.Request, sources tokenSources) bool {
	if r.Method != http.MethodOptions || !mayBeEmpty(r) || isUpgrade(r) ||
		len(r.Header["Origin"]) != 1 || r.Header.Get("Origin") == "" ||
		len(r.Header["Access-Control-Request-Method"]) != 1 || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	// Some servers do what these say, whatever the method is. A browser sends
	// no header of a page's own before the preflight has been answered.
	for _, name := range []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"} {
		if len(r.Header[name]) > 0 {
			return false
		}
	}
	for _, source := range sources {
		if len(source.values(r)) > 0 {
			return false
		}
	}
	return true
}

// mayBeEmpty reports whether a request is not known to have a body. Over
// HTTP/2 and 3 that is known only when the stream ends: quic-go gives every
// request without Content-Length the length -1, and so does net/http where an
// empty DATA frame ends the stream. In HTTP/1.1 an unknown length is chunked,
// which no browser does to a preflight.
func mayBeEmpty(r *http.Request) bool {
	return r.ContentLength == 0 || r.ContentLength < 0 && r.ProtoMajor >= 2
}

// dropContent takes body and trailers away, so that what a preflight may turn
// out to have reaches no handler.
func dropContent(r *http.Request) {
	r.Body = http.NoBody
	r.ContentLength = 0
	r.TransferEncoding = nil
	r.Trailer = nil
	delete(r.Header, "Content-Length")
	delete(r.Header, "Transfer-Encoding")
	delete(r.Header, "Trailer")
}
