package devtenanttest

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// Browser plays a person's browser at a tenant, in memory: it keeps the
// tenant's cookies, follows its redirects, and presses the buttons of its
// pages. It never leaves the tenant: what it would be sent to is returned.
type Browser struct {
	tb     testing.TB
	tenant *devtenant.Tenant
	jar    http.CookieJar
}

// Page is where a browser at the tenant has come to.
type Page struct {
	Status int
	URL    *url.URL
	Body   string

	// Where the tenant has sent the browser, such as an app's callback. Nil if
	// it stays at the tenant.
	Left *url.URL
}

// NewBrowser returns a browser without cookies.
func NewBrowser(tb testing.TB, tenant *devtenant.Tenant) *Browser {
	tb.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return &Browser{tb: tb, tenant: tenant, jar: jar}
}

// SignIn opens an authorization URL, chooses this person if the page asks, and
// returns the callback. It fails the test if there is none.
func (b *Browser) SignIn(authorizationURL, userID string) *url.URL {
	b.tb.Helper()
	page := b.Open(authorizationURL)
	if page.Left == nil && strings.Contains(page.Body, `name="user"`) {
		page = b.Submit(page, url.Values{"user": {userID}})
	}
	if page.Left == nil {
		b.tb.Fatalf("the sign-in ends at %s with %d: %s", page.URL.Redacted(), page.Status, page.Body)
	}
	return page.Left
}

// SignOut opens the tenant's end_session URL, lets its form send itself, and
// returns where the browser has come to.
func (b *Browser) SignOut(endSessionURL string) Page {
	b.tb.Helper()
	page := b.Open(endSessionURL)
	if page.Left == nil && strings.Contains(page.Body, `name="xsrf"`) {
		page = b.Submit(page, nil)
	}
	return page
}

// Open navigates to a URL of the tenant.
func (b *Browser) Open(address string) Page {
	b.tb.Helper()
	return b.navigate(http.MethodGet, b.parse(address), nil)
}

var (
	formAction  = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)
	hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// Submit sends the form of a page, with these values besides its hidden ones.
func (b *Browser) Submit(page Page, values url.Values) Page {
	b.tb.Helper()
	target := page.URL
	if action := formAction.FindStringSubmatch(page.Body); action != nil {
		target = target.ResolveReference(b.parse(html.UnescapeString(action[1])))
	}
	form := url.Values{}
	for _, input := range hiddenInput.FindAllStringSubmatch(page.Body, -1) {
		form.Set(html.UnescapeString(input[1]), html.UnescapeString(input[2]))
	}
	for name := range values {
		form[name] = values[name]
	}
	return b.navigate(http.MethodPost, target, form)
}

// navigate follows redirects as long as they stay at the tenant.
func (b *Browser) navigate(method string, to *url.URL, form url.Values) Page {
	b.tb.Helper()
	for range 10 {
		if !b.atTenant(to) {
			return Page{Left: to}
		}
		page, location, err := b.send(method, to, form)
		if err != nil {
			b.tb.Fatalf("%s %s: %v", method, to.Path, err)
		}
		if location == "" {
			return page
		}
		method, form, to = http.MethodGet, nil, to.ResolveReference(b.parse(location))
	}
	b.tb.Fatal("the tenant redirects for ever")
	return Page{}
}

// send sends one request, and returns the page or where it redirects.
func (b *Browser) send(method string, to *url.URL, form url.Values) (page Page, location string, err error) {
	r, err := http.NewRequestWithContext(b.tb.Context(), method, to.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return Page{}, "", fmt.Errorf("making the request: %w", err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, cookie := range b.jar.Cookies(to) {
		r.AddCookie(cookie)
	}
	response, err := serve(b.tenant, r)
	if err != nil {
		return Page{}, "", err
	}
	defer response.Body.Close()
	b.jar.SetCookies(to, response.Cookies())
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return Page{}, "", fmt.Errorf("reading the answer: %w", err)
	}
	return Page{Status: response.StatusCode, URL: to, Body: string(body)}, response.Header.Get("Location"), nil
}

// atTenant reports whether a URL is the tenant's: browsers know it by its
// issuer, others may know it by an internal endpoint.
func (b *Browser) atTenant(address *url.URL) bool {
	return sameOrigin(address, b.parse(b.tenant.Issuer())) || sameOrigin(address, b.parse(b.tenant.Endpoint()))
}

func (b *Browser) parse(address string) *url.URL {
	b.tb.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		b.tb.Fatal(err)
	}
	return parsed
}
