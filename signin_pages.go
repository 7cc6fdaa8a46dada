package logtoauth

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
	"strings"
)

// page is what a person sees at one of sign_in's endpoints. It never holds
// anything from the request but where to go on, which is escaped.
type page struct {
	// status is the HTTP status.
	status int

	// reason is why the request was refused; empty where nothing was refused.
	reason Reason

	// title is the heading, and the message for error routes.
	title string

	// text is the paragraphs: the cause in plain words, then what to do.
	text []string

	// operator is what whoever runs the site should look at. What is between
	// backquotes is shown as code.
	operator string

	// action is what the page offers.
	action pageAction

	// retryAfter is how many seconds to wait before the next try, with 503.
	retryAfter int
}

// pageAction is what a page offers: nothing, a link or a button.
type pageAction uint8

const (
	actionNone    pageAction = iota
	actionSignIn             // a link to sign in again
	actionRetry              // the same link, for who has to change or wait for something first
	actionSignOut            // a form that POSTs, so that a foreign link signs nobody out
)

// message is the page in one line, for the sites that show error pages of
// their own (`errors handle_errors`).
func (p *page) message() string { return p.title }

// pages serves the pages of one sign_in.
type pages struct {
	prefix string
	policy string // Content-Security-Policy
}

var (
	//go:embed pages/page.html
	pageSource string

	//go:embed pages/style.css
	styleSource string

	pageTemplate = template.Must(template.New("page").Parse(pageSource))

	// A browser hashes the style as it has parsed it, with bare line feeds, and
	// a checkout on Windows may have others.
	pageStyle = strings.ReplaceAll(styleSource, "\r\n", "\n")

	pageStyleHash = hashSource(pageStyle)
)

// hashSource returns the CSP source that allows a text and no other.
func hashSource(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// newPages returns the pages of the sign_in whose endpoints are below prefix,
// which is as a browser sees it. Browsers apply form-action to every redirect
// that a form leads to, so it names where sign-out goes: the origin of the
// tenant's issuer and that of signed_out. Each may be empty.
func newPages(prefix, issuerOrigin, signedOutOrigin string) *pages {
	sources := []string{"'self'"}
	for _, origin := range []string{issuerOrigin, signedOutOrigin} {
		if isPolicySource(origin) && origin != sources[len(sources)-1] {
			sources = append(sources, origin)
		}
	}
	return &pages{
		prefix: prefix,
		policy: "default-src 'none'; style-src " + pageStyleHash +
			"; base-uri 'none'; frame-ancestors 'none'; form-action " + strings.Join(sources, " "),
	}
}

// isPolicySource reports whether an origin can be named in a policy. One that
// holds `;` or a space would end its directive, and `*` would allow others.
// What cannot be named stays forbidden.
func isPolicySource(origin string) bool {
	return origin != "" && !strings.ContainsFunc(origin, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`;,*'"<>\`, c)
	})
}

// pageView is what the template reads.
type pageView struct {
	Title, Tone, Link, Label, SignOut string
	Reason                            Reason
	Text                              []string
	Operator                          []pageSpan
	Style                             template.CSS
}

// pageSpan is a part of a paragraph: words, or the name of a setting.
type pageSpan struct {
	Text string
	Code bool
}

func (p *pages) view(which *page) pageView {
	view := pageView{
		Title:  which.title,
		Text:   which.text,
		Reason: which.reason,
		Style:  template.CSS(pageStyle), //nolint:gosec // our own file
		Tone:   "done",
	}
	if which.status >= http.StatusBadRequest {
		view.Tone = "alert"
	}
	if which.operator != "" {
		for i, part := range strings.Split(which.operator, "`") {
			view.Operator = append(view.Operator, pageSpan{Text: part, Code: i%2 == 1})
		}
	}
	switch which.action {
	case actionNone:
	case actionSignIn, actionRetry:
		view.Link, view.Label = p.prefix+"/sign-in", "Sign in again"
		if which.action == actionRetry {
			view.Label = "Try again"
		}
	case actionSignOut:
		view.SignOut, view.Tone = p.prefix+"/sign-out", "ask"
	}
	return view
}

// serve answers with a page. What only some pages need (Allow, Set-Cookie) is
// in the header already.
func (p *pages) serve(w http.ResponseWriter, r *http.Request, which *page) error {
	var body bytes.Buffer
	if err := pageTemplate.Execute(&body, p.view(which)); err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Security-Policy", p.policy)
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	if which.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(which.retryAfter))
	}
	if which.status >= http.StatusBadRequest && bodyHeldBack(r) {
		header.Set("Connection", "close")
	}
	w.WriteHeader(which.status)
	if r.Method == http.MethodHead {
		return nil
	}
	_, err := w.Write(body.Bytes())
	return err
}
