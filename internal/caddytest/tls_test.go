package caddytest_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

func TestProtocols(t *testing.T) {
	for range 2 { // the second Caddy has other ports
		t.Run("", func(t *testing.T) {
			s := caddytest.StartTLS(t, ":80 {\nrespond {http.request.proto}\n}")
			for _, protocol := range caddytest.Protocols {
				answer := s.Over(protocol).Get("/")
				if answer.Body != protocol || answer.Proto != protocol {
					t.Errorf("over %s Caddy sees %q and answers over %s", protocol, answer.Body, answer.Proto)
				}
			}
		})
	}
}

func TestCertificatesOfCaddysOwn(t *testing.T) {
	s := caddytest.StartInternalTLS(t, "www.example.com {\ntls internal\nrespond {http.request.host}\n}")
	trusted := x509.NewCertPool()
	trusted.AddCert(s.Intermediate("www.example.com"))
	s.Client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{
		ServerName: "www.example.com", RootCAs: trusted, MinVersion: tls.VersionTLS12,
	}
	if got := s.Get("/", caddytest.Header("Host", "www.example.com")); got.Body != "www.example.com" {
		t.Errorf("%d %q", got.StatusCode, got.Body)
	}
}
