package logtoauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// unmetBehind warns of a logto_require for which no session can have what it
// asks: behind sign_in without an audience, a person has no scopes and is in no
// one organization.
func unmetBehind(auths []*foundAuth, q *Require) (warning, bool) {
	setting := "organization"
	if len(q.Scopes)+len(q.AnyScopes) > 0 {
		setting = "scopes"
	} else if len(q.Organizations) == 0 && q.OrganizationMode != organizationAny {
		return warning{}, false
	}
	for _, auth := range auths {
		if !auth.settings.identityMode() {
			return warning{}, false
		}
	}
	return warning{setting, "logto_require refuses everyone: sign_in without audience and organization gives a person's identity, which has neither scopes nor one organization; " +
		"add audience <indicator...> to logto_auth, or ask for roles with claim roles <name...>"}, len(auths) > 0
}

// siteName tells which site a handler is in.
func (s *surveyedServer) siteName(r reach) string {
	if len(r.hosts) > 0 {
		return strings.Join(r.hosts, " ")
	}
	return strings.Join(s.Listen, " ")
}

// signInApp is what all sign_in of one host must have in common.
type signInApp struct {
	issuer, clientID, path string

	// shares is what sign_in share a session's state by: two that differ would
	// open other cookies, or refresh with one refresh token twice.
	shares applicationKey
}

// signInAppOf expands what load time knows. It reports false for a logto_auth
// that has no sign_in or will not load, which says why.
func signInAppOf(auth *foundAuth) (signInApp, bool) {
	h := new(Handler)
	if json.Unmarshal([]byte(auth.written), h) != nil || h.SignIn == nil ||
		h.expand(caddy.NewReplacer()) != nil || len(h.problems(loading)) > 0 {
		return signInApp{}, false
	}
	h.applyDefaults()
	config, err := h.tenantConfig()
	if err != nil {
		return signInApp{}, false
	}
	sealing, err := h.SignIn.keys()
	if err != nil {
		return signInApp{}, false
	}
	settings := applicationSettings{
		config: config, cacheSize: *h.CacheSize, clientID: h.SignIn.ClientID, clientSecret: h.SignIn.ClientSecret, sealing: sealing,
		rules: tokenRules{algorithms: h.Algorithms, leeway: int64(time.Duration(*h.Leeway) / time.Second)},
	}
	return signInApp{h.signInIssuer(), h.SignIn.ClientID, h.SignIn.Path, settings.key()}, true
}

// conflictingSignIns returns an error if two sign_in are for one host and not
// of the same application: a browser would send the session of one to the
// other. Servers are not compared: they have other ports, and so other cookies.
func conflictingSignIns(auths []*foundAuth) error {
	type place struct {
		signInApp
		reach reach
	}
	var seen []place
	for _, auth := range auths {
		app, ok := signInAppOf(auth)
		if !ok {
			continue
		}
		for _, other := range seen {
			if other.signInApp == app || !other.reach.meets(auth.reach) {
				continue
			}
			return settingError{Setting: "sign_in", Err: differ(other.signInApp, app)}
		}
		seen = append(seen, place{app, auth.reach})
	}
	return nil
}

// differ tells what two sign_in of one site do not have in common.
func differ(a, b signInApp) error {
	x, y := a.clientID, b.clientID
	if a.issuer != b.issuer {
		x, y = x+" at "+a.issuer, y+" at "+b.issuer
	}
	if x != y {
		return fmt.Errorf("two sign_in apps in one site: %s and %s; a browser's cookies know the host only, so give each its own host", x, y)
	}
	if a.path == b.path {
		return errors.New("two sign_in of one app in one site differ in the app secret, session_key, or a setting of keys and verification " +
			"(such as leeway, cache_size or fetch_timeout); they share each session, so give all of them the same, best in the global option")
	}
	return fmt.Errorf("two paths of one sign_in app in one site: %s and %s; a callback would not be found, so give all of them the same path", a.path, b.path)
}
