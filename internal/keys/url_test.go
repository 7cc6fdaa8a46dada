package keys

import (
	"strings"
	"testing"
)

func TestCheckTenantURL(t *testing.T) {
	tests := []struct {
		url     string
		secure  bool // accepted without insecure_http
		anyhow  bool // accepted with it
		comment string
	}{
		{url: "https://tenant.logto.app", secure: true, anyhow: true},
		{url: "https://tenant.logto.app/oidc/", secure: true, anyhow: true},
		{url: "HTTPS://tenant.logto.app:8443", secure: true, anyhow: true},
		{url: "http://localhost:3001", secure: true, anyhow: true},
		{url: "http://LOCALHOST:3001", secure: true, anyhow: true},
		{url: "http://logto.localhost:3001", secure: true, anyhow: true, comment: "RFC 6761"},
		{url: "http://a.b.LocalHost", secure: true, anyhow: true, comment: "RFC 6761"},
		{url: "http://notlocalhost", anyhow: true, comment: "only looks like loopback"},
		{url: "http://127.5.0.1", secure: true, anyhow: true},
		{url: "http://[::1]:3001", secure: true, anyhow: true},
		{url: "http://logto:3001", anyhow: true},
		{url: "http://localhost.example.com", anyhow: true, comment: "only looks like loopback"},
		{url: "http://127.0.0.1.nip.io", anyhow: true, comment: "only looks like loopback"},
		{url: "http://0.0.0.0", anyhow: true},
		{url: ""},
		{url: "tenant.logto.app"},
		{url: "//tenant.logto.app"},
		{url: "https:tenant.logto.app"},
		{url: "https://"},
		{url: "https://:443"},
		{url: "ftp://tenant.logto.app"},
		{url: "file:///etc/passwd"},
		{url: "https://tenant.logto.app:0"},
		{url: "https://tenant.logto.app:65536"},
		{url: "https://tenant.logto.app:https"},
		{url: "https://user@tenant.logto.app"},
		{url: "https://@tenant.logto.app"},
		{url: "https://tenant.logto.app?"},
		{url: "https://tenant.logto.app#"},
		{url: "https://tenant.logto.app/a b"},
		{url: "https://tenant.logto.app/\n"},
		{url: "https://tenant.logto.app/\"quoted\""},
		{url: "https://tenant.logto.app\\@evil.example"},
		{url: "https://tenänt.example"},
	}
	for _, test := range tests {
		if err := CheckURL(test.url, false); (err == nil) != test.secure {
			t.Errorf("%q without insecure_http: %v %s", test.url, err, test.comment)
		}
		if err := CheckURL(test.url, true); (err == nil) != test.anyhow {
			t.Errorf("%q with insecure_http: %v", test.url, err)
		}
	}
}

func TestPasswordInURLIsNotEchoed(t *testing.T) {
	for _, raw := range []string{
		"https://user:hunter2@tenant.logto.app",
		"https://user:hunter2@tenant.logto.app?a#b",
		"https://user:hunter2@tenant.logto.app:port",
		"https://user:hunter2@[::1",
		"https://user:hunter2%zz@tenant.logto.app",
		"https://user:hunter2 @tenant.logto.app",
		"https://user:hunter2/@tenant.logto.app",
		"http://user:hunter2@tenant.logto.app",
	} {
		err := CheckURL(raw, false)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestAddressBelowTheEndpoint(t *testing.T) {
	for endpoint, cut := range map[string]string{
		"https://tenant.logto.app":                                       "",
		"https://tenant.logto.app/oidc/":                                 "",
		"https://auth.example.com/api":                                   "", // its proxy may have moved the tenant there
		"https://auth.example.com/jwksolver":                             "",
		"https://tenant.logto.app/api/":                                  "https://tenant.logto.app",
		"https://TENANT.logto.app/api":                                   "https://tenant.logto.app",
		"https://tenant.logto.app/oidc/jwks":                             "https://tenant.logto.app",
		"https://auth.example.com/x/jwks/":                               "https://auth.example.com/x",
		"https://auth.example.com/oidc/.well-known/openid-configuration": "https://auth.example.com",
		"http://localhost:3001/.well-known/openid-configuration/":        "http://localhost:3001",
	} {
		err := CheckEndpoint(endpoint, false)
		if (err == nil) != (cut == "") || err != nil && !strings.Contains(err.Error()+" ", " "+cut+" ") && !strings.Contains(err.Error(), " "+cut+",") {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func TestSchemeIsNamed(t *testing.T) {
	for raw, want := range map[string]string{
		"ftp://tenant.logto.app":          "scheme is ftp",
		"ws://tenant.logto.app":           "scheme is ws",
		"localhost:3001":                  "not absolute",
		"secret:hunter2@tenant.logto.app": "not absolute",
		"//tenant.logto.app":              "not absolute",
	} {
		err := CheckURL(raw, true)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
