package logtoauth

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/jsonobject"
)

// vetAudience demands that the site binds tokens to itself: by an audience,
// or by an organization, whose tokens have one of their own. With sign_in
// alone no access token is let in.
func (h *Handler) vetAudience(f *findings) {
	for _, audience := range h.Audiences {
		f.vetExpanded("audience", audience, vetIndicator)
	}
	bound := len(h.Audiences) > 0 || len(h.Organizations) > 0 || h.OrganizationMode == organizationAny || h.SignIn != nil
	if !bound && f.stage != sharing {
		f.add("audience", "without one, tokens for any API of the tenant would be let in; "+
			"add audience <indicator...>, or organization <id...>|any for organization permissions")
	}
}

// vetIndicator accepts what can stand in `aud`. A comma may be part of a URI,
// so only several indicators in one word are a mistake.
func vetIndicator(audience string) error {
	if err := vetText(audience); err != nil {
		return err
	}
	parts := strings.Split(audience, ",")
	for _, part := range parts[1:] {
		if part == "" || isAbsoluteURI(part) {
			return fmt.Errorf("%q holds a comma; separate audiences by spaces: %s", audience, withoutCommas(audience))
		}
	}
	return nil
}

// isAbsoluteURI reports whether s is a resource indicator by RFC 8707 section
// 2, which Logto demands of API resources: a URI with a scheme and without a
// fragment. To RFC 3986 `localhost:3000` and `api.example.com:443` are URIs,
// too; here they are hosts that lack their scheme.
func isAbsoluteURI(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || strings.Contains(s, "#") || strings.Contains(u.Scheme, ".") {
		return false
	}
	if u.Opaque != "" {
		return u.Opaque[0] < '0' || u.Opaque[0] > '9'
	}
	return u.Host != "" || u.Path != ""
}

// withoutCommas gives the words that were meant by a list with commas.
func withoutCommas(values ...string) string {
	return strings.Join(strings.FieldsFunc(strings.Join(values, " "), func(r rune) bool { return r == ',' || r == ' ' }), " ")
}

// vetOrganization judges the organizations, of which the IDs may hold
// placeholders of the request.
func vetOrganization(f *findings, ids []string, mode string, modes []string) {
	const setting = "organization"
	if mode != "" && !slices.Contains(modes, mode) {
		f.add(setting, "%q is not one of %s", mode, strings.Join(modes, ", "))
	}
	if mode != "" && len(ids) > 0 {
		f.add(setting, "organizations and organization_mode exclude each other; remove one")
	}
	for _, id := range ids {
		f.note(setting, 0, vetText(id))
		if strings.Count(id, "{") != strings.Count(id, "}") {
			f.add(setting, "%q holds half a placeholder", id)
		}
		f.note(setting, 0, vetOrganizationID(id))
	}
}

// vetOrganizationID judges the text of one ID around its placeholders, and
// their names.
func vetOrganizationID(id string) error {
	var wrong error
	text, err := caddy.NewEmptyReplacer().ReplaceFunc(id, func(key string, _ any) (any, error) {
		if wrong == nil {
			wrong = vetOrganizationPlaceholder(key)
		}
		return "", nil
	})
	switch {
	case err != nil:
		return err
	case wrong != nil:
		return wrong
	case strings.Contains(text, ","):
		return fmt.Errorf("%q holds a comma, which no ID of Logto does; separate organizations by spaces: %s", id, withoutCommas(id))
	}
	return nil
}

// vetOrganizationPlaceholder judges the name of a placeholder in an ID.
func vetOrganizationPlaceholder(key string) error {
	switch {
	case strings.HasPrefix(key, requestPrefix) && !knownToCaddy(key):
		return fmt.Errorf("the placeholder {%s} is unknown to Caddy%s", key, similarPlaceholder(key))
	case isServerName(key):
		return fmt.Errorf("{%s} is the host that the connection was opened for, and a request on it may ask for another one; write {http.request.host}", key)
	}
	return nil
}

// vetScopes judges each scope by RFC 6749 section 3.3, for a list that holds
// anything else is never met.
func vetScopes(f *findings, setting string, scopes []string) {
	for _, scope := range scopes {
		switch {
		case scope == "":
			f.add(setting, "a scope is empty")
		case strings.Contains(scope, " "):
			f.add(setting, "%q holds a space; write every scope as a word of its own", scope)
		case strings.ContainsFunc(scope, func(r rune) bool { return !isScopeChar(r) }):
			f.add(setting, "%q holds a character that no scope can hold (RFC 6749 section 3.3)", scope)
		default:
			f.note(setting, 0, vetLiteral(scope))
		}
	}
}

func isScopeChar(r rune) bool {
	return r == 0x21 || 0x23 <= r && r <= 0x5b || 0x5d <= r && r <= 0x7e
}

// vetClaims judges what is asked of claims.
func vetClaims(f *findings, claims []ClaimRequirement) {
	const setting = "claim"
	for i, claim := range claims {
		f.note(setting, i, vetClaimPath(claim.Path))
		if len(claim.Values) == 0 {
			f.addAt(setting, i, "%s has no values to compare with", claim.Path)
		}
		for _, value := range claim.Values {
			if value == "" {
				f.addAt(setting, i, "a value for %s is empty", claim.Path)
			}
			f.note(setting, i, vetLiteral(value))
		}
	}
}

// vetClaimPath accepts what jsonobject.ParsePath can take apart.
func vetClaimPath(path string) error {
	if strings.ContainsFunc(path, unicode.IsControl) {
		return fmt.Errorf("the path %q holds a control character", path)
	}
	if _, err := jsonobject.ParsePath(path); err != nil {
		return fmt.Errorf("the path %q: %w", path, err)
	}
	if rest, ok := strings.CutPrefix(path, "$."); ok {
		// A claim of that name can still be asked for, as `\$`.
		return fmt.Errorf("the path %q: claims have no $ in front, as JSONPath has; write %s", path, rest)
	}
	return vetLiteral(path)
}

// vetText accepts text that a claim or a file's name could be.
func vetText(text string) error {
	switch {
	case text == "":
		return errors.New("a value is empty")
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("%q holds a control character", text)
	case text != strings.TrimSpace(text):
		return fmt.Errorf("%q begins or ends with a space", text)
	}
	return nil
}

// vetLiteral refuses a text that was meant to be expanded, where nothing is:
// it names a placeholder of one of Caddy's kinds.
func vetLiteral(text string) error {
	for _, kind := range []string{"env.", "file.", "http.", "system.", "time.", "vars."} {
		if _, after, ok := strings.Cut(text, "{"+kind); ok && strings.Contains(after, "}") {
			return fmt.Errorf("placeholders are not expanded here; write the value itself instead of %s", text)
		}
	}
	return nil
}
