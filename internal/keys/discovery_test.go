package keys

import (
	"os"
	"path/filepath"
	"testing"
)

func TestEndpointIsNormalized(t *testing.T) {
	for raw, want := range map[string]string{
		"https://tenant.logto.app":            "https://tenant.logto.app",
		"https://tenant.logto.app/":           "https://tenant.logto.app",
		"https://tenant.logto.app/oidc":       "https://tenant.logto.app",
		"https://tenant.logto.app/oidc/":      "https://tenant.logto.app",
		"https://tenant.logto.app//":          "https://tenant.logto.app",
		"HTTPS://Tenant.Logto.App/oidc":       "https://tenant.logto.app",
		"https://tenant.logto.app:443":        "https://tenant.logto.app",
		"https://tenant.logto.app:3001/":      "https://tenant.logto.app:3001",
		"http://localhost:80/oidc":            "http://localhost",
		"http://[::1]:80":                     "http://[::1]",
		"http://[::1]:3001/oidc":              "http://[::1]:3001",
		"https://example.com/auth/oidc/":      "https://example.com/auth",
		"https://example.com/Auth":            "https://example.com/Auth",
		"https://example.com/notoidc":         "https://example.com/notoidc",
		"https://oidc":                        "https://oidc",
		"":                                    "",
		"https://user:secret@example.com/":    "https://user:secret@example.com/",
		"https://example.com/oidc?a":          "https://example.com/oidc?a",
		"https://Example.com/oidc?":           "https://Example.com/oidc?",
		"https://Example.com/oidc#":           "https://Example.com/oidc#",
		"https://Example.com/%zz/oidc":        "https://Example.com/%zz/oidc",
		"https://example.com//oidc/":          "https://example.com",
		"ftp://Example.com:80/":               "ftp://example.com:80",
		"https://example.com/a%2Fb/oidc":      "https://example.com/a%2Fb",
		"https://tenant.logto.app:443/a/oidc": "https://tenant.logto.app/a",
	} {
		got := NormalizeEndpoint(raw)
		if got != want {
			t.Errorf("NormalizeEndpoint(%q) = %q, not %q", raw, got, want)
		}
		if again := NormalizeEndpoint(got); again != got {
			t.Errorf("%q becomes %q the second time", got, again)
		}
	}
}

func TestWhereKeysMayBeFetchedFrom(t *testing.T) {
	public := Config{Endpoint: "https://tenant.example", Issuers: []string{"https://login.example.com/oidc", "https://tenant.example/oidc"}}
	internal := Config{Endpoint: "http://logto:3001", Issuers: []string{"https://login.example.com/oidc"}, InsecureHTTP: true}
	plain := Config{Endpoint: "http://logto:3001", Issuers: []string{"http://login.example.com/oidc"}, InsecureHTTP: true}
	for _, tt := range []struct {
		name string
		cfg  Config
		uri  string
		ok   bool
	}{
		{"the endpoint's host", public, "https://tenant.example/oidc/jwks", true},
		{"the endpoint's host, any path", public, "https://tenant.example/keys", true},
		{"in capitals", public, "https://TENANT.example/oidc/jwks", true},
		{"with its port written out", public, "https://tenant.example:443/oidc/jwks", true},
		{"a custom domain", public, "https://login.example.com/oidc/jwks", true},
		{"another host", public, "https://evil.example/oidc/jwks", false},
		{"a subdomain", public, "https://evil.tenant.example/oidc/jwks", false},
		{"a parent domain", public, "https://example/oidc/jwks", false},
		{"a longer name", public, "https://tenant.example.evil.example/oidc/jwks", false},
		{"a trailing dot", public, "https://tenant.example./oidc/jwks", false},
		{"another port", public, "https://tenant.example:8443/oidc/jwks", false},
		{"plain http", public, "http://tenant.example/oidc/jwks", false},
		{"plain http on the port of https", public, "http://tenant.example:443/oidc/jwks", false},
		{"userinfo", public, "https://tenant.example@evil.example/oidc/jwks", false},
		{"the right host with userinfo", public, "https://user@tenant.example/oidc/jwks", false},
		{"a query", public, "https://tenant.example/oidc/jwks?tenant=evil", false},
		{"a fragment", public, "https://tenant.example/oidc/jwks#", false},
		{"a backslash", public, `https://tenant.example\@evil.example/`, false},
		{"a file", public, "file:///etc/passwd", false},
		{"no host", public, "https:///oidc/jwks", false},
		{"a path", public, "/oidc/jwks", false},
		{"empty", public, "", false},
		{"the internal endpoint's origin", internal, "http://logto:3001/oidc/jwks", true},
		{"the internal endpoint over https", internal, "https://logto:3001/oidc/jwks", true},
		{"the public issuer", internal, "https://login.example.com/oidc/jwks", true},
		{"the public issuer over plain http", internal, "http://login.example.com/oidc/jwks", false},
		{"an issuer over plain http", plain, "http://login.example.com/oidc/jwks", false},
		{"another port of the internal host", internal, "http://logto:3002/oidc/jwks", false},
		{"another internal host", internal, "http://metadata/oidc/jwks", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := checkJWKSURI(tt.uri, tt.cfg); (err == nil) != tt.ok {
				t.Errorf("%s: %v", tt.uri, err)
			}
		})
	}
}

func TestCapturedDiscoveryDocument(t *testing.T) {
	document, err := os.ReadFile(filepath.Join("..", "..", "testdata", "logto", "discovery-0-initial-ec.json"))
	if err != nil {
		t.Fatal(err)
	}
	uri, err := parseDiscovery(document, Config{Endpoint: "http://localhost:3001"})
	if err != nil || uri != "http://localhost:3001/oidc/jwks" {
		t.Errorf("%q, %v", uri, err)
	}
	if uri, err := parseDiscovery(document, Config{Endpoint: "http://127.0.0.1:3001"}); err == nil {
		t.Errorf("the document of another tenant was believed: %q", uri)
	}
}

func TestDiscoveryDocumentsThatAreRefused(t *testing.T) {
	cfg := Config{Endpoint: "https://tenant.example", Issuers: []string{"https://login.example.com/oidc"}}
	const issuer = `"issuer":"https://tenant.example/oidc"`
	for name, test := range map[string]struct {
		document string
		kind     failureKind
		want     string
	}{
		"a login page": {"<html>", failureMalformed, "the discovery document is no JSON object: invalid character '<' looking for beginning of value"},
		"an issuer that is a number": {
			`{"issuer":1}`, failureMalformed, `in the discovery document "issuer" is not a string`,
		},
		"another tenant's": {
			`{"issuer":"https://evil.example/oidc"}`, failureIssuer,
			`the discovery document's issuer "https://evil.example/oidc" is neither the endpoint's ("https://tenant.example/oidc") nor one of the configured issuers`,
		},
		"keys at an address that is a number": {
			`{` + issuer + `,"jwks_uri":1}`, failureMalformed, `in the discovery document "jwks_uri" is not a string`,
		},
		"keys elsewhere": {
			`{` + issuer + `,"jwks_uri":"https://evil.example/jwks"}`, failureJWKSURI,
			`the discovery document's jwks_uri "https://evil.example/jwks": neither on the host of the endpoint nor on that of an accepted issuer`,
		},
	} {
		uri, err := parseDiscovery([]byte(test.document), cfg)
		if kind, _ := kindOf(err); uri != "" || err == nil || err.Error() != test.want || kind != test.kind {
			t.Errorf("%s: %q, %v", name, uri, err)
		}
	}
	// A configured issuer is as good as the endpoint's, and a configured
	// address of the keys better than what the document says.
	cfg.JWKSURI = "https://keys.example/jwks"
	if uri, err := parseDiscovery([]byte(`{"issuer":"https://login.example.com/oidc","jwks_uri":"https://evil.example/jwks"}`), cfg); err != nil || uri != cfg.JWKSURI {
		t.Errorf("%q, %v", uri, err)
	}
}

func TestNamesOfDiscoveryMembersAreComparedWithTheirCase(t *testing.T) {
	cfg := Config{Endpoint: "https://tenant.example"}
	for _, document := range []string{
		`{"Issuer":"https://tenant.example/oidc","jwks_uri":"https://tenant.example/oidc/jwks"}`,
		`{"issuer":"https://tenant.example/oidc","JWKS_URI":"https://tenant.example/oidc/jwks"}`,
	} {
		if uri, err := parseDiscovery([]byte(document), cfg); err == nil {
			t.Errorf("%s gave %q", document, uri)
		}
	}
}
