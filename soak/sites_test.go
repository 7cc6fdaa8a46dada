package soak

import (
	"fmt"
	"strings"
	"time"
)

const (
	api      = "https://api.example.com"
	orgURN   = "urn:logto:organization:"
	orgName  = "X-Org"
	userName = "X-User-Id"
)

// site is a path of the Caddy under test, what it asks for, and with that what
// the reference decides by.
type site struct {
	name         string
	audience     string
	organization string   // an ID, "any", "header" for the request's X-Org, or empty for none
	scopes       []string // GENERATION stands for what the configuration's number makes of it
	claim        [2]string
	required     string // a scope of a logto_require behind it
	maxAge       time.Duration
	from         string // where a token stands: header, cookie or query
	optional     bool
	proxied      bool
}

var sites = []*site{
	{name: "global", audience: api, scopes: []string{"read:products"}, from: "header"},
	{name: "changing", audience: api, scopes: []string{"GENERATION"}, from: "header"},
	{name: "organization", organization: "header", scopes: []string{"read:products"}, from: "header"},
	{name: "organization-api", audience: api, organization: "acme", from: "header"},
	{name: "any-organization", audience: api, organization: "any", scopes: []string{"write:orders"}, from: "header"},
	{name: "claim", audience: api, claim: [2]string{"roles", "admin"}, from: "header"},
	{name: "required", audience: api, required: "write:orders", from: "header"},
	{name: "young", audience: api, from: "header", maxAge: 5 * time.Second},
	{name: "optional", audience: api, from: "header", optional: true},
	{name: "cookie", audience: api, from: "cookie"},
	{name: "query", audience: api, from: "query"},
	{name: "proxied", audience: api, from: "header", proxied: true},
}

func (s *site) String() string { return s.name }

// scopesAt are the scopes that a generation of the configuration asks for.
func (s *site) scopesAt(generation int) []string {
	var scopes []string
	for _, scope := range s.scopes {
		scopes = append(scopes, strings.ReplaceAll(scope, "GENERATION", generationScope(generation)))
	}
	return scopes
}

func generationScope(generation int) string { return fmt.Sprintf("generation:%d", generation%2) }

// caddyfile is the site in one generation of the configuration.
func (s *site) caddyfile(generation int, upstream string) string {
	var b strings.Builder
	line := func(words ...string) { fmt.Fprintln(&b, strings.Join(words, " ")) }
	line("handle /"+s.name, "{")
	line("logto_auth {")
	if s.audience != "" {
		line("audience", s.audience)
	}
	switch s.organization {
	case "":
	case "header":
		line("organization {http.request.header." + orgName + "}")
	default:
		line("organization", s.organization)
	}
	if scopes := s.scopesAt(generation); len(scopes) > 0 {
		line("scopes", strings.Join(scopes, " "))
	}
	if s.claim[0] != "" {
		line("claim", s.claim[0], s.claim[1])
	}
	if s.maxAge > 0 {
		line("max_age", s.maxAge.String())
	}
	switch s.from {
	case "cookie":
		line("token_from cookie session")
	case "query":
		line("token_from query access_token")
	}
	if s.optional {
		line("optional")
	}
	if s.proxied {
		line("forward_claim sub", userName)
		line("strip_token")
	}
	line("}")
	if s.required != "" {
		line("logto_require", s.required)
	}
	if s.proxied {
		line("reverse_proxy", upstream, "{")
		line("transport http {")
		line("keepalive 3s") // connections of old configurations would stay for two minutes
		line("}")
		line("}")
	} else {
		line(`respond "{http.auth.user.id}|{http.auth.user.organization_id}|{http.auth.user.type}|{http.auth.user.token_id}|{http.auth.user.scopes}"`)
	}
	line("}")
	return b.String()
}
