package devtenant

import (
	"slices"
)

// Rotate is Logto's immediate rotation: a new key signs at once, the set holds
// it and the one before it (and staged ones), older ones are gone. If alg is
// empty, the algorithm stays. It returns the new key's ID.
func (t *Tenant) Rotate(alg string) string {
	next := newKey(t.algorithmOr(alg))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.promote(next)
	return next.jwk.Kid
}

// Stage publishes a new key that does not sign until [Tenant.Activate]. If alg
// is empty, the algorithm stays. It returns the new key's ID.
func (t *Tenant) Stage(alg string) string {
	next := newKey(t.algorithmOr(alg))
	next.staged = true
	t.mu.Lock()
	defer t.mu.Unlock()
	t.published = append(t.published, next)
	return next.jwk.Kid
}

// Activate lets a published key sign, as if the tenant had rotated to it. It
// panics if the set has no such key.
func (t *Tenant) Activate(kid string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.published, func(k *key) bool { return k.jwk.Kid == kid })
	if i < 0 {
		panic("devtenant: no published key " + kid)
	}
	t.promote(t.published[i])
}

func (t *Tenant) promote(next *key) {
	previous := t.signing
	next.staged = false
	kept := []*key{next}
	for _, k := range t.published {
		// A previous key that was removed stays removed.
		if k != next && (k == previous || k.staged) {
			kept = append(kept, k)
		}
	}
	t.signing, t.published = next, kept
}

// RemoveKey takes a key out of the set, one of [Tenant.AddKey] too. The tenant
// goes on signing with a removed key, as a thief would.
func (t *Tenant) RemoveKey(kid string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.published = slices.DeleteFunc(t.published, func(k *key) bool { return k.jwk.Kid == kid })
	t.foreign = slices.DeleteFunc(t.foreign, func(k foreignKey) bool { return k.kid == kid })
}

// SigningKID returns the ID of the key that signs.
func (t *Tenant) SigningKID() string {
	return t.signingKey().jwk.Kid
}

func (t *Tenant) signingKey() *key {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.signing
}

func (t *Tenant) algorithmOr(alg string) string {
	if alg != "" {
		return alg
	}
	return t.signingKey().method.Alg()
}
