package logtoauth

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// challengeHeader is WWW-Authenticate as net/http keeps it.
const challengeHeader = "Www-Authenticate"

// responder answers refused requests the way a site wants it. Its zero value
// answers, too.
type responder struct {
	handleErrors bool
	realm        string

	// metadataURL is where the RFC 9728 document is; empty if there is none.
	metadataURL string

	// scopes are those the site asks for, named in challenges that lead a
	// client through the metadata.
	scopes []string

	// challenges are those of the constant refusals.
	challenges map[*Refusal]string
}

// prepare renders what does not depend on the request.
func (p *responder) prepare() {
	p.challenges = make(map[*Refusal]string, len(constantRefusals))
	for _, refusal := range constantRefusals {
		p.challenges[refusal] = refusal.challenge(p.realm, p.metadataURL, p.scopes)
	}
}

func (p *responder) challenge(refusal *Refusal) string {
	if challenge, ok := p.challenges[refusal]; ok {
		return challenge
	}
	return refusal.challenge(p.realm, p.metadataURL, p.scopes)
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
	if challenge := p.challenge(refusal); challenge != "" {
		set(challengeHeader, challenge)
	}
	if refusal.RetryAfter > 0 {
		set("Retry-After", strconv.Itoa(refusal.RetryAfter))
	}
	if bodyHeldBack(r) {
		set("Connection", "close")
	}
	if p.handleErrors {
		own := *refusal // which a handler in Go may change
		return caddyhttp.Error(refusal.Status, &own)
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

// bodyHeldBack reports whether the connection must end with a refusal. A client
// that expects 100-continue waits before it sends its body. Unless the
// connection ends, net/http asks for that body first, to throw it away: it
// spares the client only where it finds its own reader in the request, which
// Caddy's server wraps. Other expectations it answers with 417 before us.
func bodyHeldBack(r *http.Request) bool {
	expect := r.Header["Expect"]
	return r.ProtoMajor == 1 && len(expect) > 0 && expect[0] != ""
}

// challenge renders the WWW-Authenticate header (RFC 6750 section 3, RFC 9728
// section 5.1), or "" where the answer carries none. fallbackScopes are those
// named with metadataURL when the refusal itself names none.
func (r *Refusal) challenge(realm, metadataURL string, fallbackScopes []string) string {
	if r.unchallenged {
		return ""
	}
	scopes := r.scopes
	if metadataURL != "" && len(scopes) == 0 && r.Status != http.StatusBadRequest {
		scopes = fallbackScopes
	}
	var b strings.Builder
	b.Grow(160) // the usual length, so that it need not grow by steps
	b.WriteString("Bearer")
	separator := byte(' ')
	attribute := func(name, value string) {
		if value == "" {
			return
		}
		b.WriteByte(separator)
		if separator == ',' {
			b.WriteByte(' ')
		}
		separator = ','
		b.WriteString(name)
		b.WriteByte('=')
		writeQuotedString(&b, value)
	}
	attribute("realm", realm)
	attribute("error", r.code)
	attribute("error_description", r.Description)
	attribute("scope", strings.Join(scopes, " "))
	if r.Status != http.StatusBadRequest {
		attribute("resource_metadata", metadataURL)
	}
	return b.String()
}

// writeQuotedString writes value as an RFC 9110 quoted-string. Octets that a
// quoted-string cannot carry are left out, so that no value can end the header
// line or the string.
func writeQuotedString(b *strings.Builder, value string) {
	b.WriteByte('"')
	written := 0
	for i := range len(value) {
		c := value[i]
		if c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			continue
		}
		b.WriteString(value[written:i])
		written = i + 1
		if c == '"' || c == '\\' {
			b.WriteByte('\\')
			b.WriteByte(c)
		}
	}
	b.WriteString(value[written:])
	b.WriteByte('"')
}

// body returns the JSON body of the answer, which is not to be changed.
func (r *Refusal) body() []byte {
	if r.Text == textInvalidToken {
		return bodyInvalidToken
	}
	return renderBody(r.Text)
}

// bodyInvalidToken is the body that nearly all refused tokens get. It has no
// room behind it: a middleware that appends to what it is given to write would
// change what another request's has appended.
var bodyInvalidToken = slices.Clip(renderBody(textInvalidToken))

func renderBody(text string) []byte {
	// The texts are printable ASCII, which Go and JSON quote alike.
	body := append(make([]byte, 0, 96), `{"error":`...)
	return append(strconv.AppendQuote(body, text), '}')
}
