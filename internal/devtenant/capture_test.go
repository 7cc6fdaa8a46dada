package devtenant_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

const (
	api          = "https://api.example.com"
	user         = "lqol6yjl1lkv"
	userClient   = "7b5wru4x48p6ne3akjido"
	machine      = "fli25dl6v8abam5izzvqt"
	organization = "3fmepazdyzhi"
)

// Every kind of token that was captured from a Logto, asked for here in the
// same way, has the same members of the same JSON types.
func TestTokensAreShapedAsCaptured(t *testing.T) {
	requests := map[string]devtenant.TokenRequest{
		"m2m-global-api":           {ClientID: machine, Resource: api, Scope: "read:products"},
		"m2m-global-api-noscope":   {ClientID: machine, Resource: api},
		"m2m-organization":         {ClientID: machine, OrganizationID: organization, Scope: "read:members"},
		"m2m-organization-noscope": {ClientID: machine, OrganizationID: organization},
		"m2m-org-api":              {ClientID: machine, Resource: api, OrganizationID: organization, Scope: "read:products api:read"},
		"user-global-api":          {Subject: user, ClientID: userClient, Resource: api, Scope: "read:products"},
		"user-organization":        {Subject: user, ClientID: userClient, OrganizationID: organization, Scope: "read:members"},
		"user-org-api":             {Subject: user, ClientID: userClient, Resource: api, OrganizationID: organization, Scope: "read:products"},
		"user-impersonation-api-act": {
			Subject: user, ClientID: userClient, Resource: api, Scope: "read:products api:read", Actor: "2q1jecvutosn",
		},
	}
	tenant := devtenant.New(devtenant.Options{})
	for name, request := range requests {
		t.Run(name, func(t *testing.T) {
			header, payload := decode(t, tenant.Token(request))
			captured := capturedToken(t, name)
			equalShapes(t, "header", header, captured.Header)
			equalShapes(t, "payload", payload, captured.Payload)
			for _, claim := range []string{"aud", "client_id", "sub", "organization_id", "iss"} {
				if got, want := payload[claim], captured.Payload[claim]; got != want {
					t.Errorf("%s is %v, captured %v", claim, got, want)
				}
			}
			if jti, _ := payload["jti"].(string); len(jti) != 43 {
				t.Errorf("jti %q has %d characters, captured 43", jti, len(jti))
			}
		})
	}
}

func TestIDTokenIsShapedAsCaptured(t *testing.T) {
	header, payload := decode(t, devtenant.New(devtenant.Options{}).IDToken(user, userClient))
	captured := capturedToken(t, "user-id-token")
	equalShapes(t, "header", header, captured.Header)
	equalShapes(t, "payload", payload, captured.Payload)
}

func TestOpaqueTokenIsShapedAsCaptured(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	captured := capturedToken(t, "user-authcode-initial-access-token").Token
	for name, token := range map[string]string{
		"asked for":        tenant.OpaqueToken(),
		"without resource": tenant.Token(devtenant.TokenRequest{Subject: user, Scope: "openid"}),
	} {
		if len(token) != len(captured) || strings.Contains(token, ".") {
			t.Errorf("%s: %q is unlike the captured opaque token", name, token)
		}
	}
}

func TestDiscoveryIsShapedAsCaptured(t *testing.T) {
	var captured, served map[string]any
	readCapture(t, "discovery-0-initial-ec.json", &captured)
	unmarshal(t, devtenant.New(devtenant.Options{}).Discovery(), &served)
	equalShapes(t, "document", served, captured)
	for name, want := range captured {
		if got := fmt.Sprint(served[name]); got != fmt.Sprint(want) {
			t.Errorf("%s is %v, captured %v", name, got, want)
		}
	}
}

func TestJWKsAreShapedAsCaptured(t *testing.T) {
	for file, alg := range map[string]string{
		"jwks-0-initial-ec.json":      "ES384",
		"jwks-seeded-prime256v1.json": "ES256",
		"jwks-seeded-secp521r1.json":  "ES512",
		"jwks-seeded-rsa2048.json":    "RS256",
	} {
		t.Run(alg, func(t *testing.T) {
			served := published(t, devtenant.New(devtenant.Options{Algorithm: alg}))
			captured := capturedKeys(t, file)
			if len(served) != 1 {
				t.Fatalf("%d keys served, want 1", len(served))
			}
			equalShapes(t, "JWK", served[0], captured[0])
			for name, want := range captured[0] {
				switch name {
				case "kid", "x", "y", "n": // differ from key to key, but not in length
					got, want := fmt.Sprint(served[0][name]), fmt.Sprint(want)
					if len(got) != len(want) {
						t.Errorf("%s has %d characters, captured %d", name, len(got), len(want))
					}
				default:
					if served[0][name] != want {
						t.Errorf("%s is %v, captured %v", name, served[0][name], want)
					}
				}
			}
		})
	}
}

// capture is one of the captured tokens.
type capture struct {
	Name    string         `json:"name"`
	Token   string         `json:"token"`
	Header  map[string]any `json:"header"`
	Payload map[string]any `json:"payload"`
}

func capturedToken(t *testing.T, name string) capture {
	t.Helper()
	var all []capture
	readCapture(t, "tokens.json", &all)
	for _, c := range all {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no token named %s was captured", name)
	return capture{}
}

func capturedKeys(t *testing.T, file string) []map[string]any {
	t.Helper()
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	readCapture(t, file, &set)
	if len(set.Keys) == 0 {
		t.Fatalf("%s has no keys", file)
	}
	return set.Keys
}

func readCapture(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "logto", file))
	if err != nil {
		t.Fatal(err)
	}
	unmarshal(t, text, into)
}

func unmarshal(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

// published returns the keys that the tenant serves.
func published(t *testing.T, tenant *devtenant.Tenant) []map[string]any {
	t.Helper()
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	unmarshal(t, tenant.JWKS(), &set)
	return set.Keys
}

func decode(t *testing.T, token string) (header, payload map[string]any) {
	t.Helper()
	segments := strings.Split(token, ".")
	if len(segments) != 3 {
		t.Fatalf("%q has %d segments, want 3", token, len(segments))
	}
	for i, into := range []*map[string]any{&header, &payload} {
		text, err := base64.RawURLEncoding.Strict().DecodeString(segments[i])
		if err != nil {
			t.Fatal(err)
		}
		unmarshal(t, text, into)
	}
	return header, payload
}

// equalShapes compares the names and the JSON types of members, at any depth.
func equalShapes(t *testing.T, what string, got, want map[string]any) {
	t.Helper()
	if g, w := shape(got), shape(want); g != w {
		t.Errorf("%s is shaped\n%s, captured\n%s", what, g, w)
	}
}

func shape(value any) string {
	switch value := value.(type) {
	case map[string]any:
		members := make(map[string]string, len(value))
		for name, member := range value {
			members[name] = shape(member)
		}
		return fmt.Sprint(members) // fmt sorts the names
	case []any:
		return fmt.Sprintf("array of %s", shape(value[0]))
	default:
		return fmt.Sprintf("%T", value)
	}
}
