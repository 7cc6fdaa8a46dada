package keys

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// maxReason and maxLeftOut bound what is kept, for the log, of keys that were
// left out: a set can hold hundreds of thousands of them.
const (
	maxReason  = 128
	maxLeftOut = 8
)

// jwks is what a JWK Set (RFC 7517 section 5) holds for us.
type jwks struct {
	keys    map[string]*Key
	raw     []json.RawMessage // the JWKs of the keys, as they stood
	leftOut []leftOutKey      // the first of them
}

// leftOutKey is a JWK that may not verify tokens.
type leftOutKey struct {
	position int
	kid      string
	reason   string
}

func (k leftOutKey) String() string {
	if k.kid == "" {
		return fmt.Sprintf("key %d: %s", k.position, k.reason)
	}
	return fmt.Sprintf("key %d (%.64q): %s", k.position, k.kid, k.reason)
}

// parseJWKS reads a JWK Set key by key, so that one bad key does not spoil
// the others, and fails if no key is usable: an empty answer must never
// replace good keys. Of several keys with one ID the first counts, since a
// token must have exactly one key that can verify it.
func parseJWKS(document []byte) (*jwks, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(document, &members); err != nil {
		return nil, failure(failureMalformed, fmt.Errorf("the key set is no JSON object: %w", err))
	}
	var list []json.RawMessage
	if err := json.Unmarshal(members["keys"], &list); err != nil {
		return nil, failure(failureMalformed, errors.New(`the key set has no array "keys"`))
	}
	set := &jwks{keys: make(map[string]*Key)}
	for i, raw := range list {
		key, err := parseJWK(raw)
		if err == nil && set.keys[key.kid] != nil {
			err = errors.New("an earlier key has the same kid")
		}
		if err != nil {
			if len(set.leftOut) < maxLeftOut {
				set.leftOut = append(set.leftOut, leftOutKey{position: i, kid: rawKID(raw), reason: legible.Cut(legible.Text(err.Error()), maxReason)})
			}
			continue
		}
		set.keys[key.kid] = key
		set.raw = append(set.raw, raw)
	}
	if len(set.keys) == 0 {
		err := errors.New("the key set has no usable signing key")
		if len(set.leftOut) > 0 {
			err = fmt.Errorf("%w; %s", err, set.leftOut[0])
		}
		return nil, failure(failureNoKey, err)
	}
	return set, nil
}

// rawKID names a key that was left out, as far as it has a name.
func rawKID(raw json.RawMessage) string {
	var members jwkMembers
	if json.Unmarshal(raw, &members) != nil {
		return ""
	}
	kid, err := members.text("kid")
	if err != nil {
		return ""
	}
	return kid
}

// adopt replaces keys that are unchanged by those of the previous set, which
// keeps their identity.
func adopt(keys, previous map[string]*Key) map[string]*Key {
	adopted := make(map[string]*Key, len(keys))
	for kid, key := range keys {
		if old := previous[kid]; old != nil && key.same(old) {
			key = old
		}
		adopted[kid] = key
	}
	return adopted
}
