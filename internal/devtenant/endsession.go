package devtenant

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// endSessionAnswer answers /oidc/session/end, its form, and where a sign-out
// ends that asked for nothing else.
func (t *Tenant) endSessionAnswer(r *http.Request) Answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	switch r.URL.Path {
	case endSessionConfirmPath:
		return t.confirmEndLocked(r, now)
	case endSessionSuccessPath:
		return messagePage(http.StatusOK, "You have signed out.")
	default:
		return t.askEndLocked(parameters(r), r, now)
	}
}

// askEndLocked shows the form, which sends itself and asks nobody. Whoever is
// not signed in gets it too.
func (t *Tenant) askEndLocked(given url.Values, r *http.Request, now time.Time) Answer {
	if twice := repeated(given); twice != nil {
		return twice.answer(nil)
	}
	app, selected, refused := t.endingAppLocked(given)
	if refused != nil {
		return refused.answer(nil)
	}
	asked := ending{state: given.Get("state"), hasState: given.Has("state")}
	if uri := given.Get("post_logout_redirect_uri"); selected && uri != "" {
		if !slices.Contains(app.PostLogoutRedirectURIs, uri) {
			return invalidRequest("post_logout_redirect_uri not registered").answer(nil)
		}
		asked.redirectURI = uri
	}
	cookies := http.Header{}
	value, session := t.sessionLocked(r, now)
	if session == nil {
		session = &browserSession{apps: map[string]*appSession{}}
		t.keepLocked(cookies, value, session, false, now)
	}
	session.xsrf, session.ending = randomID(), asked
	form := formPost(endSessionConfirmPath, url.Values{"xsrf": {session.xsrf}, "logout": {"yes"}})
	form.Header["Set-Cookie"] = cookies["Set-Cookie"]
	return form
}

// endingAppLocked is the app that the hint or the client ID selects.
func (t *Tenant) endingAppLocked(given url.Values) (app App, selected bool, refused *oidcError) {
	id := given.Get("client_id")
	if hint := given.Get("id_token_hint"); hint != "" {
		claims, err := t.readIDTokenLocked(hint)
		if err != nil || len(claims.Audience) != 1 {
			return App{}, false, invalidRequest("could not decode id_token_hint")
		}
		if id != "" && id != claims.Audience[0] {
			return App{}, false, invalidRequest("client_id does not match the provided id_token_hint")
		}
		id = claims.Audience[0]
	}
	if id == "" {
		return App{}, false, nil
	}
	app, known := t.directory.apps[id]
	if !known {
		return App{}, false, unknownClient(id)
	}
	return app, true, nil
}

// confirmEndLocked ends the session that the form was shown to.
func (t *Tenant) confirmEndLocked(r *http.Request, now time.Time) Answer {
	_, session := t.sessionLocked(r, now)
	switch {
	case session == nil || session.xsrf == "":
		return invalidRequest("could not find logout details").answer(nil)
	case subtle.ConstantTimeCompare([]byte(session.xsrf), []byte(r.PostForm.Get("xsrf"))) != 1:
		return invalidRequest("xsrf token invalid").answer(nil)
	}
	asked := session.ending
	t.signOutLocked(session)
	destination := endSessionSuccessPath
	if asked.redirectURI != "" {
		added := url.Values{}
		if asked.hasState {
			added.Set("state", asked.state)
		}
		destination = withQuery(asked.redirectURI, added)
	}
	answer := redirect(destination, http.Header{})
	clearCookie(answer.Header, sessionCookie, "/")
	return answer
}
