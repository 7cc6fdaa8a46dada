package logtoauth

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

const (
	userPrefix   = "http.auth.user."
	claimsPrefix = userPrefix + "claims."
	logtoPrefix  = "http.auth.logto."
)

// placeholder answers Caddy's replacer. Values are computed when asked for.
func (s *requestState) placeholder(key string) (any, bool) {
	if name, ok := strings.CutPrefix(key, userPrefix); ok {
		text, known := s.userPlaceholder(key, name)
		return legible.Printable(text), known
	}
	switch key {
	case logtoPrefix + "reason":
		if s.refusal != nil {
			return string(s.refusal.Reason), true
		}
		return "", true
	case logtoPrefix + "sign_in_url":
		return s.signInURL, true
	case logtoPrefix + "error":
		if s.refusal != nil {
			return s.refusal.Text, true
		}
		return "", true
	}
	return nil, false
}

// The values of {http.auth.user.source}.
const (
	sourceToken   = "token"
	sourceSession = "session"
)

func (s *requestState) source() string {
	switch {
	case s.info == nil:
		return ""
	case s.session != nil:
		return sourceSession
	default:
		return sourceToken
	}
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }

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
	"source":          func(s *requestState, _ *AuthInfo) string { return s.source() },
	"type":            func(s *requestState, _ *AuthInfo) string { return s.userType() },
	"info":            func(s *requestState, _ *AuthInfo) string { return s.infoJSON() },
	"session_expires_at": func(s *requestState, _ *AuthInfo) string {
		if s.session == nil {
			return ""
		}
		return rfc3339(s.handler.signIn.endsAt(s.session))
	},
	"expires_at": func(s *requestState, info *AuthInfo) string {
		if s.info == nil {
			return ""
		}
		return rfc3339(info.ExpiresAt)
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

// userPlaceholderText finds placeholders of users also where braces around
// them mean something else, as in JSON or in an expression.
var userPlaceholderText = regexp.MustCompile(`\{` + regexp.QuoteMeta(userPrefix) + `([^{}\s]*)\}`)

// unknownUserPlaceholders gives the names of the placeholders in texts that
// logto_auth does not answer, each once.
func unknownUserPlaceholders(texts []string) []string {
	unknown := make(map[string]bool)
	for _, text := range texts {
		for _, match := range userPlaceholderText.FindAllStringSubmatch(text, -1) {
			if !knowsUserPlaceholder(match[1]) {
				unknown[match[1]] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(unknown))
}

// similarUserPlaceholder says what may be meant by an unknown one.
func similarUserPlaceholder(name string) string {
	nearest := slices.MinFunc(slices.Sorted(maps.Keys(userValues)), func(a, b string) int {
		return editDistance(name, a) - editDistance(name, b)
	})
	if name != "" && editDistance(name, nearest) <= 2 {
		return "; did you mean {" + userPrefix + nearest + "}?"
	}
	if name == "" || strings.HasPrefix(name+".", "claims.") {
		return "; a claim is {" + claimsPrefix + "<path>}"
	}
	return "; if this is a claim, write {" + claimsPrefix + name + "}"
}
