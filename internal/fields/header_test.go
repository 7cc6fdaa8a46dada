package fields

import (
	"testing"
)

func TestSpellingsOfOneHeader(t *testing.T) {
	folded := FoldHeader("X-User.ID")
	if folded != "x-user-id" {
		t.Fatalf("folded to %q", folded)
	}
	for name, want := range map[string]bool{
		"X-User-Id": true, "x_user_id": true, "X.USER.ID": true, "X!User~Id": true,
		"X-User-Idx": false, "X-User": false, "XX-User-Id": false, "X-Usér-I": false, "": false,
	} {
		if got := Spells(name, folded); got != want {
			t.Errorf("%q spells %s: %t, want %t", name, folded, got, want)
		}
	}
}
