package fields

import (
	"net/http"
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

func TestHeaderUnderAnotherName(t *testing.T) {
	for _, test := range []struct {
		header http.Header
		want   bool
	}{
		{http.Header{"X-Org": {"acme"}}, true},
		{http.Header{"x_org": {"acme"}, "X-Organization": {"b"}}, true},
		{http.Header{}, false},
		{http.Header{"X-Org": {}}, false},
		{http.Header{"X-Org": {"acme", "acme"}}, false},
		{http.Header{"X-Org": {"acme"}, "X_Org": {"evil"}}, false},
		{http.Header{"X-Org": {"acme"}, "X.ORG": {""}}, false},
	} {
		if got := HeaderStandsOnce(test.header, "X-Org"); got != test.want {
			t.Errorf("%v: %t", test.header, got)
		}
	}
}
