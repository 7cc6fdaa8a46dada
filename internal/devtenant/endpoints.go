package devtenant

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// Paths that a tenant serves, below its endpoint.
const (
	DiscoveryPath         = "/oidc/.well-known/openid-configuration"
	JWKSPath              = "/oidc/jwks"
	TokenPath             = "/oidc/token"
	RevocationPath        = "/oidc/token/revocation"
	AuthorizationPath     = "/oidc/auth"
	EndSessionPath        = "/oidc/session/end"
	endSessionConfirmPath = EndSessionPath + "/confirm"
	endSessionSuccessPath = EndSessionPath + "/success"
	signInPath            = "/sign-in"
	registerPath          = "/register"
	consentPath           = "/consent"
)

// oidcEndpoint numbers what a tenant serves below its endpoint, as OIDC names it.
type oidcEndpoint int

const (
	discoveryEndpoint oidcEndpoint = iota
	jwksEndpoint
	tokenEndpoint
	authorizationEndpoint
	revocationEndpoint
	endSessionEndpoint
	pageEndpoint // what people see: sign-in, access denied
	oidcEndpoints
)

// ServeHTTP answers as the tenant, or as its faults ask.
func (t *Tenant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ep, found := route(r.URL.Path)
	switch {
	case !found:
		writeAnswer(w, notFound())
		return
	case ep.crossOrigin() && preflight(r):
		writeAnswer(w, preflightAnswer(r))
		return
	case !allowed(ep, r):
		writeAnswer(w, notFound())
		return
	}
	if ep.crossOrigin() {
		allowOrigin(w.Header(), r)
	}
	if r.Method == http.MethodPost {
		// The body is read before any fault: net/http notices that a client
		// went away only once the request's body is read to its end.
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		_ = r.ParseForm() // what cannot be parsed is a missing parameter
	}
	arrived := t.arrive(ep, r.URL.Path, r.PostForm.Get("grant_type"))
	arrived.fault(&Exchange{
		Writer:       w,
		Request:      r,
		Answer:       func() Answer { return t.answer(ep, r, arrived.number) },
		awaitRelease: func(ctx context.Context) error { return t.await(ctx, arrived.released) },
		tenant:       t,
	})
}

func route(path string) (ep oidcEndpoint, found bool) {
	switch path {
	case DiscoveryPath:
		return discoveryEndpoint, true
	case JWKSPath:
		return jwksEndpoint, true
	case TokenPath:
		return tokenEndpoint, true
	case AuthorizationPath:
		return authorizationEndpoint, true
	case RevocationPath:
		return revocationEndpoint, true
	case EndSessionPath, endSessionConfirmPath, endSessionSuccessPath:
		return endSessionEndpoint, true
	case signInPath, registerPath, consentPath:
		return pageEndpoint, true
	}
	if resumes(path) {
		return authorizationEndpoint, true
	}
	return 0, false
}

// resumes reports whether a sign-in goes on here after the page: below the
// authorization endpoint, at the interaction's ID.
func resumes(path string) bool {
	id, below := strings.CutPrefix(path, AuthorizationPath+"/")
	return below && id != "" && !strings.Contains(id, "/")
}

// crossOrigin reports whether pages of other origins may read the answers.
func (ep oidcEndpoint) crossOrigin() bool {
	switch ep {
	case discoveryEndpoint, jwksEndpoint, tokenEndpoint, revocationEndpoint:
		return true
	default: // a browser navigates to the others
		return false
	}
}

func allowed(ep oidcEndpoint, r *http.Request) bool {
	switch ep {
	case tokenEndpoint, revocationEndpoint:
		return r.Method == http.MethodPost
	case authorizationEndpoint:
		return r.Method == http.MethodGet || r.Method == http.MethodPost && r.URL.Path == AuthorizationPath
	case endSessionEndpoint:
		if r.URL.Path == endSessionConfirmPath {
			return r.Method == http.MethodPost
		}
		return r.Method == http.MethodGet || r.Method == http.MethodPost && r.URL.Path == EndSessionPath
	case pageEndpoint:
		return r.Method == http.MethodGet || r.Method == http.MethodPost && r.URL.Path != consentPath
	default:
		return r.Method == http.MethodGet || r.Method == http.MethodHead
	}
}

// answer makes the right answer to the request that arrived as this number.
func (t *Tenant) answer(ep oidcEndpoint, r *http.Request, number int) Answer {
	switch ep {
	case discoveryEndpoint:
		return discoveryAnswer(t.discoveryFor(r))
	case jwksEndpoint:
		return jwksAnswer(t.JWKS(), r.Header.Get("If-None-Match"))
	case authorizationEndpoint:
		answer := t.authorizationAnswer(r)
		t.deliverLogouts()
		return answer
	case revocationEndpoint:
		return t.revocationAnswer(r)
	case endSessionEndpoint:
		answer := t.endSessionAnswer(r)
		t.deliverLogouts()
		return answer
	case pageEndpoint:
		return t.pageAnswer(r)
	default:
		return t.tokenAnswer(r, number)
	}
}

// parameters are those of the query, or of the form if the request is a POST.
func parameters(r *http.Request) url.Values {
	if r.Method == http.MethodPost {
		return r.PostForm
	}
	return r.URL.Query()
}
