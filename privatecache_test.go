package logtoauth

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestSharedCachesMayNotStore(t *testing.T) {
	for _, test := range []struct {
		sent []string
		want string
	}{
		{nil, "private"},
		{[]string{""}, "private"},
		{[]string{"public"}, "private"},
		{[]string{"public, max-age=60"}, "private, max-age=60"},
		{[]string{"max-age=60,s-maxage=600 , PUBLIC"}, "private, max-age=60"},
		{[]string{"S-MaxAge = 600"}, "private"},
		{[]string{"no-store"}, "private, no-store"},
		{[]string{"no-cache, private"}, "private, no-cache"},
		{[]string{"public", "s-maxage=1", "immutable"}, "private, immutable"},
		{[]string{`no-cache="public, s-maxage=1", public`}, `private, no-cache="public, s-maxage=1"`},
		{[]string{`private="Set-Cookie, public", max-age=1`}, "private, max-age=1"},
		{[]string{`ext="a\", public, \"", public`}, `private, ext="a\", public, \""`},
		{[]string{`ext="unclosed, public`}, `private, ext="unclosed, public`},
		{[]string{", ,public,,"}, "private"},
		{[]string{"publicity, my-public=1"}, "private, publicity, my-public=1"},
	} {
		header := http.Header{"Cache-Control": test.sent}
		makePrivate(header)
		if got := header.Values("Cache-Control"); len(got) != 1 || got[0] != test.want {
			t.Errorf("%q became %q, want %q", test.sent, got, test.want)
		}
	}
}

// However a handler writes its answer, the header is changed when it is
// written and not before.
func TestPrivateHoweverTheHeaderIsWritten(t *testing.T) {
	const public = "public, max-age=60"
	for name, handler := range map[string]func(w http.ResponseWriter) error{
		"WriteHeader": func(w http.ResponseWriter) error {
			w.WriteHeader(http.StatusOK)
			w.Header().Set("Cache-Control", "public") // too late
			return nil
		},
		"Write": func(w http.ResponseWriter) error {
			_, err := io.WriteString(w, "x")
			return err
		},
		"ReadFrom": func(w http.ResponseWriter) error {
			_, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("x"))
			return err
		},
		"Flush": func(w http.ResponseWriter) error {
			return http.NewResponseController(w).Flush()
		},
		"Flush of a writer around it": func(w http.ResponseWriter) error {
			return http.NewResponseController(&caddyhttp.ResponseWriterWrapper{ResponseWriter: w}).Flush()
		},
		"early hints first": func(w http.ResponseWriter) error {
			w.WriteHeader(http.StatusEarlyHints)
			if got := w.Header().Get("Cache-Control"); got != public {
				return fmt.Errorf("changed with the early hints to %q", got)
			}
			w.WriteHeader(http.StatusOK)
			return nil
		},
		"nothing, which the server does": func(http.ResponseWriter) error { return nil },
		"http.ResponseController": func(w http.ResponseWriter) error {
			return http.NewResponseController(w).EnableFullDuplex()
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", public)
				err := servePrivately(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
					return handler(w)
				}), nil)
				if err != nil {
					t.Error(err)
				}
			}))
			defer server.Close()
			var hints []string
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
					hints = append(hints, header.Get("Cache-Control"))
					return nil
				},
			})
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			response, err := server.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if got := response.Header.Values("Cache-Control"); len(got) != 1 || got[0] != "private, max-age=60" {
				t.Errorf("Cache-Control: %q", got)
			}
			if strings.HasPrefix(name, "early") != (len(hints) == 1) {
				t.Errorf("early hints: %q", hints)
			}
		})
	}
}

func TestPrivateAnswerOfAnErrorRoute(t *testing.T) {
	recorder := httptest.NewRecorder()
	recorder.Header().Set("Cache-Control", "public")
	failed := errors.New("failed")
	err := servePrivately(recorder, httptest.NewRequest(http.MethodGet, "/", http.NoBody),
		caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return failed }), nil)
	if !errors.Is(err, failed) {
		t.Errorf("error: %v", err)
	}
	if got := recorder.Header().Get("Cache-Control"); got != "private" {
		t.Errorf("Cache-Control: %q", got)
	}
}

func TestHijackOfAPrivateAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := servePrivately(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return err
			}
			defer connection.Close()
			_, err = io.WriteString(connection, "HTTP/1.1 299 Hijacked\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return err
		}), nil)
		if err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	response, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 299 {
		t.Errorf("status %d", response.StatusCode)
	}
}
