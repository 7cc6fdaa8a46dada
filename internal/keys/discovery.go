package keys

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// discoveryPath is where a Logto endpoint serves its discovery document
// (OpenID Connect Discovery 1.0 section 4), and IssuerPath what its issuer
// ends in.
const (
	IssuerPath    = "/oidc"
	discoveryPath = IssuerPath + "/.well-known/openid-configuration"
)

// NormalizeEndpoint brings an endpoint to the form that the tenant builds its
// issuer from: no trailing `/` or `/oidc`, scheme and host in lower case, no
// default port. What CheckURL refuses stays as it is.
func NormalizeEndpoint(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(raw, "?#") {
		return raw
	}
	host := strings.ToLower(u.Host)
	if port := u.Port(); port != "" && port == DefaultPort(u.Scheme) {
		host = strings.TrimSuffix(host, ":"+port)
	}
	path := strings.TrimSuffix(strings.TrimRight(u.EscapedPath(), "/"), IssuerPath)
	return u.Scheme + "://" + host + strings.TrimRight(path, "/")
}

// DefaultPort returns the port of a scheme, http or https, else "".
func DefaultPort(scheme string) string {
	switch scheme {
	case "https":
		return "443"
	case "http":
		return "80"
	default:
		return ""
	}
}

// origin is scheme, host and port, spelled one way.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = DefaultPort(u.Scheme)
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + " " + port
}

// parseDiscovery reads a discovery document and returns where its keys are.
// What it says is checked against the settings: whoever could answer in the
// tenant's place once must not be able to send us to another one's keys.
func parseDiscovery(document []byte, cfg Config) (jwksURI string, err error) {
	var members jwkMembers
	if err = json.Unmarshal(document, &members); err != nil {
		return "", failure(failureMalformed, fmt.Errorf("the discovery document is no JSON object: %w", err))
	}
	issuer, err := members.text("issuer")
	if err != nil {
		return "", failure(failureMalformed, fmt.Errorf("in the discovery document %w", err))
	}
	if issuer != cfg.EndpointIssuer() && !slices.Contains(cfg.Issuers, issuer) {
		return "", failure(failureIssuer, fmt.Errorf(
			"the discovery document's issuer %.128q is neither the endpoint's (%q) nor one of the configured issuers",
			issuer, cfg.EndpointIssuer()))
	}
	if cfg.JWKSURI != "" {
		return cfg.JWKSURI, nil
	}
	jwksURI, err = members.text("jwks_uri")
	if err != nil {
		return "", failure(failureMalformed, fmt.Errorf("in the discovery document %w", err))
	}
	if err = checkJWKSURI(jwksURI, cfg); err != nil {
		return "", failure(failureJWKSURI, fmt.Errorf("the discovery document's jwks_uri %.128q: %w", jwksURI, err))
	}
	return jwksURI, nil
}

// checkJWKSURI tells whether a discovered address may be asked for keys:
// https on the host of the endpoint or of an accepted issuer, or the
// endpoint's own plain-http origin.
func checkJWKSURI(raw string, cfg Config) error {
	if err := CheckURL(raw, true); err != nil {
		return err
	}
	address, err := url.Parse(raw)
	if err != nil {
		return errors.New("not a valid URL")
	}
	trusted := []string{cfg.Endpoint}
	if address.Scheme == "https" {
		trusted = append(trusted, cfg.Issuers...)
	}
	for _, t := range trusted {
		u, err := url.Parse(t)
		if err != nil {
			continue
		}
		if address.Scheme == "https" {
			u.Scheme = "https" // an issuer's or endpoint's host, reached more safely
		}
		if origin(u) == origin(address) {
			return nil
		}
	}
	return errors.New("neither on the host of the endpoint nor on that of an accepted issuer")
}
