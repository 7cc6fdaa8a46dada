package logtoauth

import (
	"io"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// servePrivately runs next and keeps shared caches from storing its answer.
// The Authorization header does so by itself, and no other place of a token
// does (RFC 9111 section 3.5).
func servePrivately(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	private := &privateWriter{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
	err := next.ServeHTTP(private, r)
	if !private.wroteHeader {
		// The server or an error route will write it.
		makePrivate(w.Header())
	}
	return err
}

// privateWriter changes Cache-Control when the header is written, which is
// when nobody behind it can change it any more.
type privateWriter struct {
	*caddyhttp.ResponseWriterWrapper
	wroteHeader bool
}

// WriteHeader writes the header. An informational one is not the last, but
// 101 is.
func (w *privateWriter) WriteHeader(status int) {
	if !w.wroteHeader && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		w.wroteHeader = true
		makePrivate(w.Header())
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
)
