package logtoauth

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// signInPages are all pages by their names, with what the contract says of
// them.
func signInPages() map[string]struct {
	page   *page
	status int
	reason string
} {
	return map[string]struct {
		page   *page
		status int
		reason string
	}{
		"insecure":      {pageInsecure, 400, "sign_in_refused"},
		"issuer":        {pageIssuer, 400, "sign_in_refused"},
		"malformed":     {pageMalformed, 400, "sign_in_refused"},
		"state expired": {pageStateExpired, 400, "sign_in_state"},
		"state unknown": {pageStateUnknown, 400, "sign_in_state"},
		"cookies":       {pageCookies, 400, "sign_in_state"},
		"state used":    {pageStateUsed, 400, "sign_in_state"},
		"refused":       {pageRefused, 400, "sign_in_refused"},
		"code refused":  {pageCodeRefused, 400, "sign_in_refused"},
		"ID token":      {pageIDToken, 400, "sign_in_refused"},
		"loop":          {pageLoop, 400, "sign_in_loop"},
		"unavailable":   {pageUnavailable(7), 503, "tenant_unavailable"},
		"signed out":    {pageSignedOut, 200, ""},
		"sign out":      {pageSignOut, 200, ""},
		"not found":     {pageNotFound, 404, ""},
		"method":        {pageMethod, 405, ""},
	}
}

func testPages() *pages {
	return newPages("/.logto", "https://tenant.example", "https://bye.example")
}

// requestMark is in every part of a request that a page could show.
const requestMark = "mark-of-the-request"

// servedPage returns a page as a client gets it.
func servedPage(t *testing.T, p *pages, method string, which *page) (w *httptest.ResponseRecorder, body string) {
	t.Helper()
	r := httptest.NewRequest(method, "/.logto/"+requestMark+"?error_description="+requestMark, http.NoBody)
	r.Host = requestMark + ".example"
	r.Header.Set("Referer", "https://"+requestMark)
	w = httptest.NewRecorder()
	if err := p.serve(w, r, which); err != nil {
		t.Fatal(err)
	}
	return w, w.Body.String()
}

func TestPagesHaveTheStatusReasonAndHeadersOfTheContract(t *testing.T) {
	for name, test := range signInPages() {
		result, body := servedPage(t, testPages(), http.MethodGet, test.page)
		if result.Code != test.status || string(test.page.reason) != test.reason {
			t.Errorf("%s: %d %s", name, result.Code, test.page.reason)
		}
		want := http.Header{
			"Content-Security-Policy": {"default-src 'none'; style-src '" + styleHash(t, body) + "'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' https://tenant.example https://bye.example"},
			"X-Frame-Options":         {"DENY"},
			"Referrer-Policy":         {"no-referrer"},
			"X-Content-Type-Options":  {"nosniff"},
			"Cache-Control":           {"no-store"},
			"Content-Type":            {"text/html; charset=utf-8"},
			"Content-Length":          {strconv.Itoa(len(body))},
		}
		if test.status == http.StatusServiceUnavailable {
			want.Set("Retry-After", "7")
		}
		if !maps.EqualFunc(result.Header(), want, slices.Equal) {
			t.Errorf("%s: the header is %q, not %q", name, result.Header(), want)
		}
		if test.reason != "" && !strings.Contains(body, "<code>"+test.reason+"</code>") {
			t.Errorf("%s does not show its reason", name)
		}
	}
}

// styleHash is what a browser computes from the style that it got.
func styleHash(t *testing.T, body string) string {
	t.Helper()
	styles := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindAllStringSubmatch(body, -1)
	if len(styles) != 1 {
		t.Fatalf("%d styles in %s", len(styles), body)
	}
	sum := sha256.Sum256([]byte(styles[0][1]))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func TestPagePolicyNamesOnlyTheOriginsThatThereAre(t *testing.T) {
	for _, test := range []struct{ issuer, signedOut, want string }{
		{"", "", "'self'"},
		{"https://a.example", "", "'self' https://a.example"},
		{"", "https://b.example:8443", "'self' https://b.example:8443"},
		{"https://a.example", "https://a.example", "'self' https://a.example"},
		{"https://a.example", "https://b.example", "'self' https://a.example https://b.example"},
		// What would end the directive or allow others is not named.
		{"https://a.example; script-src *", "https://*", "'self'"},
		{"https://a.example 'unsafe-inline'", "https://b.example\n", "'self'"},
	} {
		result, _ := servedPage(t, newPages("/.logto", test.issuer, test.signedOut), http.MethodGet, pageSignOut)
		_, got, _ := strings.Cut(result.Header().Get("Content-Security-Policy"), "; form-action ")
		if got != test.want {
			t.Errorf("%q and %q: form-action %s, not %s", test.issuer, test.signedOut, got, test.want)
		}
	}
}

func TestPagesHaveNoBodyForHEAD(t *testing.T) {
	for name, test := range signInPages() {
		_, body := servedPage(t, testPages(), http.MethodGet, test.page)
		result, none := servedPage(t, testPages(), http.MethodHead, test.page)
		if none != "" || result.Code != test.status || result.Header().Get("Content-Length") != strconv.Itoa(len(body)) {
			t.Errorf("%s: %d %q %q", name, result.Code, result.Header(), none)
		}
	}
}

// void are the elements without an end tag.
var void = []string{"meta", "link", "br", "hr", "img", "input"}

// elements are the start tags of a page, which must be balanced.
func elements(t *testing.T, name, body string) []html.Token {
	t.Helper()
	var found []html.Token
	var open []string
	for tokens := html.NewTokenizer(strings.NewReader(body)); ; {
		switch tokens.Next() {
		case html.ErrorToken:
			if len(open) > 0 || !errors.Is(tokens.Err(), io.EOF) {
				t.Errorf("%s: %v are open, %v", name, open, tokens.Err())
			}
			return found
		case html.StartTagToken, html.SelfClosingTagToken:
			token := tokens.Token()
			found = append(found, token)
			if token.Type == html.StartTagToken && !slices.Contains(void, token.Data) {
				open = append(open, token.Data)
			}
		case html.EndTagToken:
			tag := tokens.Token().Data
			if len(open) == 0 || open[len(open)-1] != tag {
				t.Fatalf("%s: </%s> in %v", name, tag, open)
			}
			open = open[:len(open)-1]
		case html.CommentToken:
			t.Errorf("%s has a comment: %s", name, tokens.Token().Data)
		case html.TextToken, html.DoctypeToken:
		}
	}
}

func TestPagesAreValidAndNeedNothingElse(t *testing.T) {
	for name, test := range signInPages() {
		_, body := servedPage(t, testPages(), http.MethodGet, test.page)
		seen := make(map[string]int)
		for _, element := range elements(t, name, body) {
			seen[element.Data]++
			for _, attribute := range element.Attr {
				switch key, value := attribute.Key, attribute.Val; {
				case strings.HasPrefix(key, "on"), key == "style", key == "src", key == "srcset":
					t.Errorf("%s: <%s %s=%q>", name, element.Data, key, value)
				case (key == "href" || key == "action") && !strings.HasPrefix(value, "/.logto/sign-"):
					t.Errorf("%s: <%s %s=%q> leads elsewhere", name, element.Data, key, value)
				case key == "lang" && value != "en":
					t.Errorf("%s is in %s", name, value)
				}
			}
		}
		for _, once := range []string{"html", "head", "title", "style", "body", "main", "h1"} {
			if seen[once] != 1 {
				t.Errorf("%s: %d <%s>", name, seen[once], once)
			}
		}
		if extra := cmp.Or(seen["script"], seen["link"], seen["img"], seen["iframe"], seen["base"], seen["object"]); extra != 0 {
			t.Errorf("%s needs something else: %v", name, seen)
		}
		for _, bad := range []string{"http://", "https://", "<script", "javascript:", "url(", "@import", "`", requestMark} {
			if strings.Contains(body, bad) {
				t.Errorf("%s holds %s", name, bad)
			}
		}
		for _, needed := range []string{`<html lang="en">`, `<meta name="viewport" content="width=device-width, initial-scale=1">`, `<meta name="robots" content="noindex">`, "prefers-color-scheme: dark", ":focus-visible"} {
			if !strings.Contains(body, needed) {
				t.Errorf("%s lacks %s", name, needed)
			}
		}
	}
}

// Each action: what a page offers, and nothing else to press.
func TestPagesOfferTheirAction(t *testing.T) {
	link := regexp.MustCompile(`<a href="([^"]*)">([^<]*)</a>`)
	button := `<form method="post" action="/.logto/sign-out"><button type="submit">Sign out</button></form>`
	for name, test := range signInPages() {
		_, body := servedPage(t, testPages(), http.MethodGet, test.page)
		var want string
		switch test.page.action {
		case actionSignIn:
			want = "Sign in again"
		case actionRetry:
			want = "Try again"
		case actionNone, actionSignOut:
		}
		var got string
		if found := link.FindStringSubmatch(body); found != nil {
			got = found[2]
			if found[1] != "/.logto/sign-in" {
				t.Errorf("%s leads to %s", name, found[1])
			}
		}
		if got != want {
			t.Errorf("%s offers %q, not %q", name, got, want)
		}
		if strings.Contains(body, button) != (test.page.action == actionSignOut) || strings.Contains(body, "<form") != (test.page.action == actionSignOut) {
			t.Errorf("%s: a form is there or not", name)
		}
	}
}

// Under no-referrer a browser sends a form's POST with "Origin: null"; the
// page with the button overrides the header, and no other page does.
func TestOnlyTheSignOutButtonSendsItsOrigin(t *testing.T) {
	for name, test := range signInPages() {
		_, body := servedPage(t, testPages(), http.MethodGet, test.page)
		if got, want := strings.Contains(body, `<meta name="referrer" content="same-origin">`), test.page.action == actionSignOut; got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What error routes get as the message is one line, and the 503's is the
// contract's.
func TestPageMessagesAreOneLine(t *testing.T) {
	for name, test := range signInPages() {
		if message := test.page.message(); message == "" || strings.ContainsAny(message, "\r\n") {
			t.Errorf("%s: %q", name, message)
		}
		if len(test.page.text) == 0 || strings.Count(test.page.operator, "`")%2 != 0 {
			t.Errorf("%s: %q %q", name, test.page.text, test.page.operator)
		}
	}
	if got := pageUnavailable(1).message(); got != "Sign-in is temporarily unavailable" {
		t.Errorf("%q", got)
	}
}

// As for every refusal: else net/http asks for the body before it answers.
func TestErrorPagesEndTheConnectionOfWhoHoldsBackTheBody(t *testing.T) {
	for name, test := range signInPages() {
		for _, expect := range []string{"", "100-continue"} {
			r := httptest.NewRequest(http.MethodPost, "/.logto/callback", strings.NewReader("x"))
			if expect != "" {
				r.Header.Set("Expect", expect)
			}
			w := httptest.NewRecorder()
			if err := testPages().serve(w, r, test.page); err != nil {
				t.Fatal(err)
			}
			if got, want := w.Header().Get("Connection") == "close", expect != "" && test.status >= 400; got != want {
				t.Errorf("%s with Expect %q: closed is %v", name, expect, got)
			}
		}
	}
}

// WCAG 2.2 AA, success criterion 1.4.3: 4.5:1 for text, in both schemes.
func TestPagesHaveEnoughContrast(t *testing.T) {
	palettes := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(pageStyle, -1)
	if len(palettes) != 2 {
		t.Fatalf("%d palettes", len(palettes))
	}
	for i, palette := range palettes {
		luminance := make(map[string]float64)
		for _, variable := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`).FindAllStringSubmatch(palette[1], -1) {
			luminance[variable[1]] = relativeLuminance(t, variable[2])
		}
		for _, pair := range [][2]string{
			{"ink", "sheet"},
			{"soft", "sheet"},
			{"accent", "sheet"},
			{"alert", "sheet"},
			{"done", "sheet"},
			{"on-accent", "accent"},
			{"on-accent", "accent-lit"},
		} {
			one, other := luminance[pair[0]], luminance[pair[1]]
			if ratio := (max(one, other) + 0.05) / (min(one, other) + 0.05); ratio < 4.5 {
				t.Errorf("palette %d: %s on %s is %.2f:1", i, pair[0], pair[1], ratio)
			}
		}
	}
}

// relativeLuminance is WCAG's, of a colour of six hexadecimal digits.
func relativeLuminance(t *testing.T, colour string) float64 {
	t.Helper()
	channels, err := hex.DecodeString(colour)
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		value := float64(channels[i]) / 255
		if value <= 0.04045 {
			value /= 12.92
		} else {
			value = math.Pow((value+0.055)/1.055, 2.4)
		}
		sum += weight * value
	}
	return sum
}
