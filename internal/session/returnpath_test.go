package session

import (
	"net/url"
	"path"
	"strings"
	"testing"
)

// elsewhere is an address of another site in the ways in which people have got
// past checks like this one.
var elsewhere = []string{
	"https://evil.example", "HTTPS://evil.example", "https:/evil.example", "https:evil.example", "//evil.example",
	"///evil.example", "////evil.example", `/\evil.example`, `\/evil.example`, `\\evil.example`, `/\/evil.example`,
	`//\evil.example`, `/%5c/evil.example/..\..`, "/\t/evil.example", "/\n/evil.example", "/\r\n/evil.example",
	"\t//evil.example", " //evil.example", "/\x00/evil.example", "/\x7f/evil.example", "/.//evil.example",
	"/..//evil.example", "/./..//evil.example", "/%2e//evil.example", "/%2E%2e//evil.example", "/x/..//evil.example",
	"/.%2e/%2e//evil.example", "javascript:alert(1)", "data:text/html,x", "evil.example", "@evil.example",
	"www.example.com@evil.example", "?next=//evil.example", "#//evil.example", "", "http://www.example.com\\@evil.example",
	"\u2028//evil.example", "/\u0009/evil.example", "ftp://evil.example", "/x\r\nLocation: https://evil.example",
	"//..", "//evil.example/../..", "//evil.example/%2e%2e/..", "//evil.example/../../members", "//evil.example/?/..",
	"mailto:a@evil.example", "/.//.", "/.//x/..", "/x/..//.", ":/evil.example", ".//evil.example", "..//evil.example", "https://www.example.com/x",
}

func TestReturnPathsThatLeadElsewhere(t *testing.T) {
	for _, given := range elsewhere {
		if got := ReturnPath(given, "/.logto"); got != "/" {
			t.Errorf("%q becomes %q", given, got)
		}
	}
}

func TestReturnPathsThatStartAllOver(t *testing.T) {
	for _, given := range []string{
		"/.logto", "/.logto/", "/.logto/sign-out", "/.logto/sign-in?return_to=/x", "/.LOGTO/sign-out", "/%2elogto/sign-out",
		"/.l%6fgto/sign-out", "/x/../.logto/sign-out", "/x/%2e%2e/.logto/sign-out", "/.logto%2fsign-out", "/./.logto/x",
		"/x/..%2f.logto/sign-out", "/x//../../.logto/x", "/.logto?x", "/a/b/../../%2Elogto/%73ign-out", "/.logto%5csign-out",
		"/.logto//sign-out", "/.logto/x/..", "/..%5c.logto/sign-out", "/.logto//../sign-out", "/.logto//x/../../sign-out",
	} {
		if got := ReturnPath(given, "/.logto"); got != "/" {
			t.Errorf("%q becomes %q", given, got)
		}
	}
	for _, prefix := range []string{"/app/.logto", "/app/.logto/"} {
		for _, given := range []string{"/app/.logto/sign-in", "/app/.logto//../sign-in"} {
			if got := ReturnPath(given, prefix); got != "/" {
				t.Errorf("below %q, %q becomes %q", prefix, given, got)
			}
		}
	}
}

func TestReturnPathsOfThisSite(t *testing.T) {
	for given, want := range map[string]string{
		"/":                         "/",
		"/members":                  "/members",
		"/members/?q=a%20b&c=//d":   "/members/?q=a%20b&c=//d",
		"/search?next=https://x/y":  "/search?next=https://x/y",
		"/?x=../../.logto":          "/?x=../../.logto",
		"/x?u=/../..//y":            "/x?u=/../..//y",
		"/.logtos":                  "/.logtos",
		"/x/.logto":                 "/x/.logto",
		"/a//b":                     "/a//b",
		"/a/../b/./c":               "/a/../b/./c",
		"/@scope%2fpkg":             "/@scope%2fpkg",
		"/%zz":                      "/%zz",
		"/%5cevil.example":          "/%5cevil.example",
		"/%2f%2fevil.example":       "/%2f%2fevil.example",
		"/%09/evil.example":         "/%09/evil.example",
		"/:8080":                    "/:8080",
		"/https://evil.example":     "/https://evil.example",
		"/müsli und milch":          "/m%C3%BCsli%20und%20milch",
		"/\xff":                     "/%FF",
		"/ /evil.example":           "/%20/evil.example",
		"/\u00a0/evil.example":      "/%C2%A0/evil.example",
		"/\u3000/evil.example":      "/%E3%80%80/evil.example",
		"/\uff0f\uff0fevil.example": "/%EF%BC%8F%EF%BC%8Fevil.example",
		"/a\u0085b":                 "/a%C2%85b",
		"/<script>\"'":              "/%3Cscript%3E%22'",
		"/a^`{|}?a^`{|}<>\"":        "/a%5E%60%7B%7C%7D?a^`{|}<>\"",
		"/%2F\"":                    "/%2F%22",
		"/...//x":                   "/...//x",
		"/" + strings.Repeat("x", maxReturnPath-1): "/" + strings.Repeat("x", maxReturnPath-1),
		"/" + strings.Repeat("x", maxReturnPath):   "/",
		"/" + strings.Repeat("é", maxReturnPath/4): "/",
		"/page#section": "/",
	} {
		if got := ReturnPath(given, "/.logto"); got != want {
			t.Errorf("%q becomes %q, not %q", given, got, want)
		}
	}
}

// FuzzReturnPath: every return path stays on this site, as net/url sees it, and
// is fit for a header.
func FuzzReturnPath(f *testing.F) {
	for _, given := range elsewhere {
		f.Add(given)
	}
	f.Add("/members?page=2")
	f.Add("/x/../.logto/sign-out")
	f.Add("/%2F\"")
	site, err := url.Parse("https://www.example.com/.logto/callback?code=x")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, given string) {
		got := ReturnPath(given, "/.logto")
		if got == "/" {
			return
		}
		if len(got) > maxReturnPath || got[0] != '/' || strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Fatalf("%q becomes %q", given, got)
		}
		if again := ReturnPath(got, "/.logto"); again != got {
			t.Errorf("%q becomes %q the second time", got, again)
		}
		reference, err := url.Parse(got)
		if err != nil {
			return // an escape that net/url does not take; a browser does
		}
		if reference.Scheme != "" || reference.Host != "" || reference.User != nil || reference.Opaque != "" || reference.Fragment != "" {
			t.Errorf("%q is %#v", got, reference)
		}
		resolved := site.ResolveReference(reference)
		if resolved.Host != site.Host || resolved.Scheme != site.Scheme || strings.HasPrefix(resolved.EscapedPath(), "//") {
			t.Errorf("%q leads to %s", got, resolved)
		}
		if clean := path.Clean(resolved.Path); clean == "/.logto" || strings.HasPrefix(clean, "/.logto/") {
			t.Errorf("%q leads to %s", got, resolved)
		}
	})
}
