package logtoauth

import (
	"net/http"
	"slices"
	"strings"
)

// isNavigation reports whether a browser shows the answer to a person as a
// page, so that a redirect to Logto leads somewhere. A script, an image or a
// frame would get Logto's page, or follow the redirect without an end.
func isNavigation(r *http.Request) bool {
	header := r.Header
	if r.Method != http.MethodGet || isUpgrade(r) ||
		len(header["X-Requested-With"]) > 0 ||
		slices.Contains(header["Service-Worker"], "script") || isPrefetch(r) {
		return false
	}
	mode, destination := header["Sec-Fetch-Mode"], header["Sec-Fetch-Dest"]
	if len(mode) > 0 || len(destination) > 0 || len(header["Sec-Fetch-Site"]) > 0 {
		return isOnly(mode, "navigate") && isOnly(destination, "document")
	}
	return acceptsHTML(header["Accept"])
}

// beginsFor returns the sign-in that answers a refusal, and reports whether one
// does: a person is there to sign in, and gets what is missing by it.
func (s *signIn) beginsFor(state *requestState, r *http.Request, refusal *Refusal, needed []string) (beginning, bool) {
	b := state.browser
	if s.Unauthenticated == unauthenticated401 || b.authorized || !isNavigation(r) {
		return beginning{}, false
	}
	refused := refusal.lacksSession()
	if !refused {
		if !s.signInAgain(b, refusal, needed, s.handler.now()) {
			return beginning{}, false
		}
		// What was asked for and not granted could go round in a circle.
		refused = s.covers(b.cookie, needed)
	}
	return beginning{returnPath: s.returnPath(r), needed: needed, refused: refused}, true
}

// isPrefetch reports whether a browser only prepares for a navigation that may
// never come. Its answer is kept and shown later.
func isPrefetch(r *http.Request) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		for _, value := range r.Header[name] {
			if strings.Contains(strings.ToLower(value), "prefetch") || strings.Contains(strings.ToLower(value), "preview") {
				return true
			}
		}
	}
	return false
}

func isOnly(values []string, value string) bool { return len(values) == 1 && values[0] == value }

// acceptsHTML reports whether an Accept header names text/html. `*/*` does not:
// programs send it.
func acceptsHTML(accept []string) bool {
	for _, line := range accept {
		for part := range strings.SplitSeq(line, ",") {
			kind, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(kind), "text/html") {
				return true
			}
		}
	}
	return false
}
