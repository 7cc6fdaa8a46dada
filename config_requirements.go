package logtoauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// checkAudience demands that the site binds tokens to itself: by an audience,
// or by an organization, whose tokens have one of their own.
func (h *Handler) checkAudience(f *findings) {
	for _, audience := range h.Audiences {
		f.checkExpanded("audience", audience, checkText)
	}
	bound := len(h.Audiences) > 0 || len(h.Organizations) > 0 || h.OrganizationMode == organizationAny
	if !bound && f.stage != sharing {
		f.add("audience", "without one, tokens for any API of the tenant would be let in; "+
			"add audience <indicator...>, or organization <id...>|any for organization permissions")
	}
}

// checkOrganization judges the organizations, of which the IDs may hold
// placeholders of the request.
func checkOrganization(f *findings, ids []string, mode string, modes []string) {
	const setting = "organization"
	if mode != "" && !slices.Contains(modes, mode) {
		f.add(setting, "%q is not one of %s", mode, strings.Join(modes, ", "))
	}
	if mode != "" && len(ids) > 0 {
		f.add(setting, "organizations and organization_mode exclude each other; remove one")
	}
	for _, id := range ids {
		f.check(setting, 0, checkText(id))
		if strings.Count(id, "{") != strings.Count(id, "}") {
			f.add(setting, "%q holds half a placeholder", id)
		}
	}
}

// checkScopes judges each scope by RFC 6749 section 3.3, for a list that holds
// anything else is never met.
func checkScopes(f *findings, setting string, scopes []string) {
	for _, scope := range scopes {
		switch {
		case scope == "":
			f.add(setting, "a scope is empty")
		case strings.Contains(scope, " "):
			f.add(setting, "%q holds a space; write every scope as a word of its own", scope)
		case strings.ContainsFunc(scope, func(r rune) bool { return !isScopeChar(r) }):
			f.add(setting, "%q holds a character that no scope can hold (RFC 6749 section 3.3)", scope)
		default:
			f.check(setting, 0, checkLiteral(scope))
		}
	}
}

func isScopeChar(r rune) bool {
	return r == 0x21 || 0x23 <= r && r <= 0x5b || 0x5d <= r && r <= 0x7e
}

// checkClaims judges what is asked of claims.
func checkClaims(f *findings, claims []ClaimRequirement) {
	const setting = "claim"
	for i, claim := range claims {
		f.check(setting, i, checkClaimPath(claim.Path))
		if len(claim.Values) == 0 {
			f.addAt(setting, i, "%s has no values to compare with", claim.Path)
		}
		for _, value := range claim.Values {
			if value == "" {
				f.addAt(setting, i, "a value for %s is empty", claim.Path)
			}
			f.check(setting, i, checkLiteral(value))
		}
	}
}

// checkClaimPath accepts what parseClaimPath can take apart.
func checkClaimPath(path string) error {
	if strings.ContainsFunc(path, unicode.IsControl) {
		return fmt.Errorf("the path %q holds a control character", path)
	}
	if _, err := parseClaimPath(path); err != nil {
		return fmt.Errorf("the path %q: %w", path, err)
	}
	return checkLiteral(path)
}

// checkText accepts text that a claim or a file's name could be.
func checkText(text string) error {
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

// checkLiteral refuses a text that was meant to be expanded, where nothing is:
// it names a placeholder of one of Caddy's kinds.
func checkLiteral(text string) error {
	for _, kind := range []string{"env.", "file.", "http.", "system.", "time.", "vars."} {
		if _, after, ok := strings.Cut(text, "{"+kind); ok && strings.Contains(after, "}") {
			return fmt.Errorf("placeholders are not expanded here; write the value itself instead of %s", text)
		}
	}
	return nil
}
