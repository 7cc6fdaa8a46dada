package logtoauth

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/fields"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
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
			source.Name = textproto.CanonicalMIMEHeaderKey(source.name())
		}
		sources = append(sources, source)
	}
	return sources
}

// credential is a token as it stood in a request.
type credential struct {
	token  string
	source TokenSource

	// session is the token of a session, if that is what the request shows, and
	// identity what it says if it is no access token.
	session  session.Token
	identity *AuthInfo
}

// isSession reports whether this is the token of a session.
func (c credential) isSession() bool { return !c.session.IsZero() }

// ambient reports whether a browser adds this credential by itself, without the
// page that makes the request knowing it.
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
			first, found = credential{token: token, source: source}, true
		}
	}
	switch {
	case queried && places > 1:
		return credential{}, refuseMultipleTokens()
	case found:
		return first, nil
	case otherScheme:
		return credential{}, refusedScheme
	default:
		return credential{}, refusedMissingToken
	}
}

// areShown reports whether there is anything in one of the places. To know that
// a browser shows none must cost nothing.
func (s tokenSources) areShown(r *http.Request) bool {
	for _, source := range s {
		if len(source.values(r)) > 0 {
			return true
		}
	}
	return false
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

// bearerToken takes the scheme off a header (RFC 6750 section 2.1), in upper or
// lower case (RFC 9110 section 11.1). A value without the scheme is returned as
// it is.
//
// Only spaces may part the scheme from the token. These two headers show a
// token that is refused, and no other scheme:
//
//	Authorization: Bearer<tab>eyJ…
//	Authorization: <no-break space>Bearer eyJ…
//
// With another scheme, a site whose tokens are optional would let the request
// pass as anonymous, and a server behind that splits at any white space, in
// Latin-1 or Unicode, would find the token. net/http takes off white space in
// front only if it is ASCII, and only in HTTP/1.
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

// maybeSpace reports whether some server may take the octet, or the character
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
		}
	}
	s.stripQuery(r)
}

// stripQuery takes the token out of the query alone.
func (s tokenSources) stripQuery(r *http.Request) {
	for _, source := range s {
		if source.From == sourceQuery {
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

// strip takes the token out of the request in every configured place, and out
// of what Caddy has kept of it: the original URL, and the trailers to come.
func (s *requestState) strip(r *http.Request, sources tokenSources) {
	sources.strip(r)
	s.stripOriginal(r, sources.stripQuery)
	if r.Trailer != nil {
		names := sources.headers()
		names.takeOutOfTrailers(r)
		s.later().trailers = append(s.later().trailers, names...)
	}
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

// isUpgrade reports whether a request asks to leave HTTP: by Upgrade in
// HTTP/1.1, by extended CONNECT later (RFC 8441, RFC 9220).
func isUpgrade(r *http.Request) bool {
	return len(r.Header["Upgrade"]) > 0 || r.Method == http.MethodConnect
}

// originGuard refuses cookie tokens that a foreign page makes a browser send.
type originGuard struct {
	protection http.CrossOriginProtection
	trusted    []string
}

// newOriginGuard trusts the site's own origin and those listed.
func newOriginGuard(trusted []string) (*originGuard, error) {
	guard := &originGuard{trusted: trusted}
	for _, origin := range trusted {
		if err := guard.protection.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
	}
	return guard, nil
}

// check judges a request that was authorized by a cookie. A WebSocket
// handshake is a GET, which net/http takes for safe, but opens a channel in
// both directions: upgrades are judged as if they were a POST.
func (g *originGuard) check(r *http.Request) *Refusal {
	judged := r
	if isUpgrade(r) {
		asPost := *r
		asPost.Method = http.MethodPost
		judged = &asPost
	}
	if g.protection.Check(judged) != nil || g.hasOtherScheme(judged) {
		return refuseCrossOrigin()
	}
	return nil
}

// hasOtherScheme reports whether the page is of the site's host but not of its
// scheme. net/http compares hosts only, while whoever is on the way can make
// any page of `http://<host>`. Sec-Fetch-Site tells the two apart; browsers
// from before 2023 do not send it.
func (g *originGuard) hasOtherScheme(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" || r.Header.Get("Sec-Fetch-Site") != "" || slices.Contains(g.trusted, origin) {
		return false
	}
	switch scheme, _, _ := strings.Cut(origin, "://"); strings.ToLower(scheme) {
	case "https":
		// A site that looks like plain http may be behind a proxy that ends
		// TLS and does not say so.
		return false
	case "http":
		return servedOverTLS(r)
	}
	return true
}

// servedOverTLS reports whether the client uses https, to Caddy or to a proxy
// in front. That it does not is believed of a trusted proxy only
// (`trusted_proxies`, as in reverse_proxy); that it does, of anyone, since it
// only makes the check stricter.
func servedOverTLS(r *http.Request) bool {
	forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	forwarded = strings.ToLower(textproto.TrimString(forwarded))
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); trusted && forwarded == "http" {
		return false
	}
	return r.TLS != nil || forwarded == "https"
}
