package logtoauth

import "net/http"

// The pages of sign_in. They are written for a visitor who is no developer:
// what happened, then what to do. "The sign-in service" is what a visitor sees
// of Logto; only the operator is told names of settings. Requests share them:
// page.to makes a copy.
var (
	// pageInsecure: plain http, where no cookie of ours would be safe.
	pageInsecure = &page{
		status: http.StatusBadRequest,
		reason: ReasonSignInRefused,
		title:  "Signing in needs https",
		text: []string{
			"This page was opened over plain http. Signing in works over a secure connection only.",
			"Change http to https at the beginning of the address, and open it again.",
		},
		operator: "If a proxy in front of Caddy ends TLS, list the proxy in the server's `trusted_proxies`, and let it send `X-Forwarded-Proto: https` once.",
	}

	// pageIssuer: the callback's `iss` (RFC 9207) is missing, there twice, or
	// another's: a mix-up attack, or a tenant with another name.
	pageIssuer = &page{
		status: http.StatusBadRequest,
		reason: ReasonSignInRefused,
		title:  "This answer is not from our sign-in service",
		text: []string{
			"This site got an answer that its own sign-in service did not give. It was not used.",
			"Sign in again. If a link led you here, do not open that link again.",
		},
		operator: "The parameter `iss` is missing, is there twice, or is not the first accepted `issuer` of `logto_auth`. That one must be the issuer that Logto gives itself.",
		action:   actionSignIn,
	}

	// pageMalformed: a parameter of the callback twice, or unreadable.
	pageMalformed = &page{
		status: http.StatusBadRequest,
		reason: ReasonSignInRefused,
		title:  "This sign-in cannot be read",
		text: []string{
			"The address of this page is damaged. Part of it is missing, is there twice, or was changed on the way.",
			"Sign in again.",
		},
		action: actionSignIn,
	}

	// pageStateExpired: a state of ours, over an hour old.
	pageStateExpired = &page{
		status: http.StatusBadRequest,
		reason: ReasonSignInState,
		title:  "This sign-in took too long",
		text: []string{
			"It was started over an hour ago, so it can no longer be completed.",
			"Sign in again. It is quick if the sign-in service still knows you.",
		},
		operator: "If this happens at once, the clocks of the servers behind this name differ.",
		action:   actionSignIn,
	}

	// pageStateUnknown: a state that our keys do not open.
	pageStateUnknown = &page{
		status: http.StatusBadRequest,
		reason: ReasonSignInState,
		title:  "This sign-in did not start here",
		text: []string{
			"The link that led here belongs to another site, or to a sign-in that this site does not know any more.",
			"Sign in again from here. If somebody sent you the link, do not open it again.",
		},
		operator: "After the app secret or `session_key` was changed, this can happen once to those who were signing in. If it goes on, the servers behind this name do not have the same app ID, app secret and `session_key`.",
		action:   actionSignIn,
	}

	// pageCookies: a state of ours whose binding this browser does not have, at
	// the second attempt.
	pageCookies = &page{
		status: http.StatusBadRequest,
		reason: ReasonSignInState,
		title:  "Your browser did not send our cookie",
		text: []string{
			"Signing in needs a cookie of this site. Twice, your browser did not send it back.",
			"Allow cookies for this site, and try again.",
			"Did you begin in another browser, in an app or in a private window? Then go on there, or start again here.",
		},
		operator: "A proxy in front of Caddy must pass on `Set-Cookie` and `Cookie` unchanged. The cookie is `__Host-logto-flow`.",
		action:   actionRetry,
	}

	// pageStateUsed: a state whose code was exchanged before.
	pageStateUsed = &page{
		status: http.StatusBadRequest,
		reason: ReasonSignInState,
		title:  "This sign-in was completed before",
		text: []string{
			"Each sign-in works once. This one was completed earlier, perhaps in another tab.",
			"If you are not signed in, sign in again.",
		},
		action: actionSignIn,
	}

	// pageRefused: Logto's callback has `error`, whose text is never shown:
	// anybody can write one into a link.
	pageRefused = &page{
		status: http.StatusBadRequest,
		reason: ReasonSignInRefused,
		title:  "You were not signed in",
		text: []string{
			"The sign-in service ended the sign-in. Perhaps it was cancelled, or your account may not use this site.",
			"Sign in again. If that does not help, ask the people who run this site.",
		},
		operator: "Caddy's log has the error that Logto gave. Usual causes: the person may not use the app, or the tenant does not have the API resource or a scope that this site asks for.",
		action:   actionSignIn,
	}

	// pageCodeRefused: invalid_grant for the code.
	pageCodeRefused = &page{
		status: http.StatusBadRequest,
		reason: ReasonSignInRefused,
		title:  "This sign-in is no longer valid",
		text: []string{
			"The sign-in service did not accept it any more. It came too late, or was used before.",
			"Sign in again.",
		},
		operator: "If every sign-in ends here, something repeats requests or opens links first: a proxy that retries, or a link scanner.",
		action:   actionSignIn,
	}

	// pageIDToken: the ID token does not verify.
	pageIDToken = &page{
		status: http.StatusBadRequest,
		reason: ReasonSignInRefused,
		title:  "We could not verify who you are",
		text: []string{
			"The sign-in service answered, but its answer did not pass this site's checks.",
			"Sign in again. If that does not help, tell the people who run this site.",
		},
		operator: "Caddy's log names the check that failed. Usual causes: this server's clock is wrong, or `algorithms` does not list the tenant's.",
		action:   actionSignIn,
	}

	// pageLoop: five successes in a row without an admitted session.
	pageLoop = &page{
		status: http.StatusBadRequest,
		reason: ReasonSignInLoop,
		title:  "You are signed in, but cannot get in",
		text: []string{
			"Signing in worked several times in a row, but this site never accepted your session.",
			"Usually the browser does not keep this site's cookies. Allow them, delete the ones that this site has stored, and try again in a minute.",
			"Perhaps your account lacks a permission or an organization that this site asks for. Then ask the people who run it.",
		},
		operator: "Usual causes are cookies that are blocked, too large, or removed by a proxy; servers with different app secrets, values of `session_key` or clocks; and a scope or an organization that this site asks for and the person does not have.",
		action:   actionRetry,
	}

	// pageSignedOut: where a sign-out ends.
	pageSignedOut = &page{
		status: http.StatusOK,
		title:  "You are signed out",
		text:   []string{"If others use this computer too, close the browser as well."},
		action: actionSignIn,
	}

	// pageSignOut: the button for a GET that may come from a foreign page.
	pageSignOut = &page{
		status: http.StatusOK,
		title:  "Do you want to sign out?",
		text: []string{
			"You will have to sign in again before you can use this site.",
			"If you did not mean to, leave this page. Nothing has changed.",
		},
		action: actionSignOut,
	}

	// pageNotFound: an unknown name below the prefix.
	pageNotFound = &page{
		status: http.StatusNotFound,
		title:  "There is no such page",
		text:   []string{"This address belongs to this site's sign-in, but there is nothing here."},
	}

	// pageMethod: an endpoint does not have this method.
	pageMethod = &page{
		status: http.StatusMethodNotAllowed,
		title:  "This page cannot be used this way",
		text:   []string{"Go back to the site and try again from there."},
	}
)

// pageUnavailable: the tenant does not answer, or refuses the app itself.
func pageUnavailable(retryAfter int) *page {
	return &page{
		status: http.StatusServiceUnavailable,
		reason: ReasonTenantUnavailable,
		title:  textTenantUnavailable,
		text: []string{
			"The sign-in service does not answer as it should. You did nothing wrong.",
			"Wait a little, then try again.",
		},
		operator:   "Caddy's log says what failed. `caddy logto-auth check` tests the tenant.",
		action:     actionRetry,
		retryAfter: retryAfter,
	}
}
