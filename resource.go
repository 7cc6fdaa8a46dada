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
// of a [Handler]. It takes the same settings as that one, and answers under
// the well-known path of `resource_metadata`'s resource only. Everybody may
// read the document, from any origin. A Caddyfile's `logto_auth` with
// `resource_metadata` puts it before itself; in JSON, put it there with the
// settings of the `logto_auth` handler that it belongs to.
type Metadata struct {
	Handler

	path     string
	document metadataDocument
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

// Provision prepares the document, but for the issuers that may be known
// later only.
func (m *Metadata) Provision(ctx caddy.Context) error {
	if m.ResourceMetadata == nil {
		return errors.New("resource_metadata is missing")
	}
	if err := m.provision(ctx); err != nil {
		return err
	}
	address, err := metadataURL(m.ResourceMetadata.Resource)
	if err != nil {
		return err
	}
	m.path = address.Path
	m.document = metadataDocument{
		Resource:             m.ResourceMetadata.Resource,
		AuthorizationServers: m.Issuers,
		Scopes:               documentScopes(m.ResourceMetadata.Scopes),
		BearerMethods:        bearerMethods(m.sources),
		Name:                 m.ResourceMetadata.Name,
		Documentation:        m.ResourceMetadata.Documentation,
	}
	return nil
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
		return m.serveDocument(w, r)
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

func (m *Metadata) serveDocument(w http.ResponseWriter, r *http.Request) error {
	document := m.document
	if len(document.AuthorizationServers) == 0 {
		discovered := m.validator.keys.Await(r.Context(), requesterOf(r))
		if discovered == nil {
			return m.responder.refuse(w, r, refuseKeysUnavailable(m.validator.keys.RetryAfter(m.now())))
		}
		document.AuthorizationServers = discovered.Issuers()
	}
	body, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("encoding the resource metadata: %w", err)
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", "public, max-age=3600")
	_, err = w.Write(body) // which net/http leaves out of the answer to HEAD
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

// bearerMethods tells in RFC 6750's words where a token may stand. It knows
// none for cookies and for headers and parameters of other names.
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

// Interface guards.
var (
	_ caddy.Module                = (*Metadata)(nil)
	_ caddy.Provisioner           = (*Metadata)(nil)
	_ caddyhttp.MiddlewareHandler = (*Metadata)(nil)
)
