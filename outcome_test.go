package logtoauth_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

func TestAccessLogTellsUserAndReason(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	auth := fmt.Sprintf("logto_auth {\nendpoint %s\naudience %s\n%%s\n}\n", tenant.URL, meteredAPI)
	s := caddytest.Start(t, "http://127.0.0.1 {\nlog\n"+
		"handle /reporting {\n"+fmt.Sprintf(auth, "report_only")+"logto_require write\nrespond ok\n}\n"+
		"handle {\n"+fmt.Sprintf(auth, "")+"respond ok\n}\n}\n")
	token := tenant.Token(devtenant.TokenRequest{Resource: meteredAPI, Subject: "user-1"})
	for _, test := range []struct {
		name, path   string
		options      []caddytest.Option
		reason, user string
	}{
		{"admitted", "/", []caddytest.Option{caddytest.Bearer(token)}, "", "user-1"},
		{"refused", "/", nil, "missing_token", ""},
		{"reported", "/reporting", nil, "missing_token", ""},
		{"reported, but verified", "/reporting", []caddytest.Option{caddytest.Bearer(token)}, "insufficient_scope", "user-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(s.Logs())
			s.Get(test.path, test.options...)
			var entry struct {
				Logger string `json:"logger"`
				Reason string `json:"logto_reason"`
				User   string `json:"user_id"`
			}
			for line := range strings.Lines(s.Logs()[before:]) {
				if strings.Contains(line, `"logger":"http.log.access"`) {
					if err := json.Unmarshal([]byte(line), &entry); err != nil {
						t.Fatal(err)
					}
				}
			}
			if entry.Logger == "" || entry.Reason != test.reason || entry.User != test.user {
				t.Errorf("logged %+v, not reason %q and user %q", entry, test.reason, test.user)
			}
		})
	}
}
