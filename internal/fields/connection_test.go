package fields

import (
	"net/http"
	"slices"
	"testing"
)

func TestNamesTakenOutOfConnection(t *testing.T) {
	for _, test := range []struct{ values, want []string }{
		{nil, nil},
		{[]string{""}, nil},
		{[]string{"x-org"}, nil},
		{[]string{"X_Org, close"}, []string{"close"}},
		{[]string{" keep-alive ,x.org", "X-ORG,,upgrade"}, []string{"keep-alive, upgrade"}},
		{[]string{"x-organization, org"}, []string{"x-organization, org"}},
	} {
		header := http.Header{"Other": {"x-org"}}
		if test.values != nil {
			header["Connection"] = test.values
		}
		RemoveFromConnection(header, "X-Org")
		if got := header["Connection"]; !slices.Equal(got, test.want) || got != nil && len(got) == 0 {
			t.Errorf("%q became %q, want %q", test.values, got, test.want)
		}
		if header.Get("Other") != "x-org" {
			t.Errorf("%q: another header changed", test.values)
		}
	}
}

// Whatever else an option names, a proxy would drop a header that was read.
func TestOptionsOfTheConnectionAlone(t *testing.T) {
	header := http.Header{"Connection": {"Close, Keep-Alive, Upgrade, TE, HTTP2-Settings, X-Org, Cookie, Host"}}
	FilterConnection(header, IsHopByHop)
	if got, want := header.Get("Connection"), "Close, Keep-Alive, Upgrade, TE, HTTP2-Settings"; got != want {
		t.Errorf("%s stays, want %s", got, want)
	}
}
