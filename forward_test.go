package logtoauth

import (
	"net/url"
	"strings"
	"testing"
)

func TestForwardedClaimIsEncoded(t *testing.T) {
	for _, test := range []struct{ name, claim, want string }{
		{"plain text", "alice", "alice"},
		{"inner space", "Alice  A", "Alice  A"},
		{"space before, which servers trim", "  alice", "%20%20alice"},
		{"space behind, which servers trim", "alice ", "alice%20"},
		{"spaces only", "  ", "%20%20"},
		{"empty", "", ""},
		{"percent sign that would look like another claim", "%20alice", "%2520alice"},
		{"line break that would begin another header", "alice\r\nX-Admin: 1", "alice%0D%0AX-Admin: 1"},
		{"NUL that would end a C string", "alice\x00", "alice%00"},
		{"tab that servers trim", "\talice", "%09alice"},
		{"delete", "\x7f", "%7F"},
		{"beyond ASCII", "Zoë", "Zo%C3%AB"},
		{"JSON", `{"a":["b"]}`, `{"a":["b"]}`},
	} {
		got := encodeForwarded(test.claim)
		if got != test.want {
			t.Errorf("%s: %q became %q, want %q", test.name, test.claim, got, test.want)
		}
		if back, err := url.PathUnescape(got); err != nil || back != test.claim {
			t.Errorf("%s: %q cannot be decoded: %q, %v", test.name, got, back, err)
		}
	}
}

// FuzzForwardedClaim: a forwarded claim is printable ASCII without spaces at
// its ends and can be decoded, so that no two claims look alike.
func FuzzForwardedClaim(f *testing.F) {
	for _, seed := range []string{"", " ", "alice", "a%b", "\r\n", "ü ", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, claim string) {
		got := encodeForwarded(claim)
		for i := range len(got) {
			if got[i] < 0x20 || got[i] > 0x7e {
				t.Fatalf("%q holds %#x", got, got[i])
			}
		}
		if got != "" && (got[0] == ' ' || got[len(got)-1] == ' ') {
			t.Fatalf("%q has a space at an end", got)
		}
		if back, err := url.PathUnescape(got); err != nil || back != claim {
			t.Fatalf("%q became %q, which decodes to %q, %v", claim, got, back, err)
		}
	})
}

func TestHeadersThatCannotCarryAClaim(t *testing.T) {
	for _, test := range []struct {
		name, header string
		organization string
		want         string // part of the mistake; "" is none
	}{
		{"a header of one's own", "X-User", "", ""},
		{"no token", "X User", "", "not the name of a header"},
		{"a line break", "X-User\r\nX-Admin", "", "not the name of a header"},
		{"empty", "", "", "not the name of a header"},
		{"the request's host", "host", "", "cannot carry a claim"},
		{"what a proxy drops", "Connection", "", "cannot carry a claim"},
		{"what frames the body", "Content_Length", "", "cannot carry a claim"},
		{"what frames the body otherwise", "Transfer.Encoding", "", "cannot carry a claim"},
		{"a token's place", "Authorization", "", "where a token may stand"},
		{"what tells a foreign page from one's own", "Origin", "", "whose page uses a cookie token"},
		{"what tells a foreign page from one's own, newly", "Sec-Fetch-Site", "", "whose page uses a cookie token"},
		{"what the organization is read from", "X-Organization", "a-{http.request.header.x-organization}", "organization reads"},
		{"beside what the organization is read from", "X-Organization", "{http.request.header.X-Org}", ""},
	} {
		h := &Handler{ForwardClaims: []ForwardClaim{{Claim: "sub", Header: test.header}}, Organizations: []string{test.organization}}
		f := new(findings)
		h.vetForwardClaims(f)
		switch {
		case test.want == "" && len(f.problems) > 0:
			t.Errorf("%s: %v", test.name, f.problems)
		case test.want != "" && (len(f.problems) != 1 || !strings.Contains(f.problems[0].Error(), test.want)):
			t.Errorf("%s: %v, want %q", test.name, f.problems, test.want)
		}
	}
}
