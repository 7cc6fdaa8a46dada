package session

import (
	"crypto/rand"
	"errors"
	"time"
)

// ErrState says that a callback's state is none of ours: it was made for
// another site, app or secret, altered, or made up. ErrStateExpired says that
// it was ours, over an hour ago. ErrStateTooLong says that a sign-in asks for
// more than an address can say.
var (
	ErrState        = errors.New("the state is not one that this site sealed")
	ErrStateExpired = errors.New("the sign-in was started over an hour ago")
	ErrStateTooLong = errors.New("the state of the sign-in is too long for an address: it asks for too many scopes and resources")
)

// What the flags of a sealed state say.
const (
	stateAgain = 1 << iota
	stateIdentity
)

// State goes with a browser to Logto and comes back with the callback. It is
// sealed: an address is seen by logs and other pages.
type State struct {
	id          string // 128 random bits
	bindingHash string
	started     time.Time

	// ReturnPath is where the person was going (see [ReturnPath]).
	ReturnPath string
	// Issuer and RedirectURI are those that the sign-in was started with.
	Issuer, RedirectURI string
	// Resource is what the code is exchanged for; it may be empty. Scopes and
	// Resources are what the sign-in asked for, for [Session]. They are in the
	// state since the callback may come to another logto_auth of the site than
	// the one that started, and to another process with another config.
	Resource          string
	Scopes, Resources []string
	// Own is how many of Resources, from the first on, the site itself needs.
	// The others are those that an older session had asked for.
	Own int
	// Identity says that the site which started knows people by the claims of
	// their ID token. The one that the callback comes to may need a token.
	Identity bool
	// Again says that this sign-in is the second attempt: the state of the first
	// came back to a browser with another flow, or with the news that the tenant
	// does not know one of the Resources. There is no third.
	Again bool
}

// NewState makes the state of a sign-in that starts in the browser with this
// flow.
func (f Flow) NewState(now time.Time, issuer, redirectURI, returnPath string) State {
	id := make([]byte, idSize)
	_, _ = rand.Read(id) // never fails (crypto/rand)
	return State{
		id: string(id), bindingHash: f.hash(), started: toMillisecond(now),
		ReturnPath: returnPath, Issuer: issuer, RedirectURI: redirectURI,
	}
}

// Narrower is the state of a second attempt that asks for no more resources
// than the site itself needs. It reports false if the first asked for no others,
// or was a second one itself.
func (f Flow) Narrower(now time.Time, first State) (State, bool) {
	if first.Again || first.Own >= len(first.Resources) {
		return State{}, false
	}
	s := f.NewState(now, first.Issuer, first.RedirectURI, first.ReturnPath)
	s.Resource, s.Scopes, s.Resources, s.Own = first.Resource, first.Scopes, first.Resources[:first.Own], first.Own
	s.Identity, s.Again = first.Identity, true
	return s, true
}

// ID is the key of this sign-in in the ledger.
func (s State) ID() string { return encodeID([]byte(s.id)) }

// SealState makes the text of a state. Its only error is ErrStateTooLong.
func (k *KeyRing) SealState(site Site, s State) (string, error) {
	w := writer{stateFormat}
	w = append(w, s.id...)
	w = append(w, s.bindingHash...)
	w.time(s.started)
	w.text(s.ReturnPath)
	w.text(s.Issuer)
	w.text(s.RedirectURI)
	flags := int64(0)
	if s.Again {
		flags |= stateAgain
	}
	if s.Identity {
		flags |= stateIdentity
	}
	w.number(flags)
	w.text(s.Resource)
	w.list(s.Scopes)
	w.list(s.Resources)
	w.number(int64(s.Own))
	text := k.seal(forState, site.flow, site.host, w)
	if len(text) > maxSealed {
		return "", ErrStateTooLong
	}
	return text, nil
}

// OpenState opens the state of a callback at this site. A state that was
// started with another issuer or redirect URI than the site has now does not
// open: Logto would refuse its code. An expired one is returned with
// ErrStateExpired.
func (k *KeyRing) OpenState(site Site, text, issuer, redirectURI string, now time.Time) (State, error) {
	message, ok := k.open(forState, site.flow, site.host, text)
	if !ok {
		return State{}, ErrState
	}
	r := reader{rest: message}
	if r.number() != stateFormat {
		return State{}, ErrState
	}
	s := State{
		id: string(r.octets(idSize)), bindingHash: string(r.octets(bindingSize)), started: r.time(),
		ReturnPath: r.text(), Issuer: r.text(), RedirectURI: r.text(),
	}
	flags := r.number()
	s.Resource, s.Scopes, s.Resources = r.text(), r.list(), r.list()
	own := r.number()
	s.Again, s.Identity = flags&stateAgain != 0, flags&stateIdentity != 0
	if flags > stateAgain|stateIdentity || own > int64(len(s.Resources)) || !r.ended() || s.Issuer != issuer || s.RedirectURI != redirectURI {
		return State{}, ErrState
	}
	s.Own = int(own)
	if now.Sub(s.started) > flowLifetime {
		return s, ErrStateExpired
	}
	return s, nil
}
