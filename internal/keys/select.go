package keys

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// Why [Snapshot.Select] finds no key.
var (
	ErrUnknownKey = errors.New("the set does not have the key that the token names")
	ErrAlgorithm  = errors.New("the key is for another signature algorithm")

	errOtherMaterial = errors.New("keyfunc selected something else than the key of this ID")
	errWholeSet      = errors.New("a token must name its key")
)

// Select returns the key that a token's header names and what to verify its
// signature with. Both are of this snapshot: what is verified with one key must
// not be remembered as verified with another.
//
// keyfunc selects the key and compares `alg` and `use`. What it does not ask
// for is asked around it: a `kid`, without which it would hand out the whole
// set to be tried one by one, and an algorithm of the key's type and curve
// also where the JWK has no `alg` (RFC 8725 section 3.1).
//
// That keyfunc returns this very key is asked once more: it is what the whole
// package promises, and another version of keyfunc might not.
//
// With [ErrAlgorithm] the key is returned too, for messages.
func (s *Snapshot) Select(token *jwt.Token) (*Key, crypto.PublicKey, error) {
	kid, _ := token.Header["kid"].(string)
	key := s.keys[kid] // whose ID is never ""
	if key == nil {
		return nil, nil, ErrUnknownKey
	}
	if alg, _ := token.Header["alg"].(string); !key.Allows(alg) {
		return key, nil, ErrAlgorithm
	}
	public, err := s.selector.Keyfunc(token)
	if err != nil {
		return nil, nil, err
	}
	if !key.has(public) {
		return nil, nil, errOtherMaterial
	}
	return key, public, nil
}

// has reports whether this is the very public key. Where that is a pointer it is
// not compared by value: Equal of package ecdsa makes four slices.
func (k *Key) has(public crypto.PublicKey) bool {
	if own, ok := k.public.(ed25519.PublicKey); ok {
		return own.Equal(public)
	}
	return public == k.public
}

// newSelector returns the keyfunc over the keys of one snapshot.
func newSelector(keys map[string]*Key) keyfunc.Keyfunc {
	selector, err := keyfunc.New(keyfunc.Options{
		Storage:      storage{keys: keys},
		UseWhitelist: []jwkset.USE{jwkset.UseSig},
	})
	if err != nil {
		panic(err) // it fails without a storage only
	}
	return selector
}

// storage lets keyfunc read the keys of a snapshot. jwkset's own storages have
// a lock, and go through all keys to find one.
type storage struct {
	jwkset.Storage // what keyfunc does not call

	keys map[string]*Key
}

// KeyRead implements jwkset.Storage.
func (s storage) KeyRead(_ context.Context, kid string) (jwkset.JWK, error) {
	key := s.keys[kid]
	if key == nil {
		return jwkset.JWK{}, jwkset.ErrKeyNotFound
	}
	return key.jwk, nil
}

// KeyReadAll implements jwkset.Storage. keyfunc calls it for a token without
// `kid`, to have the signature tried with every key.
func (s storage) KeyReadAll(context.Context) ([]jwkset.JWK, error) {
	return nil, errWholeSet
}
