package devtenant

import "time"

// reuseInterval is how long a refresh token that gave way to a newer one may
// still be used, by those who asked at the same time.
const reuseInterval = 3 * time.Second

// stolen reports whether a newer one took its place too long ago. Whoever
// shows it, the grant ends.
func (r *refreshToken) stolen(now time.Time) bool {
	return !r.consumed.IsZero() && now.Sub(r.consumed) > reuseInterval
}

// rotates reports whether a refresh gives a new refresh token: always to a
// public client, past 70 % of its life to another.
func (r *refreshToken) rotates(app App, now time.Time) bool {
	if app.NoRotation {
		return false
	}
	return app.Secret == "" || now.Sub(r.issued)*100 >= r.expires.Sub(r.issued)*70
}

// rotateLocked returns the refresh token that takes part in the answer. A
// public client's new one does not live longer than its first.
func (t *Tenant) rotateLocked(value string, r *refreshToken, app App, now time.Time) string {
	if !r.rotates(app, now) {
		return value
	}
	r.consumed = now
	next := &refreshToken{authorization: r.authorization, issued: now, expires: now.Add(refreshTokenLife)}
	if app.Secret == "" {
		next.expires = r.expires
	}
	value = randomID()
	t.issued.refreshTokens[value] = next
	return value
}
