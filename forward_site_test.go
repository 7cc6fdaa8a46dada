package logtoauth_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// forwarding is a site that tells its upstream who the client is.
const forwarding = `{
	servers {
		protocols h1 h2c
		expected_underscore_headers X_User* x_other
		expected_dot_headers X.User*
	}
}
:80 {
	logto_auth {
		endpoint ENDPOINT
		audience ` + api + `
		optional
		forward_claim sub X-User
		forward_claim act.sub X-Actor
		forward_claim roles X-Roles
		forward_claim custom X-Custom
	}
	reverse_proxy UPSTREAM
}`

func TestSmuggledSpellingsOfAnIdentityHeader(t *testing.T) {
	s := startSite(t, forwarding)
	token := s.alice(nil)
	for _, name := range []string{"X-User", "x-uSER", "X_User", "X_user", "X.User", "X!User", "X+User"} {
		anonymous := arrived(t, s.Get("/", caddytest.Header(name, "admin"), caddytest.Header("x_other", "kept")))
		if values := named("X-User", anonymous.Header); len(values) > 0 {
			t.Errorf("%s: arrived without a token: %v", name, values)
		}
		if named("X-Other", anonymous.Header) == nil {
			t.Errorf("%s: another header with an underscore did not arrive", name)
		}
		admitted := arrived(t, s.Get("/", caddytest.Header(name, "admin"), caddytest.Bearer(token)))
		if values := named("X-User", admitted.Header); !slices.Equal(values, []string{"alice"}) {
			t.Errorf("%s: arrived: %v, want alice alone", name, values)
		}
	}
}

func TestRepeatedIdentityHeader(t *testing.T) {
	s := startSite(t, forwarding)
	got := arrived(t, s.Get("/", caddytest.Header("X-User", "admin"), caddytest.Header("X-User", "root"), caddytest.Bearer(s.alice(nil))))
	if values := got.Header["X-User"]; !slices.Equal(values, []string{"alice"}) {
		t.Errorf("arrived: %v, want alice alone", values)
	}
}

// A proxy drops the headers that Connection names. A client could so make the
// upstream take an admitted request for one without identity.
func TestIdentityHeaderNamedInConnection(t *testing.T) {
	s := startSite(t, forwarding)
	for _, connection := range []string{"close, X-User", "x-user,close", "X_User, x-USER , close", "close\r\nConnection: X-User"} {
		got := arrivedRaw(t, s.Raw("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+s.alice(nil)+"\r\nConnection: "+connection+"\r\n\r\n"))
		if values := named("X-User", got.Header); !slices.Equal(values, []string{"alice"}) {
			t.Errorf("Connection: %s: arrived: %v, want alice", connection, values)
		}
	}
	got := arrivedRaw(t, s.Raw("GET / HTTP/1.1\r\nHost: x\r\nX-Hop: 1\r\nConnection: close, X-Hop, X-User\r\n\r\n"))
	if _, ok := got.Header["X-Hop"]; ok {
		t.Error("another header that Connection names was not dropped")
	}
}

func TestIdentityInTrailers(t *testing.T) {
	s := startSite(t, forwarding)
	for _, announced := range []string{"X-Checksum", "X-Checksum, X-User", "X_User, X-Checksum", "X-User"} {
		got := arrivedRaw(t, s.Raw("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "+s.alice(nil)+"\r\n"+
			"Transfer-Encoding: chunked\r\nTrailer: "+announced+"\r\n\r\n"+
			"5\r\nhello\r\n0\r\nX-User: admin\r\nX_User: admin\r\nX-Checksum: 1\r\n\r\n"))
		if values := named("X-User", got.Header, got.Trailer); !slices.Equal(values, []string{"alice"}) {
			t.Errorf("announced %s: arrived: %v, want alice alone", announced, values)
		}
		if got.Body != "hello" || fmt.Sprint(got.Trailer) != "map[X-Checksum:[1]]" {
			t.Errorf("announced %s: body %q, trailers announced and sent %v", announced, got.Body, got.Trailer)
		}
	}
}

func TestIdentityInTrailersOfHTTP2(t *testing.T) {
	s := startSite(t, forwarding)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	s.Client.Transport = &http.Transport{Protocols: protocols}
	withTrailers := func(r *http.Request) {
		r.Method = http.MethodPost
		r.Body = io.NopCloser(strings.NewReader("hello"))
		r.Trailer = http.Header{"X-User": {"admin"}, "X_user": {"admin"}, "X-Checksum": {"1"}}
		r.ContentLength = -1
	}
	answer := s.Get("/", withTrailers, caddytest.Bearer(s.alice(nil)))
	if answer.ProtoMajor != 2 {
		t.Fatalf("the answer came over %s", answer.Proto)
	}
	got := arrived(t, answer)
	if values := named("X-User", got.Header, got.Trailer); !slices.Equal(values, []string{"alice"}) {
		t.Errorf("arrived: %v, want alice alone", values)
	}
	if fmt.Sprint(got.Trailer) != "map[X-Checksum:[1]]" {
		t.Errorf("trailers announced and sent: %v", got.Trailer)
	}
}

func TestClaimsArriveAtTheUpstream(t *testing.T) {
	for _, proxy := range []string{"reverse_proxy UPSTREAM", "reverse_proxy h2c://UPSTREAM"} {
		t.Run(proxy, func(t *testing.T) {
			s := startSite(t, strings.Replace(forwarding, "reverse_proxy UPSTREAM", proxy, 1))
			for _, test := range []struct {
				name  string
				extra map[string]any
				want  map[string]string // "-" is absent
			}{
				{"absent claims", nil, map[string]string{"X-User": "alice", "X-Actor": "-", "X-Roles": "-", "X-Custom": "-"}},
				{"null", map[string]any{"custom": jsonNull{}}, map[string]string{"X-Custom": "-"}},
				{"nested", map[string]any{"act": map[string]any{"sub": "support"}}, map[string]string{"X-Actor": "support"}},
				{"array", map[string]any{"roles": []any{"a", 1, nil}}, map[string]string{"X-Roles": `["a",1,null]`}},
				{"object", map[string]any{"custom": map[string]any{"a": "<b>"}}, map[string]string{"X-Custom": `{"a":"<b>"}`}},
				{"number", map[string]any{"custom": 12345678901234567}, map[string]string{"X-Custom": "12345678901234567"}},
				{"false", map[string]any{"custom": false}, map[string]string{"X-Custom": "false"}},
				{"empty", map[string]any{"custom": ""}, map[string]string{"X-Custom": ""}},
				{"line break", map[string]any{"custom": "a\r\nX-Admin: 1"}, map[string]string{"X-Custom": "a%0D%0AX-Admin: 1", "X-Admin": "-"}},
				{"placeholder", map[string]any{"custom": "{http.request.uri}"}, map[string]string{"X-Custom": "{http.request.uri}"}},
				{"8 KiB", map[string]any{"custom": strings.Repeat("a", 8<<10)}, map[string]string{"X-Custom": strings.Repeat("a", 8<<10)}},
				{"over 8 KiB", map[string]any{"custom": strings.Repeat("a", 8<<10+1)}, map[string]string{"X-Custom": "-", "X-User": "alice"}},
				{"over 8 KiB when encoded", map[string]any{"custom": strings.Repeat("%", 3<<10)}, map[string]string{"X-Custom": "-"}},
			} {
				got := arrived(t, s.Get("/", caddytest.Bearer(s.alice(test.extra)), caddytest.Header("X-Custom", "forged")))
				if wantProto := "HTTP/1.1"; strings.Contains(proxy, "h2c") == (got.Proto == wantProto) {
					t.Errorf("%s: arrived over %s", test.name, got.Proto)
				}
				for header, want := range test.want {
					value := "-"
					if values, ok := got.Header[header]; ok {
						value = strings.Join(values, " and ")
					}
					if value != want {
						t.Errorf("%s: %s arrived as %.80q, want %.80q", test.name, header, value, want)
					}
				}
			}
		})
	}
}

type jsonNull struct{}

func (jsonNull) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// An organization token has no organization_id: forwarded are claims.
func TestOrganizationTokenForwardsItsAudience(t *testing.T) {
	s := startSite(t, `:80 {
	logto_auth {
		endpoint ENDPOINT
		organization org-1
		forward_claim organization_id X-Organization
		forward_claim aud X-Audience
	}
	reverse_proxy UPSTREAM
}`)
	token := s.tenant.Token(devtenant.TokenRequest{Subject: "alice", ClientID: "spa", OrganizationID: "org-1"})
	got := arrived(t, s.Get("/", caddytest.Bearer(token), caddytest.Header("X-Organization", "org-2")))
	if fmt.Sprint(got.Header["X-Organization"], got.Header["X-Audience"]) != "[] [urn:logto:organization:org-1]" {
		t.Errorf("arrived: %v", got.Header)
	}
}
