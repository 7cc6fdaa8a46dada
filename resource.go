package logtoauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/fields"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

func init() {
	caddy.RegisterModule(new(Metadata))
}

const (
	// metadataName is the name of Metadata among the handlers.
	metadataName = "logto_resource_metadata"

	// metadataPath is where the documents are (RFC 9728 section 3).
	metadataPath = "/.well-known/oauth-protected-resource"

	// offlineAccess asks for a refresh token. It is between client and tenant
	// and no scope of a resource.
	offlineAccess = "offline_access"

	// queryParameter is where RFC 6750 section 2.3 has a token in the query.
	queryParameter = "access_token"
)

// ResourceMetadata describes the protected resource (RFC 9728 section 2).
type ResourceMetadata struct {
	// The resource identifier: an absolute https (loopback: http) URL without
	// query or fragment. Default: the only audience if that is such a URL;
	// else it is required.
	Resource string `json:"resource,omitempty"`

	// The scopes to list in `scopes_supported`. Default: `scopes` and
	// `any_scopes` of this handler.
	Scopes []string `json:"scopes,omitempty"`

	// The human-readable name of the resource. Default: none.
	Name string `json:"name,omitempty"`

	// The URL of documentation for developers. Default: none.
	Documentation string `json:"documentation,omitempty"`
}

// Metadata is a handler that serves the RFC 9728 protected resource metadata
// of a [Handler]. It answers under the well-known path of its resource and
// passes all other requests on. Everybody may read the document, from any
// origin. A Caddyfile's `logto_auth` with `resource_metadata` puts it before
// itself; in JSON, put it there.
type Metadata struct {
	// The tenant, as in `logto_auth`: the document names its issuer,
	// `<endpoint>/oidc`, if there are no `issuers`. Placeholders (`{env.*}`,
	// `{file.*}`) are expanded when the config is loaded.
	Endpoint string `json:"endpoint,omitempty"`

	// The issuers to name in `authorization_servers`, as in `logto_auth`.
	// Default: the endpoint's. Placeholders (`{env.*}`, `{file.*}`) are
	// expanded when the config is loaded.
	Issuers []string `json:"issuers,omitempty"`

	// The resource identifier: an absolute https (loopback: http) URL without
	// query or fragment. Required. Placeholders (`{env.*}`, `{file.*}`) are
	// expanded when the config is loaded.
	Resource string `json:"resource,omitempty"`

	// The scopes to list in `scopes_supported`, without `offline_access`.
	// Default: none.
	Scopes []string `json:"scopes,omitempty"`

	// The human-readable name of the resource. Default: none.
	Name string `json:"name,omitempty"`

	// The URL of documentation for developers. Default: none.
	Documentation string `json:"documentation,omitempty"`

	// The places where a token may stand, as in `logto_auth`; the document has
	// those that RFC 6750 knows. Default: the Authorization header.
	TokenSources []TokenSource `json:"token_sources,omitempty"`

	path     string
	document []byte
}

// metadataDocument is the document (RFC 9728 section 2).
type metadataDocument struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	Scopes               []string `json:"scopes_supported,omitempty"`
	BearerMethods        []string `json:"bearer_methods_supported"`
	Name                 string   `json:"resource_name,omitempty"`
	Documentation        string   `json:"resource_documentation,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Metadata) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers." + metadataName,
		New: func() caddy.Module { return new(Metadata) },
	}
}

// metadata returns the handler that serves the document of h. It is made while
// a Caddyfile is adapted, when the only audience may be a placeholder that
// becomes the resource at load.
func (h *Handler) metadata() *Metadata {
	m := &Metadata{
		Issuers:       h.Issuers,
		Resource:      h.resource(),
		Scopes:        h.ResourceMetadata.Scopes,
		Name:          h.ResourceMetadata.Name,
		Documentation: h.ResourceMetadata.Documentation,
		TokenSources:  h.TokenSources,
	}
	if m.Resource == "" && len(h.Audiences) == 1 {
		m.Resource = h.Audiences[0]
	}
	if len(m.Issuers) == 0 {
		m.Endpoint = h.Endpoint
	}
	if len(m.Scopes) == 0 {
		m.Scopes = slices.Concat(h.Scopes, h.AnyScopes)
	}
	return m
}

// Provision makes the document. Nothing in it needs the tenant: a discovery
// document that named another issuer than these would be refused.
func (m *Metadata) Provision(caddy.Context) error {
	e := &expander{repl: caddy.NewReplacer()}
	e.expand("endpoint", &m.Endpoint)
	e.expandAll("issuer", m.Issuers)
	e.expand("resource", &m.Resource)
	if err := errors.Join(e.errs...); err != nil {
		return err
	}
	if err := joinProblems(m.problems()); err != nil {
		return err
	}
	address, err := metadataURL(m.Resource)
	if err != nil {
		return err
	}
	m.path = address.Path
	if len(m.TokenSources) == 0 {
		m.TokenSources = defaultTokenSources()
	}
	m.document, err = json.Marshal(metadataDocument{
		Resource:             m.Resource,
		AuthorizationServers: keys.Config{Endpoint: keys.NormalizeEndpoint(m.Endpoint), Issuers: m.Issuers}.AcceptedIssuers(),
		Scopes:               documentScopes(m.Scopes),
		BearerMethods:        bearerMethods(newTokenSources(m.TokenSources)),
		Name:                 m.Name,
		Documentation:        m.Documentation,
	})
	return err
}

// problems returns every mistake in the configuration, whose placeholders have
// been expanded.
func (m *Metadata) problems() []settingError {
	f := &findings{stage: loading}
	switch {
	case m.Endpoint != "":
		f.vetExpanded("endpoint", m.Endpoint, func(raw string) error { return keys.CheckEndpoint(raw, true) })
	case len(m.Issuers) == 0:
		f.add("endpoint", "no tenant is named; add endpoint or issuers")
	}
	for _, issuer := range m.Issuers {
		f.vetExpanded("issuer", issuer, keys.CheckIssuer)
	}
	f.note("resource", 0, vetResource(m.Resource))
	f.vetTokenSources(m.TokenSources)
	f.vetDocument("", &ResourceMetadata{Scopes: m.Scopes, Name: m.Name, Documentation: m.Documentation})
	return f.problems
}

// ServeHTTP answers requests for the document and passes all others on.
// Nothing in the answer comes from the request: who could change the document
// in a cache would send clients to an authorization server of theirs.
func (m *Metadata) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	// Clients do not agree whether a slash at the end of a resource's path
	// belongs there.
	if strings.TrimSuffix(r.URL.Path, "/") != strings.TrimSuffix(m.path, "/") {
		return next.ServeHTTP(w, r)
	}
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return m.serveDocument(w)
	case http.MethodOptions:
		header.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		// The wildcard does not stand for Authorization (Fetch standard
		// section 4.8).
		header.Set("Access-Control-Allow-Headers", "*, Authorization")
		header.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
	default:
		header.Set("Allow", "GET, HEAD, OPTIONS")
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
	return nil
}

func (m *Metadata) serveDocument(w http.ResponseWriter) error {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(m.document)))
	header.Set("Cache-Control", "public, max-age=3600")
	// All answers share it: a middleware that appends to it must not find room.
	_, err := w.Write(slices.Clip(m.document)) // which net/http leaves out of the answer to HEAD
	return err
}

// metadataURL gives the address of a resource's document: the well-known path
// goes between host and path, and a slash that is all of the path goes away
// (RFC 9728 section 3.1).
func metadataURL(resource string) (*url.URL, error) {
	u, err := url.Parse(resource)
	if err != nil {
		return nil, fmt.Errorf("parsing the resource: %w", err)
	}
	if u.Path == "/" {
		u.Path = ""
	}
	address := *u
	address.Path = metadataPath + u.Path
	if u.RawPath != "" {
		address.RawPath = metadataPath + u.RawPath
	}
	return &address, nil
}

// documentScopes are the scopes to ask for.
func documentScopes(scopes []string) []string {
	return slices.DeleteFunc(mergeScopes(scopes), func(scope string) bool { return scope == offlineAccess })
}

// bearerMethods tells in RFC 6750's words where a token may stand. It has no
// words for cookies and for headers and parameters of other names.
func bearerMethods(sources tokenSources) []string {
	methods := []string{} // an empty array says that there are none
	for _, source := range sources {
		switch {
		case source.From == sourceHeader && source.Name == defaultSourceHeader:
			methods = append(methods, "header")
		case source.From == sourceQuery && source.Name == queryParameter:
			methods = append(methods, "query")
		}
	}
	return methods
}

// vetResource accepts a resource identifier of RFC 9728 section 1.2.
func vetResource(raw string) error {
	u, err := keys.ParsePlainURL(raw)
	switch {
	case err != nil:
		return err
	case u.Scheme == "http" && !fields.IsLoopback(u.Hostname()):
		return fmt.Errorf("%s is plain http; clients accept only https", raw)
	}
	return nil
}

// vetLink accepts an absolute http or https URL.
func vetLink(raw string) error {
	_, err := keys.ParseHTTPURL(raw)
	return err
}

// vetResourceMetadata judges the RFC 9728 document.
func (h *Handler) vetResourceMetadata(f *findings) {
	m := h.ResourceMetadata
	if m == nil {
		return
	}
	const block = "resource_metadata"
	switch {
	case m.Resource != "":
		f.note(block+".resource", 0, vetResource(m.Resource))
	case h.resource() != "":
	case f.stage != loading && len(h.Audiences) == 1 && strings.Contains(h.Audiences[0], "{"):
		// The audience is known at load only, and may become the resource.
	default:
		f.add(block, "add resource <url>: only a single audience that is an https URL can stand for it")
	}
	f.vetDocument(block+".", m)
}

// vetDocument judges what else the document says. The prefix tells the
// settings from others of the same name.
func (f *findings) vetDocument(prefix string, m *ResourceMetadata) {
	vetScopes(f, prefix+"scopes", m.Scopes)
	if m.Name != "" {
		f.note(prefix+"name", 0, vetText(m.Name))
		f.note(prefix+"name", 0, vetLiteral(m.Name))
	}
	if m.Documentation != "" {
		f.note(prefix+"documentation", 0, vetLink(m.Documentation))
	}
}

// Interface guards.
var (
	_ caddy.Module                = (*Metadata)(nil)
	_ caddy.Provisioner           = (*Metadata)(nil)
	_ caddyhttp.MiddlewareHandler = (*Metadata)(nil)
)
