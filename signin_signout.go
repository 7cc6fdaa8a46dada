package logtoauth

import (
	"net/http"
	"net/url"
	"strings"
)

// serveSignOut signs a person out, if it is they who ask: another site's page
// must not, be it by a form or a link.
func (s *signIn) serveSignOut(w http.ResponseWriter, r *http.Request, state *requestState) error {
	if r.Method == http.MethodPost {
		refusal := refuseEarlyData(r)
		if refusal == nil {
			refusal = s.ownOrigin.check(r)
		}
		if refusal != nil {
			return s.refuse(w, r, state, refusal)
		}
		return s.signOut(w, r, state.browser)
	}
	if isPersonal(r) {
		return s.signOut(w, r, state.browser)
	}
	return s.show(w, r, state, pageSignOut)
}

// isPersonal reports whether a person opens a page: by a link on this site, a
// bookmark, or the address bar. Browsers that do not say so get a button.
func isPersonal(r *http.Request) bool {
	header := r.Header
	from := header["Sec-Fetch-Site"]
	return (isOnly(from, "same-origin") || isOnly(from, "none")) &&
		isOnly(header["Sec-Fetch-Mode"], "navigate") && isOnly(header["Sec-Fetch-Dest"], "document") && !isPrefetch(r)
}

// signOut ends the session here, its refresh token at Logto, and sends the
// browser to Logto to end the session there.
func (s *signIn) signOut(w http.ResponseWriter, r *http.Request, b *browser) error {
	header := w.Header()
	header.Add("Set-Cookie", b.at.ClearSession())
	header.Add("Set-Cookie", b.at.ClearFlow())
	if found, _ := s.find(b, r); found != nil {
		// Not by the request's context: a browser that leaves has signed out, too.
		s.signOff(s.app.life, found)
	}
	return redirect(w, http.StatusSeeOther, s.issuerEndpoint("/session/end", url.Values{
		"client_id":                {s.app.clientID},
		"post_logout_redirect_uri": {s.postLogoutURI(b.at)},
	}))
}

// postLogoutURI is where a sign-out ends.
func (s *signIn) postLogoutURI(at origin) string {
	switch {
	case s.SignedOut == "":
		return s.address(at) + s.Path + "/signed-out"
	case strings.HasPrefix(s.SignedOut, "/"):
		return s.address(at) + s.SignedOut
	}
	return s.SignedOut
}

// serveSignedOut tells that a sign-out is done. Browsers keep whole pages in
// memory for the back button, whatever Cache-Control says; on this page they
// drop them.
func (s *signIn) serveSignedOut(w http.ResponseWriter, r *http.Request, state *requestState) error {
	// Only for a person: another site's image must not empty the cache.
	if to := r.Header["Sec-Fetch-Dest"]; len(to) == 0 || isOnly(to, "document") {
		w.Header().Set("Clear-Site-Data", `"cache"`)
	}
	return s.show(w, r, state, pageSignedOut)
}
