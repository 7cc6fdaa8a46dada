package devtenant

import (
	"crypto/subtle"
	"net/http"
)

// authenticateLocked is the app that a request is from: client_secret_basic or
// client_secret_post, or for public clients the bare ID.
func (t *Tenant) authenticateLocked(r *http.Request) (App, *oidcError) {
	if r.Header.Get("Authorization") != "" && r.PostForm.Has("client_secret") {
		return App{}, invalidRequest("client authentication must only be provided using one mechanism")
	}
	id, secret, basic := clientCredentials(r)
	switch {
	case basic && r.PostForm.Has("client_id") && r.PostForm.Get("client_id") != id:
		return App{}, invalidRequest("client_id mismatch")
	case r.Header.Get("Authorization") != "" && !basic:
		return App{}, invalidRequest("invalid authorization header value format")
	case id == "":
		return App{}, invalidRequest("no client authentication mechanism provided")
	}
	app, known := t.directory.apps[id]
	if _, machine := t.clients[id]; machine && !known {
		return App{}, invalidRequest("requested grant type is not allowed for this client")
	}
	if !known {
		return App{}, unknownClient(id)
	}
	// A public client that sends a secret is refused too: the comparison says so.
	if subtle.ConstantTimeCompare([]byte(app.Secret), []byte(secret)) != 1 {
		return App{}, errClientAuth
	}
	return app, nil
}
