package logtoauth

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/caddy-logto/caddy-logto-auth/internal/fields"
)

// TokenSource is a place in a request where a token may stand.
type TokenSource struct {
	// The kind of place: `header`, `cookie` or `query`.
	From string `json:"from"`

	// The name of the header, cookie or query parameter. Default for a
	// header: `Authorization`; the other kinds need a name. A header other
	// than Authorization takes the bare token or `Bearer …`.
	Name string `json:"name,omitempty"`
}

// tokenSources are the places where a site looks for a token, in order.
type tokenSources []TokenSource

// newTokenSources takes the places of a config, with header names as
// net/http keeps them.
func newTokenSources(configured []TokenSource) tokenSources {
	sources := make(tokenSources, 0, len(configured))
	for _, source := range configured {
		if source.From == sourceHeader {
			source.Name = textproto.CanonicalMIMEHeaderKey(source.Name)
		}
		sources = append(sources, source)
	}
	return sources
}

// credential is a token as it stood in a request.
type credential struct {
	token  string
	source TokenSource
}

// ambient tells whether a browser adds this credential without the page that
// makes the request knowing it.
func (c credential) ambient() bool { return c.source.From == sourceCookie }

// cacheable reports whether a shared cache may take the answer for everybody's,
// which it does not with a token in the Authorization header, and only there
// (RFC 9111 section 3.5).
func (c credential) cacheable() bool {
	return c.source.From != sourceHeader || c.source.Name != defaultSourceHeader
}

// find returns the token of a request: that of the first place which holds
// one. All places are looked at, since several tokens in one place, or one in
// the query beside another, must not be resolved by guessing: the next server
// might guess otherwise (RFC 6750 section 2).
func (s tokenSources) find(r *http.Request) (credential, *Refusal) {
	var (
		first       credential
		found       bool
		queried     bool
		places      int
		otherScheme bool
	)
	for _, source := range s {
		values := source.values(r)
		if len(values) > 1 {
			return credential{}, refuseMultipleTokens()
		}
		if len(values) == 0 || values[0] == "" {
			continue
		}
		token := values[0]
		if source.From == sourceHeader {
			var isBearer bool
			if token, isBearer = bearerToken(token); !isBearer && source.Name == defaultSourceHeader {
				otherScheme = true
				continue
			}
		}
		if token == "" {
			continue
		}
		places++
		queried = queried || source.From == sourceQuery
		if !found {
			first, found = credential{token, source}, true
		}
	}
	switch {
	case queried && places > 1:
		return credential{}, refuseMultipleTokens()
	case found:
		return first, nil
	case otherScheme:
		return credential{}, refuseUnsupportedScheme()
	default:
		return credential{}, refuseMissingToken()
	}
}

// values returns what stands in this place of the request.
func (s TokenSource) values(r *http.Request) []string {
	switch s.From {
	case sourceCookie:
		return fields.CookieValues(r.Header["Cookie"], s.Name)
	case sourceQuery:
		return fields.QueryValues(r.URL.RawQuery, s.Name)
	default:
		return r.Header[s.Name]
	}
}

// bearerToken takes the scheme off (RFC 6750 section 2.1); it has no case
// (RFC 9110 section 11.1). Without it the value is returned as it is. Other
// white space than a space behind it is a fault of the token and makes no other
// scheme, with which an optional token would pass unseen to servers that split
// at any white space, in Latin-1 or Unicode. So is white space in front, of
// which net/http takes off only the ASCII one, and that in HTTP/1 only.
func bearerToken(value string) (token string, isBearer bool) {
	const scheme = "bearer"
	value = textproto.TrimString(value)
	start := 0
	for start < len(value) && maybeSpace(value[start]) {
		start++
	}
	end := start + len(scheme)
	if len(value) <= end || !strings.EqualFold(value[start:end], scheme) || !maybeSpace(value[end]) {
		return value, false
	}
	if start > 0 || value[end] >= utf8.RuneSelf {
		return value, true
	}
	return strings.TrimLeft(value[end:], " "), true
}

// maybeSpace tells whether some server may take the octet, or the character
// that it is a part of, for white space.
func maybeSpace(c byte) bool { return c == ' ' || c == '\t' || c >= utf8.RuneSelf }

// strip takes the token out of the request in every configured place and
// leaves everything else as it was.
func (s tokenSources) strip(r *http.Request) {
	for _, source := range s {
		switch source.From {
		case sourceHeader:
			stripHeader(r.Header, source.Name)
		case sourceCookie:
			fields.StripCookie(r.Header, source.Name)
		case sourceQuery:
			fields.StripParameter(r, source.Name)
		}
	}
}

// stripHeader takes a header out, of Authorization only what shows a bearer
// token: credentials of another scheme are not ours to take away.
func stripHeader(header http.Header, name string) {
	if name == defaultSourceHeader {
		header[name] = slices.DeleteFunc(slices.Clone(header[name]), func(value string) bool {
			_, isBearer := bearerToken(value)
			return isBearer
		})
	}
	if name != defaultSourceHeader || len(header[name]) == 0 {
		delete(header, name)
	}
}

// vary lists the headers in which a token may stand, for the Vary header of
// every response: caches must not give one client's answer to another.
func (s tokenSources) vary() []string {
	var names []string
	for _, source := range s {
		name := source.Name
		switch source.From {
		case sourceCookie:
			name = "Cookie"
		case sourceQuery:
			continue
		}
		if !containsFold(names, name) {
			names = append(names, name)
		}
	}
	return names
}
