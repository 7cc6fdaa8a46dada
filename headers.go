package logtoauth

import (
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/fields"
)

// headerNames are folded names of headers that only this module may set.
type headerNames []string

// contain reports whether a server may take a header for one of these.
func (n headerNames) contain(name string) bool {
	return slices.ContainsFunc(n, func(folded string) bool { return fields.Spells(name, folded) })
}

// deleteFrom deletes the headers, in every spelling.
func (n headerNames) deleteFrom(header http.Header) {
	if len(n) == 0 {
		return // as nearly always; going through a map takes a while
	}
	for name := range header {
		if n.contain(name) {
			delete(header, name)
		}
	}
}

// takeOut deletes what the client sent under these names: headers, trailers,
// and the wish that a proxy drop the header that will be set (RFC 9110 section
// 7.6.1).
func (n headerNames) takeOut(r *http.Request) {
	if len(n) == 0 {
		return
	}
	n.deleteFrom(r.Header)
	for _, name := range n {
		fields.RemoveFromConnection(r.Header, name)
	}
	n.takeOutOfTrailers(r)
}

// takeOutOfTrailers deletes trailers: those that are there, and those that
// come when the body ends.
func (n headerNames) takeOutOfTrailers(r *http.Request) {
	if r.Trailer != nil && r.Body != nil {
		n.deleteFrom(r.Trailer)
		r.Body = &trailerFilter{ReadCloser: r.Body, trailer: r.Trailer, names: n}
	}
}

// trailerFilter deletes trailers as soon as they are there. When the body ends
// net/http fills in the map of those that were announced, in HTTP/1.1 also with
// others. Without announced ones there is no map that anybody would see.
type trailerFilter struct {
	io.ReadCloser
	trailer http.Header
	names   headerNames
}

// Read deletes within the call that ends the body: whoever reads it looks at
// the trailers next. Close must not, since it may run beside Read.
func (f *trailerFilter) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if err != nil {
		f.names.deleteFrom(f.trailer)
	}
	return n, err
}

func containsFold(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// addVary names the headers a token may stand in. The slice is new for each
// response: Caddy's header directive may change its elements in place.
func addVary(header http.Header, names []string) {
	existing := header["Vary"]
	if len(existing) == 0 {
		header["Vary"] = append(make([]string, 0, len(names)), names...)
		return
	}
	for _, name := range names {
		if !containsFold(existing, name) {
			header.Add("Vary", name)
		}
	}
}

// servePrivately runs next and keeps shared caches from storing its answer.
// The Authorization header does so by itself, and no other place of a token
// does (RFC 9111 section 3.5). For a browser with a session it also writes the
// session's cookie if that has to be.
func servePrivately(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, from *browser) error {
	var private *privateWriter
	if from != nil && from.writer.ResponseWriter == nil {
		private = &from.writer
	} else {
		private = new(privateWriter)
	}
	private.ResponseWriter, private.browser = w, from
	err := next.ServeHTTP(private, r)
	if !private.wroteHeader {
		// The server or an error route will write it.
		private.finish(http.StatusOK)
	}
	return err
}

// privateWriter changes Cache-Control when the header is written, which is
// when nobody behind it can change it any more.
type privateWriter struct {
	caddyhttp.ResponseWriterWrapper
	browser     *browser // nil: none with a session
	wroteHeader bool

	cacheControl [1]string // of the answer, in one piece with the writer
}

// finish changes the header for the last time.
func (w *privateWriter) finish(status int) {
	header := w.Header()
	switch {
	case w.browser.hasSession() && isPage(header):
		// Else the back button would show it to whoever comes after a sign-out. A
		// 304, which has no type, changes what the browser has stored of the page
		// (RFC 9111 section 4.3.4).
		w.cacheControl[0] = "private, no-cache"
		header["Cache-Control"] = w.cacheControl[:]
	case len(header["Cache-Control"]) == 0:
		w.cacheControl[0] = "private"
		header["Cache-Control"] = w.cacheControl[:]
	default:
		makePrivate(header)
	}
	if w.browser.hasSession() {
		w.browser.writeCookie(header, status)
	}
}

// isPage reports whether an answer may be a page that does not say how to store
// it. One without a type may be anything.
func isPage(header http.Header) bool {
	if len(header["Cache-Control"]) > 0 {
		return false
	}
	types := header["Content-Type"]
	if len(types) == 0 {
		return true
	}
	kind, _, _ := strings.Cut(types[0], ";")
	switch strings.ToLower(textproto.TrimString(kind)) {
	case "", "text/html", "application/xhtml+xml":
		return true
	}
	return false
}

// WriteHeader writes the header. An informational one is not the last, but
// 101 is.
func (w *privateWriter) WriteHeader(status int) {
	if !w.wroteHeader && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		w.wroteHeader = true
		w.finish(status)
	}
	w.ResponseWriterWrapper.WriteHeader(status)
}

// Write writes the header, if that has not happened, and then p.
func (w *privateWriter) Write(p []byte) (int, error) {
	w.writeImplicitHeader()
	return w.ResponseWriterWrapper.Write(p)
}

// ReadFrom writes the header, if that has not happened, and then all of r.
func (w *privateWriter) ReadFrom(r io.Reader) (int64, error) {
	w.writeImplicitHeader()
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError writes the header, if that has not happened, and flushes. Without
// it http.ResponseController would flush the writer within, which writes the
// header as it stands.
func (w *privateWriter) FlushError() error {
	w.writeImplicitHeader()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *privateWriter) writeImplicitHeader() {
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
}

// makePrivate takes out of Cache-Control what lets a shared cache store the
// answer and adds `private` (RFC 9111 section 5.2.2), in front, where no string
// that was left open can swallow it. A `private` that names fields speaks of
// these only, so it makes way.
func makePrivate(header http.Header) {
	if len(header["Cache-Control"]) == 0 {
		header["Cache-Control"] = []string{"private"}
		return
	}
	directives := []string{"private"}
	for _, value := range header["Cache-Control"] {
		for _, directive := range splitDirectives(value) {
			name, _, _ := strings.Cut(directive, "=")
			switch strings.ToLower(textproto.TrimString(name)) {
			case "", "public", "s-maxage", "private":
			default:
				directives = append(directives, directive)
			}
		}
	}
	header["Cache-Control"] = []string{strings.Join(directives, ", ")}
}

// splitDirectives splits at the commas that stand outside of quoted strings.
func splitDirectives(value string) []string {
	var (
		directives      []string
		start           int
		quoted, escaped bool
	)
	for i := range len(value) {
		switch c := value[i]; {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			directives = append(directives, textproto.TrimString(value[start:i]))
			start = i + 1
		}
	}
	return append(directives, textproto.TrimString(value[start:]))
}

// Interface guards.
var (
	_ http.ResponseWriter = (*privateWriter)(nil)
	_ io.ReaderFrom       = (*privateWriter)(nil)
	_ io.ReadCloser       = (*trailerFilter)(nil)
)
