package fields

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// PlainHost accepts a name or a bracketed IPv6 address, with or without a port.
// Caddy splits anything else into labels too, and not where others do: of
// `globex.example.com:x:.acme.example.com` Caddy reads acme and Express globex.
// An empty label or a trailing dot moves labels or makes one site two. A Host
// header that differs from :authority never comes here: x/net and quic-go end
// the stream.
func PlainHost(hostport string) bool {
	if address, port, ok := strings.Cut(hostport, "]"); ok {
		address, bracketed := strings.CutPrefix(address, "[")
		ip, err := netip.ParseAddr(address)
		return bracketed && err == nil && ip.Is6() && ip.Zone() == "" && (port == "" || isPort(port))
	}
	name, port := hostport, ""
	if colon := strings.IndexByte(hostport, ':'); colon >= 0 {
		name, port = hostport[:colon], hostport[colon:]
	}
	if port != "" && !isPort(port) {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.ContainsFunc(label, func(r rune) bool { return !isLabelChar(r) }) {
			return false
		}
	}
	return true
}

// isPort reports whether text is a colon and 1 to 5 digits.
func isPort(text string) bool {
	digits, ok := strings.CutPrefix(text, ":")
	return ok && 1 <= len(digits) && len(digits) <= 5 &&
		!strings.ContainsFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
}

func isLabelChar(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_'
}

// NamesHost reports whether a Forwarded header (RFC 7239) has a parameter
// `host`. Rack and others believe it more than Host. Caddy's reverse proxy
// writes X-Forwarded-Host itself, but passes Forwarded on as the client sent it.
//
// Readers do not agree on quotes, spaces and separators, so `host` counts
// wherever it stands in front of a `=`.
func NamesHost(header http.Header) bool {
	for name, values := range header {
		if !Spells(name, "forwarded") {
			continue
		}
		before, rest, found := strings.Cut(strings.Join(values, ","), "=")
		for found {
			if strings.HasSuffix(Skeleton(before), "host") {
				return true
			}
			before, rest, found = strings.Cut(rest, "=")
		}
	}
	return false
}

// PlainPath refuses a path that servers read in different ways.
func PlainPath(u *url.URL) bool {
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
