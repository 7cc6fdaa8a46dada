package main

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
)

// visitor is a person's browser: it keeps cookies, follows redirects, and
// presses the buttons of the tenant's pages.
type visitor struct {
	client *http.Client
}

func newVisitor(transport http.RoundTripper) (*visitor, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &visitor{&http.Client{Transport: transport, Jar: jar}}, nil
}

// screen is what a visitor sees in the end.
type screen struct {
	status int
	url    *url.URL
	body   string
}

var (
	hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	formAction  = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)
	heading     = regexp.MustCompile(`<h1>([^<]*)</h1>`)
)

// answer is a screen by its heading: whole pages would be too long to compare
// at a glance.
func (s screen) answer() answer {
	if found := heading.FindStringSubmatch(s.body); found != nil {
		return answer{s.status, html.UnescapeString(found[1]), ""}
	}
	return answer{s.status, s.body, ""}
}

// open navigates to a URL.
func (v *visitor) open(ctx context.Context, address string) (screen, error) {
	return v.navigate(ctx, http.MethodGet, address, nil)
}

// submit sends the form of a page, with these values besides its hidden ones.
func (v *visitor) submit(ctx context.Context, on screen, values url.Values) (screen, error) {
	target := on.url
	if action := formAction.FindStringSubmatch(on.body); action != nil {
		to, err := url.Parse(html.UnescapeString(action[1]))
		if err != nil {
			return screen{}, fmt.Errorf("reading the form of %s: %w", on.url.Path, err)
		}
		target = on.url.ResolveReference(to)
	}
	for _, input := range hiddenInput.FindAllStringSubmatch(on.body, -1) {
		values.Set(html.UnescapeString(input[1]), html.UnescapeString(input[2]))
	}
	return v.navigate(ctx, http.MethodPost, target.String(), values)
}

// navigate does what a browser does whose person opens an address or sends a
// form. Only such requests are sent to sign in.
func (v *visitor) navigate(ctx context.Context, method, address string, form url.Values) (screen, error) {
	header := http.Header{
		"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"same-origin"},
	}
	if method == http.MethodPost {
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return v.send(ctx, method, address, header, form)
}

func (v *visitor) send(ctx context.Context, method, address string, header http.Header, form url.Values) (screen, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return screen{}, err
	}
	request.Header = header
	response, err := v.client.Do(request)
	if err != nil {
		return screen{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return screen{}, fmt.Errorf("reading the answer: %w", err)
	}
	return screen{response.StatusCode, response.Request.URL, string(body)}, nil
}

// opens returns a visit to a page of the members' site.
func opens(path string) func(context.Context, *stack) (answer, error) {
	return func(ctx context.Context, s *stack) (answer, error) {
		page, err := s.visitor.open(ctx, "http://"+s.members+path)
		return page.answer(), err
	}
}

// signsIn returns a visit to a page that leads to the tenant, where the visitor
// chooses a person, and back.
func signsIn(path, person string) func(context.Context, *stack) (answer, error) {
	return func(ctx context.Context, s *stack) (answer, error) {
		choice, err := s.visitor.open(ctx, "http://"+s.members+path)
		if err != nil {
			return answer{}, err
		}
		if choice.url.Host == s.members {
			return choice.answer(), nil // not asked: told as a difference
		}
		page, err := s.visitor.submit(ctx, choice, url.Values{"user": {person}})
		return page.answer(), err
	}
}

// signsOut presses the button that every page of the site has. The tenant's
// page sends its form by itself.
func signsOut(ctx context.Context, s *stack) (answer, error) {
	there, err := s.visitor.navigate(ctx, http.MethodPost, "http://"+s.members+"/.logto/sign-out", nil)
	if err != nil {
		return answer{}, err
	}
	if there.url.Host == s.members {
		return there.answer(), nil
	}
	page, err := s.visitor.submit(ctx, there, url.Values{})
	return page.answer(), err
}

// asksWho asks the session endpoint, as a page's script does, and shows what
// does not depend on the time.
func asksWho(ctx context.Context, s *stack) (answer, error) {
	page, err := s.visitor.send(ctx, http.MethodGet, "http://"+s.members+"/.logto/session", http.Header{}, nil)
	if err != nil || page.status != http.StatusOK {
		return page.answer(), err
	}
	var who struct {
		Sub  string `json:"sub"`
		Type string `json:"type"`
	}
	if err := json.Unmarshal([]byte(page.body), &who); err != nil {
		return answer{}, fmt.Errorf("reading the session: %w", err)
	}
	shown, err := json.Marshal(who)
	return answer{page.status, string(shown), ""}, err
}
