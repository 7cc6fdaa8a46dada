package keys

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
)

// failureKind says why keys could not be had. Logs and metrics tell failures
// apart by it, not by the error's text: that may hold a port number that is
// new in every attempt.
type failureKind string

const (
	failureDNS        failureKind = "dns"
	failureTLS        failureKind = "tls"
	failureTimeout    failureKind = "timeout"
	failureConnection failureKind = "connection"
	failureRedirect   failureKind = "redirect"
	failureStatus     failureKind = "status"
	failureTooLarge   failureKind = "too_large"
	failureMalformed  failureKind = "malformed"
	failureNoKey      failureKind = "no_usable_key"
	failureIssuer     failureKind = "wrong_issuer"
	failureJWKSURI    failureKind = "wrong_jwks_uri"
	failureFile       failureKind = "file"
)

// fetchError is an error with its kind.
type fetchError struct {
	kind   failureKind
	status int // of failureStatus
	err    error
}

func failure(kind failureKind, err error) error { return &fetchError{kind: kind, err: err} }

func (e *fetchError) Error() string { return e.err.Error() }

func (e *fetchError) Unwrap() error { return e.err }

// kindOf returns the kind of a failed fetch, and the HTTP status if that is
// what failed it.
func kindOf(err error) (kind failureKind, status int) {
	if e, ok := errors.AsType[*fetchError](err); ok {
		return e.kind, e.status
	}
	return failureConnection, 0
}

// networkFailure tells why an HTTP request did not end in an answer.
func networkFailure(err error) failureKind {
	if e, ok := errors.AsType[*fetchError](err); ok {
		return e.kind // our own redirect policy, wrapped by net/http
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return failureDNS
	}
	if isTLSError(err) {
		return failureTLS
	}
	if errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err) {
		return failureTimeout
	}
	return failureConnection
}

func isTLSError(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if noTLS(err) {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	// Alerts of the other side have no exported type.
	return strings.Contains(err.Error(), "tls: ")
}
