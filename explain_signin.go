package logtoauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-logto/caddy-logto-auth/internal/httproutes"
)

// What becomes of a request that shows no token and no session.
const (
	visitRedirected = "redirected"
	visitRefused    = "refused"
	visitPasses     = "passes"
	visitInsecure   = "insecure"
)

// visitorAnswer is what requests without a token get where people can sign in.
type visitorAnswer struct {
	// Page is what becomes of a page that somebody opens: "redirected",
	// "refused", "passes", or "insecure" where nobody can sign in over plain
	// http. Other is what becomes of all else: scripts, images, forms.
	Page  string `json:"page"`
	Other string `json:"other"`

	// Status, Reason and Error are those of a refusal.
	Status int    `json:"status,omitempty"`
	Reason Reason `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`

	// Why tells why a page is not redirected.
	Why string `json:"why,omitempty"`

	// Where people are sent to, and what is asked for there.
	Issuer      string   `json:"issuer,omitempty"`
	ClientID    string   `json:"client_id,omitempty"`
	Scopes      []string `json:"scopes,omitempty"`
	Resources   []string `json:"resources,omitempty"`
	RedirectURI string   `json:"redirect_uri,omitempty"`
}

// visited decides about a request that somebody makes who is not signed in. It
// calls what decides about requests.
func (h *Handler) visited(r *http.Request, knowsHost bool) (*visitorAnswer, *requestState) {
	if h.signIn == nil {
		return nil, nil
	}
	asPage(r)
	state := &requestState{handler: h}
	state.takeCookies(r, h.now())
	_, refusal := h.credential(state, r)
	if h.Optional && refusal.anonymous() {
		state.anonymous = refusal
		return &visitorAnswer{Page: visitPasses, Other: visitPasses, Why: "optional"}, state
	}
	return h.signIn.visit(r, state, refusal, nil, knowsHost), state
}

// asPage gives a request the headers of somebody who opens a page.
func asPage(r *http.Request) {
	r.Header = http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
}

// visit tells how a refusal for want of a session is answered.
func (s *signIn) visit(r *http.Request, state *requestState, refusal *Refusal, needed []string, knowsHost bool) *visitorAnswer {
	if s.handler.ReportOnly {
		return &visitorAnswer{Page: visitPasses, Other: visitPasses, Why: "report_only"}
	}
	v := &visitorAnswer{Page: visitRefused, Other: visitRefused, Status: refusal.Status, Reason: refusal.Reason, Error: refusal.Text}
	begins, ok := s.beginsFor(state, r, refusal, needed)
	if !ok {
		v.Why = s.staysFor(r)
		return v
	}
	at, err := s.origin(r)
	if err != nil {
		v.Page, v.Why = visitInsecure, insecureHint
		return v
	}
	wanted := s.wanted()
	v.Page = visitRedirected
	v.Issuer, v.ClientID = s.app.issuer, s.app.clientID
	v.Scopes, v.Resources = mergeScopes(wanted.scopes, begins.needed), wanted.resources
	if knowsHost || s.base != nil {
		v.RedirectURI = s.redirectURI(at)
	}
	return v
}

const insecureHint = "nobody can sign in over plain http; if a proxy in front speaks https, set trusted_proxies, and ask with https"

// staysFor tells why nobody is sent to sign in.
func (s *signIn) staysFor(r *http.Request) string {
	if s.Unauthenticated == unauthenticated401 {
		return "unauthenticated 401"
	}
	return r.Method + " opens no page"
}

// write prints it for people.
func (v *visitorAnswer) write(w *strings.Builder, p palette) {
	if v == nil {
		return
	}
	refused := fmt.Sprintf("%d %s, %q", v.Status, v.Reason, v.Error)
	said := func(what, answer, why string) {
		text := refused
		if answer == visitPasses {
			text = "passes without a token"
		}
		if why != "" {
			text += " (" + why + ")"
		}
		fmt.Fprintf(w, "     %s: %s\n", what, text)
	}
	const page, others = "a page that nobody is signed in for", "all else without a token"
	switch v.Page {
	case visitRedirected:
		asks := "scopes " + strings.Join(v.Scopes, " ")
		if len(v.Resources) > 0 {
			asks += ", resources " + strings.Join(v.Resources, " ")
		}
		fmt.Fprintf(w, "     %s: %s (%s)\n", page, p.good("302, sign in at "+v.Issuer), asks)
		if v.RedirectURI != "" {
			fmt.Fprintf(w, "       and come back to %s\n", v.RedirectURI)
		}
		said(others, v.Other, "")
	case visitInsecure:
		fmt.Fprintf(w, "     %s: %s, %s\n", page, p.bad("400"), v.Why)
		said(others, v.Other, "")
	default:
		said(page, v.Page, v.Why)
	}
}

// below explains a request for one of the endpoints, which no token decides. It
// returns nil if it is for none of them.
func (h *Handler) below(r *http.Request) *explanation {
	if h.ownPath == "" {
		return nil
	}
	name, below := belowPath(r, h.ownPath)
	if !below {
		return nil
	}
	told := &explanation{Directive: authDirective, Outcome: verdictEndpoint, Endpoint: r.Method + " " + h.ownPath + "/" + name}
	found, known := h.endpoint(name)
	if other := h.companion(r, name); other != nil {
		found, known = other.settings.endpoint(name)
	}
	var err error
	if found.personal && h.signIn != nil {
		_, err = h.signIn.origin(r)
	}
	switch {
	case !known:
		told.Status, told.Hint = http.StatusNotFound, "there is no endpoint of this name"
	case !slices.Contains(found.methods, r.Method):
		told.Status, told.Hint = http.StatusMethodNotAllowed, "the endpoint takes "+strings.Join(found.methods, " and ")
	case err != nil:
		told.Status, told.Hint = http.StatusBadRequest, insecureHint
	default:
		told.Hint = endpointHints[name]
	}
	return told
}

// endpointHints tell what the endpoints do.
var endpointHints = map[string]string{
	"sign-in":    "it starts a sign-in",
	"callback":   "it ends a sign-in; Logto sends browsers here",
	"session":    "it tells a page who is signed in, or 401",
	"sign-out":   "it signs a person out who asks for it from this site, and shows a button to others",
	"signed-out": "it is where a sign-out ends",

	"back-channel-logout": "Logto tells it of sign-outs",
	webhookName:           "it takes webhooks of Logto that are signed with webhook_secret",
}

// askEndpoint lets a handler of ours answer if the request is for one of the
// endpoints of its sign_in.
func (e *walker) askEndpoint(handler *Handler, at position) (position, bool) {
	if e.original == nil {
		return at, false
	}
	told := handler.below(e.request())
	if told == nil {
		return at, false
	}
	for _, before := range at.before {
		told.Depends = append(told.Depends, "whether "+before+" answers first")
	}
	e.tell(told, at)
	at.ended = true
	return at, true
}

// answersFirst names what may answer a request for an endpoint in the matchers
// of a route, before anything in it runs: `try_files … =404` fails where no file
// is there, and below the path of a sign_in none is.
func answersFirst(sets httproutes.MatcherSets) string {
	for _, set := range sets {
		var file struct {
			TryFiles []string `json:"try_files"`
		}
		if json.Unmarshal(set["file"], &file) != nil || len(file.TryFiles) == 0 {
			continue
		}
		if last := file.TryFiles[len(file.TryFiles)-1]; strings.HasPrefix(last, "=") {
			return "try_files … " + last
		}
	}
	return ""
}

// answererName names a handler that answers, as a Caddyfile has it.
func answererName(kind string, settings map[string]json.RawMessage) string {
	if kind != "static_response" {
		return kind
	}
	var headers http.Header
	if json.Unmarshal(settings["headers"], &headers) == nil && headers.Get("Location") != "" {
		return "redir"
	}
	return "respond"
}

// placed names a directive with the matchers around it.
func (p position) placed(name string) string {
	// The first place is the site.
	if len(p.where) > 1 {
		return name + " (" + strings.Join(p.where[1:], ", ") + ")"
	}
	return name
}

// visited tells what a logto_require does with a request that a logto_auth with
// sign_in lets pass without a token.
func (q *Require) visited(r *http.Request, before *examination, knowsHost bool) *visitorAnswer {
	if before == nil || before.visitor == nil || before.visitor.anonymous == nil {
		return nil
	}
	asPage(r)
	state := before.visitor
	return state.handler.signIn.visit(r, state, q.decide(state, r), q.requirements.challengeScopes, knowsHost)
}
