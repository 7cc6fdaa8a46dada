package logtoauth

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// validHandler has nothing to complain about; the tests spoil it.
func validHandler() *Handler {
	return &Handler{
		Endpoint:  "https://tenant.logto.app",
		Audiences: []string{"https://api.example.com"},
	}
}

// settingsOf gives the settings that the problems name, sorted.
func settingsOf(problems []settingError) []string {
	settings := make([]string, 0, len(problems))
	for _, problem := range problems {
		settings = append(settings, problem.Setting)
	}
	slices.Sort(settings)
	return settings
}

// TestHandlerProblems holds what only JSON can say, or only the moment of
// loading shows; the golden Caddyfiles hold the rest.
func TestHandlerProblems(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(h *Handler)
		want  []string
	}{
		{"nothing wrong", func(*Handler) {}, nil},
		{"empty", func(h *Handler) { *h = Handler{} }, []string{"audience", "endpoint"}},
		{"mode is not a keyword", func(h *Handler) { h.OrganizationMode = "all" }, []string{"organization"}},
		{"mode any lifts the audience", func(h *Handler) { h.Audiences, h.OrganizationMode = nil, "any" }, nil},
		{"mode forbid does not", func(h *Handler) { h.Audiences, h.OrganizationMode = nil, "forbid" }, []string{"audience"}},
		{"mode ignore does not", func(h *Handler) { h.Audiences, h.OrganizationMode = nil, "ignore" }, []string{"audience"}},
		{"a keyword as an ID is an ID", func(h *Handler) { h.Organizations = []string{"ignore"} }, nil},
		{"mode beside IDs", func(h *Handler) {
			h.OrganizationMode, h.Organizations = "forbid", []string{"org1"}
		}, []string{"organization"}},
		{"empty organization", func(h *Handler) { h.Organizations = []string{"org1", ""} }, []string{"organization"}},
		{"organization with a line feed", func(h *Handler) { h.Organizations = []string{"org1\n"} }, []string{"organization"}},
		{"organization with half a placeholder", func(h *Handler) {
			h.Organizations = []string{"{http.request.header.X-Org"}
		}, []string{"organization"}},
		{"organization from the request", func(h *Handler) {
			h.Organizations = []string{"{http.request.host.labels.2}"}
		}, nil},

		{"empty audience", func(h *Handler) { h.Audiences = []string{"a", ""} }, []string{"audience"}},
		{"audience with a space behind it", func(h *Handler) { h.Audiences = []string{"a "} }, []string{"audience"}},
		{"audience not expanded", func(h *Handler) { h.Audiences = []string{"{env.AUDIENCE}"} }, []string{"audience"}},
		{"endpoint not expanded", func(h *Handler) { h.Endpoint = "https://{env.HOST}" }, []string{"endpoint"}},
		{"jwks_uri not expanded", func(h *Handler) { h.JWKSURI = "{env.JWKS}" }, []string{"jwks_uri"}},
		{"issuer not expanded", func(h *Handler) { h.Issuers = []string{"{file.issuer}"} }, []string{"issuer"}},
		{"jwks_file not expanded", func(h *Handler) {
			h.Endpoint, h.Issuers, h.JWKSFile = "", []string{"https://a/oidc"}, "{env.FILE}"
		}, []string{"jwks_file"}},
		{"trusted_ca_file not expanded", func(h *Handler) { h.TrustedCAFile = "{env.CA}" }, []string{"trusted_ca_file"}},
		{"resource from an audience not expanded", func(h *Handler) {
			h.Audiences, h.ResourceMetadata = []string{"{env.AUDIENCE}"}, &ResourceMetadata{}
		}, []string{"audience", "resource_metadata"}},

		{"empty issuer", func(h *Handler) { h.Issuers = []string{""} }, []string{"issuer"}},
		{"issuer with a line feed", func(h *Handler) { h.Issuers = []string{"https://a/oidc\n"} }, []string{"issuer"}},
		{"file contradicts endpoint, without issuer", func(h *Handler) { h.JWKSFile = "keys.json" }, []string{"jwks_file", "jwks_file"}},
		{"file contradicts jwks_uri", func(h *Handler) {
			h.Endpoint, h.Issuers = "", []string{"https://a/oidc"}
			h.JWKSURI, h.JWKSFile = "https://a/jwks", "keys.json"
		}, []string{"jwks_file"}},
		{"endpoint, issuer and jwks_uri", func(h *Handler) {
			h.Issuers, h.JWKSURI = []string{"https://a/oidc"}, "https://a/jwks"
		}, nil},
		{"http endpoint that was allowed", func(h *Handler) { h.Endpoint, h.InsecureHTTP = "http://logto:3001", true }, nil},

		{"empty algorithm", func(h *Handler) { h.Algorithms = []string{""} }, []string{"algorithms"}},
		{"any beside another type", func(h *Handler) { h.TokenTypes = []string{"any", "at+jwt"} }, []string{"token_type"}},
		{"empty scope", func(h *Handler) { h.Scopes, h.AnyScopes = []string{""}, []string{"b", ""} }, []string{"any_scope", "scopes"}},
		{"empty claim path", func(h *Handler) { h.Claims = []ClaimRequirement{{Values: []string{"a"}}} }, []string{"claim"}},
		{"claim without values", func(h *Handler) { h.Claims = []ClaimRequirement{{Path: "a"}} }, []string{"claim"}},
		{"claim with an empty value", func(h *Handler) {
			h.Claims = []ClaimRequirement{{Path: "a", Values: []string{""}}}
		}, []string{"claim"}},
		{"placeholder in a claim's path", func(h *Handler) {
			h.Claims = []ClaimRequirement{{Path: "{env.CLAIM}", Values: []string{"a"}}}
			h.ForwardClaims = []ForwardClaim{{Claim: "a.{http.request.host}", Header: "X-User"}}
		}, []string{"claim", "forward_claim"}},
		{"source without a kind", func(h *Handler) { h.TokenSources = []TokenSource{{Name: "a"}} }, []string{"token_from"}},
		{"cookie without a name", func(h *Handler) { h.TokenSources = []TokenSource{{From: "cookie"}} }, []string{"token_from"}},
		{"one place twice", func(h *Handler) {
			h.TokenSources = []TokenSource{{From: "header"}, {From: "header", Name: "AUTHORIZATION"}}
		}, []string{"token_from"}},
		{"cookies that differ in case", func(h *Handler) {
			h.TokenSources = []TokenSource{{From: "cookie", Name: "t"}, {From: "cookie", Name: "T"}, {From: "query", Name: "t"}}
		}, nil},
		{"claim into the cookies, which hold the token", func(h *Handler) {
			h.TokenSources = []TokenSource{{From: "cookie", Name: "t"}}
			h.ForwardClaims = []ForwardClaim{{Claim: "sub", Header: "Cookie"}}
		}, []string{"forward_claim"}},
		{"claim into Authorization, where no token stands", func(h *Handler) {
			h.TokenSources = []TokenSource{{From: "cookie", Name: "t"}}
			h.ForwardClaims = []ForwardClaim{{Claim: "sub", Header: "Authorization"}}
		}, nil},
		{"header that ends the line", func(h *Handler) {
			h.ForwardClaims = []ForwardClaim{{Claim: "sub", Header: "X-User\r\nX-Admin"}}
		}, []string{"forward_claim"}},

		{"realm that ends the header", func(h *Handler) { h.Realm = "a\r\nSet-Cookie: b" }, []string{"realm"}},
		{"placeholders in texts", func(h *Handler) {
			h.Realm, h.ResourceMetadata = "{env.REALM}", &ResourceMetadata{Resource: "https://a", Name: "{env.NAME}"}
		}, []string{"realm", "resource_metadata.name"}},
		{"negative durations", func(h *Handler) {
			negative := caddy.Duration(-1)
			h.MaxAge, h.RefreshInterval, h.RefreshCooldown, h.FetchTimeout = negative, negative, negative, negative
			h.Leeway, h.MaxStale = &negative, &negative
		}, []string{"fetch_timeout", "leeway", "max_age", "max_stale", "refresh_cooldown", "refresh_interval"}},
		{"leeway of an hour", func(h *Handler) { h.Leeway = new(caddy.Duration(time.Hour)) }, nil},
		{"leeway over an hour", func(h *Handler) { h.Leeway = new(caddy.Duration(time.Hour + 1)) }, []string{"leeway"}},
		{"negative cache size", func(h *Handler) { h.CacheSize = new(-1) }, []string{"cache_size"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := validHandler()
			test.spoil(h)
			if got := settingsOf(h.problems(loading)); !slices.Equal(got, test.want) {
				t.Errorf("got problems with %v, want %v: %v", got, test.want, joinProblems(h.problems(loading)))
			}
			h.applyDefaults()
			if got := settingsOf(h.problems(loading)); !slices.Equal(got, test.want) {
				t.Errorf("with defaults got problems with %v, want %v", got, test.want)
			}
		})
	}
}

func TestRequireProblems(t *testing.T) {
	tests := []struct {
		name    string
		require *Require
		want    []string
	}{
		{"nothing asked", &Require{}, nil},
		{"mode ignore would check nothing", &Require{OrganizationMode: "ignore"}, []string{"organization"}},
		{"mode beside IDs", &Require{OrganizationMode: "any", Organizations: []string{"a"}}, []string{"organization"}},
		{"empty organization", &Require{Organizations: []string{""}}, []string{"organization"}},
		{"all at once", &Require{
			Scopes: []string{"a b"}, AnyScopes: []string{""}, Claims: []ClaimRequirement{{Path: "a.", Values: []string{"b"}}},
		}, []string{"any_scope", "claim", "scopes"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := settingsOf(test.require.problems(loading)); !slices.Equal(got, test.want) {
				t.Errorf("got problems with %v, want %v", got, test.want)
			}
		})
	}
}

// TestForwardClaimRefusesFramingHeaders lists the headers that decide what the
// next server takes for a request.
func TestForwardClaimRefusesFramingHeaders(t *testing.T) {
	for _, header := range []string{
		"Host", "Connection", "Content-Length", "content_length", "Transfer-Encoding", "TE", "Trailer", "Upgrade",
		"Keep-Alive", "Keep.Alive", "Proxy-Connection", "Proxy-Authorization", "Authorization", "AUTHORIZATION", "", "X User", "X-Usér",
	} {
		h := validHandler()
		h.ForwardClaims = []ForwardClaim{{Claim: "sub", Header: header}}
		if got := settingsOf(h.problems(loading)); !slices.Equal(got, []string{"forward_claim"}) {
			t.Errorf("%q: got problems with %v", header, got)
		}
	}
}

func TestCheckAlgorithm(t *testing.T) {
	for _, algorithm := range defaultAlgorithms {
		if err := vetAlgorithm(algorithm); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
	for _, algorithm := range []string{"HS256", "hs512", "none", "None", "nOnE", "ES256K", "RS1", "eddsa", "A128KW", " ES384", ""} {
		if vetAlgorithm(algorithm) == nil {
			t.Errorf("%q was accepted", algorithm)
		}
	}
}

// TestScopeCharacters goes through the bounds of scope-token in RFC 6749.
func TestScopeCharacters(t *testing.T) {
	for scope, valid := range map[string]bool{
		"read:products": true, "!#[]~": true, "https://api.example.com/.default": true,
		`a"b`: false, `a\b`: false, "a b": false, "a\tb": false, "a\x7f": false, "é": false, "": false,
	} {
		r := &Require{Scopes: []string{scope}}
		if got := r.problems(loading); (len(got) == 0) != valid {
			t.Errorf("%q: %v", scope, got)
		}
	}
}

// TestIsAbsoluteURI goes by what Logto takes as the indicator of an API
// resource.
func TestIsAbsoluteURI(t *testing.T) {
	for s, want := range map[string]bool{
		"https://api.example.com": true, "https://api.example.com/a,b": true, "http://localhost:3000": true,
		"urn:example:api": true, "api://orders": true, "urn:logto:organization:x": true,
		"": false, "api": false, "api.example.com": false, "/api": false, "//api.example.com": false,
		"localhost:3000": false, "api.example.com:443": false, "api.example.com:x": false,
		"https://api.example.com/#a": false, "https:": false, "%zz": false,
	} {
		if got := isAbsoluteURI(s); got != want {
			t.Errorf("%q: %t", s, got)
		}
	}
}

// TestForwardClaimTurnedRound: the header that was meant would stay as the
// client sent it.
func TestForwardClaimTurnedRound(t *testing.T) {
	const (
		right   = iota
		warned  // it may be right
		refused // it cannot be
	)
	for line, want := range map[string]int{
		"X-User sub": refused, "x-user sub": refused, "X_User email": refused, "Remote-User username": refused, "User sub": refused,
		"X-Actor act.sub": refused, "X-Org organization_id": refused, "X-User Sub": refused, "X-Tenant tenantId": refused,
		"X-Tenant tenant-id": refused, "x-tenant Tenant": refused, "X-User Remote-User": refused, `X-Role https://example\.com/role`: refused,

		"remote_user sub": warned, "x sub": warned, "user-id uid": warned, "Tenant-Id tenantId": warned, "Tenant-Id TenantId": warned,
		"User userName": warned, "Tenant tenant-id": warned, "x_user email": refused, "x_tenant tenantId": warned, "x_tenant Tenant": warned, "X_Tenant Tenant-Id": warned,

		"sub X-User": right, "sub sub": right, "email x_user.id": right, "Department department": right, "department Department": right,
		"X-Name X-Name": right, "X-Name x-name": right, "X-Role x.role": right, "x-hasura-role x-hasura-role": right, "x-hasura-role X-Hasura-Role": right,
		"x-hasura-role X-Role": right, `https://example\.com/x-y sub`: right, `\x-tenant Tenant`: right, "tenantId X-Tenant": right,
		"tenant-id Tenant-Id": right, "tenant-id X-Tenant": right, "sub User": right, "scope Scopes": right, "permissions Scope": right,
		"email Remote-User": right, "client_id client": right, "sub iss": right, "roles.0 role": right,
	} {
		claim, header, _ := strings.Cut(line, " ")
		h := validHandler()
		h.ForwardClaims = []ForwardClaim{{Claim: claim, Header: header}}
		corrected := "write forward_claim " + header + " " + claim
		got := right
		for _, w := range h.warnings() {
			if w.setting == "forward_claim" && strings.Contains(w.text, corrected) {
				got = warned
			}
		}
		for _, problem := range h.problems(loading) {
			if strings.Contains(problem.Error(), corrected) {
				got = refused
			}
		}
		if got != want {
			t.Errorf("%s: %d, want %d", line, got, want)
		}
	}
}

func TestTrustedOriginsThatNoBrowserSends(t *testing.T) {
	for origin, valid := range map[string]bool{
		"https://app.example.com": true, "http://localhost:5173": true, "https://app.example.com:8443": true,
		"http://app.example.com:443": true, "chrome-extension://abcdefghijklmnop": true,
		"": false, "null": false, "*": false, "app.example.com": false, "https://": false,
		"https://app.example.com/": false, "https://app.example.com?": false, "https://app.example.com#": false,
		"https://ada@app.example.com": false, "https://app.example.com:443": false, "http://app.example.com:80": false,
		"https://App.example.com": false, "HTTPS://app.example.com": false, "{env.ORIGIN}": false, "https://{env.HOST}": false,
	} {
		h := validHandler()
		h.TrustedOrigins = []string{origin}
		if got := h.problems(loading); (len(got) == 0) != valid {
			t.Errorf("%q: %v", origin, got)
		}
	}
}

func TestCheckClaimPath(t *testing.T) {
	for path, valid := range map[string]bool{
		"sub": true, "a.b.0": true, `https://example\.com/roles`: true, `\.`: true, `a\.b.c`: true, "with space": true,
		"": false, ".": false, "a.": false, ".a": false, "a..b": false, "a\nb": false, `a\..`: false,
	} {
		if err := vetClaimPath(path); (err == nil) != valid {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestApplyDefaults(t *testing.T) {
	tests := []struct {
		name    string
		handler *Handler
		want    string
	}{
		{
			name:    "of everything",
			handler: &Handler{},
			want: `{"organization_mode":"forbid","token_sources":[{"from":"header","name":"Authorization"}],` +
				`"audience_mismatch":403,"errors":"json",` +
				`"algorithms":["ES256","ES384","ES512","RS256","RS384","RS512","PS256","PS384","PS512","EdDSA"],` +
				`"token_types":["at+jwt"],"leeway":10000000000,"cache_size":10000,"refresh_interval":600000000000,` +
				`"refresh_cooldown":5000000000,"max_stale":86400000000000,"fetch_timeout":5000000000}`,
		},
		{
			name: "keep what is set, zero included",
			handler: &Handler{
				Organizations: []string{"org1"}, TokenSources: []TokenSource{{From: "query", Name: "t"}, {From: "header"}},
				AudienceMismatch: 401, Errors: "handle_errors", Algorithms: []string{"ES384"}, TokenTypes: []string{"any"},
				Leeway: new(caddy.Duration(0)), CacheSize: new(0), MaxStale: new(caddy.Duration(0)),
				RefreshInterval: 1, RefreshCooldown: 2, FetchTimeout: 3,
			},
			want: `{"organizations":["org1"],"token_sources":[{"from":"query","name":"t"},{"from":"header","name":"Authorization"}],` +
				`"audience_mismatch":401,"errors":"handle_errors","algorithms":["ES384"],"token_types":["any"],` +
				`"leeway":0,"cache_size":0,"refresh_interval":1,"refresh_cooldown":2,"max_stale":0,"fetch_timeout":3}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.handler.applyDefaults()
			got, err := json.Marshal(test.handler)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestResourceMetadataDefaults(t *testing.T) {
	tests := []struct {
		name     string
		handler  *Handler
		resource string
		scopes   []string
		status   int
	}{
		{"only audience", &Handler{Audiences: []string{"https://a.example/x"}}, "https://a.example/x", nil, 401},
		{"loopback audience", &Handler{Audiences: []string{"http://localhost:3000"}}, "http://localhost:3000", nil, 401},
		{"http audience", &Handler{Audiences: []string{"http://a.example"}}, "", nil, 401},
		{"audience with a query", &Handler{Audiences: []string{"https://a.example?x"}}, "", nil, 401},
		{"audience is no URL", &Handler{Audiences: []string{"urn:a"}}, "", nil, 401},
		{"two audiences", &Handler{Audiences: []string{"https://a.example", "https://b.example"}}, "", nil, 401},
		{"scopes of the site", &Handler{Scopes: []string{"a"}, AnyScopes: []string{"b", "c"}}, "", []string{"a", "b", "c"}, 401},
		{"status is set", &Handler{AudienceMismatch: 403}, "", nil, 403},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.handler.ResourceMetadata = &ResourceMetadata{}
			test.handler.applyDefaults()
			m := test.handler.metadata()
			if test.handler.ResourceMetadata.Resource != test.resource || !slices.Equal(m.Scopes, test.scopes) || test.handler.AudienceMismatch != test.status {
				t.Errorf("got %q, %v, %d", m.Resource, m.Scopes, test.handler.AudienceMismatch)
			}
		})
	}
}

// TestDefaultsAreNotShared shows that one handler's settings cannot change
// another's.
func TestDefaultsAreNotShared(t *testing.T) {
	a, b := new(Handler), new(Handler)
	a.applyDefaults()
	b.applyDefaults()
	a.Algorithms[0] = "none"
	*a.Leeway = 0
	if b.Algorithms[0] == "none" || defaultAlgorithms[0] == "none" || *b.Leeway == 0 {
		t.Error("the defaults of one handler changed with another's")
	}
}

// TestEveryFieldIsInAGolden keeps fields from being added to the JSON without
// a word in the Caddyfile.
func TestEveryFieldIsInAGolden(t *testing.T) {
	seen := goldenKeys(t)
	for _, typ := range []reflect.Type{
		reflect.TypeFor[Handler](), reflect.TypeFor[Require](), reflect.TypeFor[ResourceMetadata](), reflect.TypeFor[Metadata](),
		reflect.TypeFor[ClaimRequirement](), reflect.TypeFor[TokenSource](), reflect.TypeFor[ForwardClaim](), reflect.TypeFor[SignIn](), reflect.TypeFor[Revocation](),
	} {
		for field := range typ.Fields() {
			key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if key != "" && key != "-" && !seen[key] {
				t.Errorf("no golden Caddyfile sets %q of %s", key, typ.Name())
			}
		}
	}
}
