package logtoauth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-logto/caddy-logto-auth/internal/fields"
)

// vetTokenSources judges the places where a token may stand.
func (f *findings) vetTokenSources(sources []TokenSource) {
	const setting = "token_from"
	for i, source := range sources {
		name := source.name()
		switch {
		case !slices.Contains(sourceKinds, source.From) && source.Name == "":
			f.addAt(setting, i, "%q is not one of header, cookie, query; write cookie %[1]s, header %[1]s or query %[1]s", source.From)
		case !slices.Contains(sourceKinds, source.From):
			f.addAt(setting, i, "%q is not one of header, cookie, query", source.From)
		case name == "":
			f.addAt(setting, i, "%s needs a name", source.From)
		case !isToken(name):
			f.addAt(setting, i, "%q is not a name that a %s can have", name, source.From)
		case source.From == sourceHeader && fields.FoldHeader(name) == "cookie":
			f.addAt(setting, i, "write cookie <name> to read a token from a cookie")
		case source.From == sourceHeader && isConnectionHeader(name):
			f.addAt(setting, i, "the header %s belongs to the connection, not to the request", name)
		case slices.ContainsFunc(sources[:i], source.same):
			f.addAt(setting, i, "%s %s is listed twice", source.From, name)
		}
	}
}

// same reports whether both are one place. Only the names of headers are
// compared without case.
func (s TokenSource) same(other TokenSource) bool {
	if s.From == sourceHeader && other.From == sourceHeader {
		return strings.EqualFold(s.name(), other.name())
	}
	return s == other
}

// vetForwardClaims judges the headers that are set for the next handler.
func (h *Handler) vetForwardClaims(f *findings) {
	const setting = "forward_claim"
	tokenHeaders := h.tokenHeaders()
	seen := make(map[string]string)
	for i, forward := range h.ForwardClaims {
		f.note(setting, i, vetClaimPath(forward.Claim))
		folded := fields.FoldHeader(forward.Header)
		turned, _ := forward.turnedRound()
		switch {
		case turned:
			f.addAt(setting, i, "the claim comes first, then the header; write forward_claim %s %s", forward.Header, forward.Claim)
		case !isToken(forward.Header):
			f.addAt(setting, i, "%q is not the name of a header", forward.Header)
		case isConnectionHeader(forward.Header):
			f.addAt(setting, i, "the header %s cannot carry a claim", forward.Header)
		case slices.Contains(tokenHeaders, folded):
			f.addAt(setting, i, "the header %s is where a token may stand; choose another", forward.Header)
		case folded == "origin" || folded == "sec-fetch-site":
			f.addAt(setting, i, "the header %s tells whose page uses a cookie token, so it must stay as the browser sent it", forward.Header)
		case slices.ContainsFunc(h.Organizations, func(id string) bool { return readsHeader(id, folded) }):
			f.addAt(setting, i, "organization reads the header %s, which would be deleted before; choose another", forward.Header)
		case seen[folded] != "":
			// Servers behind us may read both as one (RFC 3875 section 4.1.18).
			f.addAt(setting, i, "%s and %s are one header to many servers; choose another", forward.Header, seen[folded])
		default:
			seen[folded] = forward.Header
		}
	}
}

// tokenClaims are the claims of every Logto access token that are worth a
// header.
var tokenClaims = []string{"sub", "client_id", "organization_id", "scope", "iss", "aud", "jti", "iat", "exp", "act.sub"}

// turnedRound reports whether claim and header surely or perhaps stand in each
// other's place, as in `forward_claim X-User sub`: Caddy's own directives have
// the header first. Such a line would delete the header `sub` and leave X-User
// as the client sent it.
func (f ForwardClaim) turnedRound() (surely, perhaps bool) {
	claim, header := f.Claim, f.Header
	if !isToken(claim) || header == "" || fields.FoldHeader(claim) == fields.FoldHeader(header) {
		return false, false // the same header is deleted either way
	}
	const lowerCase = "abcdefghijklmnopqrstuvwxyz"
	var (
		dashes     = strings.Contains(claim, "-")
		claimLike  = strings.ContainsAny(header[:1], lowerCase)
		claimName  = claimLike && strings.ToLower(header) == header && !strings.Contains(header, "-")
		tokenClaim = slices.Contains(tokenClaims, header)
	)
	switch {
	case beginsX(claim, "-_") && beginsX(header, "-_"):
		// A claim may be called like a header, such as x-hasura-role.
		return false, false
	case beginsX(claim, "-"):
		return true, false
	case beginsX(claim, "_"):
		return claimName, !claimName
	case 'A' <= claim[0] && claim[0] <= 'Z':
		// A claim may begin with a capital, too, and its header may not.
		surely = claimName && (dashes || tokenClaim)
		return surely, !surely && (claimLike || dashes && !strings.Contains(header, "-"))
	case dashes:
		return false, claimLike && !strings.Contains(header, "-")
	}
	return false, tokenClaim && !slices.Contains(tokenClaims, claim)
}

// beginsX reports whether a name begins as those of headers that no standard
// has: with an x and one of the separators.
func beginsX(name, separators string) bool {
	return len(name) > 1 && strings.EqualFold(name[:1], "x") && strings.ContainsAny(name[1:2], separators)
}

// readsHeader reports whether a text has a placeholder for the header.
func readsHeader(text, folded string) bool {
	for part := range strings.SplitSeq(text, "{") {
		key, _, _ := strings.Cut(part, "}")
		if name, ok := strings.CutPrefix(key, "http.request.header."); ok && fields.Spells(name, folded) {
			return true
		}
	}
	return false
}

// tokenHeaders gives the folded names of the headers in which a token or a
// session may stand.
func (h *Handler) tokenHeaders() []string {
	var names []string
	if len(h.TokenSources) == 0 || h.SignIn != nil && h.SignIn.ForwardToken {
		names = append(names, fields.FoldHeader(defaultSourceHeader))
	}
	if h.SignIn != nil {
		names = append(names, "cookie")
	}
	for _, source := range h.TokenSources {
		switch source.From {
		case sourceHeader:
			names = append(names, fields.FoldHeader(source.name()))
		case sourceCookie:
			names = append(names, "cookie")
		}
	}
	return names
}

// isConnectionHeader reports whether the header frames or routes the message
// (RFC 9110 sections 7.2 and 7.6.1), so that setting or deleting it would
// change which request the next server sees.
func isConnectionHeader(name string) bool {
	switch folded := fields.FoldHeader(name); folded {
	case "host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive":
		return true
	default:
		return strings.HasPrefix(folded, "proxy-")
	}
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !isTokenChar(r) })
}

func isTokenChar(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
		strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// isMediaType reports whether s is a media type, or the last part of one, as
// `typ` may leave `application/` out (RFC 7515 section 4.1.9).
func isMediaType(s string) bool {
	kind, subtype, ok := strings.Cut(s, "/")
	return isToken(kind) && (!ok || isToken(subtype))
}

// vetTrustedOrigins accepts origins as browsers write them, since they are
// compared as text: another spelling would never match.
func (h *Handler) vetTrustedOrigins(f *findings) {
	const setting = "trusted_origins"
	for _, origin := range h.TrustedOrigins {
		if err := http.NewCrossOriginProtection().AddTrustedOrigin(origin); err != nil {
			f.add(setting, "%q is not scheme://host or scheme://host:port", origin)
			continue
		}
		u, err := url.Parse(origin)
		switch {
		case err != nil || u.User != nil || strings.ContainsAny(origin, "?#"):
			f.add(setting, "%q is not scheme://host or scheme://host:port", origin)
		case origin != strings.ToLower(origin):
			f.add(setting, "browsers send %s in lower case", origin)
		case u.Scheme == "https" && u.Port() == "443", u.Scheme == "http" && u.Port() == "80":
			f.add(setting, "browsers leave the port of %s out", origin)
		}
	}
}
