package devtenant

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
)

// oidcError is a refusal as Logto words it. The zero status is 400.
type oidcError struct {
	status      int
	code        string
	description string
	scope       string // what was missing, of `invalid_scope` and `insufficient_scope`
}

var (
	errInvalidGrant = &oidcError{code: "invalid_grant", description: "grant request is invalid"}
	errClientAuth   = &oidcError{status: http.StatusUnauthorized, code: "invalid_client", description: "client authentication failed"}
	errTarget       = &oidcError{code: "invalid_target", description: "resource indicator is missing, or unknown"}
	errRedirectURI  = &oidcError{code: "invalid_redirect_uri", description: "redirect_uri did not match any of the client's registered redirect_uris"}
	errAccessDenied = &oidcError{code: "access_denied", description: "Access denied."}
	errNotMember    = &oidcError{status: http.StatusForbidden, code: "access_denied", description: "user is not a member of the organization"}
)

func invalidRequest(description string) *oidcError {
	return &oidcError{code: "invalid_request", description: description}
}

// unknownClient answers 400, a wrong secret 401: whoever tells them from other
// failures has to look at the code.
func unknownClient(id string) *oidcError {
	return &oidcError{code: "invalid_client", description: "invalid client " + id}
}

// parameters are what a callback carries of the error.
func (e *oidcError) parameters() url.Values {
	values := url.Values{"error": {e.code}}
	if e.description != "" {
		values.Set("error_description", e.description)
	}
	if e.scope != "" {
		values.Set("scope", e.scope)
	}
	return values
}

// answer is the error as JSON: OAuth's members, and Logto's own `code` and
// `message`. More are members that only some endpoints add.
func (e *oidcError) answer(more url.Values) Answer {
	body := map[string]string{"code": "oidc." + e.code, "message": e.message()}
	for name, values := range e.parameters() {
		body[name] = values[0]
	}
	for name, values := range more {
		body[name] = values[0]
	}
	refused := jsonAnswer(cmp.Or(e.status, http.StatusBadRequest), body)
	refused.Header.Set("Cache-Control", "no-store")
	return refused
}

// message is the text for people.
func (e *oidcError) message() string {
	texts := map[string]string{
		"access_denied":             "Access denied.",
		"insufficient_scope":        "Token missing scope `" + e.scope + "`.",
		"invalid_grant":             "Grant request is invalid.",
		"invalid_redirect_uri":      "`redirect_uri` did not match any of the client's registered `redirect_uris`.",
		"invalid_request":           "Request is invalid.",
		"invalid_scope":             "Invalid scope: " + e.description + ".",
		"invalid_target":            "Invalid resource indicator.",
		"unsupported_response_mode": "Unsupported `response_mode` requested.",
		"unsupported_response_type": "Unsupported `response_type` requested.",
	}
	return cmp.Or(texts[e.code], "An OIDC error occurred: oidc."+e.code+".")
}

// repeated refuses parameters that stand twice, but for `resource`.
func repeated(given url.Values) *oidcError {
	for name, values := range given {
		if len(values) > 1 && name != "resource" {
			return invalidRequest("'" + name + "' parameter must not be provided twice")
		}
	}
	return nil
}

// required refuses a request without this parameter.
func required(given url.Values, names ...string) *oidcError {
	var missing []string
	for _, name := range names {
		if !given.Has(name) {
			missing = append(missing, "'"+name+"'")
		}
	}
	switch len(missing) {
	case 0:
		return nil
	case 1:
		return invalidRequest("missing required parameter " + missing[0])
	default:
		return invalidRequest("missing required parameters " + strings.Join(missing, " and "))
	}
}
