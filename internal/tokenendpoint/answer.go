package tokenendpoint

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/caddy-logto/caddy-logto-auth/internal/jsonobject"
)

// Tokens is what the token endpoint gave. Nothing of it is verified.
//
// `expires_in` and `scope` are not read. What counts of a token is what its
// signed claims say, and opaque tokens are not used.
type Tokens struct {
	// AccessToken is never empty. It is opaque where no resource and no
	// organization was asked for.
	AccessToken string
	// IDToken may be empty: Logto gives none if `openid` was not asked for.
	IDToken string
	// RefreshToken may be empty, and may be the one that was sent.
	RefreshToken string
}

var (
	errNoObject = errors.New("not a JSON object")
	errNoBearer = errors.New("the token type is not Bearer")
	errNoToken  = errors.New("no access token")
)

// parseTokens reads a successful answer (RFC 6749 section 5.1).
func parseTokens(body []byte) (Tokens, error) {
	members, ok := jsonobject.Parse(string(body))
	if !ok {
		return Tokens{}, errNoObject
	}
	access, errAccess := token(members, "access_token")
	id, errID := token(members, "id_token")
	refresh, errRefresh := token(members, "refresh_token")
	if err := cmp.Or(errAccess, errID, errRefresh); err != nil {
		return Tokens{}, err
	}
	// Of another type the bare token is not enough, whoever holds it
	// (section 7.1): a DPoP token needs a proof with each request.
	kind, _, _ := members.Text("token_type")
	switch {
	case access == "":
		return Tokens{}, errNoToken
	case !strings.EqualFold(kind, "Bearer"):
		return Tokens{}, errNoBearer
	}
	return Tokens{AccessToken: access, IDToken: id, RefreshToken: refresh}, nil
}

// errorCode matches the `error` of an answer. RFC 6749 section 5.2 allows more,
// but all codes in use look like this, and no code, token or secret that a
// broken proxy echoes does.
var errorCode = regexp.MustCompile(`^[a-z_]{1,40}$`)

// IsErrorCode reports whether a text looks like the error codes of OAuth 2.0,
// so that it may stand in a log.
func IsErrorCode(text string) bool { return errorCode.MatchString(text) }

// parseErrorCode returns the `error` of an answer, or "".
func parseErrorCode(body []byte) string {
	members, ok := jsonobject.Parse(string(body))
	if !ok {
		return ""
	}
	code, _, _ := members.Text("error")
	if !IsErrorCode(code) {
		return ""
	}
	return code
}

// token returns a member that is a token, or "". Tokens go into headers and
// forms, so what cannot be one there is refused here: RFC 6749 appendix A
// allows visible ASCII only.
func token(members jsonobject.Members, name string) (string, error) {
	value, _, usable := members.Text(name)
	invisible := func(r rune) bool { return r <= ' ' || r > '~' }
	if !usable || strings.ContainsFunc(value, invisible) {
		return "", fmt.Errorf("%s is not a token", name)
	}
	return value, nil
}
