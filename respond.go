package logtoauth

import (
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// challengeHeader is WWW-Authenticate as net/http keeps it.
const challengeHeader = "Www-Authenticate"

// responder answers refused requests the way a site wants it.
type responder struct {
	handleErrors bool
	realm        string

	// metadataURL is where the RFC 9728 document is; empty if there is none.
	metadataURL string

	// scopes are those the site asks for, named in challenges that lead a
	// client through the metadata.
	scopes []string
}

// refuse writes the refusal, or hands it to Caddy's error routes after the
// headers are set.
func (p *responder) refuse(w http.ResponseWriter, r *http.Request, refusal *Refusal) error {
	logReason(r.Context(), refusal.Reason)
	header := w.Header()
	lines := make([]string, 0, 5) // for all of them in one place
	set := func(name, value string) {
		lines = append(lines, value)
		header[name] = lines[len(lines)-1 : len(lines) : len(lines)]
	}
	set("Cache-Control", "no-store")
	if challenge := refusal.challenge(p.realm, p.metadataURL, p.scopes); challenge != "" {
		set(challengeHeader, challenge)
	}
	if refusal.RetryAfter > 0 {
		set("Retry-After", strconv.Itoa(refusal.RetryAfter))
	}
	// A client that expects 100-continue waits before it sends its body. Unless
	// the connection ends with the refusal, net/http asks for that body first,
	// to throw it away: it spares the client only where it finds its own reader
	// in the request, which Caddy's server wraps. Other expectations it answers
	// with 417 before us.
	if r.ProtoMajor == 1 && r.Header.Get("Expect") != "" {
		set("Connection", "close")
	}
	if p.handleErrors {
		return caddyhttp.Error(refusal.Status, refusal)
	}
	body := refusal.body()
	set("Content-Type", "application/json")
	set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(refusal.Status)
	if r.Method == http.MethodHead {
		return nil
	}
	_, err := w.Write(body)
	return err
}
