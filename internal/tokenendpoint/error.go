package tokenendpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// maxRetryAfter bounds how long a tenant can keep us away.
const maxRetryAfter = time.Hour

// Error says why there are no tokens. Its text is for a log: it never quotes
// the answer, which may echo the request, and so holds no code, token or
// secret. It wraps nothing for the same reason.
type Error struct {
	// Status is that of the answer; 0 if there was none.
	Status int
	// Code is the `error` of an answer with a status of 400 to 499, such as
	// `invalid_grant`. Logto says `invalid_client` with 400 and with 401. Empty
	// of any other answer (429 and 5xx are often a proxy's), and of one that
	// cannot be read.
	Code string
	// RetryAfter is when to ask again, where the tenant says so.
	RetryAfter time.Duration

	text string
}

func (e *Error) Error() string { return e.text }

// refusal is an answer with another status than 200.
func refusal(address string, resp *http.Response, body []byte) *Error {
	e := &Error{Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header.Get("Retry-After"))}
	e.text = fmt.Sprintf("%s answered %d", address, e.Status)
	switch {
	case e.Status >= 300 && e.Status <= 399:
		e.text += ", a redirect, which is not followed"
	case e.Status >= 400 && e.Status <= 499 && e.Status != http.StatusTooManyRequests && len(body) <= maxAnswer:
		if e.Code = parseErrorCode(body); e.Code != "" {
			e.text += " " + e.Code
		}
	}
	return e
}

// unusable is an answer with status 200 that holds no tokens.
func (a *answer) unusable(address string, cause error) *Error {
	text := fmt.Sprintf("%s answered 200, but its body cannot be used: %v", address, cause)
	// A portal's or proxy's page is the usual reason.
	if errors.Is(cause, errNoObject) {
		if mediaType, _, _ := strings.Cut(a.contentType, ";"); plainMediaType.MatchString(mediaType) {
			text += ", but " + mediaType
		}
	}
	return &Error{Status: http.StatusOK, text: text}
}

// plainMediaType is narrow for the same reason as errorCode.
var plainMediaType = regexp.MustCompile(`^[a-z]{1,20}/[a-z.+-]{1,40}$`)

// broken is an answer that broke off.
func broken(address string, resp *http.Response, err error) *Error {
	return &Error{
		Status: resp.StatusCode,
		text:   fmt.Sprintf("%s answered %d, but its body did not come: %s", address, resp.StatusCode, causeOf(err)),
	}
}

func tooLarge(address string, resp *http.Response) *Error {
	return &Error{
		Status: resp.StatusCode,
		text:   fmt.Sprintf("%s answered %d, but its body is larger than 64 KiB", address, resp.StatusCode),
	}
}

// noAnswer is a request that got none.
func noAnswer(address string, err error) *Error {
	return &Error{text: fmt.Sprintf("%s did not answer: %s", address, causeOf(err))}
}

// causeOf is what may be said of an error of net/http. It quotes the line that
// it could not read in some errors (`malformed MIME header line: …`), and that
// may be the line that we sent, with the secret. So only errors from below HTTP
// are quoted.
func causeOf(err error) string {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return "it takes too long"
	}
	operation, isOperation := errors.AsType[*net.OpError](err)
	certificate, isCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, isNoTLS := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case errors.Is(err, context.Canceled):
		return "the request was canceled"
	case isCertificate:
		return legible.Error(certificate) // with the names of whatever certificate that is
	case isOperation:
		return legible.Error(operation)
	case isNoTLS || errors.Is(err, http.ErrSchemeMismatch):
		return "it speaks no TLS"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed"
	default:
		return "the connection broke, or what came is not HTTP"
	}
}

// retryAfter reads a Retry-After (RFC 9110 section 10.2.3) in seconds. A date
// would need the tenant's clock to be right.
func retryAfter(value string) time.Duration {
	seconds, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}
