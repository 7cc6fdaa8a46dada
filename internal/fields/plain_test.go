package fields

import (
	"net/http"
	"net/url"
	"testing"
)

func TestHostsThatAllServersReadAlike(t *testing.T) {
	for host, want := range map[string]bool{
		"acme.example.com": true, "ACME.example.com": true, "a_b.c-d.1": true, "localhost": true, "xn--bcher-kva.example": true,
		"acme.example.com:8": true, "acme.example.com:65535": true, "127.0.0.1:80": true,
		"[::1]": true, "[::1]:443": true, "[2001:db8::1]:65535": true, "[::ffff:127.0.0.1]": true,

		"": false, ":": false, ":80": false, ".": false, ".example.com": false, "example.com.": false, "a..example.com": false, "example.com.:80": false,
		"example.com:": false, "example.com:123456": false, "example.com:x": false, "example.com:-1": false, "example.com:٣": false,
		"example.com:80:80": false, "example.com::80": false, "globex.example.com:x:.acme.example.com": false, "acme.example.com:.globex.example.com": false,
		"::1": false, "[::1": false, "::1]": false, "[::1]]": false, "[::1]x": false, "[::1]:": false, "[::1]80": false, "[::1]:x": false, "[[::1]]": false,
		"[]": false, "[]:80": false, "[fe80::1%25eth0]": false, "[fe80::1%eth0]": false, "[127.0.0.1]": false, "[example.com]": false, "[acme.example.com]:443": false,
		"x[::1]": false, "[::1].acme.example.com": false, "[v1.acme.example.com]": false,
		"a/b.example.com": false, `a\b.example.com`: false, "a%00.example.com": false, "a%2f.example.com": false, "a;b.example.com": false,
		"a,b.example.com": false, "a b.example.com": false, " example.com": false, "a@example.com": false, "a?.example.com": false, "a#.example.com": false,
		"bücher.example": false, "a\x00.example.com": false, "a\xff.example.com": false, "ａcme.example.com": false, "acme。example.com": false,
	} {
		if got := PlainHost(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

func TestPathsThatAllServersReadAlike(t *testing.T) {
	for path, want := range map[string]bool{
		"/": true, "": true, "/orgs/acme": true, "/orgs/acme/": true, "/a.b/..c/d..": true, "/a;x=1/b": true, "/%41": true, "/%e2%82%ac": true, "/...": true,
		"/.": false, "/..": false, "/a/./b": false, "/a/../b": false, "/a/..": false, "/a//b": false, "//a": false, "/a//": false,
		"/a%2fb": false, "/a%2Fb": false, "/a%5cb": false, "/a%5Cb": false, "/%2e%2e/b": false, "/a%2Eb": false,
		"/..;x/b": false, "/.;/b": false, "/;x/b": false, `/a\b`: false,
	} {
		u, err := url.Parse("http://example.com" + path)
		if err != nil {
			t.Fatal(err)
		}
		if got := PlainPath(u); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestOctetsOfPlainHosts(t *testing.T) {
	for host, want := range map[string]bool{
		"AZaz09": true, "a@b": false, "a[b": false, "a`b": false, "a{b": false, "a/b": false,
		"a:0": true, "a:9": true, "a:12345": true, "a:/": false, "a::": false,
	} {
		if got := PlainHost(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

// Each header names another host to the named reader.
func TestForwardedHeadersThatNameAHost(t *testing.T) {
	for _, test := range []struct {
		reader string
		header http.Header
	}{
		{"all", http.Header{"Forwarded": {"host=globex.example.com"}}},
		{"all: among others", http.Header{"Forwarded": {"for=192.0.2.1;proto=https;host=globex.example.com;by=_x"}}},
		{"all: quoted", http.Header{"Forwarded": {`for="[2001:db8::1]:80"; host="globex.example.com:80"`}}},
		{"all: in a second element", http.Header{"Forwarded": {"for=192.0.2.1, host=globex.example.com"}}},
		{"all: in a second line", http.Header{"Forwarded": {"for=192.0.2.1", "host=globex.example.com"}}},
		{"all: another case", http.Header{"Forwarded": {"HOST=globex.example.com"}}},
		{"all: the host of the request", http.Header{"Forwarded": {"host=acme.example.com"}}},
		{"Rack: spaces", http.Header{"Forwarded": {"for=192.0.2.1; host \t= globex.example.com"}}},
		{"one that drops quotes", http.Header{"Forwarded": {`"host"=globex.example.com`}}},
		{"one that searches for host=", http.Header{"Forwarded": {"for=192.0.2.1 host=globex.example.com"}}},
		{"one that does not know quotes", http.Header{"Forwarded": {`for="_x;host=globex.example.com"`}}},
		{"one that joins lines", http.Header{"Forwarded": {"for=192.0.2.1;host", "=globex.example.com"}}},
		{"one that folds Unicode cases", http.Header{"Forwarded": {"ho\u017ft=globex.example.com"}}},
		{"CGI", http.Header{"FORWARDED": {"host=globex.example.com"}}},
	} {
		if !NamesHost(test.header) {
			t.Errorf("%s: %q", test.reader, test.header)
		}
	}
	for _, header := range []http.Header{
		nil,
		{},
		{"Forwarded": nil},
		{"Forwarded": {""}},
		{"Forwarded": {"for=192.0.2.1;proto=https;by=203.0.113.43"}},
		{"Forwarded": {"for=_host;proto=http, for=localhost"}},
		{"Forwarded": {"for=192.0.2.1;hosts=2"}},
		{"X-Forwarded-Host": {"host=x"}, "Via": {"host=x"}},
	} {
		if NamesHost(header) {
			t.Errorf("%q is taken for one with a host", header)
		}
	}
}
