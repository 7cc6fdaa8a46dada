package devtenant

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// pageParameters are those of an authorization request that reach the page.
var pageParameters = []string{"login_hint", "ui_locales", "direct_sign_in", "organization_id"}

// interactLocked sends the browser to the page, which sends it back to
// [Tenant.resumeLocked]. The cookies name one interaction: of several tabs, the
// page serves the one that came last.
func (t *Tenant) interactLocked(request url.Values, app App, now time.Time) Answer {
	id := randomID()
	t.browsers.interactions[id] = &interaction{request: request, expires: now.Add(interactionLife)}
	header := http.Header{}
	t.setCookie(header, cookie{name: interactionCookie, value: id, life: interactionLife})
	t.setCookie(header, cookie{name: resumeCookie, value: id, path: AuthorizationPath + "/" + id, life: interactionLife})
	shown := url.QueryEscape(string(mustMarshal(map[string]string{"appId": app.ID})))
	t.setCookie(header, cookie{name: appCookie, value: shown, forScripts: true})
	query := url.Values{"app_id": {app.ID}}
	for _, name := range pageParameters {
		if request.Has(name) {
			query.Set(name, request.Get(name))
		}
	}
	path := signInPath
	if request.Get("first_screen") == "register" {
		path = registerPath
	}
	return redirect(path+"?"+query.Encode(), header)
}

// pageAnswer answers what people see.
func (t *Tenant) pageAnswer(r *http.Request) Answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.URL.Path == consentPath {
		return messagePage(http.StatusForbidden, "Access denied.")
	}
	id := t.readCookie(r, interactionCookie)
	waiting := t.browsers.interactions[id]
	if waiting == nil || !t.now().Before(waiting.expires) {
		return messagePage(http.StatusBadRequest, "The sign-in session is not found. Please go back and sign in again.")
	}
	if r.Method == http.MethodGet {
		return t.choiceLocked(waiting)
	}
	chosen := t.directory.people[r.PostForm.Get("user")]
	switch {
	case chosen == nil:
		return messagePage(http.StatusUnprocessableEntity, "There is no such account.")
	case chosen.suspended:
		return messagePage(http.StatusUnauthorized, "This account is suspended.")
	}
	waiting.user = chosen.ID
	return redirect(AuthorizationPath+"/"+id, http.Header{})
}

// choiceLocked shows the people to choose from, a button each.
func (t *Tenant) choiceLocked(waiting *interaction) Answer {
	var buttons strings.Builder
	for _, id := range t.directory.order {
		buttons.WriteString(`<p><button name="user" value="` + html.EscapeString(id) + `">` +
			html.EscapeString(t.directory.people[id].Name) + "</button></p>\n")
	}
	return page(http.StatusOK, `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">`+
		"<title>Sign in</title>"+pageStyle+"\n<h1>Sign in</h1>\n<p>to "+html.EscapeString(waiting.request.Get("client_id"))+" as</p>\n"+
		`<form method="post">`+"\n"+buttons.String()+"</form></html>\n")
}

// pageStyle makes the pages easy on the eyes of those who try the demo.
const pageStyle = `<style>:root{color-scheme:light dark}` +
	`body{max-width:22rem;margin:18vh auto 0;padding:0 1rem;font:1rem/1.55 system-ui,sans-serif;text-align:center}` +
	`button{width:100%;padding:.7rem;border:1px solid;border-radius:9px;background:none;color:inherit;font:inherit;cursor:pointer}` +
	`button:hover{outline:2px solid}</style>`

func messagePage(status int, text string) Answer {
	return page(status, `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Sign in</title>`+
		pageStyle+"<p>"+
		html.EscapeString(text)+"</p></html>\n")
}

// resumeLocked goes on with an authorization request after the page.
func (t *Tenant) resumeLocked(r *http.Request, now time.Time) Answer {
	id := strings.TrimPrefix(r.URL.Path, AuthorizationPath+"/")
	waiting := t.browsers.interactions[id]
	if t.readCookie(r, resumeCookie) != id || waiting == nil || !now.Before(waiting.expires) {
		refused := invalidRequest("authorization request has expired")
		return refused.answer(url.Values{"code": {"session.not_found"}, "iss": {t.issuer}})
	}
	app, known := t.directory.apps[waiting.request.Get("client_id")]
	if !known {
		return unknownClient(waiting.request.Get("client_id")).answer(url.Values{"iss": {t.issuer}})
	}
	delete(t.browsers.interactions, id)
	if t.activeLocked(waiting.user) == nil { // nobody chosen, or gone since
		return t.interactLocked(waiting.request, app, now)
	}
	answer := t.decideLocked(r, waiting.request, app, waiting.user, now)
	clearCookie(answer.Header, resumeCookie, r.URL.Path)
	return answer
}
