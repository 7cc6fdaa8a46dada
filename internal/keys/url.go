package keys

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddy-logto/caddy-logto-auth/internal/fields"
)

// CheckURL accepts an address of the tenant: an absolute URL without
// userinfo, query or fragment, over https unless it is loopback or plain http
// was allowed.
func CheckURL(raw string, insecureHTTP bool) error {
	u, err := ParsePlainURL(raw)
	switch {
	case err != nil:
		return err
	case u.Scheme == "http" && !fields.IsLoopback(u.Hostname()) && !insecureHTTP:
		return fmt.Errorf("%s is plain http: who can change its answers on the way can mint identities; use https, or add insecure_http", raw)
	}
	return nil
}

// CheckEndpoint accepts the tenant's own address. What people copy is often an
// address below it, where no discovery document is.
func CheckEndpoint(raw string, insecureHTTP bool) error {
	if err := CheckURL(raw, insecureHTTP); err != nil {
		return err
	}
	base := strings.TrimRight(raw, "/")
	if cut, _, ok := strings.Cut(base, "/.well-known/"); ok {
		return fmt.Errorf("%s is an address below the tenant's; cut it to %s", raw, NormalizeEndpoint(cut))
	}
	if cut, ok := strings.CutSuffix(base, "/jwks"); ok {
		return fmt.Errorf("%s is the address of the tenant's keys; write %s, or jwks_uri and issuer", raw, NormalizeEndpoint(cut))
	}
	if cut, ok := strings.CutSuffix(base, ManagementPath); ok && isLogtoCloud(base) {
		return fmt.Errorf("%s is Logto's Management API; write %s", raw, NormalizeEndpoint(cut))
	}
	return nil
}

// ManagementPath is where a tenant has its Management API. Behind a proxy of
// one's own a tenant might be there; in Logto Cloud every tenant is at the
// root of its domain.
const ManagementPath = "/api"

func isLogtoCloud(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && strings.HasSuffix(strings.ToLower(u.Hostname()), ".logto.app")
}

// CheckIssuer accepts what OpenID Connect calls an issuer identifier, and
// http besides https: the value is only compared, and a self-hosted tenant
// may use http.
func CheckIssuer(raw string) error {
	_, err := ParsePlainURL(raw)
	return err
}

// ParsePlainURL parses an absolute http or https URL that has no userinfo,
// query or fragment.
func ParsePlainURL(raw string) (*url.URL, error) {
	u, err := ParseHTTPURL(raw)
	switch {
	case err != nil:
		return nil, err
	case u.User != nil:
		// The text of the URL is left out: it may hold a password.
		return nil, errors.New("the URL holds user information; remove it")
	case strings.Contains(raw, "?"):
		return nil, fmt.Errorf("%s has a query; remove it", raw)
	case strings.Contains(raw, "#"):
		return nil, fmt.Errorf("%s has a fragment; remove it", raw)
	}
	return u, nil
}

// ParseHTTPURL parses an absolute http or https URL.
func ParseHTTPURL(raw string) (*url.URL, error) {
	// url.Parse accepts more in a path than RFC 3986 section 2 does, and these
	// values end up in headers.
	if strings.ContainsFunc(raw, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune("\"<>\\^`{|}", r)
	}) {
		return nil, errors.New("the URL holds a character that must be percent-encoded")
	}
	u, err := url.Parse(raw)
	if err != nil {
		// The error of url.Parse quotes the URL, which may hold a password.
		return nil, errors.New("this is not a URL")
	}
	if u.Scheme != "https" && u.Scheme != "http" && strings.HasPrefix(raw[len(u.Scheme):], "://") {
		// Without the slashes it is no scheme: localhost:3001, ada:password@host.
		return nil, fmt.Errorf("the URL's scheme is %s; write https://", u.Scheme)
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return nil, errors.New("the URL is not absolute; write https:// and a host")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("the URL's port is not between 1 and 65535")
		}
	}
	return u, nil
}
