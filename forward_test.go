package logtoauth

import (
	"net/url"
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

func TestSpellingsOfOneHeader(t *testing.T) {
	folded := foldHeader("X-User.ID")
	if folded != "x-user-id" {
		t.Fatalf("folded to %q", folded)
	}
	for name, want := range map[string]bool{
		"X-User-Id": true, "x_user_id": true, "X.USER.ID": true, "X!User~Id": true,
		"X-User-Idx": false, "X-User": false, "XX-User-Id": false, "X-Usér-I": false, "": false,
	} {
		if got := spells(name, folded); got != want {
			t.Errorf("%q spells %s: %t, want %t", name, folded, got, want)
		}
	}
}
