package caddytest_test

import (
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
