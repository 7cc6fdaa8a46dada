package logtoauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// SignIn lets people sign in with a browser. Programs go on to send tokens.
type SignIn struct {
	// The ID of the application in Logto, of the type Traditional web.
	// Placeholders (`{env.*}`, `{file.*}`) are expanded when the config is
	// loaded.
	ClientID string `json:"client_id"`

	// The application's secret, at least 24 characters. Without
	// `session_keys` the sessions are sealed with it, too: who knows it can
	// sign in as anyone. Write it as a placeholder, so that it is not part of
	// the config that Caddy stores and the admin API shows. Placeholders
	// (`{env.*}`, `{file.*}`) are expanded when the config is loaded.
	ClientSecret string `json:"client_secret"`

	// The path below which the endpoints `sign-in`, `callback`, `session`,
	// `sign-out` and `signed-out` are. It has letters, digits, `-`, `.`, `_`,
	// `~` and `/` only, at most 100. All `logto_auth` of one site must have
	// the same. Default: `/.logto`. Placeholders are not expanded.
	Path string `json:"path,omitempty"`

	// The scopes to ask Logto for (RFC 6749 section 3.3), besides `openid`,
	// `offline_access` and those that the site's own rules ask for. Default:
	// `profile`. Placeholders are not expanded.
	Scopes []string `json:"scopes,omitempty"`

	// If true, sign-in asks for `offline_access` and `prompt=consent`, so
	// that a session goes on when Logto's own has ended. If false, signing
	// out anywhere ends the session at its next refresh. Default: true.
	Offline *bool `json:"offline,omitempty"`

	// How long a session may last. Logto's refresh token ends after 14 days,
	// unless it is rotated before. Default: `7d`.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`

	// How long nothing may be requested in a session before it ends. Default:
	// `24h`.
	Idle caddy.Duration `json:"idle,omitempty"`

	// What Logto shall ask the person for (OpenID Connect Core section
	// 3.1.2.1): `login`, `consent` or `select_account`. `consent` is added if
	// `offline` is true. Default: nothing else. Placeholders are not expanded.
	Prompt string `json:"prompt,omitempty"`

	// The languages of Logto's pages, the best one first, as BCP 47 has them,
	// such as `de-AT`. Default: Logto's choice. Placeholders are not expanded.
	UILocales []string `json:"ui_locales,omitempty"`

	// How to answer a navigation that nobody is signed in for: `auto` sends
	// the browser to Logto, `401` never does. Other requests get 401 either
	// way. Default: `auto`.
	Unauthenticated string `json:"unauthenticated,omitempty"`

	// If true, later handlers get the session's access token as
	// `Authorization: Bearer …`. It needs `audiences` or `organizations`.
	ForwardToken bool `json:"forward_token,omitempty"`

	// The site's one origin, as `https://host[:port]`, or with http on
	// loopback. A sign-in that starts on another host goes there first.
	// Default: the origin of each request. Placeholders (`{env.*}`,
	// `{file.*}`) are expanded when the config is loaded.
	BaseURL string `json:"base_url,omitempty"`

	// Where a sign-out ends: a path of this site, or an absolute URL without
	// user information and fragment. It must be among the application's post
	// sign-out redirect URIs in Logto. Default: a plain page at
	// `<path>/signed-out`. Placeholders are not expanded.
	SignedOut string `json:"signed_out,omitempty"`

	// The keys that seal sessions in place of the application's secret, each
	// 32 octets as base64. The first one seals, all of them open, so a key is
	// replaced without ending a session. Default: the secret. Placeholders
	// (`{env.*}`, `{file.*}`) are expanded when the config is loaded.
	SessionKeys []string `json:"session_keys,omitempty"`
}

// What stands for a setting of sign_in that is left out.
const (
	defaultSignInPath     = "/.logto"
	defaultSignInScope    = "profile"
	defaultSignInLifetime = caddy.Duration(7 * 24 * time.Hour)
	defaultSignInIdle     = caddy.Duration(24 * time.Hour)
)

// The keywords of sign_in.
const (
	unauthenticatedAuto = "auto"
	unauthenticated401  = "401"
)

// identityMode reports whether people who sign in are known by their ID token
// alone: no audience and no organization is asked for, of which there could be
// an access token.
func (h *Handler) identityMode() bool {
	return h.SignIn != nil && len(h.Audiences) == 0 && len(h.Organizations) == 0 && h.OrganizationMode != organizationAny
}

// signInIssuer is the issuer that people are sent to: the first accepted one.
// Placeholders are expanded.
func (h *Handler) signInIssuer() string {
	return keys.Config{Endpoint: keys.NormalizeEndpoint(h.Endpoint), Issuers: h.Issuers}.AcceptedIssuers()[0]
}

// keys returns the secrets that seal sessions; the first one seals.
func (s *SignIn) keys() ([][]byte, error) {
	if len(s.SessionKeys) == 0 {
		return [][]byte{[]byte(s.ClientSecret)}, nil
	}
	decoded := make([][]byte, 0, len(s.SessionKeys))
	for _, text := range s.SessionKeys {
		key, err := decodeSessionKey(text)
		if err != nil {
			return nil, err
		}
		decoded = append(decoded, key)
	}
	return decoded, nil
}

// applyDefaults fills in what is left out.
func (s *SignIn) applyDefaults() {
	setDefault(&s.Path, defaultSignInPath)
	setDefault(&s.Lifetime, defaultSignInLifetime)
	setDefault(&s.Idle, defaultSignInIdle)
	setDefault(&s.Unauthenticated, unauthenticatedAuto)
	if len(s.Scopes) == 0 {
		s.Scopes = []string{defaultSignInScope}
	}
	if s.Offline == nil {
		s.Offline = new(true)
	}
}

// expand replaces the placeholders that are known at load.
func (s *SignIn) expand(e *expander) {
	if s == nil {
		return
	}
	e.expandSecret("sign_in", "the app id", &s.ClientID)
	e.expandSecret("sign_in", "the app secret", &s.ClientSecret)
	for i := range s.SessionKeys {
		e.expandSecret("sign_in.session_key", "a key", &s.SessionKeys[i])
	}
	e.expand("sign_in.base_url", &s.BaseURL)
	if origin, err := parseBaseURL(s.BaseURL); err == nil {
		s.BaseURL = origin
	}
}

const sessionKeySize = 32

// decodeSessionKey decodes base64 of either alphabet, with padding or without.
func decodeSessionKey(text string) ([]byte, error) {
	if text == "" {
		return nil, errors.New("a key is empty" + emptyVariable)
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		// DecodeString skips line ends.
		if key, err := encoding.DecodeString(text); err == nil && !strings.ContainsAny(text, "\r\n") {
			if len(key) != sessionKeySize {
				return nil, fmt.Errorf("a key has %d octets; it must have %d, as openssl rand -base64 %[2]d makes them", len(key), sessionKeySize)
			}
			return key, nil
		}
	}
	return nil, fmt.Errorf("a key is not base64; openssl rand -base64 %d makes one", sessionKeySize)
}
