package devtenant

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// ForApp lets only the requests of one app meet the fault.
func ForApp(id string, fault Fault) Fault {
	return func(e *Exchange) {
		asking := parameters(e.Request).Get("client_id")
		if id, _, basic := clientCredentials(e.Request); basic {
			asking = id
		}
		if asking == id {
			fault(e)
			return
		}
		None(e)
	}
}

// ForGrant lets only the token requests of one grant type, such as
// `refresh_token`, meet the fault.
func ForGrant(grantType string, fault Fault) Fault {
	return func(e *Exchange) {
		if e.Request.PostForm.Get("grant_type") == grantType {
			fault(e)
			return
		}
		None(e)
	}
}

// Times lets the first n requests meet the fault.
func Times(n int, fault Fault) Fault {
	var met atomic.Int64
	return func(e *Exchange) {
		if met.Add(1) <= int64(n) {
			fault(e)
			return
		}
		None(e)
	}
}

// Delayed answers as it should, but only after this time.
func Delayed(d time.Duration) Fault {
	return func(e *Exchange) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			None(e)
		case <-e.Request.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// Lost does what was asked, and closes the connection without an answer: the
// code is used, the refresh token rotated, and the client does not know.
func Lost(e *Exchange) {
	e.Answer()
	panic(http.ErrAbortHandler)
}

// Status answers with this status and a page of some proxy.
func Status(status int) Fault {
	return func(e *Exchange) {
		writeAnswer(e.Writer, page(status, "<!doctype html><title>"+http.StatusText(status)+"</title>\n"))
	}
}

// TooManyRequests answers with 429.
func TooManyRequests(retryAfter time.Duration) Fault {
	return func(e *Exchange) {
		refused := jsonAnswer(http.StatusTooManyRequests, map[string]string{"code": "request.too_many", "message": "Too many requests."})
		refused.Header.Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
		writeAnswer(e.Writer, refused)
	}
}

// Refused answers a token request with this error and status, whatever was
// asked.
func Refused(status int, code, description string) Fault {
	return func(e *Exchange) {
		refused := &oidcError{status: status, code: code, description: description}
		writeAnswer(e.Writer, refused.answer(nil))
	}
}

// AlterTokens changes the members of a token answer that succeeded.
func AlterTokens(change func(response map[string]any)) Fault {
	return func(e *Exchange) {
		a := e.Answer()
		var response map[string]any
		if a.Status == http.StatusOK && json.Unmarshal(a.Body, &response) == nil {
			change(response)
			a.Body = mustMarshal(response)
		}
		writeAnswer(e.Writer, a)
	}
}

// NoIDToken leaves the ID token out of the answer.
func NoIDToken(e *Exchange) {
	AlterTokens(func(response map[string]any) { delete(response, "id_token") })(e)
}

// TokenType answers with another `token_type`.
func TokenType(name string) Fault {
	return AlterTokens(func(response map[string]any) { response["token_type"] = name })
}

// AlterIDToken changes the claims of the ID token in an answer, and signs it
// anew.
func AlterIDToken(change func(claims map[string]any)) Fault {
	return func(e *Exchange) {
		AlterTokens(func(response map[string]any) {
			token, _ := response["id_token"].(string)
			segments := strings.Split(token, ".")
			if len(segments) != 3 {
				return // there is none
			}
			payload, err := base64.RawURLEncoding.DecodeString(segments[1])
			var claims map[string]any
			if err != nil || json.Unmarshal(payload, &claims) != nil {
				panic("devtenant: its own ID token cannot be read")
			}
			change(claims)
			response["id_token"] = e.tenant.signIDToken(claims)
		})(e)
	}
}

// IDTokenClaim puts another value into the ID token, such as a wrong `nonce`
// or another person's `sub`; nil deletes the claim.
func IDTokenClaim(name string, value any) Fault {
	return AlterIDToken(func(claims map[string]any) { merge(claims, map[string]any{name: value}) })
}

// ManyOrganizations makes the person of the ID token a member of so many
// organizations. That of 200 is about 10 KiB.
func ManyOrganizations(n int) Fault {
	return AlterIDToken(func(claims map[string]any) {
		var organizations, roles []string
		for i := range n {
			id := "organization" + strconv.Itoa(i+1)
			organizations, roles = append(organizations, id), append(roles, id+":member")
		}
		claims["organizations"], claims["organization_roles"] = organizations, roles
	})
}

// AlterCallback changes what the browser brings to the app: a code or an
// error.
func AlterCallback(change func(query url.Values)) Fault {
	return func(e *Exchange) {
		a := e.Answer()
		callback, err := url.Parse(a.Header.Get("Location"))
		if err == nil && callback.Query().Has("iss") { // else the way goes to the page
			query := callback.Query()
			change(query)
			callback.RawQuery = query.Encode()
			a.Header.Set("Location", callback.String())
		}
		writeAnswer(e.Writer, a)
	}
}

// NoIssuer leaves `iss` out of the callback.
func NoIssuer(e *Exchange) { AlterCallback(func(query url.Values) { query.Del("iss") })(e) }

// OtherIssuer puts another `iss` into the callback.
func OtherIssuer(issuer string) Fault {
	return AlterCallback(func(query url.Values) { query.Set("iss", issuer) })
}

// SecondIssuer adds an `iss` to that of the callback.
func SecondIssuer(issuer string) Fault {
	return AlterCallback(func(query url.Values) { query.Add("iss", issuer) })
}
