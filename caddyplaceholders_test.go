package logtoauth

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// TestKnownToCaddy: a placeholder that Caddy would answer in some request must
// not be taken for a mistake.
func TestKnownToCaddy(t *testing.T) {
	for _, key := range []string{
		"host", "hostport", "port", "host.labels.0", "host.labels.9", "header.X-Org", "cookie.org", "uri", "uri.path", "uri.path.0",
		"uri.path.9", "uri.path.file.ext", "uri.query", "uri.query.org", "orig_uri", "orig_uri.path.2", "orig_method", "method", "scheme",
		"proto", "proto_name", "remote", "remote.host", "remote.host/24,32", "remote.port", "local", "local.host", "local.port", "uuid", "duration",
		"duration_ms", "body", "body_base64", "tls.server_name", "tls.client.subject", "tls.client.san.dns_names.0",
	} {
		if !knownToCaddy(requestPrefix + key) {
			t.Errorf("%s is unknown", key)
		}
	}
	for _, key := range []string{"", "host.label.2", "host.labels.x", "hosts", "header", "query.org", "uri.path.x", "cookies.a", "tls.x"} {
		if knownToCaddy(requestPrefix + key) {
			t.Errorf("%s is known", key)
		}
	}
}

func TestOrganizationIDsThatCannotBe(t *testing.T) {
	for id, want := range map[string]string{
		"{http.request.host.label.2}":           "did you mean {http.request.host.labels.2}?",
		"{http.request.headers.X-Org}":          "did you mean {http.request.header.X-Org}?",
		"a-{http.request.host.labels.x}":        "{http.request.host.labels.x} is unknown",
		"{http.request.uri.querry.org}":         "did you mean {http.request.uri.query.org}?",
		"{http.request.hosts}":                  "did you mean {http.request.host}?",
		"{http.request.tls.server_name}":        "write {http.request.host}",
		"a-{http.request.tls.Server_Name}":      "write {http.request.host}",
		"{http.request.tls.client.subject}":     "",
		"org1,org2":                             "org1 org2",
		"{http.request.host},org2":              "{http.request.host} org2",
		"{my_org}{http.vars.org}{org.a,b}":      "",
		"{http.request.host.labels.2}-x":        "",
		"{http.request.header.X-Org}":           "",
		"{env.ORG}":                             "",
		"{http.regexp.org.1}{http.geo.country}": "",
	} {
		err := vetOrganizationID(id)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// TestOrganizationsFromOneVariable: the list is no ID, and no list either.
func TestOrganizationsFromOneVariable(t *testing.T) {
	t.Setenv("TEST_ORGANIZATIONS", "org1,org2")
	_, err := parseOrganizationIDs(caddy.NewReplacer(), []string{"{env.TEST_ORGANIZATIONS}"})
	if err == nil || !strings.Contains(err.Error(), "comma") {
		t.Error(err)
	}
}

// TestUserPlaceholdersThatAreKnown: what the survey takes for known is what is
// answered.
func TestUserPlaceholdersThatAreKnown(t *testing.T) {
	for _, name := range append(slices.Collect(maps.Keys(userValues)), "claims.a", `claims.a\.b`) {
		if !knowsUserPlaceholder(name) {
			t.Errorf("%s is unknown", name)
		}
	}
	for _, name := range []string{"", "claims", "email", "ID", "claim.a"} {
		if knowsUserPlaceholder(name) {
			t.Errorf("%s is known", name)
		}
	}
}
