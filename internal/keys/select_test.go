package keys

import (
	"crypto/elliptic"
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// naming is a token whose header has these members.
func naming(members map[string]any) *jwt.Token { return &jwt.Token{Header: members} }

// published is a snapshot of these keys.
func published(tb testing.TB, keys map[string]*Key) *Snapshot {
	tb.Helper()
	return &Snapshot{keys: keys, selector: newSelector(keys)}
}

// parsed reads a set in which every key must be usable.
func parsed(tb testing.TB, keys ...jwk) map[string]*Key {
	tb.Helper()
	set, err := parseJWKS(jwksOf(tb, keys...))
	if err != nil || len(set.keys) != len(keys) {
		tb.Fatalf("%d keys, %v", len(keys), err)
	}
	return set.keys
}

// What a usable key may verify, keyfunc lets through: also a JWK without `use`,
// which its list of uses alone would refuse, and one that calls EdDSA Ed25519.
func TestEveryUsableKeyIsSelectedForItsAlgorithms(t *testing.T) {
	all := parsed(t,
		curveJWK(t, elliptic.P256()).with(jwk{"kid": "p256"}),
		curveJWK(t, elliptic.P384()).with(jwk{"kid": "p384", "use": nil}),
		curveJWK(t, elliptic.P521()).with(jwk{"kid": "p521", "alg": "ES512"}),
		ed25519JWK(t).with(jwk{"kid": "ed", "use": nil}),
		ed25519JWK(t).with(jwk{"kid": "named", "alg": "Ed25519"}),
		modulusJWK(t, 2048).with(jwk{"kid": "rsa", "use": nil}),
		modulusJWK(t, 2048).with(jwk{"kid": "bound", "alg": "PS384"}),
	)
	s := published(t, all)
	algorithms := []string{
		"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519",
		"none", "HS256", "",
	}
	for kid, want := range all {
		for _, alg := range algorithms {
			key, public, err := s.Select(naming(map[string]any{"kid": kid, "alg": alg}))
			if key != want {
				t.Errorf("%s, %s: the key is %v", kid, alg, key)
			}
			// keyfunc alone tells the algorithms apart where there is only one.
			_, alone := s.selector.Keyfunc(naming(map[string]any{"kid": kid, "alg": alg}))
			if allowed := slices.Contains(want.algorithms, alg); allowed != (alone == nil) && len(want.algorithms) == 1 {
				t.Errorf("%s, %s: keyfunc says %v", kid, alg, alone)
			}
			if slices.Contains(want.algorithms, alg) {
				if err != nil || !want.has(public) {
					t.Errorf("%s, %s: %T, %v", kid, alg, public, err)
				}
			} else if public != nil || !errors.Is(err, ErrAlgorithm) {
				t.Errorf("%s, %s: %T, %v", kid, alg, public, err)
			}
		}
	}
}

func TestTokensWhoseHeaderSelectsNoKey(t *testing.T) {
	s := published(t, parsed(t, curveJWK(t, elliptic.P256())))
	for name, test := range map[string]struct {
		header map[string]any
		want   error
	}{
		"another kid":      {map[string]any{"kid": "other", "alg": "ES256"}, ErrUnknownKey},
		"kid in capitals":  {map[string]any{"KID": "ec", "alg": "ES256"}, ErrUnknownKey},
		"an empty kid":     {map[string]any{"kid": "", "alg": "ES256"}, ErrUnknownKey},
		"no kid":           {map[string]any{"alg": "ES256"}, ErrUnknownKey},
		"a kid of numbers": {map[string]any{"kid": 7, "alg": "ES256"}, ErrUnknownKey},
		"no alg":           {map[string]any{"kid": "ec"}, ErrAlgorithm},
		"an alg of types":  {map[string]any{"kid": "ec", "alg": []string{"ES256"}}, ErrAlgorithm},
		"nothing":          {nil, ErrUnknownKey},
	} {
		if _, public, err := s.Select(naming(test.header)); public != nil || !errors.Is(err, test.want) {
			t.Errorf("%s: %T, %v", name, public, err)
		}
	}
}

// keyfunc answers a token without kid with all keys, for golang-jwt to try one
// after the other. Not even a slip in Select may lead there.
func TestTheWholeSetIsNeverHandedOut(t *testing.T) {
	s := published(t, parsed(t, curveJWK(t, elliptic.P256())))
	if got, err := s.selector.Keyfunc(naming(map[string]any{"alg": "ES256"})); !errors.Is(err, errWholeSet) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := s.selector.Keyfunc(naming(map[string]any{"alg": "ES256", "kid": "other"})); !errors.Is(err, jwkset.ErrKeyNotFound) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := s.selector.VerificationKeySet(t.Context()); !errors.Is(err, errWholeSet) {
		t.Errorf("%v, %v", got, err)
	}
}

// A key that our rules let through and keyfunc does not, or under whose ID
// keyfunc finds another, verifies nothing.
func TestKeyfuncHasItsSay(t *testing.T) {
	both := parsed(t, modulusJWK(t, 2048).with(jwk{"kid": "rsa"}), modulusJWK(t, 2048).with(jwk{"kid": "other"}))
	header := map[string]any{"kid": "rsa", "alg": "PS256"}
	for name, metadata := range map[string]jwkset.JWKMetadataOptions{
		"another use":       {KID: "rsa", USE: jwkset.UseEnc},
		"no use":            {KID: "rsa"},
		"another algorithm": {KID: "rsa", USE: jwkset.UseSig, ALG: jwkset.AlgRS256},
	} {
		key := *both["rsa"]
		var err error
		if key.jwk, err = jwkset.NewJWKFromKey(key.public, jwkset.JWKOptions{Metadata: metadata}); err != nil {
			t.Fatal(err)
		}
		if _, public, err := published(t, map[string]*Key{"rsa": &key}).Select(naming(header)); public != nil || err == nil {
			t.Errorf("%s: %T, %v", name, public, err)
		}
	}
	edwards := parsed(t, ed25519JWK(t).with(jwk{"kid": "one"}), ed25519JWK(t).with(jwk{"kid": "two"}))
	for _, test := range []struct{ own, other *Key }{{both["rsa"], both["other"]}, {edwards["one"], edwards["two"]}} {
		swapped := *test.own
		swapped.jwk = test.other.jwk
		header := map[string]any{"kid": swapped.kid, "alg": swapped.algorithms[0]}
		if _, public, err := published(t, map[string]*Key{swapped.kid: &swapped}).Select(naming(header)); public != nil || !errors.Is(err, errOtherMaterial) {
			t.Errorf("another %s key: %T, %v", swapped.kty, public, err)
		}
	}
	if _, _, err := published(t, maps.Clone(both)).Select(naming(header)); err != nil {
		t.Errorf("as it was read: %v", err)
	}
}

// Across refreshes a snapshot selects among its own keys, with their identity.
func TestSelectIsOfItsOwnSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t)
		kid := b.SigningKID()
		token := naming(map[string]any{"kid": kid, "alg": "ES256"})
		first := b.ks.Current(time.Now())
		key, public, err := first.Select(token)
		if err != nil || !first.Has(key) {
			t.Fatal(err)
		}
		unchanged := b.fetched(t)
		if again, _, err := unchanged.Select(token); err != nil || again != key {
			t.Errorf("an unchanged key has become another: %v", err)
		}
		b.SetJWKS(jwksOf(t, curveJWK(t, elliptic.P256()).with(jwk{"kid": kid})))
		replaced := b.fetched(t)
		other, otherPublic, err := replaced.Select(token)
		if err != nil || other == key || other.has(public) || !other.has(otherPublic) {
			t.Errorf("the replaced key is selected still: %v", err)
		}
		if again, _, err := first.Select(token); err != nil || again != key {
			t.Errorf("the old snapshot has changed: %v", err)
		}
		b.ks.markFailing() // a copy of the snapshot
		if again, _, err := b.ks.Current(time.Now()).Select(token); err != nil || again != other {
			t.Errorf("during an outage: %v", err)
		}
	})
}

func TestSelectAllocatesLittle(t *testing.T) {
	s := published(t, parsed(t, curveJWK(t, elliptic.P384())))
	token := naming(map[string]any{"kid": "ec", "alg": "ES384"})
	if n := testing.AllocsPerRun(1000, func() {
		if _, _, err := s.Select(token); err != nil {
			t.Error(err)
		}
	}); n > 2 {
		t.Errorf("%v allocations", n)
	}
}
