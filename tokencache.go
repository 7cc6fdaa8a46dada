package logtoauth

import (
	"strings"
	"sync"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/memory"
)

const (
	// maxCacheBytes bounds the memory for the verified tokens of one key set.
	maxCacheBytes = 32 << 20

	// All tokens of one key have the same header. Logto publishes two keys at
	// most; a tenant that writes more headers has them parsed again.
	maxHeaders     = 64
	maxHeaderBytes = 64 << 10
)

// tokenCache remembers tokens that a tenant's keys have verified. It answers
// only whose signature held: whether the key still counts, when the token is
// valid and what a site asks for is judged anew for every request.
//
// A hit takes no lock. A flood of tokens that are shown once does not push out
// those that come again and again (package memory).
type tokenCache struct {
	verified *memory.Memory[*AuthInfo]  // by the exact token
	headers  *memory.Memory[joseHeader] // by the exact first part of verified tokens

	mu        sync.Mutex // guards all below; never taken for a hit
	verifying map[verification]*pendingVerification
}

// newTokenCache makes a cache for at most maxTokens tokens.
func newTokenCache(maxTokens int) *tokenCache {
	return newTokenCacheOf(maxTokens, maxCacheBytes)
}

func newTokenCacheOf(maxTokens, maxBytes int) *tokenCache {
	return &tokenCache{
		verified:  memory.New[*AuthInfo](maxTokens, maxBytes),
		headers:   memory.New[joseHeader](maxHeaders, maxHeaderBytes),
		verifying: make(map[verification]*pendingVerification),
	}
}

// lookup returns what the token said when it was verified, or nil. The caller
// must still ask whether the key that verified it is in the tenant's set.
func (c *tokenCache) lookup(token string) *AuthInfo {
	info, _ := c.verified.Get(token)
	return info
}

// header returns what the first part of a token says, if a token that begins
// with it was verified. It says nothing of this token but what everybody could
// read in it. A header whose key has left the set does no harm.
func (c *tokenCache) header(protected string) (joseHeader, bool) {
	return c.headers.Get(protected)
}

// rememberHeader is for verified tokens only, so that made-up headers push none
// out.
func (c *tokenCache) rememberHeader(verified *jws) {
	if _, known := c.headers.Get(verified.protected); !known {
		c.headers.Put(verified.protected, verified.joseHeader, 2*len(verified.protected))
	}
}

// sweep forgets the tokens that have expired or whose key is no longer in the
// set. They would be refused anyway; this gives their memory back.
func (c *tokenCache) sweep(s *keys.Snapshot, now time.Time) {
	c.verified.Sweep(func(info *AuthInfo) bool {
		return info.expiresAt <= now.Unix() || s != nil && !s.Has(info.key)
	})
}

// verification is the signature check of one token with one key.
type verification struct {
	token string
	key   *keys.Key
}

// pendingVerification is a check that is under way.
type pendingVerification struct {
	done chan struct{}
	info *AuthInfo // readable after done; nil if the signature does not hold
}

// verifyOnce returns what the token says if the key has verified it, or nil.
// Of all that show the same token at a time the first runs verify, which
// returns nil if the signature does not hold; the others wait for that. Only
// tokens whose signature holds are kept, so that made-up ones push none out.
func (c *tokenCache) verifyOnce(token string, key *keys.Key, verify func() *AuthInfo) *AuthInfo {
	id := verification{token, key}
	c.mu.Lock()
	// Whoever was first may be done since the caller looked.
	if info := c.lookup(token); info != nil && info.key == key {
		c.mu.Unlock()
		return info
	}
	if pending := c.verifying[id]; pending != nil {
		c.mu.Unlock()
		<-pending.done
		return pending.info
	}
	pending := &pendingVerification{done: make(chan struct{})}
	c.verifying[id] = pending
	c.mu.Unlock()
	// Deferred, so that nobody waits for ever if verify panics; then no one is
	// admitted.
	defer func() {
		c.mu.Lock()
		delete(c.verifying, id)
		if pending.info != nil {
			c.verified.Put(token, pending.info, cacheCost(token, pending.info))
		}
		c.mu.Unlock()
		close(pending.done)
	}()
	pending.info = verify()
	return pending.info
}

// What a cached token takes beside its own octets: its places in the map, the
// list and AuthInfo, and the parts of its claims, each of which may become a
// value in a Go map when somebody asks for a claim. A tenant's custom-claims
// script decides how many parts there are, so they are counted and not
// averaged: `{"":{"":…}}` takes seventy times its length. A test compares
// these figures with the heap.
const (
	costEntry   = 448
	costObject  = 384 // a map with slots for its first eight members
	costArray   = 48
	costElement = 56 // a value in an array or object, with its name
	costSlot    = 56 // in a map that has grown
	costScope   = 24
)

// cacheCost estimates what a cached token takes in memory, decoded claims
// included: they are charged before they exist, since nobody asks again later.
// Punctuation inside texts counts too, which errs on the safe side.
func cacheCost(token string, info *AuthInfo) int {
	count := func(octet string) int { return strings.Count(info.payload, octet) }
	text := len(token) + 2*len(info.payload)
	text += text / 8 // the allocator's size classes
	objects, elements := count("{"), count(",")
	return costEntry + text + costObject*objects + costArray*count("[") + costElement*elements +
		costSlot*max(0, elements-7*objects) + costScope*count(" ")
}
