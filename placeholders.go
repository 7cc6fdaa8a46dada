package logtoauth

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// stateVar is the request variable that holds what was decided about a
// request. A variable needs no copy of the request, as a context value would,
// and error routes see it too.
const stateVar = "logto_auth"

const (
	userPrefix   = "http.auth.user."
	claimsPrefix = userPrefix + "claims."
	logtoPrefix  = "http.auth.logto."
)

// requestState is what the handlers of this package know about one request.
// The handler that ran last decides it.
type requestState struct {
	// handler is the logto_auth that ran last.
	handler *Handler

	// info is what the admitted token says; nil unless one was admitted.
	info *AuthInfo

	// organizationID is the organization that handler checked.
	organizationID string

	// refusal is why the request was refused, or would have been.
	refusal *Refusal

	// anonymous is what a request without a token lacked that was let pass.
	anonymous *Refusal

	// forwarded are the headers that handler set from claims.
	forwarded headerNames

	// preflight says that handler let the request pass as a CORS preflight.
	preflight bool

	requestHistory
}

// requestHistory is what no later logto_auth undoes.
type requestHistory struct {
	// concluding says that a handler further out calls conclude.
	concluding bool

	// private says that shared caches may not store the answer.
	private bool

	// reported is the first refusal that a report_only let pass.
	reported *Refusal

	// unfinished is there if error routes have something to do yet.
	unfinished *unfinished
}

// unfinished is what is left to do in error routes.
type unfinished struct {
	// original is the original request without the token that was in its
	// query; nil if there was none.
	original *http.Request

	// trailers are those that may hold a token.
	trailers headerNames

	// uncounted says that outcome and refusal are not counted yet: error
	// routes may still refuse the request.
	uncounted bool
	outcome   string
	refusal   *Refusal
}

// later returns what is left to do in error routes. Few requests have any, so
// it is no part of their state.
func (s *requestState) later() *unfinished {
	if s.unfinished == nil {
		s.unfinished = new(unfinished)
	}
	return s.unfinished
}

// String shows nothing: whoever prints the variable must not get claims.
func (*requestState) String() string { return stateVar }

// stateOf returns the state of a request. The first call makes its
// placeholders known, once: Caddy asks the provider that was registered first,
// so two of them would tell of two users.
func stateOf(r *http.Request) *requestState {
	if state, ok := knownState(r); ok {
		return state
	}
	state := new(requestState)
	caddyhttp.SetVar(r.Context(), stateVar, state)
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(state.placeholder)
	}
	return state
}

// knownState returns the state of a request that a handler has seen.
func knownState(r *http.Request) (*requestState, bool) {
	state, ok := caddyhttp.GetVar(r.Context(), stateVar).(*requestState)
	return state, ok
}

// begin clears what an earlier logto_auth left, headers included, so that
// nothing of it shows when h refuses or lets an anonymous request pass.
func (s *requestState) begin(h *Handler, r *http.Request) {
	s.forwarded.deleteFrom(r.Header)
	*s = requestState{handler: h, requestHistory: s.requestHistory}
}

// placeholder answers Caddy's replacer. Values are computed when asked for.
func (s *requestState) placeholder(key string) (any, bool) {
	if name, ok := strings.CutPrefix(key, userPrefix); ok {
		text, known := s.userPlaceholder(key, name)
		return printable(text), known
	}
	switch key {
	case logtoPrefix + "reason":
		if s.refusal != nil {
			return string(s.refusal.Reason), true
		}
		return "", true
	case logtoPrefix + "error":
		if s.refusal != nil {
			return s.refusal.Text, true
		}
		return "", true
	}
	return nil, false
}

func (s *requestState) userPlaceholder(key, name string) (text string, known bool) {
	if path, ok := strings.CutPrefix(key, claimsPrefix); ok {
		if s.info == nil {
			return "", true
		}
		value, _ := s.info.Claim(path)
		return claimText(value), true
	}
	value, known := userValues[name]
	if !known {
		return "", false
	}
	info := s.info
	if info == nil {
		info = new(AuthInfo)
	}
	return value(s, info), true
}

// userValues computes what placeholders of the user show, by their names after
// userPrefix. Without a user info is empty.
var userValues = map[string]func(s *requestState, info *AuthInfo) string{
	"id":              func(_ *requestState, info *AuthInfo) string { return info.Subject },
	"sub":             func(_ *requestState, info *AuthInfo) string { return info.Subject },
	"client_id":       func(_ *requestState, info *AuthInfo) string { return info.ClientID },
	"organization_id": func(s *requestState, _ *AuthInfo) string { return s.organizationID },
	"issuer":          func(_ *requestState, info *AuthInfo) string { return info.Issuer },
	"token_id":        func(_ *requestState, info *AuthInfo) string { return info.TokenID },
	"scopes":          func(_ *requestState, info *AuthInfo) string { return strings.Join(info.Scopes, " ") },
	"audience":        func(_ *requestState, info *AuthInfo) string { return strings.Join(info.Audience, " ") },
	"actor":           func(_ *requestState, info *AuthInfo) string { return info.Actor },
	"type":            func(s *requestState, _ *AuthInfo) string { return s.userType() },
	"info":            func(s *requestState, _ *AuthInfo) string { return s.infoJSON() },
	"expires_at": func(s *requestState, info *AuthInfo) string {
		if s.info == nil {
			return ""
		}
		return info.ExpiresAt.UTC().Format(time.RFC3339)
	},
}

// knowsUserPlaceholder reports whether a placeholder of the user, by its name
// after userPrefix, has a value in some request.
func knowsUserPlaceholder(name string) bool {
	_, known := new(requestState).userPlaceholder(userPrefix+name, name)
	return known
}

func (s *requestState) userType() string {
	switch {
	case s.info == nil:
		return "anonymous"
	case s.info.IsApp():
		return "app"
	default:
		return "user"
	}
}

// infoJSON renders `{http.auth.user.info}`, in the names of Logto's own
// guides for API servers.
func (s *requestState) infoJSON() string {
	if s.info == nil {
		return ""
	}
	summary := struct {
		Sub            string   `json:"sub"`
		ClientID       string   `json:"clientId"`
		OrganizationID *string  `json:"organizationId"`
		Scopes         []string `json:"scopes"`
		Audience       []string `json:"audience"`
	}{
		Sub:      s.info.Subject,
		ClientID: s.info.ClientID,
		Scopes:   append([]string{}, s.info.Scopes...),
		Audience: append([]string{}, s.info.Audience...),
	}
	if s.organizationID != "" {
		summary.OrganizationID = &s.organizationID
	}
	text, err := json.Marshal(summary)
	if err != nil {
		return ""
	}
	return string(text)
}
