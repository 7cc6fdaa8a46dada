package logtoauth

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// checkTenantURL accepts an address of the tenant: an absolute URL without
// userinfo, query or fragment, over https unless it is loopback or plain http
// was allowed.
func checkTenantURL(raw string, insecureHTTP bool) error {
	u, err := parsePlainURL(raw)
	switch {
	case err != nil:
		return err
	case u.Scheme == "http" && !isLoopbackHost(u.Hostname()) && !insecureHTTP:
		return fmt.Errorf("%s is plain http: who can change its answers on the way can mint identities; use https, or add insecure_http", raw)
	}
	return nil
}

// checkEndpoint accepts the tenant's own address. What people copy is often an
// address below it, where no discovery document is.
func checkEndpoint(raw string, insecureHTTP bool) error {
	if err := checkTenantURL(raw, insecureHTTP); err != nil {
		return err
	}
	base := strings.TrimRight(raw, "/")
	if cut, _, ok := strings.Cut(base, "/.well-known/"); ok {
		return fmt.Errorf("%s is an address below the tenant's; cut it to %s", raw, normalizeEndpoint(cut))
	}
	if cut, ok := strings.CutSuffix(base, "/jwks"); ok {
		return fmt.Errorf("%s is the address of the tenant's keys; write %s, or jwks_uri and issuer", raw, normalizeEndpoint(cut))
	}
	if cut, ok := strings.CutSuffix(base, managementPath); ok && isLogtoCloud(base) {
		return fmt.Errorf("%s is Logto's Management API; write %s", raw, normalizeEndpoint(cut))
	}
	return nil
}

// managementPath is where a tenant has its Management API. Behind a proxy of
// one's own a tenant might be there; in Logto Cloud every tenant is at the
// root of its domain.
const managementPath = "/api"

func isLogtoCloud(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && strings.HasSuffix(strings.ToLower(u.Hostname()), ".logto.app")
}

// checkIssuer accepts what OpenID Connect calls an issuer identifier, and
// http besides https: the value is only compared, and a self-hosted tenant
// may use http.
func checkIssuer(raw string) error {
	_, err := parsePlainURL(raw)
	return err
}

// checkResource accepts a resource identifier of RFC 9728 section 1.2.
func checkResource(raw string) error {
	u, err := parsePlainURL(raw)
	switch {
	case err != nil:
		return err
	case u.Scheme == "http" && !isLoopbackHost(u.Hostname()):
		return fmt.Errorf("%s is plain http; clients accept only https", raw)
	}
	return nil
}

// checkLink accepts an absolute http or https URL.
func checkLink(raw string) error {
	_, err := parseHTTPURL(raw)
	return err
}

// parsePlainURL parses an absolute http or https URL that has no userinfo,
// query or fragment.
func parsePlainURL(raw string) (*url.URL, error) {
	u, err := parseHTTPURL(raw)
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

// parseHTTPURL parses an absolute http or https URL.
func parseHTTPURL(raw string) (*url.URL, error) {
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

// isLoopbackHost reports whether host stays on this machine.
func isLoopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") || isLocalhostName(host) {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// isLocalhostName reports whether host is below localhost, where every name is
// this machine (RFC 6761 section 6.3). Go's resolver asks the network all the
// same, so newTenantClient makes sure of it.
func isLocalhostName(host string) bool {
	return strings.HasSuffix(strings.ToLower(host), ".localhost")
}

// checkTrustedOrigins accepts origins as browsers write them, since they are
// compared as text: another spelling would never match.
func (h *Handler) checkTrustedOrigins(f *findings) {
	const setting = "trusted_origins"
	for _, origin := range h.TrustedOrigins {
		if err := http.NewCrossOriginProtection().AddTrustedOrigin(origin); err != nil {
			f.add(setting, "%q is not scheme://host or scheme://host:port", origin)
			continue
		}
		u, err := url.Parse(origin)
		switch {
		case err != nil || u.User != nil || strings.ContainsAny(origin, "?#"):
			f.add(setting, "%q is not scheme://host or scheme://host:port", origin)
		case origin != strings.ToLower(origin):
			f.add(setting, "browsers send %s in lower case", origin)
		case u.Scheme == "https" && u.Port() == "443", u.Scheme == "http" && u.Port() == "80":
			f.add(setting, "browsers leave the port of %s out", origin)
		}
	}
}

// checkResourceMetadata judges the RFC 9728 document.
func (h *Handler) checkResourceMetadata(f *findings) {
	m := h.ResourceMetadata
	if m == nil {
		return
	}
	const block = "resource_metadata"
	switch {
	case m.Resource != "":
		f.check(block+".resource", 0, checkResource(m.Resource))
	case h.resource() != "":
	case f.stage != loading && len(h.Audiences) == 1 && strings.Contains(h.Audiences[0], "{"):
		// The audience is known at load only, and may become the resource.
	default:
		f.add(block, "add resource <url>: only a single audience that is an https URL can stand for it")
	}
	checkScopes(f, block+".scopes", m.Scopes)
	if m.Name != "" {
		f.check(block+".name", 0, checkText(m.Name))
		f.check(block+".name", 0, checkLiteral(m.Name))
	}
	if m.Documentation != "" {
		f.check(block+".documentation", 0, checkLink(m.Documentation))
	}
}
