package logtoauth

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// maxCacheBytes bounds the memory for the verified tokens of one key set.
const maxCacheBytes = 32 << 20

// tokenCache remembers tokens that a tenant's keys have verified. It answers
// only whose signature held: whether the key still counts, when the token is
// valid and what a site asks for is judged anew for every request.
//
// A hit takes no lock and writes nothing but, once, a mark. What is forgotten
// when the cache is full follows SIEVE (Zhang et al., NSDI 2024): a hand goes
// from the oldest to the newest token, spares those that were used since it
// last passed, and stops at the first that was not. So a flood of tokens that
// are shown once does not push out those that come again and again.
type tokenCache struct {
	maxTokens int
	maxBytes  int

	tokens sync.Map // the exact token → *cachedToken; changed under mu

	mu             sync.Mutex // guards all below; never taken for a hit
	newest, oldest *cachedToken
	hand           *cachedToken // where the next search begins; nil for the oldest
	count, bytes   int
	verifying      map[verification]*pendingVerification
}

// cachedToken is a verified token in the order in which they came.
type cachedToken struct {
	token        string
	info         *AuthInfo
	bytes        int
	used         atomic.Bool
	newer, older *cachedToken
}

// newTokenCache makes a cache for at most maxTokens tokens.
func newTokenCache(maxTokens int) *tokenCache {
	return &tokenCache{maxTokens: maxTokens, maxBytes: maxCacheBytes, verifying: make(map[verification]*pendingVerification)}
}

// lookup returns what the token said when it was verified, or nil. The caller
// must still ask whether the key that verified it is in the tenant's set.
func (c *tokenCache) lookup(token string) *AuthInfo {
	cached := c.load(token)
	if cached == nil {
		return nil
	}
	// Only the first hit writes: the processors would otherwise take the
	// memory of a popular token from each other at every request.
	if !cached.used.Load() {
		cached.used.Store(true)
	}
	return cached.info
}

func (c *tokenCache) load(token string) *cachedToken {
	value, ok := c.tokens.Load(token)
	if !ok {
		return nil
	}
	cached, _ := value.(*cachedToken)
	return cached
}

// keep remembers a token that info.key has verified. The caller holds mu.
func (c *tokenCache) keep(token string, info *AuthInfo) {
	bytes := cacheCost(token, info)
	if c.maxTokens <= 0 || bytes > c.maxBytes {
		return
	}
	if old := c.load(token); old != nil { // its key was replaced in the set
		c.remove(old)
	}
	for c.count >= c.maxTokens || c.bytes+bytes > c.maxBytes {
		c.evict()
	}
	// The token may be part of a longer header, which must not be kept alive.
	cached := &cachedToken{token: strings.Clone(token), info: info, bytes: bytes, older: c.newest}
	if c.newest != nil {
		c.newest.newer = cached
	} else {
		c.oldest = cached
	}
	c.newest = cached
	c.count++
	c.bytes += bytes
	c.tokens.Store(cached.token, cached)
}

// evict forgets one token. The caller holds mu and knows that there is one.
func (c *tokenCache) evict() {
	candidate := c.hand
	if candidate == nil {
		candidate = c.oldest
	}
	// One round at most: requests may mark tokens as fast as the hand unmarks
	// them.
	for range c.count {
		if !candidate.used.Swap(false) {
			break
		}
		if candidate = candidate.newer; candidate == nil {
			candidate = c.oldest
		}
	}
	c.hand = candidate
	c.remove(candidate)
}

// remove forgets a token. The caller holds mu.
func (c *tokenCache) remove(cached *cachedToken) {
	if c.hand == cached {
		c.hand = cached.newer
	}
	if cached.newer != nil {
		cached.newer.older = cached.older
	} else {
		c.newest = cached.older
	}
	if cached.older != nil {
		cached.older.newer = cached.newer
	} else {
		c.oldest = cached.newer
	}
	c.count--
	c.bytes -= cached.bytes
	c.tokens.Delete(cached.token)
}

// sweep forgets the tokens that have expired or whose key is no longer in the
// set. They would be refused anyway; this gives their memory back.
func (c *tokenCache) sweep(s *keys.Snapshot, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for cached := c.oldest; cached != nil; {
		next := cached.newer
		if cached.info.expiresAt <= now.Unix() || s != nil && !s.Has(cached.info.key) {
			c.remove(cached)
		}
		cached = next
	}
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
	if cached := c.load(token); cached != nil && cached.info.key == key {
		c.mu.Unlock()
		return cached.info
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
			c.keep(token, pending.info)
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
