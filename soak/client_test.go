package soak

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// client sends requests over one version of HTTP, on a connection of its own.
type client struct {
	*http.Client

	protocol string
	base     string
}

// answer is what came back.
type answer struct {
	decision

	generation int
}

func newClients(t *testing.T, s *server) []*client {
	t.Helper()
	trust := &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS13}
	only := func(set func(*http.Protocols, bool)) http.RoundTripper {
		transport := &http.Transport{TLSClientConfig: trust.Clone(), Protocols: new(http.Protocols), DisableCompression: true}
		set(transport.Protocols, true)
		return transport
	}
	var clients []*client
	for range clientsPerProtocol {
		for protocol, transport := range map[string]http.RoundTripper{
			"HTTP/1.1": only((*http.Protocols).SetHTTP1),
			"HTTP/2.0": only((*http.Protocols).SetHTTP2),
			"HTTP/3.0": &http3.Transport{TLSClientConfig: trust.Clone(), DisableCompression: true},
		} {
			clients = append(clients, &client{
				Client: &http.Client{Transport: transport, Timeout: time.Minute}, protocol: protocol, base: s.base,
			})
		}
	}
	t.Cleanup(func() {
		for _, c := range clients {
			c.close()
		}
	})
	return clients
}

// close ends the client's connections; it can be used again.
func (c *client) close() {
	if transport, ok := c.Transport.(*http3.Transport); ok {
		transport.CloseIdleConnections()
		return
	}
	c.CloseIdleConnections()
}

func (c *client) send(ctx context.Context, r *request) (*answer, error) {
	sent, err := r.build(ctx, c.base)
	if err != nil {
		return nil, err
	}
	response, err := c.Do(sent)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.Proto != c.protocol {
		return nil, fmt.Errorf("%w: answered over %s", errContract, response.Proto)
	}
	generation, err := strconv.Atoi(response.Header.Get("X-Generation"))
	if err != nil {
		return nil, fmt.Errorf("%w: %s without the site's header: %w", errContract, response.Status, err)
	}
	if err := checkHeader(response); err != nil {
		return nil, err
	}
	return &answer{decision{response.StatusCode, string(body)}, generation}, nil
}

// errContract marks answers that break the documented form, whatever was
// decided.
var errContract = errors.New("against the documentation")

func checkHeader(response *http.Response) error {
	challenge := response.Header.Get("WWW-Authenticate")
	wantChallenge := response.StatusCode == 400 || response.StatusCode == 401
	switch {
	case response.StatusCode == http.StatusOK && challenge != "", wantChallenge && challenge == "":
		return fmt.Errorf("%w: %s with the challenge %q", errContract, response.Status, challenge)
	case response.StatusCode != http.StatusOK && response.Header.Get("Cache-Control") != "no-store":
		return fmt.Errorf("%w: %s may be cached: %q", errContract, response.Status, response.Header.Get("Cache-Control"))
	case response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") == "":
		return fmt.Errorf("%w: 503 without Retry-After", errContract)
	}
	return nil
}

// build makes the HTTP request. A spoofed identity goes along with each.
func (r *request) build(ctx context.Context, base string) (*http.Request, error) {
	target := base + "/" + r.site.name
	var credentials []string
	if r.token != nil {
		credentials = []string{r.token.encoded}
	}
	if r.credential == "twice" {
		credentials = append(credentials, credentials[0])
	}
	if r.site.from == "query" {
		target += "?" + url.Values{"access_token": credentials}.Encode()
	}
	method := http.MethodGet
	if r.crossOrigin {
		method = http.MethodPost
	}
	built, err := http.NewRequestWithContext(ctx, method, target, http.NoBody)
	if err != nil {
		return nil, err
	}
	built.Header.Set(userName, "admin")
	if r.organization != "" {
		built.Header.Set(orgName, r.organization)
	}
	if r.crossOrigin {
		built.Header.Set("Origin", "https://attacker.example.com")
		built.Header.Set("Sec-Fetch-Site", "cross-site")
	}
	if r.credential == "basic" {
		built.Header.Set("Authorization", "Basic dXNlcjpwYXNz")
	}
	for _, credential := range credentials {
		switch r.site.from {
		case "header":
			built.Header.Add("Authorization", "Bearer "+credential)
		case "cookie":
			built.AddCookie(&http.Cookie{Name: "session", Value: credential})
		}
	}
	return built, nil
}
