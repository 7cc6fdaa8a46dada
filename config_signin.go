package logtoauth

import (
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

const (
	// minClientSecret is the length under which a secret is a mistake, and
	// under which sessions sealed with it could be guessed. Logto's have 32.
	minClientSecret = 24

	maxSignInPath   = 100
	refreshTokenTTL = caddy.Duration(14 * 24 * time.Hour)
)

// prompts are what may be asked for. `none` is not: Logto would return an error
// wherever nobody is signed in.
var prompts = []string{"login", "consent", "select_account"}

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
