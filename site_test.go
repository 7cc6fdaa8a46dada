package logtoauth_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	_ "github.com/caddy-logto/caddy-logto-auth"
	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// api is the audience of the sites under test.
const api = "https://api.example.com"

// site is a Caddy with logto_auth between a tenant and an upstream.
type site struct {
	*caddytest.Server
	tenant *devtenanttest.Server
}

// startSite loads a Caddyfile in which ENDPOINT stands for a tenant and
// UPSTREAM for a server that answers with what it received.
func startSite(tb testing.TB, caddyfile string) *site {
	tb.Helper()
	return startSiteBefore(tb, http.HandlerFunc(echo), caddyfile)
}

// startSiteBefore is startSite with an upstream of the test's own.
func startSiteBefore(tb testing.TB, handler http.Handler, caddyfile string) *site {
	tb.Helper()
	return startSiteWith(tb, caddytest.Start, handler, caddyfile)
}

// startTLSSite is startSite for a site that speaks [caddytest.Protocols]: see
// [caddytest.Server.Over], and package wiretest for octets and frames.
func startTLSSite(tb testing.TB, caddyfile string) *site {
	tb.Helper()
	return startSiteWith(tb, caddytest.StartTLS, http.HandlerFunc(echo), caddyfile)
}

func startSiteWith(tb testing.TB, start func(testing.TB, string) *caddytest.Server, handler http.Handler, caddyfile string) *site {
	tb.Helper()
	tenant := devtenanttest.NewServer(tb, devtenant.Options{Algorithm: "ES256"})
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	tb.Cleanup(server.Close)
	caddyfile = strings.NewReplacer("ENDPOINT", tenant.URL, "UPSTREAM", server.Listener.Addr().String()).Replace(caddyfile)
	return &site{start(tb, caddyfile), tenant}
}

// alice issues a token for the API, with claims added or replaced.
func (s *site) alice(extra map[string]any) string {
	return s.tenant.Token(devtenant.TokenRequest{Subject: "alice", ClientID: "spa", Resource: api, Extra: extra})
}

// received is a request as the upstream got it.
type received struct {
	Proto   string      `json:"proto"`
	Method  string      `json:"method"`
	URI     string      `json:"uri"`
	Header  http.Header `json:"header"`
	Trailer http.Header `json:"trailer"`
	Body    string      `json:"body"`
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(received{r.Proto, r.Method, r.RequestURI, r.Header, r.Trailer, string(body)})
}

// arrived reads what the upstream received off its answer.
func arrived(tb testing.TB, answer *caddytest.Response) received {
	tb.Helper()
	if answer.StatusCode != http.StatusOK {
		tb.Fatalf("status %d, body %s", answer.StatusCode, answer.Body)
	}
	return decode(tb, answer.Body)
}

// arrivedRaw is arrived for an answer in octets.
func arrivedRaw(tb testing.TB, octets string) received {
	tb.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(strings.NewReader(octets)), nil)
	if err != nil {
		tb.Fatalf("reading %q: %v", octets, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		tb.Fatalf("reading %q: %v", octets, err)
	}
	return arrived(tb, &caddytest.Response{Response: answer, Body: string(body)})
}

func decode(tb testing.TB, body string) received {
	tb.Helper()
	var got received
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		tb.Fatalf("decoding %q: %v", body, err)
	}
	return got
}

// named gives all values that stand under any spelling of a name, in headers
// or trailers.
func named(name string, headers ...http.Header) []string {
	fold := strings.NewReplacer("_", "-", ".", "-", "!", "-")
	var found []string
	for _, header := range headers {
		for key, values := range header {
			if strings.EqualFold(fold.Replace(key), name) {
				found = append(found, values...)
			}
		}
	}
	slices.Sort(found)
	return found
}
