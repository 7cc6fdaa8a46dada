package session

import (
	"strings"
	"testing"
	"time"
)

func TestCookiesOfASite(t *testing.T) {
	for _, test := range []struct {
		host          string
		secure        bool
		session, flow string
	}{
		{"www.example.com", true, "__Host-Http-logto-session", "__Host-logto-flow"},
		{"www.example.com:8443", true, "__Host-Http-logto-session-8443", "__Host-logto-flow-8443"},
		{"WWW.EXAMPLE.COM:443", true, "__Host-Http-logto-session-443", "__Host-logto-flow-443"},
		{"localhost", true, "__Host-Http-logto-session", "__Host-logto-flow"},
		{"localhost:8080", false, "logto-session-8080", "logto-flow-8080"},
		{"127.8.0.1", false, "logto-session", "logto-flow"},
		{"[::1]:8080", false, "logto-session-8080", "logto-flow-8080"},
		{"[2001:db8::1]", true, "__Host-Http-logto-session", "__Host-logto-flow"},
		{"192.0.2.1:8443", true, "__Host-Http-logto-session-8443", "__Host-logto-flow-8443"},
		{"xyz-09.example.com", true, "__Host-Http-logto-session", "__Host-logto-flow"},
		{strings.Repeat("x", 253), true, "__Host-Http-logto-session", "__Host-logto-flow"},
		{"my_host.internal.", true, "__Host-Http-logto-session", "__Host-logto-flow"},
	} {
		site, err := NewSite(test.host, test.secure)
		if err != nil || site.SessionName() != test.session || site.FlowName() != test.flow {
			t.Errorf("%s, https %v: %q, %q, %v", test.host, test.secure, site.SessionName(), site.FlowName(), err)
		}
	}
}

func TestHostsThatNoBrowserSends(t *testing.T) {
	for _, host := range []string{
		"", ":8080", "www.example.com:", "www.example.com:x", "www.example.com:0080", "www.example.com:65536",
		"www.example.com:-1", "www.example.com:+1", "a:b:80", "::1", "[::1", "[::1]x", "[::1]:", "[fe80::1%25eth0]",
		"[192.0.2.1]", "www example.com", "www.example.com/x", "user@www.example.com", "wüw.example.com",
		"www.example.com;", "www.example.com,x", "a\r\nb", "www.example.com:8080 ", "[::1:80", "[2001:db8::1:443",
		strings.Repeat("x", 254), "www{example.com",
	} {
		if site, err := NewSite(host, true); err == nil || err.Error() != "the Host is not a name or an IP address with an optional port" {
			t.Errorf("%q is %q, %v", host, site.Host(), err)
		}
	}
	for _, host := range []string{"www.example.com", "192.168.0.1", "localhost.example.com", "127.0.0.1.example.com", "0.0.0.0", "[::]", "128.0.0.1"} {
		if _, err := NewSite(host, false); err == nil || err.Error() != "sessions need https, or plain http on loopback" {
			t.Errorf("%q over plain http: %v", host, err)
		}
	}
}

func TestSetCookieHeaders(t *testing.T) {
	site := testSite(t, "www.example.com:8443")
	local, err := NewSite("localhost", false)
	if err != nil {
		t.Fatal(err)
	}
	for want, got := range map[string]string{
		"__Host-Http-logto-session-8443=v; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Lax":    site.SetSession("v", 24*time.Hour),
		"__Host-Http-logto-session-8443=v; Path=/; Max-Age=2; HttpOnly; Secure; SameSite=Lax":        site.SetSession("v", time.Second+1),
		"__Host-Http-logto-session-8443=v; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax": site.SetSession("v", 9999*24*time.Hour),
		"__Host-Http-logto-session-8443=v; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax":        site.SetSession("v", -time.Hour),
		"__Host-Http-logto-session-8443=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax":         site.ClearSession(),
		"__Host-logto-flow-8443=v; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax":             site.SetFlow("v"),
		"__Host-logto-flow-8443=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax":                 site.ClearFlow(),
		"logto-session=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax":                                local.SetSession("v", time.Minute),
	} {
		if got != want {
			t.Errorf("%q is not %q", got, want)
		}
	}
}
