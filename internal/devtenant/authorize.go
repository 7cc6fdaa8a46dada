package devtenant

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// authorizationAnswer answers GET and POST /oidc/auth, and the way back from
// the sign-in page.
func (t *Tenant) authorizationAnswer(r *http.Request) Answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if resumes(r.URL.Path) {
		return t.resumeLocked(r, now)
	}
	given := parameters(r)
	app, refused := t.authorizingAppLocked(given)
	if refused != nil {
		more := url.Values{"iss": {t.issuer}}
		if given.Has("state") {
			more.Set("state", given.Get("state"))
		}
		return refused.answer(more)
	}
	request, refused := t.authorizationRequestLocked(given, app)
	if refused != nil {
		return t.callbackLocked(given, refused.parameters())
	}
	return t.decideLocked(r, request, app, "", now)
}

// authorizingAppLocked is the app of the request. What it refuses is told to
// the person, not to the app: nothing says that the redirect URI is the app's.
func (t *Tenant) authorizingAppLocked(given url.Values) (App, *oidcError) {
	if missing := required(given, "client_id"); missing != nil {
		return App{}, missing
	}
	app, known := t.directory.apps[given.Get("client_id")]
	if !known {
		return App{}, unknownClient(given.Get("client_id"))
	}
	if !given.Has("redirect_uri") && len(app.RedirectURIs) == 1 {
		given.Set("redirect_uri", app.RedirectURIs[0])
	}
	switch uri := given.Get("redirect_uri"); {
	case !given.Has("redirect_uri"):
		return App{}, required(given, "redirect_uri")
	case !slices.Contains(app.RedirectURIs, uri), strings.Contains(uri, "#"): // a fragment is stored but never matches
		return App{}, errRedirectURI
	}
	return app, nil
}

// authorizationRequestLocked checks the request of a known app, and returns it
// as it counts: without scopes that nobody knows or that it may not have.
func (t *Tenant) authorizationRequestLocked(given url.Values, app App) (url.Values, *oidcError) {
	if twice := repeated(given); twice != nil {
		return nil, twice
	}
	if missing := required(given, "response_type"); missing != nil {
		return nil, missing
	}
	if refused := checkResponse(given); refused != nil {
		return nil, refused
	}
	prompts := strings.Fields(given.Get("prompt"))
	if refused := checkPrompts(prompts); refused != nil {
		return nil, refused
	}
	if refused := checkChallenge(given, app); refused != nil {
		return nil, refused
	}
	request := url.Values{}
	for name, values := range given {
		request[name] = slices.Clone(values)
	}
	request["resource"] = nil
	for _, asked := range given["resource"] {
		for indicator := range strings.SplitSeq(asked, ",") {
			if !t.knownResourceLocked(indicator) {
				return nil, errTarget
			}
			request["resource"] = append(request["resource"], indicator)
		}
	}
	if !contains(prompts, "consent") { // dropped in silence
		kept := slices.DeleteFunc(strings.Fields(given.Get("scope")), func(scope string) bool { return scope == "offline_access" })
		request.Set("scope", strings.Join(kept, " "))
	}
	return request, nil
}

// checkResponse is for how the app wants to be answered: a code, in one of
// three ways.
func checkResponse(given url.Values) *oidcError {
	switch given.Get("response_mode") {
	case "", "query", "fragment", "form_post":
	default:
		return &oidcError{code: "unsupported_response_mode", description: "unsupported response_mode requested"}
	}
	switch given.Get("response_type") {
	case "code":
	case "code id_token", "id_token", "none":
		return invalidRequest("requested response_type is not allowed for this client")
	default:
		return &oidcError{code: "unsupported_response_type", description: "unsupported response_type requested"}
	}
	return nil
}

func checkPrompts(prompts []string) *oidcError {
	for _, prompt := range prompts {
		if prompt != "none" && prompt != "login" && prompt != "consent" {
			return invalidRequest("unsupported prompt value requested")
		}
	}
	if contains(prompts, "none") && len(prompts) > 1 {
		return invalidRequest("prompt none must only be used alone")
	}
	return nil
}

// challengeFormat is that of a challenge and of a verifier (RFC 7636).
var challengeFormat = regexp.MustCompile(`^[A-Za-z0-9_.~-]{43,128}$`)

// checkChallenge is for PKCE: only S256, and required of public clients.
func checkChallenge(given url.Values, app App) *oidcError {
	method, challenge := given.Get("code_challenge_method"), given.Get("code_challenge")
	switch {
	case method == "" && challenge != "":
		return invalidRequest("code_challenge_method must be provided")
	case method != "" && method != "S256":
		return invalidRequest("not supported value of code_challenge_method")
	case method != "" && challenge == "":
		return invalidRequest("code_challenge must be provided with code_challenge_method")
	case challenge == "" && app.Secret == "":
		return invalidRequest("Authorization Server policy requires PKCE to be used for this request")
	case challenge != "" && !challengeFormat.MatchString(challenge):
		return invalidRequest("code_challenge must be a string of 43 to 128 characters")
	}
	return nil
}

// decideLocked answers a request that is sound: with a code, with an error, or
// with the page. signedIn is who has just come from the page.
func (t *Tenant) decideLocked(r *http.Request, request url.Values, app App, signedIn string, now time.Time) Answer {
	value, session := t.sessionLocked(r, now)
	// A suspended or deleted person's session is none.
	if session != nil && t.activeLocked(session.user) == nil {
		session = nil
	}
	none := request.Get("prompt") == "none"
	if signedIn == "" && t.mustSignInLocked(request, session, now) {
		if none {
			refused := &oidcError{code: "login_required", description: "End-User authentication is required"}
			return t.callbackLocked(request, refused.parameters())
		}
		signedIn = t.directory.automatic
		if signedIn == "" || t.activeLocked(signedIn) == nil {
			return t.interactLocked(request, app, now)
		}
	}
	cookies := http.Header{}
	if signedIn != "" {
		session = t.signInLocked(session, signedIn, now)
	}
	t.keepLocked(cookies, value, session, signedIn != "", now)
	var answer Answer
	switch {
	case !t.directory.people[session.user].withdrawn[app.ID]:
		answer = t.callbackLocked(request, url.Values{"code": {t.issueCodeLocked(request, app, session, now)}})
	case none:
		answer = t.callbackLocked(request, errAccessDenied.parameters())
	default: // the person stays here: the app hears nothing
		answer = redirect(consentPath+"?"+url.Values{"app_id": {app.ID}}.Encode(), http.Header{})
	}
	answer.Header["Set-Cookie"] = cookies["Set-Cookie"]
	return answer
}

// mustSignInLocked reports whether the page has to ask, session or not.
func (t *Tenant) mustSignInLocked(request url.Values, session *browserSession, now time.Time) bool {
	if session == nil || contains(strings.Fields(request.Get("prompt")), "login") {
		return true
	}
	if maxAge, err := strconv.Atoi(request.Get("max_age")); err == nil && now.Sub(session.since) > time.Duration(maxAge)*time.Second {
		return true
	}
	if hint := request.Get("id_token_hint"); hint != "" {
		claims, err := t.readIDTokenLocked(hint)
		return err != nil || claims.Subject != session.user
	}
	return false
}

// signInLocked is the session of a person who has just signed in. The same
// person's goes on with its grants, another person's ends as by a sign-out.
func (t *Tenant) signInLocked(session *browserSession, userID string, now time.Time) *browserSession {
	if session != nil && session.user != userID {
		t.signOutLocked(session)
		session = nil
	}
	if session == nil {
		session = &browserSession{apps: map[string]*appSession{}}
	}
	session.user, session.since = userID, now
	return session
}

// issueCodeLocked grants what the person may have of what was asked for. The
// rest is left out in silence.
func (t *Tenant) issueCodeLocked(request url.Values, app App, session *browserSession, now time.Time) string {
	p := t.directory.people[session.user]
	asked := strings.Fields(request.Get("scope"))
	var granted []string
	grantScopes := func(available []string) {
		for _, scope := range asked {
			if contains(available, scope) && !contains(granted, scope) {
				granted = append(granted, scope)
			}
		}
	}
	grantScopes(scopes)
	for _, resource := range request["resource"] {
		grantScopes(p.scopesOf(resource, ""))
	}
	known := t.grantLocked(session, app, now)
	issued := &code{
		authorization: authorization{
			grant:     known.grant,
			session:   session,
			scopes:    granted,
			resources: request["resource"],
			nonce:     request.Get("nonce"),
		},
		redirectURI: request.Get("redirect_uri"),
		challenge:   request.Get("code_challenge"),
		expires:     now.Add(codeLife),
	}
	if app.BackChannelLogoutURI != "" && app.BackChannelLogoutSessionRequired {
		issued.sid = known.sid
	}
	if request.Has("max_age") {
		issued.authTime = session.since
	}
	value := randomID()
	t.issued.codes[value] = issued
	return value
}

func contains(list []string, value string) bool { return slices.Contains(list, value) }
