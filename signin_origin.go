package logtoauth

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// origin is what a browser sees of the site of a request.
type origin struct {
	session.Site
	secure bool // https
}

func (o origin) scheme() string {
	if o.secure {
		return "https"
	}
	return "http"
}

// origin returns the origin of a request. Its error says that nobody can be
// signed in there: plain http that is not loopback, or a Host that no browser
// sends.
func (s *signIn) origin(r *http.Request) (origin, error) {
	secure := reachedByHTTPS(r)
	if last := s.lastOrigin.Load(); last != nil && last.requested == r.Host && last.secure == secure {
		return last.origin, nil
	}
	site, err := session.NewSite(r.Host, secure)
	if err != nil {
		return origin{}, err
	}
	at := origin{site, secure}
	// One is enough for nearly all sites. The Host may be part of a longer text.
	s.lastOrigin.Store(&requestedOrigin{strings.Clone(r.Host), at})
	return at, nil
}

// requestedOrigin is the origin that a Host stands for.
type requestedOrigin struct {
	requested string
	origin
}

// reachedByHTTPS reports whether a browser uses https, to Caddy or to a proxy
// in front that Caddy trusts (trusted_proxies). A cookie that says so wrongly
// would be sent in the clear, so several headers, or one with a list, count as
// nothing.
func reachedByHTTPS(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	if forwarded := r.Header["X-Forwarded-Proto"]; !isOnly(forwarded, "https") {
		return false
	}
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	return trusted
}

// address is the origin as a URL, which is base_url's host if there is one.
func (s *signIn) address(at origin) string {
	host := at.Host()
	if s.base != nil {
		host = s.base.Host
	}
	return at.scheme() + "://" + host
}

// elsewhere returns where a sign-in has to start instead: the same path at
// base_url, or "" if it is here.
func (s *signIn) elsewhere(at origin, r *http.Request) string {
	if s.base == nil || strings.EqualFold(s.base.Host, at.Host()) {
		return ""
	}
	return s.address(at) + originalURI(r)
}

func (s *signIn) redirectURI(at origin) string { return s.address(at) + s.Path + "/callback" }

// originalURI is the path and query of the request as the client sent it.
func originalURI(r *http.Request) string {
	u := *originalURL(r)
	u.Scheme, u.Host, u.User, u.Fragment = "", "", nil, ""
	if uri := u.RequestURI(); strings.HasPrefix(uri, "/") {
		return uri
	}
	return "/"
}

// returnPath is where a person who signs in now goes afterwards.
func (s *signIn) returnPath(r *http.Request) string {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "/"
	}
	return session.ReturnPath(originalURI(r), s.Path)
}

// signInURL is the path that signs a person in and leads back, for
// {http.auth.logto.sign_in_url}.
func (s *signIn) signInURL(r *http.Request) string {
	return s.Path + "/sign-in?return_to=" + url.QueryEscape(s.returnPath(r))
}

// originOf is the origin of a URL, or "" of a path.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
