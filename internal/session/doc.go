// Package session is what a sign-in in the browser needs beside HTTP: sealed
// cookies, the state of a sign-in, refreshed tokens and the list of ended
// sessions. It knows neither Caddy nor a server, logs nothing and starts no
// goroutine that a context does not end.
//
// # Its parts
//
//   - [KeyRing] seals and opens. Its keys come from the app secret or
//     session_key, so replicas agree without storing anything. One for each
//     issuer, app and set of secrets; it remembers the cookies that it opened.
//   - [Site] is the origin of a request: names of cookies, Set-Cookie headers.
//   - [Session] is who has signed in; [Session.Fit] makes it fit into a cookie.
//   - [Flow] and [State] bind a sign-in to a browser: verifier, nonce, loops.
//     [ReturnPath] is where it may end.
//   - [Ledger] exchanges every code once.
//   - [Refresher] has a session's tokens, one request at a time, and decides
//     who may write the cookie.
//   - [List] is the list of ended sessions in the storage, which also carries
//     revocations of people, apps, members and tokens. Adding to it never makes
//     anything good again; [List.Remove] does, for what is older than now.
//   - [Gate] bounds the token requests to a tenant.
//
// Ledger, Refresher, List, Gate and KeyRing live as long as the process and
// are kept across reloads. All methods may be called concurrently.
//
// # A sign-in starts
//
//	site, err := session.NewSite(r.Host, isHTTPS)       // error: 400
//	flow, _ := ring.FindFlow(site, r.Header["Cookie"])
//	flow, err = flow.Start(now, admitted)               // ErrLoop: the page
//	state := flow.NewState(now, issuer, redirectURI, session.ReturnPath(returnTo, prefix))
//	state.Resource, state.Scopes, state.Resources = …   // what is asked for, and
//	state.Own = …                                       // how much of it for this site
//	text, err := ring.SealState(site, state)            // error: 500, too much
//	// Set-Cookie: site.SetFlow(ring.SealFlow(site, flow))
//	// Location: state=text,
//	//   code_challenge=flow.Challenge(state), nonce=flow.Nonce(state)
//
// # A sign-in ends
//
// Look at the parameters of the callback first (iss, doubled ones), then:
//
//	state, err := ring.OpenState(site, text, issuer, redirectURI, now)
//	flow, _ := ring.FindFlow(site, cookies)
//	if !flow.Started(state)  // another browser's or tab's: never send the code.
//	                         // If !state.Again, start anew with Again set.
//	flow.Narrower(now, state) // the second attempt, if the tenant answers that it
//	                          // does not know one of the resources
//	answer, err := ledger.Do(r.Context(), state.ID(), func(ctx context.Context) (answer, error) {
//		// gate.Enter, the token request with flow.Verifier(state), the ID
//		// token with flow.Nonce(state), then
//		s := session.New(subject, now)                 // and its fields, some from the state
//		fitted, leftOut, err := s.Fit(preferredClaims) // leftOut: one WARN
//		refresher.Remember(fitted, target, token)      // whether it fits or not
//		value, err := ring.SealSession(site, fitted)
//	})
//	// ErrStateUsed: with a good session to its path, else 400.
//	// Set-Cookie: site.SetSession(value, maxAge) and
//	//   site.SetFlow(ring.SealFlow(site, flow.Succeeded(now)))
//
// An old session of the same person is listed with
// EndSession(old, now.Add(time.Minute), …), one of somebody else at once.
//
// # A request with a session
//
//	s, err := ring.FindSession(site, cookies)           // ErrMultiple: 400
//	list.Wait(ctx)                                      // error: 503
//	if !now.Before(s.ExpiresAt(lifetime, idle))         // session_expired
//	if list.Ended(s)                                    // session_ended
//	access, err := refresher.Access(ctx, s, target)     // *TokenError, by its Kind
//	r.Header["Cookie"] = session.StripCookies(cookies)  // delete it if none is left
//
// Then access.Token is judged as any other token. If it is refused for what a
// new one could fix (its key is gone, or it is too old),
// refresher.Replace(ctx, s, target, access.Token) gets another one; if that is
// refused too, the session ends. The endpoint that tells a page about its
// session uses [Refresher.Peek], which asks nobody.
//
// In identity mode the target is the zero [Target], and access.Token.Claims are
// the claims. Claims that come from a refresh have to be fitted before they are
// used, as those of the cookie are, or else a claim would be there only until
// the next restart.
//
// When the header goes out and the session is newer than the cookie
// (access.IsNewer, with an error too), or is due to be renewed:
//
//	s := access.Session
//	base := s.SealedAt
//	if s.IsDue(now, idle) { s = refresher.Newest(s).Renewed(now) }
//	if s, _, err = s.Fit(preferredClaims); err == nil &&
//		refresher.MayWrite(s, base, came, status, list.Listed(s)) {
//		// Set-Cookie: site.SetSession(ring.SealSession(site, s), maxAge)
//	}
//
// # A session ends
//
// A sign-out clears both cookies and adds EndSession(s, time.Time{}, expires)
// to the list, as does a TokenError whose kind ends the session because of the
// person (Refused, WrongSubject). The refresh token to revoke is that of
// [Refresher.Newest], since the cookie's may have been rotated.
//
// # What an attacker cannot do with it
//
//   - Make, alter, or move a cookie or state to another purpose, name, host,
//     app or issuer: all of that is authenticated.
//   - Sign somebody else in by a link: the state is bound to the browser.
//   - Use a state twice, or have its code sent twice.
//   - Lead a person to another site by a return path.
//   - Bring an ended session back by a slow answer.
//   - Fill the memory: everything that requests make grow is bounded.
package session
