package logtoauth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

var (
	fromAuthorization = TokenSource{From: sourceHeader, Name: "Authorization"}
	fromHeader        = TokenSource{From: sourceHeader, Name: "X-Token"}
	fromCookie        = TokenSource{From: sourceCookie, Name: "session"}
	fromQuery         = TokenSource{From: sourceQuery, Name: "access_token"}
)

// requestWith makes a request for a target with header lines given as name,
// value, name, value.
func requestWith(target string, lines ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, http.NoBody)
	for i := 0; i < len(lines); i += 2 {
		r.Header.Add(lines[i], lines[i+1])
	}
	return r
}

func TestTokenIsFound(t *testing.T) {
	all := []TokenSource{fromAuthorization, fromHeader, fromCookie, fromQuery}
	for _, test := range []struct {
		name    string
		sources []TokenSource // all of them by default
		target  string        // "/" by default
		lines   []string
		want    string // the token and its place, or the reason
	}{
		{"nothing", nil, "", nil, "missing_token"},
		{"bearer", nil, "", []string{"Authorization", "Bearer a.b.c"}, "a.b.c header"},
		{"scheme in another case", nil, "", []string{"Authorization", "bEARER a.b.c"}, "a.b.c header"},
		{"several spaces", nil, "", []string{"Authorization", "Bearer   a.b.c"}, "a.b.c header"},
		{"a tab is no way to be another scheme", nil, "", []string{"Authorization", "Bearer\ta.b.c"}, "\ta.b.c header"},
		{"white space in front is no way to be another scheme, which HTTP/2 leaves there", nil, "", []string{"Authorization", " \tBearer a.b.c"}, "a.b.c header"},
		{"nor is a space of another alphabet behind it", nil, "", []string{"Authorization", "Bearer\xa0a.b.c"}, "Bearer\xa0a.b.c header"},
		{"nor is one in front", nil, "", []string{"Authorization", "\u00a0Bearer a.b.c"}, "\u00a0Bearer a.b.c header"},
		{"two tokens in one value", nil, "", []string{"Authorization", "Bearer a.b.c, Bearer d.e.f"}, "a.b.c, Bearer d.e.f header"},
		{"scheme alone", nil, "", []string{"Authorization", "Bearer"}, "unsupported_scheme"},
		{"scheme that begins alike", nil, "", []string{"Authorization", "BearerToken a.b.c"}, "unsupported_scheme"},
		{"another scheme", nil, "", []string{"Authorization", "Basic YTpi"}, "unsupported_scheme"},
		{"empty", nil, "", []string{"Authorization", ""}, "missing_token"},
		{"two Authorization headers", nil, "", []string{"Authorization", "Bearer a.b.c", "Authorization", "Bearer d.e.f"}, "multiple_tokens"},
		{"a second Authorization header of another scheme", nil, "", []string{"Authorization", "Basic YTpi", "Authorization", "Bearer a.b.c"}, "multiple_tokens"},
		{"two empty Authorization headers", nil, "", []string{"Authorization", "", "Authorization", ""}, "multiple_tokens"},
		{"own header, bare", nil, "", []string{"X-Token", "a.b.c"}, "a.b.c header"},
		{"own header, bearer", nil, "", []string{"X-Token", "Bearer a.b.c"}, "a.b.c header"},
		{"first place wins", nil, "", []string{"Cookie", "session=d.e.f", "Authorization", "Bearer a.b.c"}, "a.b.c header"},
		{
			"first place wins in the order of the site",
			[]TokenSource{fromCookie, fromAuthorization},
			"",
			[]string{"Authorization", "Bearer a.b.c", "Cookie", "session=d.e.f"},
			"d.e.f cookie",
		},
		{"another scheme beside a cookie", nil, "", []string{"Authorization", "Basic YTpi", "Cookie", "session=a.b.c"}, "a.b.c cookie"},

		{"cookie", nil, "", []string{"Cookie", "a=1; session=a.b.c; b=2"}, "a.b.c cookie"},
		{"quoted cookie", nil, "", []string{"Cookie", `session="a.b.c"`}, "a.b.c cookie"},
		{"half-quoted cookie", nil, "", []string{"Cookie", `session="a.b.c`}, `"a.b.c cookie`},
		{"empty cookie", nil, "", []string{"Cookie", `session=""`}, "missing_token"},
		{"cookie of another case", nil, "", []string{"Cookie", "Session=a.b.c"}, "missing_token"},
		{"cookie whose name ends alike", nil, "", []string{"Cookie", "xsession=a.b.c; session_=a.b.c"}, "missing_token"},
		{"duplicate cookie", nil, "", []string{"Cookie", "session=a.b.c; session=d.e.f"}, "multiple_tokens"},
		{"duplicate cookie in a second line", nil, "", []string{"Cookie", "session=a.b.c", "Cookie", "session=d.e.f"}, "multiple_tokens"},
		{"duplicate cookie with a value that net/http drops", nil, "", []string{"Cookie", `session=a.b.c; session=d.e.f"`}, "multiple_tokens"},
		{"duplicate cookie behind an open quote", nil, "", []string{"Cookie", `a="; session=a.b.c; b="; session=d.e.f`}, "multiple_tokens"},
		{"duplicate cookie, the first one empty", nil, "", []string{"Cookie", "session=; session=a.b.c"}, "multiple_tokens"},
		{"duplicate cookie behind white space", nil, "", []string{"Cookie", "session=a.b.c;\t session =d.e.f"}, "multiple_tokens"},

		{"parameter", nil, "/?a=1&access_token=a.b.c", nil, "a.b.c query"},
		{"parameter with an encoded name", nil, "/?%61ccess%5Ftoken=a.b.c", nil, "a.b.c query"},
		{"parameter with an encoded value", nil, "/?access_token=a%2Eb%2ec", nil, "a.b.c query"},
		{"parameter with a broken value", nil, "/?access_token=a.b.c%", nil, "a.b.c% query"},
		{"parameter of another case", nil, "/?Access_Token=a.b.c", nil, "missing_token"},
		{"parameter without value", nil, "/?access_token", nil, "missing_token"},
		{"duplicate parameter", nil, "/?access_token=a.b.c&access_token=d.e.f", nil, "multiple_tokens"},
		{"duplicate parameter with an encoded name", nil, "/?access_token=a.b.c&%61ccess_token=d.e.f", nil, "multiple_tokens"},
		{"duplicate parameter that does not decode", nil, "/?access_token=a.b.c&access_token=%zz", nil, "multiple_tokens"},
		{"duplicate parameter behind a semicolon", nil, "/?access_token=a.b.c&a=1;access_token=d.e.f", nil, "multiple_tokens"},
		{"parameter beside a header", nil, "/?access_token=a.b.c", []string{"Authorization", "Bearer d.e.f"}, "multiple_tokens"},
		{"parameter beside a cookie", nil, "/?access_token=a.b.c", []string{"Cookie", "session=d.e.f"}, "multiple_tokens"},
		{"parameter beside another scheme", nil, "/?access_token=a.b.c", []string{"Authorization", "Basic YTpi"}, "a.b.c query"},
		{"places that the site does not have", []TokenSource{fromAuthorization}, "/?access_token=a.b.c", []string{"Cookie", "session=a.b.c", "X-Token", "a.b.c"}, "missing_token"},
	} {
		sources, target := test.sources, test.target
		if sources == nil {
			sources = all
		}
		if target == "" {
			target = "/"
		}
		found, refusal := newTokenSources(sources).find(requestWith(target, test.lines...))
		got := found.token + " " + found.source.From
		if refusal != nil {
			got = string(refusal.Reason)
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestTokenIsStrippedAndNothingElse(t *testing.T) {
	for _, test := range []struct {
		name        string
		source      TokenSource
		target      string
		lines       []string
		wantQuery   string
		wantHeaders []string // name: values
	}{
		{"bearer", fromAuthorization, "/", []string{"Authorization", "bearer a.b.c", "X-A", "1"}, "", []string{"X-A: [1]"}},
		{"bearer behind a tab", fromAuthorization, "/", []string{"Authorization", "Bearer\ta.b.c"}, "", nil},
		{"bearer behind white space", fromAuthorization, "/", []string{"Authorization", " \tBearer a.b.c"}, "", nil},
		{"bearer behind and before spaces of another alphabet", fromAuthorization, "/", []string{"Authorization", "\u00a0Bearer\xa0a.b.c"}, "", nil},
		{"another scheme stays", fromAuthorization, "/", []string{"Authorization", "Basic YTpi"}, "", []string{"Authorization: [Basic YTpi]"}},
		{"bearer behind another scheme", fromAuthorization, "/", []string{"Authorization", "Basic YTpi", "Authorization", "Bearer a.b.c"}, "", []string{"Authorization: [Basic YTpi]"}},
		{"own header", fromHeader, "/", []string{"X-Token", "a.b.c", "X-Token", "d.e.f", "Authorization", "Bearer a"}, "", []string{"Authorization: [Bearer a]"}},

		{"only cookie", fromCookie, "/", []string{"Cookie", "session=a.b.c"}, "", nil},
		{"first cookie", fromCookie, "/", []string{"Cookie", `session=a.b.c; a="1;2"; b`}, "", []string{`Cookie: [a="1;2"; b]`}},
		{"middle cookie", fromCookie, "/", []string{"Cookie", "a=1; session=a.b.c;b=2;  c=3"}, "", []string{"Cookie: [a=1;b=2;  c=3]"}},
		{"last cookie", fromCookie, "/", []string{"Cookie", "a=1; session=a.b.c"}, "", []string{"Cookie: [a=1]"}},
		{"duplicate cookies", fromCookie, "/", []string{"Cookie", "session=a; a=1; session =b", "Cookie", "session=c", "Cookie", " b=ü"}, "", []string{"Cookie: [a=1  b=ü]"}},
		{"cookie with a value that net/http drops", fromCookie, "/", []string{"Cookie", `session=a"b; a=1`}, "", []string{"Cookie: [a=1]"}},
		{"other cookies stay", fromCookie, "/", []string{"Cookie", `Session=1; xsession=2;  ;session_="`}, "", []string{`Cookie: [Session=1; xsession=2;  ;session_="]`}},

		{"only parameter", fromQuery, "/?access_token=a.b.c", nil, "", nil},
		{"first parameter", fromQuery, "/?access_token=a.b.c&b=%41&a=+&b", nil, "b=%41&a=+&b", nil},
		{"middle parameter", fromQuery, "/?z=1&access_token=a.b.c&a=%zz", nil, "z=1&a=%zz", nil},
		{"last parameter", fromQuery, "/?z=1&access_token=a.b.c", nil, "z=1", nil},
		{"duplicate parameters, encoded", fromQuery, "/?access_token=a&a=1&%61ccess_token=b&access_token", nil, "a=1", nil},
		{"parameter behind a semicolon", fromQuery, "/?a=1;access_token=x;b=2&c=3", nil, "a=1;b=2&c=3", nil},
		{"other parameters stay", fromQuery, "/?&&b=2;;a=%&Access_token=1&", nil, "&&b=2;;a=%&Access_token=1&", nil},
		{"empty pairs around it stay", fromQuery, "/?&&access_token=x&", nil, "&&", nil},
	} {
		r := requestWith(test.target, test.lines...)
		newTokenSources([]TokenSource{test.source}).strip(r)
		var headers []string
		for name, values := range r.Header {
			headers = append(headers, fmt.Sprintf("%s: %s", name, values))
		}
		if r.URL.RawQuery != test.wantQuery || !slices.Equal(headers, test.wantHeaders) {
			t.Errorf("%s: query %q, headers %q; want %q, %q", test.name, r.URL.RawQuery, headers, test.wantQuery, test.wantHeaders)
		}
		if r.RequestURI != r.URL.RequestURI() && r.URL.RawQuery != "" {
			t.Errorf("%s: RequestURI is %q, the URL %q", test.name, r.RequestURI, r.URL)
		}
		if found, refusal := newTokenSources([]TokenSource{test.source}).find(r); refusal == nil {
			t.Errorf("%s: the token %q is still found", test.name, found.token)
		}
	}
}

// FuzzStrip: no token is found where it was stripped, and stripping twice is
// stripping once.
func FuzzStrip(f *testing.F) {
	f.Add("a=1&access_token=x;access_token=y", "a=1; session=x", "Bearer x")
	f.Add("&;&access_token", ";;session", "bearer\tx")
	f.Fuzz(func(t *testing.T, query, cookie, authorization string) {
		sources := newTokenSources([]TokenSource{fromAuthorization, fromCookie, fromQuery})
		r := requestWith("/")
		r.URL.RawQuery = query
		r.Header["Cookie"] = []string{cookie}
		r.Header["Authorization"] = []string{authorization}
		sources.strip(r)
		if found, refusal := sources.find(r); refusal == nil || refusal.Reason == ReasonMultipleTokens {
			t.Fatalf("still found %q, %v", found.token, refusal)
		}
		before := fmt.Sprint(r.URL.RawQuery, r.Header)
		sources.strip(r)
		if after := fmt.Sprint(r.URL.RawQuery, r.Header); after != before {
			t.Fatalf("stripped again: %q became %q", before, after)
		}
	})
}

func TestVaryNamesEveryHeaderOfATokenOnce(t *testing.T) {
	sources := newTokenSources([]TokenSource{
		fromQuery, {From: sourceHeader, Name: "x-token"}, {From: sourceCookie, Name: "a"}, {From: sourceCookie, Name: "b"}, fromAuthorization,
	})
	if got, want := sources.vary(), []string{"X-Token", "Cookie", "Authorization"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, test := range []struct{ before, want []string }{
		{nil, []string{"X-Token", "Cookie"}},
		{[]string{"Origin"}, []string{"Origin", "X-Token", "Cookie"}},
		{[]string{"cookie", "Origin"}, []string{"cookie", "Origin", "X-Token"}},
	} {
		header := http.Header{"Vary": test.before}
		addVary(header, []string{"X-Token", "Cookie"})
		if got := header["Vary"]; !slices.Equal(got, test.want) {
			t.Errorf("%q became %q, want %q", test.before, got, test.want)
		}
	}
}
