package session

import (
	"net/url"
	"path"
	"strings"
)

const (
	maxReturnPath = 2 << 10
	hexDigits     = "0123456789ABCDEF"

	// outsidePaths are the characters, besides those that end a path or have it
	// refused, that no path of a URL may hold (RFC 3986 section 3.3). Go's net/url
	// writes a path with one of them anew, and %2F becomes a slash by that.
	outsidePaths = "\"<>^`{|}"
)

// ReturnPath is where to send a person after signing in, or out of it: the
// path and query given, if they are of this site and not below the prefix of
// the sign-in's own endpoints, else "/". Anything can stand in a link to
// sign-in, so what a browser could take for another site must not pass.
//
// The result is to be written into Location as it is. It holds visible ASCII
// only; other characters are percent-encoded, as a browser would.
func ReturnPath(given, prefix string) string {
	encoded := encodeVisible(given)
	if len(encoded) > maxReturnPath || !staysHere(encoded) || isBelow(encoded, prefix) {
		return "/"
	}
	return encoded
}

// encodeVisible percent-encodes spaces, what is not ASCII, and in the path what
// no path may hold. With control characters it returns nothing, which is no path:
// browsers remove tabs and line ends from an address, so that "/\t/elsewhere" is
// "//elsewhere".
func encodeVisible(given string) string {
	var encoded strings.Builder
	inQuery := false
	for i := range len(given) {
		c := given[i]
		inQuery = inQuery || c == '?'
		switch {
		case c < ' ' || c == 0x7f:
			return ""
		case c == ' ' || c > 0x7f || !inQuery && strings.IndexByte(outsidePaths, c) >= 0:
			encoded.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		default:
			encoded.WriteByte(c)
		}
	}
	return encoded.String()
}

// staysHere reports whether no browser takes this for another site's address,
// or for more than a path and query. A backslash is a slash to browsers. After
// ".." is resolved no "//" may be in front either: some code resolves first
// and reads the rest as an address.
func staysHere(given string) bool {
	if !strings.HasPrefix(given, "/") || strings.HasPrefix(given, "//") || strings.ContainsAny(given, `\#`) {
		return false // "//evil.example/../.." too, which resolves to "/"
	}
	given, _, _ = strings.Cut(given, "?")
	return !strings.HasPrefix(removeDots(given), "//")
}

// removeDots resolves "." and ".." the way browsers do (WHATWG URL): escaped
// dots too, and empty segments count.
func removeDots(given string) string {
	var kept []string
	segments := strings.Split(strings.TrimPrefix(given, "/"), "/")
	for i, segment := range segments {
		isLast := i == len(segments)-1
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
			if isLast {
				kept = append(kept, "")
			}
		case ".":
			if isLast {
				kept = append(kept, "")
			}
		default:
			kept = append(kept, segment)
		}
	}
	return "/" + strings.Join(kept, "/")
}

// isBelow reports whether a path leads to the endpoints of sign-in under any
// reading: returning there would start all over, or sign the person out.
// Escapes, dots, doubled slashes and case are read as Caddy's path matcher
// does, and as browsers do.
func isBelow(given, prefix string) bool {
	given, _, _ = strings.Cut(given, "?")
	readings := []string{given, removeDots(given)}
	if decoded, err := url.PathUnescape(given); err == nil {
		readings = append(readings, decoded, strings.ReplaceAll(decoded, `\`, "/"))
	}
	prefix = strings.ToLower(path.Clean(prefix))
	for _, reading := range readings {
		reading = strings.ToLower(path.Clean(reading))
		if reading == prefix || strings.HasPrefix(reading, prefix+"/") {
			return true
		}
	}
	return false
}
