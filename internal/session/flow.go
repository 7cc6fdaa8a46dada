package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"time"
)

const (
	bindingSize = 32

	// loopWindow is how soon after a success another sign-in is suspicious,
	// and maxLoops how many of these in a row are one too many.
	loopWindow = time.Minute
	maxLoops   = 5
)

// ErrLoop says that a browser signs in again and again without a session ever
// being admitted.
var ErrLoop = errors.New("signing in has succeeded several times without a session")

// Flow is what a browser keeps while it signs in: one cookie for all its tabs.
// It binds the state in a callback's address to the browser that started, so
// that nobody can be signed in as somebody else by a link (login CSRF).
type Flow struct {
	binding     string    // 256 random bits
	lastSuccess time.Time // long ago if there was none
	loops       int       // starts that followed a success too soon, in a row
	counted     bool      // the last success has had its start counted

	value string // what it was opened from, while it still says the same
}

// newFlow makes the flow of a browser that has none.
func newFlow() Flow {
	binding := make([]byte, bindingSize)
	_, _ = rand.Read(binding) // never fails (crypto/rand)
	return Flow{binding: string(binding)}
}

// Start is called when a sign-in starts, and returns the flow to hand over
// (again). A start within a minute of a success counts if the browser shows no
// session that was admitted; once for each success, so that ten tabs that are
// opened at once count as one. The fifth in a row is ErrLoop.
func (f Flow) Start(now time.Time, admitted bool) (Flow, error) {
	if f.binding == "" {
		f = newFlow()
	}
	before := f
	switch {
	case admitted || now.Sub(f.lastSuccess) >= loopWindow: // without a success too: that is long ago
		f.loops, f.counted = 0, false
	case !f.counted:
		f.loops, f.counted = min(f.loops+1, maxLoops), true
	}
	if f != before {
		f.value = ""
	}
	if f.loops >= maxLoops {
		return f, ErrLoop
	}
	return f, nil
}

// Succeeded is called when a sign-in has succeeded, and returns the flow to
// hand over with the session.
func (f Flow) Succeeded(now time.Time) Flow {
	f.lastSuccess, f.counted, f.value = toMillisecond(now), false, ""
	return f
}

// SealFlow makes the value of a flow's cookie. A flow that says what it said
// before keeps its value: all tabs that start at once hand over the same.
func (k *KeyRing) SealFlow(site Site, f Flow) string {
	if f.value != "" {
		return f.value
	}
	w := writer{flowFormat}
	w = append(w, f.binding...)
	w.time(f.lastSuccess) // 1970 if there was none
	loops := int64(f.loops) * 2
	if f.counted {
		loops++
	}
	w.number(loops)
	return k.seal(forFlow, site.flow, site.host, w)
}

func (k *KeyRing) openFlow(site Site, value string) (Flow, bool) {
	message, ok := k.open(forFlow, site.flow, site.host, value)
	if !ok {
		return Flow{}, false
	}
	r := reader{rest: message}
	if r.number() != flowFormat {
		return Flow{}, false
	}
	f := Flow{binding: string(r.octets(bindingSize)), lastSuccess: r.time(), value: value}
	loops := r.number()
	if f.loops, f.counted = int(min(loops/2, maxLoops)), loops%2 == 1; !r.ended() {
		return Flow{}, false
	}
	return f, true
}

// Verifier is the PKCE code verifier of one sign-in (RFC 7636). It is in no
// address and no cookie: only this browser's flow and the state make it.
func (f Flow) Verifier(s State) string { return f.derive("verifier", s) }

// Challenge is the S256 code challenge of Verifier.
func (f Flow) Challenge(s State) string {
	sum := sha256.Sum256([]byte(f.Verifier(s)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Nonce is the nonce that the ID token of one sign-in must hold.
func (f Flow) Nonce(s State) string { return f.derive("nonce", s) }

func (f Flow) derive(what string, s State) string {
	mac := hmac.New(sha256.New, []byte(f.binding))
	mac.Write([]byte(what + s.id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// hash is what a state knows of the binding.
func (f Flow) hash() string {
	sum := sha256.Sum256([]byte(f.binding))
	return string(sum[:])
}

// Started reports whether a sign-in with this state was started by the
// browser that has this flow.
func (f Flow) Started(s State) bool {
	return f.binding != "" && subtle.ConstantTimeCompare([]byte(f.hash()), []byte(s.bindingHash)) == 1
}
