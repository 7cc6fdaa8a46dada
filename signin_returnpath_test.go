package logtoauth

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// elsewhere are addresses that some browser or program takes for another site,
// or that would end the session or start all over.
var elsewhere = []string{
	"https://evil.example/", "http://evil.example", "//evil.example", "//evil.example/%2e%2e", "///evil.example", "////evil.example",
	`/\evil.example`, `\\evil.example`, `\/evil.example`, `/\/evil.example`, `/a/..\..\\evil.example`, "/\t/evil.example", "/\n/evil.example", "/\r\n/evil.example",
	"\t//evil.example", " //evil.example", "https:evil.example", "https:/evil.example", "javascript:alert(1)", "data:text/html,x", "evil.example",
	"/..//evil.example", "/./" + "/evil.example", "/a/..//evil.example", "/%2e%2e//evil.example", "/.//evil.example", "@evil.example", "?x", "#x", "",
	"/\x00", "/a\x7f", "/#@evil.example", "/.logto/sign-out", "/.logto", "/.LOGTO/sign-out", "/x/../.logto/sign-in", "/%2elogto/sign-out", "//.logto/sign-out",
	"/.logto%2fsign-out", "/x/%2e%2e/.logto/sign-out", "/" + strings.Repeat("a", 2048),
}

func TestReturnToElsewhereIsTheStart(t *testing.T) {
	p := newMembers(t, smallest).browser()
	for _, given := range elsewhere {
		answer := p.open("/.logto/sign-in?return_to=" + url.QueryEscape(given))
		if !p.startsSignIn(answer) {
			t.Fatalf("%q: %d %s", given, answer.StatusCode, answer.Body)
		}
		goesTo(t, fmt.Sprintf("%q", given), p.open(p.callback(answer.Header.Get("Location"), alice)), http.StatusSeeOther, "/")
	}
	for query, want := range map[string]string{
		"return_to=%2Fa&return_to=%2Fb": "/", "return_to=%2Fa%3Fb%3D%2F%2Fevil.example": "/a?b=//evil.example", "": "/", "return_to=%2Fa%2520b": "/a%20b",
		"return_to=%2F%C3%A4%20b": "/%C3%A4%20b", "return_to=" + url.QueryEscape("/"+strings.Repeat("a", 2047)): "/" + strings.Repeat("a", 2047),
		"return_to=%2Flogto": "/logto", "return_to=%2F.logto2": "/.logto2",
	} {
		answer := p.open("/.logto/sign-in?" + query)
		goesTo(t, query, p.open(p.callback(answer.Header.Get("Location"), alice)), http.StatusSeeOther, want)
	}
}

// A path that begins with two slashes, or that holds more than a path, must
// not become an address on the way back either.
func TestPathsThatLookLikeAddressesDoNotLeadAway(t *testing.T) {
	p := newMembers(t, smallest).browser()
	for sent, want := range map[string]string{
		"//evil.example/": "/", `/\evil.example`: "/%5Cevil.example", "/%5cevil.example": "/%5cevil.example", "/a//b?c=//d": "/a//b?c=//d",
		"/a%2Fb/%41?x=%zz&y=a;b": "/a%2Fb/%41?x=%zz&y=a;b", "/?": "/?", "/a;b=1": "/a;b=1",
	} {
		octets := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nConnection: close\r\n\r\n", sent, testHost)
		answer := p.raw(octets)
		p.keep(answer)
		if !p.startsSignIn(answer) {
			t.Errorf("%s: %d %s", sent, answer.StatusCode, answer.Body)
			continue
		}
		goesTo(t, sent, p.open(p.callback(answer.Header.Get("Location"), alice)), http.StatusSeeOther, want)
		delete(p.cookies, sessionCookie)
		clear(p.cookies)
	}
}
