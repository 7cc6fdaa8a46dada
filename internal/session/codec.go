package session

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"time"
)

// The formats of what is sealed. What has another one is not ours to guess.
const (
	sessionFormat = 1
	flowFormat    = 1
	stateFormat   = 3
)

// What a session shows.
const (
	showsNothing = iota
	showsAccessToken
	showsClaims
)

// maxMillis is the year 5138: times behind it would overflow in sums.
const maxMillis = 100_000_000_000_000

// writer writes a message: texts with their length, numbers in as few octets
// as they need. One message has one form only.
type writer []byte

func (w *writer) number(n int64) {
	*w = binary.AppendUvarint(*w, uint64(max(n, 0)))
}

func (w *writer) text(s string) {
	w.number(int64(len(s)))
	*w = append(*w, s...)
}

func (w *writer) list(texts []string) {
	w.number(int64(len(texts)))
	for _, text := range texts {
		w.text(text)
	}
}

func (w *writer) time(t time.Time) { w.number(t.UnixMilli()) }

// reader reads what a writer wrote, and nothing else: the first fault is kept,
// and all later reads return nothing.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) fail() { r.rest, r.bad = nil, true }

func (r *reader) number() int64 {
	n, size := binary.Uvarint(r.rest)
	// A zero as the last of several octets is a longer form of the same number.
	if size <= 0 || n > math.MaxInt64 || size > 1 && r.rest[size-1] == 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return int64(n)
}

func (r *reader) octets(n int64) []byte {
	if n > int64(len(r.rest)) {
		r.fail()
		return nil
	}
	octets := r.rest[:n]
	r.rest = r.rest[n:]
	return octets
}

func (r *reader) text() string { return string(r.octets(r.number())) }

func (r *reader) list() []string {
	n := r.number()
	if n > int64(len(r.rest)) { // each needs an octet at least
		r.fail()
		return nil
	}
	var texts []string
	for range n {
		texts = append(texts, r.text())
	}
	return texts
}

func (r *reader) time() time.Time {
	millis := r.number()
	if millis > maxMillis {
		r.fail()
	}
	return time.UnixMilli(millis).UTC()
}

// ended reports whether all was read and nothing is left.
func (r *reader) ended() bool { return !r.bad && len(r.rest) == 0 }

// encode writes a session down.
func (s *Session) encode() []byte {
	w := writer{sessionFormat}
	id, _ := base64.RawURLEncoding.DecodeString(s.ID)
	w = append(w, id...)
	w.text(s.Subject)
	w.text(s.LogtoSession)
	w.time(s.SignedIn)
	w.number(s.SealedAt.UnixMilli() - s.SignedIn.UnixMilli())
	w.list(s.Scopes)
	w.list(s.Resources)
	w.text(s.RefreshToken)
	if s.Token.IsZero() {
		w.number(showsNothing)
		return w
	}
	if s.Token.Value != "" {
		w.number(showsAccessToken)
		w.text(s.Target.Resource)
		w.text(s.Target.Organization)
		w.text(s.Token.Value)
	} else {
		w.number(showsClaims)
		w.text(s.Token.Claims)
	}
	w.number(s.Token.IssuedAt)
	w.number(s.Token.ExpiresAt - s.Token.IssuedAt)
	return w
}

// decodeSession reads what encode wrote. The message was opened, so it is
// ours; what does not read is of another version.
func decodeSession(message []byte) (*Session, bool) {
	r := reader{rest: message}
	if r.number() != sessionFormat {
		return nil, false
	}
	s := &Session{ID: encodeID(r.octets(idSize)), Subject: r.text(), LogtoSession: r.text(), SignedIn: r.time()}
	pause := r.number()
	if pause > maxMillis {
		return nil, false
	}
	s.SealedAt = time.UnixMilli(s.SignedIn.UnixMilli() + pause).UTC()
	s.Scopes, s.Resources, s.RefreshToken = r.list(), r.list(), r.text()
	shows := r.number()
	switch shows {
	case showsAccessToken:
		s.Target = Target{Resource: r.text(), Organization: r.text()}
		s.Token.Value = r.text()
	case showsClaims:
		s.Token.Claims = r.text()
	case showsNothing:
	default:
		return nil, false
	}
	if shows != showsNothing {
		if s.Token.Value == "" && s.Token.Claims == "" {
			return nil, false
		}
		issued, life := r.number(), r.number()
		if issued > maxMillis || life > maxMillis {
			return nil, false
		}
		s.Token.IssuedAt, s.Token.ExpiresAt = issued, issued+life
	}
	if !r.ended() || s.Subject == "" {
		return nil, false
	}
	return s, true
}
