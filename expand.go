package logtoauth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// expand replaces the placeholders that are known at load.
func (h *Handler) expand(repl *caddy.Replacer) error {
	e := &expander{repl: repl}
	e.expand("endpoint", &h.Endpoint)
	e.expand("jwks_uri", &h.JWKSURI)
	e.expand("jwks_file", &h.JWKSFile)
	e.expand("trusted_ca_file", &h.TrustedCAFile)
	e.expandAll("issuer", h.Issuers)
	e.expandAll("audience", h.Audiences)
	organizations, err := parseOrganizationIDs(repl, h.Organizations)
	if err != nil {
		e.errs = append(e.errs, fmt.Errorf("organization: %w", err))
	}
	h.organizations = organizations
	h.SignIn.expand(e)
	h.Revocation.expand(e)
	return errors.Join(e.errs...)
}

// expander replaces the placeholders that are known at load in settings.
type expander struct {
	repl *caddy.Replacer
	errs []error
}

func (e *expander) expand(setting string, value *string) {
	expanded, err := e.repl.ReplaceOrErr(*value, true, true)
	if err != nil {
		e.errs = append(e.errs, fmt.Errorf("%s: %w", setting, err))
		return
	}
	*value = expanded
}

func (e *expander) expandAll(setting string, values []string) {
	for i := range values {
		e.expand(setting, &values[i])
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
