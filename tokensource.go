package logtoauth

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// The values of TokenSource.From.
const (
	fromHeader = "header"
	fromCookie = "cookie"
	fromQuery  = "query"
)

const headerAuthorization = "Authorization"

// tokenSources are the places where a site looks for a token, in order.
type tokenSources []TokenSource

// defaultTokenSources is where RFC 6750 section 2.1 puts a token.
var defaultTokenSources = tokenSources{{From: fromHeader, Name: headerAuthorization}}

// newTokenSources takes the places of a config, with header names as
// net/http keeps them.
func newTokenSources(configured []TokenSource) tokenSources {
	if len(configured) == 0 {
		return defaultTokenSources
	}
	sources := make(tokenSources, 0, len(configured))
	for _, source := range configured {
		if source.From == fromHeader {
			if source.Name == "" {
				source.Name = headerAuthorization
			}
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
func (c credential) ambient() bool { return c.source.From == fromCookie }

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
		if source.From == fromHeader {
			var isBearer bool
			if token, isBearer = bearerToken(token); !isBearer && source.Name == headerAuthorization {
				otherScheme = true
				continue
			}
		}
		if token == "" {
			continue
		}
		places++
		queried = queried || source.From == fromQuery
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
	case fromCookie:
		var values []string
		for _, cookie := range r.CookiesNamed(s.Name) {
			values = append(values, cookie.Value)
		}
		return values
	case fromQuery:
		return queryValues(r.URL.RawQuery, s.Name)
	default:
		return r.Header[s.Name]
	}
}

// bearerToken takes the scheme off (RFC 6750 section 2.1); it has no case
// (RFC 9110 section 11.1). Without it the value is returned as it is.
func bearerToken(value string) (token string, isBearer bool) {
	const scheme = "bearer "
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return value, false
	}
	return strings.TrimLeft(value[len(scheme):], " "), true
}

// queryValues returns the values of a parameter. Unlike url.ParseQuery it
// drops no pair for its encoding: a second token must not hide in one.
func queryValues(rawQuery, name string) []string {
	var values []string
	for pair := range strings.SplitSeq(rawQuery, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if !isParameter(key, name) {
			continue
		}
		if decoded, err := url.QueryUnescape(value); err == nil {
			value = decoded
		}
		values = append(values, value)
	}
	return values
}

func isParameter(key, name string) bool {
	decoded, err := url.QueryUnescape(key)
	return err == nil && decoded == name
}

// strip takes the token out of the request in every configured place and
// leaves everything else as it was.
func (s tokenSources) strip(r *http.Request) {
	for _, source := range s {
		switch source.From {
		case fromHeader:
			// Credentials of another scheme are not ours to take away.
			if source.Name == headerAuthorization {
				if _, isBearer := bearerToken(r.Header.Get(headerAuthorization)); !isBearer {
					continue
				}
			}
			delete(r.Header, source.Name)
		case fromCookie:
			stripCookie(r.Header, source.Name)
		case fromQuery:
			stripParameter(r, source.Name)
		}
	}
}

// stripCookie takes one cookie out of the Cookie headers, octet for octet:
// parsing and printing them again would change quotes and drop odd ones.
func stripCookie(header http.Header, name string) {
	var lines []string
	for _, line := range header["Cookie"] {
		var kept []string
		stripped := false
		for pair := range strings.SplitSeq(line, ";") {
			key, _, _ := strings.Cut(pair, "=")
			if textproto.TrimString(key) == name {
				stripped = true
				continue
			}
			kept = append(kept, pair)
		}
		if !stripped {
			lines = append(lines, line)
			continue
		}
		if rest := strings.TrimLeft(strings.Join(kept, ";"), " "); rest != "" {
			lines = append(lines, rest)
		}
	}
	if len(lines) == 0 {
		header.Del("Cookie")
		return
	}
	header["Cookie"] = lines
}

// stripParameter takes one parameter out of the query; the others keep their
// order and encoding.
func stripParameter(r *http.Request, name string) {
	var kept []string
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		key, _, _ := strings.Cut(pair, "=")
		if !isParameter(key, name) {
			kept = append(kept, pair)
		}
	}
	query := strings.Join(kept, "&")
	if query == r.URL.RawQuery {
		return
	}
	r.URL.RawQuery = query
	r.RequestURI = r.URL.RequestURI()
}

// vary lists the headers in which a token may stand, for the Vary header of
// every response: caches must not give one client's answer to another.
func (s tokenSources) vary() []string {
	var names []string
	for _, source := range s {
		name := source.Name
		switch source.From {
		case fromCookie:
			name = "Cookie"
		case fromQuery:
			continue
		}
		if !containsFold(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func containsFold(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}
