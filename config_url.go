package logtoauth

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// checkResource accepts a resource identifier of RFC 9728 section 1.2.
func checkResource(raw string) error {
	u, err := keys.ParsePlainURL(raw)
	switch {
	case err != nil:
		return err
	case u.Scheme == "http" && !keys.IsLoopback(u.Hostname()):
		return fmt.Errorf("%s is plain http; clients accept only https", raw)
	}
	return nil
}

// checkLink accepts an absolute http or https URL.
func checkLink(raw string) error {
	_, err := keys.ParseHTTPURL(raw)
	return err
}

// checkTrustedOrigins accepts origins as browsers write them, since they are
// compared as text: another spelling would never match.
func (h *Handler) checkTrustedOrigins(f *findings) {
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

// checkResourceMetadata judges the RFC 9728 document.
func (h *Handler) checkResourceMetadata(f *findings) {
	m := h.ResourceMetadata
	if m == nil {
		return
	}
	const block = "resource_metadata"
	switch {
	case m.Resource != "":
		f.check(block+".resource", 0, checkResource(m.Resource))
	case h.resource() != "":
	case f.stage != loading && len(h.Audiences) == 1 && strings.Contains(h.Audiences[0], "{"):
		// The audience is known at load only, and may become the resource.
	default:
		f.add(block, "add resource <url>: only a single audience that is an https URL can stand for it")
	}
	f.checkDocument(block+".", m)
}

// checkDocument judges what else the document says. The prefix tells the
// settings from others of the same name.
func (f *findings) checkDocument(prefix string, m *ResourceMetadata) {
	checkScopes(f, prefix+"scopes", m.Scopes)
	if m.Name != "" {
		f.check(prefix+"name", 0, checkText(m.Name))
		f.check(prefix+"name", 0, checkLiteral(m.Name))
	}
	if m.Documentation != "" {
		f.check(prefix+"documentation", 0, checkLink(m.Documentation))
	}
}
