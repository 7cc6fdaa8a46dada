package keys

import (
	"crypto/tls"
	"errors"
	"net/http"
)

// Advice says in plain words how to fix what keeps a tenant's keys from
// being fetched. The log, check and explain give the same advice.
func Advice(err error) string {
	failed, ok := errors.AsType[*fetchError](err)
	if !ok {
		return ""
	}
	switch failed.kind {
	case failureDNS:
		return "the tenant's host name cannot be resolved: is it spelled right, and does this machine have a name server?"
	case failureTLS:
		if noTLS(err) {
			return "the port does not speak TLS: use http in endpoint (plain http needs insecure_http unless it is loopback), or the port that speaks TLS"
		}
		return "the tenant's certificate is not trusted or not its own: if a private CA issued it, name that CA in trusted_ca_file"
	case failureTimeout:
		return "no answer came in time: is a firewall or proxy in between, or is fetch_timeout too short?"
	case failureConnection:
		return "nothing answers there: is the tenant running, and is the port right?"
	case failureRedirect:
		return "the tenant sends its clients elsewhere: write the address that it redirects to as endpoint"
	case failureStatus:
		if failed.status == http.StatusBadRequest {
			return "the server refuses the request: if its port speaks TLS, use https in endpoint; else endpoint must be the URL of a Logto tenant"
		}
		return "the server is there but has no such document: endpoint must be the URL of a Logto tenant, without a path of the console or of an API"
	case failureTooLarge, failureMalformed:
		return "what answers is no Logto tenant: a login page, a proxy or another site may stand in its place"
	case failureNoKey:
		return "the tenant publishes no key that can verify a signature; look at its signing keys in the Logto console"
	case failureIssuer:
		return "the tenant calls itself by another name: set endpoint to that name without its /oidc, or, if endpoint is an internal address of the tenant, add issuer with that name"
	case failureJWKSURI:
		return "the tenant names an address of another host for its keys: is endpoint behind a proxy that rewrites answers? If the address is right, set issuer and jwks_uri"
	case failureFile:
		return "jwks_file must be a regular file that Caddy may read"
	}
	return ""
}

// noTLS reports whether something answered that is not TLS. Where it is an HTTP
// server, net/http puts an error of its own in place of the one of crypto/tls.
func noTLS(err error) bool {
	_, other := errors.AsType[tls.RecordHeaderError](err)
	return other || errors.Is(err, http.ErrSchemeMismatch)
}
