package devtenant

import (
	"maps"
	"time"
)

// Lifetimes as seen at a Logto.
const (
	codeLife         = time.Minute
	interactionLife  = time.Hour
	sessionLife      = 14 * 24 * time.Hour
	refreshTokenLife = 14 * 24 * time.Hour
	grantLife        = 180 * 24 * time.Hour
)

// grant is a person's permission to one application in one browser. All codes
// and refresh tokens of the two share it, those of other tabs and of the app's
// other hosts too, and end with it.
type grant struct {
	app     string
	user    string
	expires time.Time
	revoked bool
}

// authorization is what a code, and the refresh token that it gave, stand for.
type authorization struct {
	grant     *grant
	session   *browserSession
	scopes    []string // what was asked for and granted
	resources []string
	nonce     string
	sid       string    // empty: not in the ID token
	authTime  time.Time // zero: not in the ID token
}

// endsWithSession reports whether a sign-out ends it: Logto keeps only what
// has `offline_access`.
func (a *authorization) endsWithSession() bool { return !contains(a.scopes, "offline_access") }

type code struct {
	authorization
	redirectURI string
	challenge   string // PKCE, S256; empty: none
	expires     time.Time

	// How many requests had arrived when the code was first used; zero: never.
	used int
}

type refreshToken struct {
	authorization
	issued   time.Time
	expires  time.Time
	consumed time.Time // when a newer one took its place; zero: never
}

// issued are the codes and refresh tokens that have not been destroyed, by
// their values. The tenant's mutex guards it.
type issued struct {
	codes         map[string]*code
	refreshTokens map[string]*refreshToken
}

func newIssued() issued {
	return issued{codes: map[string]*code{}, refreshTokens: map[string]*refreshToken{}}
}

// revokeLocked ends a grant with its codes and refresh tokens. JWTs live on.
func (t *Tenant) revokeLocked(g *grant) {
	g.revoked = true
	maps.DeleteFunc(t.issued.codes, func(_ string, c *code) bool { return c.grant == g })
	maps.DeleteFunc(t.issued.refreshTokens, func(_ string, r *refreshToken) bool { return r.grant == g })
}

// validLocked reports whether a code or refresh token of this authorization
// may be used. Those of a revoked grant are not even found.
func (t *Tenant) validLocked(a *authorization, now time.Time) bool {
	return now.Before(a.grant.expires) && (!a.endsWithSession() || t.liveLocked(a.session, now))
}
