package session

import (
	"errors"
	"testing"
)

// The texts are labels of a metric, and what a kind says decides who is signed
// out.
func TestWhatAKindSays(t *testing.T) {
	for kind, want := range map[Kind]struct {
		text                   string
		endsSession, oldServes bool
	}{
		Unavailable:    {"unavailable", false, true},
		Busy:           {"busy", false, true},
		WrongClient:    {"wrong_client", false, true},
		Refused:        {"refused", true, false},
		WrongSubject:   {"wrong_subject", true, false},
		Ended:          {"ended", true, false},
		Expired:        {"expired", true, false},
		NotMember:      {"not_member", false, false},
		NotAskedFor:    {"not_asked_for", false, false},
		NoRefreshToken: {"no_refresh_token", false, false},
	} {
		if kind.String() != want.text || kind.EndsSession() != want.endsSession || kind.isTemporary() != want.oldServes {
			t.Errorf("%s, want %s: it ends the session: %v, the old token serves: %v", kind, want.text, kind.EndsSession(), kind.isTemporary())
		}
	}
	for want, failure := range map[string]*TokenError{
		"ended":     {Kind: Ended},
		"busy: why": {Kind: Busy, Err: errors.New("why")},
	} {
		if failure.Error() != want {
			t.Errorf("%q, want %q", failure.Error(), want)
		}
	}
}
