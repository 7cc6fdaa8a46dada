package logtoauth

import (
	"slices"
	"strings"

	"go.uber.org/zap"
)

// warning is a setting that may be meant but often is not.
type warning struct {
	setting string
	text    string
}

// warn tells the operator of such settings whenever the config is loaded or
// validated.
func (h *Handler) warn(logger *zap.Logger) {
	for _, w := range h.warnings() {
		logger.Warn(w.text, zap.String("setting", w.setting))
	}
}

// warnings lists what can be seen in the settings of one handler. Defaults are
// applied and placeholders expanded.
func (h *Handler) warnings() []warning {
	var found []warning
	if slices.Contains(h.TokenTypes, anyTokenType) {
		found = append(found, warning{"token_type", "any type of token is let in, such as the tenant's ID tokens, which every client of a user holds"})
	}
	if h.OrganizationMode == organizationIgnore {
		found = append(found, warning{"organization", "the organization is not checked: tokens of every organization are let in, and so are users' tokens with the scopes of all their organizations"})
	}
	if h.ReportOnly {
		found = append(found, warning{"report_only", "nothing is protected: every request passes, and refusals are only logged and counted"})
	}
	for i, audience := range h.Audiences {
		if slices.ContainsFunc(h.Audiences[:i], func(earlier string) bool {
			return earlier != audience && strings.TrimSuffix(earlier, "/") == strings.TrimSuffix(audience, "/")
		}) {
			found = append(found, warning{"audience", "two audiences differ only by a trailing slash; keep the one that is the API's indicator in Logto: " + audience})
		}
	}
	for _, source := range h.TokenSources {
		if source.From == sourceQuery {
			found = append(found, warning{"token_from", "tokens in the query end up in access logs, in histories and in Referer headers; filter the parameter " + source.Name + " out of the log"})
		}
	}
	return found
}
