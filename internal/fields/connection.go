package fields

import (
	"net/http"
	"net/textproto"
	"strings"
)

// IsHopByHop reports whether an option of the Connection header is one that
// concerns the connection alone. Caddy's reverse proxy deletes the headers of
// that name anyway, and no handler reads an organization from them.
func IsHopByHop(option string) bool {
	switch strings.ToLower(option) {
	case "close", "keep-alive", "upgrade", "te", "http2-settings":
		return true
	}
	return false
}

// RemoveFromConnection takes a header's name, in every spelling, out of the
// client's Connection header.
func RemoveFromConnection(header http.Header, name string) {
	folded := FoldHeader(name)
	FilterConnection(header, func(option string) bool { return !Spells(option, folded) })
}

// FilterConnection keeps of the client's Connection header the options that
// may stay.
func FilterConnection(header http.Header, keep func(option string) bool) {
	values := header["Connection"]
	if len(values) == 0 {
		return
	}
	var kept []string
	for _, value := range values {
		for option := range strings.SplitSeq(value, ",") {
			if option = textproto.TrimString(option); option != "" && keep(option) {
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
