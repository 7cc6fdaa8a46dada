package devtenant

import (
	"bytes"
	"context"
	"crypto/rand"
	"net/http"
	"strconv"
)

// Fault is a way to answer a request wrongly. Tests may write their own.
type Fault func(*Exchange)

// Exchange is a request and what a fault needs to answer it.
type Exchange struct {
	// Where the answer goes.
	Writer http.ResponseWriter

	// What arrived.
	Request *http.Request

	// Makes the right answer at the moment of the call.
	Answer func() Answer

	// Returns nil after the next Release, or the context's error.
	awaitRelease func(context.Context) error

	tenant *Tenant
}

// SetFault lets every new request for discovery and keys meet this fault.
func (t *Tenant) SetFault(fault Fault) {
	t.SetDiscoveryFault(fault)
	t.SetJWKSFault(fault)
}

// SetDiscoveryFault lets every new request for discovery meet this fault.
func (t *Tenant) SetDiscoveryFault(fault Fault) { t.setFault(discoveryEndpoint, fault) }

// SetJWKSFault lets every new request for keys meet this fault.
func (t *Tenant) SetJWKSFault(fault Fault) { t.setFault(jwksEndpoint, fault) }

// SetTokenFault lets every new request for a token meet this fault.
func (t *Tenant) SetTokenFault(fault Fault) { t.setFault(tokenEndpoint, fault) }

// SetAuthorizationFault lets every new authorization request meet this fault,
// and every return from the sign-in page.
func (t *Tenant) SetAuthorizationFault(fault Fault) { t.setFault(authorizationEndpoint, fault) }

// SetRevocationFault lets every new request to revoke a token meet this fault.
func (t *Tenant) SetRevocationFault(fault Fault) { t.setFault(revocationEndpoint, fault) }

// SetEndSessionFault lets every new request to sign out meet this fault.
func (t *Tenant) SetEndSessionFault(fault Fault) { t.setFault(endSessionEndpoint, fault) }

func (t *Tenant) setFault(ep oidcEndpoint, fault Fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults[ep] = fault
}

// Release answers the requests that [Slow] holds back now, also if the fault
// was taken back since. Later ones wait for the next Release.
func (t *Tenant) Release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.releases++
	t.announceLocked()
}

// None answers as it should.
func None(e *Exchange) { writeAnswer(e.Writer, e.Answer()) }

// Down closes the connection without an answer.
func Down(*Exchange) { panic(http.ErrAbortHandler) }

// Slow answers as it should, but only after [Tenant.Release].
func Slow(e *Exchange) {
	if e.awaitRelease(e.Request.Context()) != nil {
		panic(http.ErrAbortHandler)
	}
	None(e)
}

// Hang never answers, until the request ends.
func Hang(e *Exchange) {
	<-e.Request.Context().Done()
	panic(http.ErrAbortHandler)
}

// Stall sends the header and half of the body, then nothing until the request
// ends. An answer without a body it does not begin: its header would be all of
// it, the client would send the next request on the same connection, and
// net/http, which looks at one byte to notice that a client went away, would
// never notice.
func Stall(e *Exchange) {
	a := e.Answer()
	if len(a.Body) == 0 {
		Hang(e)
	}
	e.Writer.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	a.Body = a.Body[:len(a.Body)/2]
	writeAnswer(e.Writer, a)
	_ = http.NewResponseController(e.Writer).Flush() // without a flusher there is nothing to send early
	Hang(e)
}

// ServerError answers with 500.
func ServerError(e *Exchange) {
	writeAnswer(e.Writer, jsonAnswer(http.StatusInternalServerError, map[string]string{"error": "server_error"}))
}

// Garbage answers with 200 and random bytes that claim to be JSON.
func Garbage(e *Exchange) {
	a := jsonAnswer(http.StatusOK, nil)
	a.Body = make([]byte, 1024)
	_, _ = rand.Read(a.Body) // never fails, as crypto/rand documents
	writeAnswer(e.Writer, a)
}

// HTML answers with 200 and a login page, as a captive portal does.
func HTML(e *Exchange) {
	writeAnswer(e.Writer, Answer{
		Status: http.StatusOK,
		Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}},
		Body:   []byte("<!doctype html><title>Sign in</title><form method=post><input name=user></form>\n"),
	})
}

// EmptySet answers with a key set that has no keys.
func EmptySet(e *Exchange) {
	writeAnswer(e.Writer, jsonAnswer(http.StatusOK, map[string]any{"keys": []any{}}))
}

// Truncated answers with half of the document, as if that were all of it.
func Truncated(e *Exchange) {
	a := e.Answer()
	a.Body = a.Body[:len(a.Body)/2]
	writeAnswer(e.Writer, a)
}

// Huge answers with the right document and 10 MiB of blanks around it: valid
// JSON that only a bound on its size refuses.
func Huge(e *Exchange) {
	a := e.Answer()
	a.Body = append(bytes.Repeat([]byte{' '}, 10<<20), a.Body...)
	writeAnswer(e.Writer, a)
}

// NotModifiedAlways answers with 304, whether or not the request has a
// condition.
func NotModifiedAlways(e *Exchange) {
	e.Writer.WriteHeader(http.StatusNotModified)
}

// RedirectLoop redirects to the same URL for ever.
func RedirectLoop(e *Exchange) {
	http.Redirect(e.Writer, e.Request, e.Request.URL.RequestURI(), http.StatusFound)
}

// RedirectTo redirects to another URL.
func RedirectTo(url string) Fault {
	return func(e *Exchange) { http.Redirect(e.Writer, e.Request, url, http.StatusFound) }
}

// Redirects redirects n times within the tenant, then answers as it should.
func Redirects(n int) Fault {
	return func(e *Exchange) {
		hop, _ := strconv.Atoi(e.Request.URL.Query().Get("hop")) // none is the first
		if hop >= n {
			None(e)
			return
		}
		http.Redirect(e.Writer, e.Request, e.Request.URL.Path+"?hop="+strconv.Itoa(hop+1), http.StatusFound)
	}
}
