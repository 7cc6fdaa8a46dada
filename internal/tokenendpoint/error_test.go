package tokenendpoint_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
	"github.com/caddy-logto/caddy-logto-auth/internal/tokenendpoint"
)

// body answers with this body, and 200.
func body(contentType, text string) devtenant.Fault {
	return func(e *devtenant.Exchange) {
		e.Writer.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(e.Writer, text)
	}
}

// status answers with this status and body.
func status(code int, text string) devtenant.Fault {
	return func(e *devtenant.Exchange) {
		e.Writer.WriteHeader(code)
		_, _ = io.WriteString(e.Writer, text)
	}
}

func TestFaultsOfTheTokenEndpoint(t *testing.T) {
	noIDToken := func(tokens tokenendpoint.Tokens, err error) bool {
		return err == nil && tokens.AccessToken != "" && tokens.IDToken == "" && tokens.RefreshToken != ""
	}
	// fails with this status and error code, and says so; in time.
	fails := func(status int, code, text string) func(tokenendpoint.Tokens, error) bool {
		return func(tokens tokenendpoint.Tokens, err error) bool {
			failure := failureOf(t, err)
			return tokens == tokenendpoint.Tokens{} && failure.Status == status && failure.Code == code && strings.HasSuffix(err.Error(), text)
		}
	}
	const unused = " answered 200, but its body cannot be used: "
	for name, test := range map[string]struct {
		fault  devtenant.Fault
		expect func(tokenendpoint.Tokens, error) bool
		after  time.Duration
	}{
		"no ID token":        {devtenant.NoIDToken, noIDToken, 0},
		"slow":               {devtenant.Delayed(4 * time.Second), func(tokens tokenendpoint.Tokens, err error) bool { return err == nil }, 4 * time.Second},
		"too slow":           {devtenant.Delayed(6 * time.Second), fails(0, "", "/oidc/token did not answer: it takes too long"), timeout},
		"no answer":          {devtenant.Hang, fails(0, "", " did not answer: it takes too long"), timeout},
		"a lost answer":      {devtenant.Lost, fails(0, "", " did not answer: the connection broke, or what came is not HTTP"), 0},
		"500":                {devtenant.ServerError, fails(500, "", " answered 500"), 0},
		"a proxy's 502":      {devtenant.Status(502), fails(502, "", " answered 502"), 0},
		"a proxy's 404":      {devtenant.Status(404), fails(404, "", " answered 404"), 0},
		"429":                {devtenant.TooManyRequests(time.Second), fails(429, "", " answered 429"), 0},
		"429 with a code":    {devtenant.Refused(429, "invalid_grant", "x"), fails(429, "", " answered 429"), 0},
		"503 with a code":    {devtenant.Refused(503, "invalid_grant", "x"), fails(503, "", " answered 503"), 0},
		"invalid_client 400": {devtenant.Refused(400, "invalid_client", "a\nb"), fails(400, "invalid_client", " answered 400 invalid_client"), 0},
		"invalid_client 401": {devtenant.Refused(401, "invalid_client", "a\nb"), fails(401, "invalid_client", " answered 401 invalid_client"), 0},
		"access_denied 403":  {devtenant.Refused(403, "access_denied", "x"), fails(403, "access_denied", " answered 403 access_denied"), 0},
		"too large 400":      {status(400, strings.Repeat(" ", 64<<10)+`{"error":"invalid_grant"}`), fails(400, "", " answered 400"), 0},
		"201":                {status(201, goodAnswer), fails(201, "", " answered 201"), 0},
		"204":                {devtenant.Status(204), fails(204, "", " answered 204"), 0},
		"304":                {devtenant.NotModifiedAlways, fails(304, "", " answered 304, a redirect, which is not followed"), 0},
		"oversized":          {devtenant.Huge, fails(200, "", " answered 200, but its body is larger than 64 KiB"), 0},
		"64 KiB":             {body("", strings.Repeat(" ", 64<<10-len(goodAnswer))+goodAnswer), func(tokens tokenendpoint.Tokens, err error) bool { return tokens.AccessToken == "a" }, 0},
		"64 KiB and one":     {body("", strings.Repeat(" ", 64<<10-len(goodAnswer)+1)+goodAnswer), fails(200, "", " is larger than 64 KiB"), 0},
		"DPoP":               {devtenant.TokenType("DPoP"), fails(200, "", unused+"the token type is not Bearer"), 0},
		"an error with 200":  {devtenant.Refused(200, "invalid_grant", "x"), fails(200, "", unused+"no access token"), 0},
		"a login page":       {devtenant.HTML, fails(200, "", unused+"not a JSON object, but text/html"), 0},
		"garbage":            {devtenant.Garbage, fails(200, "", unused+"not a JSON object, but application/json"), 0},
		"half of it":         {devtenant.Truncated, fails(200, "", unused+"not a JSON object, but application/json"), 0},
		"an empty body":      {body("", ""), fails(200, "", unused+"not a JSON object"), 0},
		"another type":       {body("text/plain; charset=utf-8", goodAnswer), func(tokens tokenendpoint.Tokens, err error) bool { return tokens.AccessToken == "a" }, 0},
		"a form":             {body("application/x-www-form-urlencoded", "access_token=a&token_type=Bearer"), fails(200, "", unused+"not a JSON object, but application/x-www-form-urlencoded"), 0},
		"a strange type":     {body("text/"+secret, "<"), fails(200, "", unused+"not a JSON object"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.SetTokenFault(test.fault)
				start := time.Now()
				tokens, err := s.Exchange(t.Context(), s.code())
				if !test.expect(tokens, err) || time.Since(start) != test.after || len(s.sent.requests) != 1 {
					t.Errorf("after %s and %d requests: %v, error %v", time.Since(start), len(s.sent.requests), tokens, err)
				}
			})
		})
	}
}

func TestTheCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		code := s.code()
		s.SetTokenFault(devtenant.Hang)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := s.Exchange(ctx, code)
		if failure := failureOf(t, err); failure.Status != 0 || !strings.HasSuffix(err.Error(), "the request was canceled") {
			t.Error(err)
		}
	})
}

// stalled is a transport and a body: the body begins, and then nothing comes.
type stalled struct {
	status int
	ctx    context.Context
	start  io.Reader
}

func (s stalled) RoundTrip(r *http.Request) (*http.Response, error) {
	s.ctx, s.start = r.Context(), strings.NewReader(`{"access_token":"a","error":"invalid_grant"`)
	return &http.Response{StatusCode: s.status, Body: io.NopCloser(s), Request: r}, nil
}

func (s stalled) Read(p []byte) (int, error) {
	if n, err := s.start.Read(p); err == nil {
		return n, nil
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func TestHalfOfAnAnswer(t *testing.T) {
	for status, text := range map[int]string{
		200: "/oidc/token answered 200, but its body did not come: it takes too long",
		400: "/oidc/token answered 400",
	} {
		synctest.Test(t, func(t *testing.T) {
			client := tokenendpoint.New(&http.Client{Transport: stalled{status: status}}, configOf("https://tenant.example.com", devtenant.App{}))
			start := time.Now()
			_, err := client.Exchange(t.Context(), tokenendpoint.Code{Code: "c"})
			if failure := failureOf(t, err); failure.Status != status || failure.Code != "" || !strings.HasSuffix(err.Error(), text) || time.Since(start) != timeout {
				t.Errorf("after %s: %v", time.Since(start), err)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"0": 0, "30": 30 * time.Second, "3600": time.Hour, "3601": time.Hour, "2147483647": time.Hour,
		"": 0, "-1": 0, "1.5": 0, "99999999999999999999": 0, "Sat, 21 Nov 2026 12:00:00 GMT": 0, " 5": 0, "0x10": 0,
	} {
		s := newSite(t)
		s.SetTokenFault(func(e *devtenant.Exchange) {
			e.Writer.Header().Set("Retry-After", value)
			e.Writer.WriteHeader(503)
		})
		_, err := s.Exchange(t.Context(), s.code())
		if got := failureOf(t, err).RetryAfter; got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func TestUnreachable(t *testing.T) {
	plain := devtenanttest.NewServer(t, devtenant.Options{})
	encrypted := httptest.NewUnstartedServer(nil)
	encrypted.Config.ErrorLog = log.New(io.Discard, "", 0)
	encrypted.StartTLS()
	defer encrypted.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, test := range map[string]struct{ endpoint, text string }{
		"nobody listens":      {gone.URL, "connection refused"},
		"no TLS":              {strings.Replace(plain.URL, "http:", "https:", 1), "it speaks no TLS"},
		"unknown certificate": {encrypted.URL, "certificate signed by unknown authority"},
		"no address":          {"https://\x7f", "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := tokenendpoint.New(&http.Client{Transport: transport}, configOf(test.endpoint, devtenant.App{ID: app, Secret: secret}))
			_, err := client.Exchange(t.Context(), tokenendpoint.Code{Code: "c"})
			if failureOf(t, err); !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v, want %q", err, test.text)
			}
		})
	}
}

// failing is a transport that fails in this way.
type failing struct{ error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.error }

// What a proxy or resolver says may hold anything.
func TestCauseIsLegible(t *testing.T) {
	cause := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("a\r\nb\x1b[31m\u202e\xff" + strings.Repeat("c", 1000))}
	client := tokenendpoint.New(&http.Client{Transport: failing{cause}}, configOf("https://tenant.example.com", devtenant.App{}))
	_, err := client.Exchange(t.Context(), tokenendpoint.Code{Code: "c"})
	if failureOf(t, err); !strings.Contains(err.Error(), "dial tcp: a\ufffd\ufffdb\ufffd[31m\ufffd\ufffdccc") || len(err.Error()) > 700 {
		t.Errorf("%q", err)
	}
}

// endless is a transport and a body that never ends.
type endless struct {
	status int
	read   *int
}

func (e endless) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: e.status, Body: io.NopCloser(e), Request: r}, nil
}

func (e endless) Read(p []byte) (int, error) {
	*e.read += len(p)
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestEndlessAnswer(t *testing.T) {
	for _, status := range []int{200, 400, 500} {
		read := 0
		client := tokenendpoint.New(&http.Client{Transport: endless{status, &read}}, configOf("https://tenant.example.com", devtenant.App{}))
		_, err := client.Exchange(t.Context(), tokenendpoint.Code{Code: "c"})
		if failure := failureOf(t, err); failure.Status != status || read > 64<<10+1 {
			t.Errorf("%d octets read, error %v", read, err)
		}
	}
}

// A few octets of gzip are any number of blanks, or none for ever. Nothing is
// unpacked.
func TestGzipBomb(t *testing.T) {
	var bomb bytes.Buffer
	writer := gzip.NewWriter(&bomb)
	_, _ = writer.Write(bytes.Repeat([]byte{' '}, 10<<20))
	_, _ = io.WriteString(writer, goodAnswer)
	_ = writer.Close()
	var accepted string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		accepted = r.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	}))
	defer server.Close()
	client := tokenendpoint.New(server.Client(), configOf(server.URL, devtenant.App{ID: app, Secret: secret}))
	_, err := client.Exchange(t.Context(), tokenendpoint.Code{Code: "c"})
	if failureOf(t, err); accepted != "identity" || !strings.HasSuffix(err.Error(), "not a JSON object") {
		t.Errorf("Accept-Encoding %q, error %v", accepted, err)
	}
}
