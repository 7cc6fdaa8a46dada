package devtenant

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// logoutTokenLife is as seen at a Logto.
const logoutTokenLife = 2 * time.Minute

// logoutEvent is the claim that makes a JWT a logout token.
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// LogoutTokenRequest says which logout token to issue.
type LogoutTokenRequest struct {
	// The app that is told.
	ClientID string

	// The person, and the session as the app's ID tokens name it. Logto leaves
	// the session out unless the app requires it.
	Subject   string
	SessionID string

	// Claims that are added or that replace those of a Logto. A nil value
	// deletes the claim.
	Extra map[string]any
}

// logouts are the logout tokens that sign-outs have left to be sent. The
// tenant's mutex guards it.
type logouts struct {
	pending []logout
	client  *http.Client // nil: they wait for [Tenant.Logouts]
}

type logout struct {
	uri     string
	request LogoutTokenRequest
}

// LogoutToken issues a logout token (OpenID Connect Back-Channel Logout 1.0).
func (t *Tenant) LogoutToken(req LogoutTokenRequest) string {
	now := t.now()
	claims := map[string]any{
		"sub":    req.Subject,
		"events": map[string]any{logoutEvent: map[string]any{}},
		"jti":    randomID(),
		"aud":    req.ClientID,
		"exp":    now.Add(logoutTokenLife).Unix(),
		"iat":    now.Unix(),
		"iss":    t.Issuer(),
	}
	if req.SessionID != "" {
		claims["sid"] = req.SessionID
	}
	return t.Sign(map[string]any{"typ": "logout+jwt"}, merge(claims, req.Extra))
}

// LogoutRequest is the request that carries a logout token to an app.
func LogoutRequest(ctx context.Context, uri, token string) (*http.Request, error) {
	form := url.Values{"logout_token": {token}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, uri, strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r, nil
}

// DeliverLogouts lets the tenant send logout tokens itself, during the
// sign-out, before the browser goes on. What becomes of them it does not tell,
// as a Logto does not. A nil client lets them wait for [Tenant.Logouts] again.
func (t *Tenant) DeliverLogouts(client *http.Client) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.logouts.client = client
}

// Logouts returns the requests that sign-outs have left since the last call,
// and forgets them.
func (t *Tenant) Logouts(ctx context.Context) ([]*http.Request, error) {
	t.mu.Lock()
	pending := t.logouts.pending
	t.logouts.pending = nil
	t.mu.Unlock()
	var requests []*http.Request
	for _, l := range pending {
		r, err := LogoutRequest(ctx, l.uri, t.LogoutToken(l.request))
		if err != nil {
			return nil, err
		}
		requests = append(requests, r)
	}
	return requests, nil
}

func (t *Tenant) deliverLogouts() {
	t.mu.Lock()
	client := t.logouts.client
	t.mu.Unlock()
	if client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	requests, err := t.Logouts(ctx)
	if err != nil {
		panic("devtenant: a back-channel logout URI: " + err.Error())
	}
	for _, r := range requests {
		if response, err := client.Do(r); err == nil {
			_ = response.Body.Close()
		}
	}
}

// signOutLocked ends a browser's session and leaves logout tokens for its
// apps, whichever of them asked.
func (t *Tenant) signOutLocked(s *browserSession) {
	t.endLocked(s)
	var told []logout
	for id, known := range s.apps {
		app := t.directory.apps[id]
		if app.BackChannelLogoutURI == "" {
			continue
		}
		l := logout{uri: app.BackChannelLogoutURI, request: LogoutTokenRequest{ClientID: id, Subject: s.user}}
		if app.BackChannelLogoutSessionRequired {
			l.request.SessionID = known.sid
		}
		told = append(told, l)
	}
	slices.SortFunc(told, func(a, b logout) int { return strings.Compare(a.request.ClientID, b.request.ClientID) })
	t.logouts.pending = append(t.logouts.pending, told...)
}
