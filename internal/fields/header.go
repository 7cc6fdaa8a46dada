// Package fields reads the parts of a request that servers understand in
// different ways: the names and values of headers, cookies and query
// parameters, the host and the path.
package fields

import (
	"net/http"
)

// FoldHeader gives all names that a server may take for the same header one
// spelling. CGI and its kin know neither case nor `-`; some make one character
// of `_` and `.` too, and some of all that are neither letter nor digit.
func FoldHeader(name string) string {
	folded := []byte(name)
	for i, c := range folded {
		folded[i] = foldOctet(c)
	}
	return string(folded)
}

func foldOctet(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	}
	return '-'
}

// Spells reports whether a name is one of the spellings of a folded name.
func Spells(name, folded string) bool {
	if len(name) != len(folded) {
		return false
	}
	for i := range len(name) {
		if foldOctet(name[i]) != folded[i] {
			return false
		}
	}
	return true
}

// HeaderStandsOnce reports whether a header stands exactly once, in whatever
// spelling a later handler may take for it (CGI and some frameworks read
// `X_Org` and `X.Org` as `X-Org`).
func HeaderStandsOnce(header http.Header, name string) bool {
	count := 0
	want := FoldHeader(name)
	for key, values := range header {
		if Spells(key, want) {
			count += len(values)
		}
	}
	return count == 1
}
