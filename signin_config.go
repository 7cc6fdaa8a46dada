package logtoauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/fields"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
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

const (
	// minClientSecret is the length under which a secret is a mistake, and
	// under which sessions sealed with it could be guessed. Logto's have 32.
	minClientSecret = 24

	sessionKeySize  = 32
	maxSignInPath   = 100
	refreshTokenTTL = caddy.Duration(14 * 24 * time.Hour)
)

// prompts are what may be asked for. `none` is not: Logto would return an error
// wherever nobody is signed in.
var prompts = []string{"login", "consent", "select_account"}

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

// expandSecret is expand for a value that no error may show, not even in part.
// Of placeholders it names only those which cannot be the secret itself.
func (e *expander) expandSecret(setting, what string, value *string) {
	expanded, err := e.repl.ReplaceOrErr(*value, true, true)
	if err == nil {
		*value = expanded
		return
	}
	err = fmt.Errorf("%s holds a placeholder that is empty or unknown; {env.*} and {file.*} are known", what)
	if key, ok := onlyPlaceholder(*value); ok {
		err = fmt.Errorf("%s comes from {%s}, which is empty or not there", what, key)
	}
	e.errs = append(e.errs, settingError{Setting: setting, Err: err})
}

// onlyPlaceholder returns the name of the environment variable's or file's
// placeholder that is the whole text.
func onlyPlaceholder(text string) (string, bool) {
	key, ok := strings.CutPrefix(text, "{")
	key, closed := strings.CutSuffix(key, "}")
	known := strings.HasPrefix(key, "env.") || strings.HasPrefix(key, "file.")
	return key, ok && closed && known && !strings.ContainsAny(key, "{}")
}

// vetSignIn judges sign_in, and what is set beside it.
func (h *Handler) vetSignIn(f *findings) {
	s := h.SignIn
	if s == nil {
		return
	}
	f.vetSecret("sign_in", "the app id", s.ClientID, vetClientID)
	f.vetSecret("sign_in", "the app secret", s.ClientSecret, vetClientSecret)
	s.vetSessionKeys(f)
	s.vetEndpoints(f)
	s.vetRequest(f)
	h.vetBesideSignIn(f)
}

// vetSecret judges a value in which placeholders are expanded when the config
// is loaded, and which no message may show. The app id is one of them: it may
// have been written in the secret's place.
func (f *findings) vetSecret(setting, what, value string, vet func(string) error) {
	switch {
	case !strings.Contains(value, "{"):
		f.note(setting, 0, vet(value))
	case f.stage == loading:
		f.add(setting, "%s holds a brace; if it is meant to be a placeholder, write {env.NAME} or {file./path}", what)
	case strings.Contains(value, "{http."):
		f.add(setting, "%s holds a placeholder that is not known when the config is loaded; {env.*} and {file.*} are", what)
	}
}

func vetClientID(id string) error {
	switch {
	case id == "":
		return errors.New("the app id is empty" + emptyVariable)
	case vetText(id) != nil:
		return errors.New("the app id holds a control character, or a space at one end")
	}
	return nil
}

func vetClientSecret(secret string) error {
	switch {
	case secret == "":
		return errors.New("the app secret is empty" + emptyVariable)
	case vetText(secret) != nil:
		return errors.New("the app secret holds a control character, or a space at one end")
	case len(secret) < minClientSecret:
		return fmt.Errorf("the app secret has %d characters; it must have at least %d, and Logto's have 32; the app id comes first, then the secret", len(secret), minClientSecret)
	}
	return nil
}

func (s *SignIn) vetSessionKeys(f *findings) {
	const setting = "sign_in.session_key"
	for i, text := range s.SessionKeys {
		f.vetSecret(setting, "a key", text, func(text string) error {
			_, err := decodeSessionKey(text)
			return err
		})
		if slices.Contains(s.SessionKeys[:i], text) {
			f.add(setting, "a key is listed twice")
		}
	}
}

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

// vetEndpoints judges where sign-in happens and where it ends.
func (s *SignIn) vetEndpoints(f *findings) {
	if s.Path != "" {
		f.note("sign_in.path", 0, vetSignInPath(s.Path))
	}
	if s.BaseURL != "" {
		f.vetExpanded("sign_in.base_url", s.BaseURL, func(raw string) error {
			_, err := parseBaseURL(raw)
			return err
		})
	}
	if s.SignedOut != "" {
		f.note("sign_in.signed_out", 0, vetSignedOut(s.SignedOut, s.Path))
	}
	switch s.Unauthenticated {
	case "", unauthenticatedAuto, unauthenticated401:
	default:
		f.add("sign_in.unauthenticated", "%q is neither %s nor %s", s.Unauthenticated, unauthenticatedAuto, unauthenticated401)
	}
}

// vetSignInPath accepts a path that every server and browser reads alike, since
// it is compared with what the client sent.
func vetSignInPath(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return fmt.Errorf("%q does not begin with a slash; write one like %s", path, defaultSignInPath)
	case path == "/":
		return fmt.Errorf("the endpoints need a path of their own; write one like %s", defaultSignInPath)
	case len(path) > maxSignInPath:
		return fmt.Errorf("the path has %d octets; it may have %d", len(path), maxSignInPath)
	case strings.HasSuffix(path, "/"):
		return fmt.Errorf("%q ends with a slash; write %s", path, "/"+strings.Trim(path, "/"))
	case strings.Contains(path, "*"):
		return fmt.Errorf("%q holds a star; everything below the path belongs to sign-in anyway", path)
	case strings.ContainsFunc(path, func(r rune) bool { return r != '/' && !isUnreserved(r) }):
		return fmt.Errorf("%q holds a character other than letters, digits, - . _ ~ and /; escapes and placeholders are not expanded here", path)
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("%q holds the segment %q, which servers resolve in different ways; write one like %s", path, segment, defaultSignInPath)
		}
	}
	return nil
}

// isUnreserved reports whether a character never needs an escape (RFC 3986
// section 2.3).
func isUnreserved(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~", r)
}

// parseBaseURL returns the origin that a URL names, as browsers write it.
func parseBaseURL(raw string) (string, error) {
	u, err := keys.ParsePlainURL(raw)
	if err != nil {
		return "", err
	}
	u.Host = strings.ToLower(u.Host)
	switch {
	case u.Path != "" && u.Path != "/":
		return "", fmt.Errorf("%s has a path; write the origin only: %s", raw, u.Scheme+"://"+u.Host)
	case u.Scheme == "http" && !fields.IsLoopback(u.Hostname()):
		return "", fmt.Errorf("%s is plain http, over which browsers keep no session's cookie; write https", raw)
	}
	if port := u.Port(); port == "" || u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	if _, err := session.NewSite(u.Host, u.Scheme == "https"); err != nil {
		return "", fmt.Errorf("%s: %w", raw, err)
	}
	return u.Scheme + "://" + u.Host, nil
}

// vetSignedOut accepts a path of this site or an absolute URL.
func vetSignedOut(target, prefix string) error {
	if err := vetLiteral(target); err != nil {
		return err
	}
	if !strings.HasPrefix(target, "/") {
		u, err := keys.ParseHTTPURL(target)
		switch {
		case err != nil:
			return fmt.Errorf("neither a path that begins with a slash nor an absolute URL: %w", err)
		case u.User != nil:
			return errors.New("the URL holds user information; remove it")
		case strings.Contains(target, "#"):
			return fmt.Errorf("%s has a fragment, with which Logto finds no registered URI; remove it", target)
		}
		// Go's parser takes more for a host than browsers do, and this one ends
		// up in Content-Security-Policy, where a semicolon begins a new rule.
		if _, err := session.NewSite(u.Host, true); err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
		return nil
	}
	switch {
	case strings.ContainsFunc(target, unicode.IsControl), strings.Contains(target, `\`), strings.HasPrefix(target, "//"):
		return fmt.Errorf("%q is not a path of this site to every browser; write one like /bye", target)
	case strings.Contains(target, "#"):
		return fmt.Errorf("%s has a fragment, with which Logto finds no registered URI; remove it", target)
	}
	if prefix == "" {
		prefix = defaultSignInPath
	}
	if target != "/" && session.ReturnPath(target, prefix) != target {
		return fmt.Errorf("%q cannot be where a sign-out ends: it must not be below %s, and must be percent-encoded", target, prefix)
	}
	return nil
}

// languageTag is what a word of BCP 47 looks like.
var languageTag = regexp.MustCompile(`^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*$`)

// vetRequest judges what Logto is asked for, and how long a session lasts.
func (s *SignIn) vetRequest(f *findings) {
	vetScopes(f, "sign_in.scopes", s.Scopes)
	if s.Offline != nil && !*s.Offline && slices.Contains(s.Scopes, offlineAccess) {
		f.add("sign_in.scopes", "%s asks for what offline off leaves out; remove one of the two", offlineAccess)
	}
	if s.Prompt != "" && !slices.Contains(prompts, s.Prompt) {
		if s.Prompt == "none" {
			f.add("sign_in.prompt", "with none Logto shows no page, so nobody could sign in; known are %s", strings.Join(prompts, ", "))
		} else {
			f.add("sign_in.prompt", "%q is unknown; known are %s", s.Prompt, strings.Join(prompts, ", "))
		}
	}
	for _, locale := range s.UILocales {
		if !languageTag.MatchString(locale) {
			f.add("sign_in.ui_locales", "%q is not a language like en or de-AT", locale)
		}
	}
	for _, limit := range []struct {
		setting string
		value   caddy.Duration
	}{{"sign_in.lifetime", s.Lifetime}, {"sign_in.idle", s.Idle}} {
		if limit.value < 0 {
			f.add(limit.setting, "%s is negative", time.Duration(limit.value))
		}
	}
}

// vetBesideSignIn judges the settings of logto_auth that sign_in changes.
func (h *Handler) vetBesideSignIn(f *findings) {
	for i, source := range h.TokenSources {
		switch source.From {
		case sourceCookie:
			f.addAt("token_from", i, "a cookie with a token does not go together with sign_in: a sibling site could set it, and put a person into someone else's identity; remove the line")
		case sourceQuery:
			f.addAt("token_from", i, "a token in the query does not go together with sign_in: a link could carry one, and put a person into someone else's identity; remove the line")
		}
	}
	if h.OrganizationMode == organizationAny {
		f.add("organization", "with sign_in, any does not tell which organization to ask Logto for; write its ID, or a placeholder such as {http.request.host.labels.2}")
	}
	if len(h.Issuers) > 0 && !strings.Contains(h.Issuers[0], "{") && keys.CheckIssuer(h.Issuers[0]) == nil {
		if err := keys.CheckURL(h.Issuers[0], h.InsecureHTTP); err != nil {
			f.add("issuer", "sign_in sends people to the first issuer: %w", err)
		}
	}
	if !h.identityMode() {
		return
	}
	const needs = "with sign_in but neither audience nor organization there is no access token, only the person's identity: "
	for _, beyond := range []struct {
		setting string
		isSet   bool
		advice  string
	}{
		{"scopes", len(h.Scopes) > 0, "add audience <indicator...>, or ask for roles with claim roles <name...>"},
		{"any_scope", len(h.AnyScopes) > 0, "add audience <indicator...>, or ask for roles with claim roles <name...>"},
		{"organization", h.OrganizationMode != "", "remove the line"},
		{"sign_in.forward_token", h.SignIn.ForwardToken, "add audience <indicator...>, or remove the line"},
	} {
		if beyond.isSet {
			f.add(beyond.setting, "%s%s", needs, beyond.advice)
		}
	}
}
