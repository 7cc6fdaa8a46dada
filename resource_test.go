package logtoauth

import (
	"fmt"
	"testing"
)

// RFC 9728 section 3.1.
func TestAddressOfTheResourceMetadata(t *testing.T) {
	for resource, want := range map[string]string{
		"https://h":              "https://h/.well-known/oauth-protected-resource",
		"https://h/":             "https://h/.well-known/oauth-protected-resource",
		"https://h/mcp":          "https://h/.well-known/oauth-protected-resource/mcp",
		"https://h/mcp/":         "https://h/.well-known/oauth-protected-resource/mcp/",
		"https://h/a/b":          "https://h/.well-known/oauth-protected-resource/a/b",
		"https://h:8443/a%2Fb":   "https://h:8443/.well-known/oauth-protected-resource/a%2Fb",
		"https://h/a%20b":        "https://h/.well-known/oauth-protected-resource/a%20b",
		"http://127.0.0.1:1/mcp": "http://127.0.0.1:1/.well-known/oauth-protected-resource/mcp",
	} {
		address, err := metadataURL(resource)
		if err != nil || address.String() != want {
			t.Errorf("%s: %s, %v; want %s", resource, address, err, want)
		}
	}
}

func TestBearerMethodsAreRFC6750s(t *testing.T) {
	for _, test := range []struct {
		sources []TokenSource
		want    string
	}{
		{[]TokenSource{fromAuthorization}, `["header"]`},
		{[]TokenSource{fromCookie, fromQuery, fromAuthorization}, `["query" "header"]`},
		{[]TokenSource{fromCookie, fromHeader, {From: sourceQuery, Name: "token"}}, `[]`},
	} {
		if got := fmt.Sprintf("%q", bearerMethods(newTokenSources(test.sources))); got != test.want {
			t.Errorf("%v: %s, want %s", test.sources, got, test.want)
		}
	}
}
