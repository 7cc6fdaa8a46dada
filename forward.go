package logtoauth

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-logto/caddy-logto-auth/internal/fields"
	"github.com/caddy-logto/caddy-logto-auth/internal/jsonobject"
)

func init() {
	caddy.RegisterModule(new(StripIdentity))
}

// stripName is the name of StripIdentity among the handlers.
const stripName = "logto_strip_identity"

// maxForwardedSize bounds the value of a header that is set from a claim: many
// servers refuse requests with longer lines.
const maxForwardedSize = 8 << 10

// ForwardClaim sets a request header from a claim.
type ForwardClaim struct {
	// The path of the claim: dots descend, `\.` is a literal dot, digits
	// index arrays. If the claim is absent or null, the header is not set.
	// Arrays and objects are set as JSON. Octets beyond printable ASCII, `%`
	// and spaces at either end are percent-encoded. A value that is then
	// larger than 8 KiB is not set. Placeholders are not expanded.
	Claim string `json:"claim"`

	// The name of the request header. Placeholders are not expanded.
	Header string `json:"header"`
}

// identityHeader is a request header that is set from a claim.
type identityHeader struct {
	name   string // as net/http keeps it
	folded string
	claim  []string
}

// newIdentityHeaders takes the headers of a config, and their folded names.
func newIdentityHeaders(forwards []ForwardClaim) ([]identityHeader, headerNames, error) {
	var (
		headers []identityHeader
		names   headerNames
	)
	for _, forward := range forwards {
		claim, err := jsonobject.ParsePath(forward.Claim)
		if err != nil {
			return nil, nil, err
		}
		header := identityHeader{
			name:   textproto.CanonicalMIMEHeaderKey(forward.Header),
			folded: fields.FoldHeader(forward.Header),
			claim:  claim,
		}
		headers = append(headers, header)
		names = append(names, header.folded)
	}
	return headers, names, nil
}

// forwardClaims tells the next handler who the client is. What stood under
// these names must have been taken out before.
func (h *Handler) forwardClaims(state *requestState, header http.Header) {
	for _, forward := range h.identity {
		value, ok := state.info.claim(forward.claim)
		if !ok {
			continue
		}
		text := encodeForwarded(claimText(value))
		if len(text) > maxForwardedSize {
			if entry := h.logger.Check(zapcore.DebugLevel, "claim too large to forward"); entry != nil {
				entry.Write(zap.String("header", forward.name), zap.Int("size", len(text)))
			}
			continue
		}
		header[forward.name] = []string{text}
		state.forwarded = append(state.forwarded, forward.folded)
	}
}

// encodeForwarded percent-encodes what a header cannot carry, or what servers
// change on the way: octets beyond printable ASCII, and spaces at either end,
// which are no part of a field's value (RFC 9110 section 5.5). The percent
// sign is encoded too, so that no two claims look alike.
func encodeForwarded(text string) string {
	const digits = "0123456789ABCDEF"
	start := len(text) - len(strings.TrimLeft(text, " "))
	end := len(strings.TrimRight(text, " "))
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c < 0x20, c > 0x7e, c == '%', c == ' ' && (i < start || i >= end):
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&0xf])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// takeOutForged takes out what the client sent under the names, but not what a
// logto_auth has set in this request.
func takeOutForged(r *http.Request, names headerNames) {
	if state, ok := knownState(r); ok && len(state.forwarded) > 0 {
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			return slices.Contains(state.forwarded, name)
		})
	}
	names.takeOut(r)
}

// StripIdentity is a middleware that deletes what a client sent under the
// names of headers that [Handler] sets from claims, so that no request carries
// an identity of the client's own making, whichever handlers it passes. It
// leaves a header that a handler has set in this request. A Caddyfile's
// `logto_auth` with `forward_claim` puts it before itself, for the requests
// that its matcher leaves out; in JSON, put it first in the routes.
//
// It also deletes the headers before error routes, from requests that match
// its site: Caddy runs error routes for requests that fail before any route,
// too, and those of another site if they match. Nothing needs to be written
// for that. In JSON a site is a terminal route of the server with no matchers
// but `host` and `path`, behind no routes but other sites. A handler that is
// elsewhere deletes the headers from every request, and so do all for a request
// that matches no site. Error routes of a subroute around this handler are its
// own as well. A named route belongs to every site of its server, and protects
// error routes only within `subroute` handlers.
type StripIdentity struct {
	// The names of the headers to delete, in trailers too. Spellings that
	// differ in case or in any character that is neither letter nor digit are
	// deleted as well, since servers may take them for the same header.
	// Placeholders are not expanded.
	Headers []string `json:"headers,omitempty"`

	// If true, the cookies of `sign_in` are deleted as well, so that no later
	// handler gets them. Later `logto_auth` still find the session. A
	// Caddyfile's `logto_auth` with `sign_in` and a matcher puts this behind
	// itself, for the requests that the matcher leaves out.
	SignInCookies bool `json:"sign_in_cookies,omitempty"`

	names headerNames
}

// CaddyModule returns the Caddy module information.
func (*StripIdentity) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers." + stripName,
		New: func() caddy.Module { return new(StripIdentity) },
	}
}

// Provision folds the names and has them deleted in error routes too.
func (s *StripIdentity) Provision(ctx caddy.Context) error {
	for _, header := range s.Headers {
		s.names = append(s.names, fields.FoldHeader(header))
	}
	_, err := guardErrorRoutes(ctx, reserved{headers: s.names, cookies: s.SignInCookies})
	return err
}

// ServeHTTP deletes the headers and passes the request on.
func (s *StripIdentity) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	// Caddy may run this after a logto_auth with a longer path, or in a block
	// within the one whose logto_auth set the header.
	takeOutForged(r, s.names)
	if s.SignInCookies && len(r.Header["Cookie"]) > 0 {
		stateOf(r).takeCookies(r, systemClock())
	}
	return next.ServeHTTP(w, r)
}

// Interface guards.
var (
	_ caddy.Module                = (*StripIdentity)(nil)
	_ caddy.Provisioner           = (*StripIdentity)(nil)
	_ caddyhttp.MiddlewareHandler = (*StripIdentity)(nil)
)
