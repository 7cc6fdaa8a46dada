package logtoauth

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/memory"
	"github.com/caddy-logto/caddy-logto-auth/internal/turns"
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
	turns    *turns.Turns[keys.Requester]

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
		turns:     signatureTurns,
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

// pendingVerification is a check that is due or under way.
type pendingVerification struct {
	wanted  int           // how many requests wait for it
	started bool          // one of them has its turn
	done    chan struct{} // closed when it has ended
	info    *AuthInfo     // readable after done; nil if the signature does not hold
}

// verifyOnce returns what the token says if the key has verified it, or nil.
// Everyone who shows the same token at a time waits in the queue of their own
// address, and who of them has a turn first runs verify, which returns nil if
// the signature does not hold; then nobody needs another turn. So who leaves
// takes no one along, and a queue that is long for one is not for another. It
// reports whether that was decided before ctx ended. Only tokens whose
// signature holds are kept, so that made-up ones push none out.
func (c *tokenCache) verifyOnce(ctx context.Context, token string, key *keys.Key, who func() keys.Requester, verify func() *AuthInfo) (info *AuthInfo, decided bool) {
	id := verification{token, key}
	info, pending := c.want(id)
	if info != nil {
		return info, true
	}
	defer c.unwant(id, pending)
	if !c.turns.Take(who, ctx.Done(), pending.done) {
		return pending.result()
	}
	if !c.start(pending) {
		c.turns.Give() // one turn is enough
		<-pending.done
		return pending.info, true
	}
	defer c.turns.Give()
	// Deferred, so that nobody waits for ever if verify panics; then no one is
	// admitted.
	defer c.finish(id, pending)
	pending.info = verify()
	return pending.info, true
}

// result is what came of a check, if it has ended.
func (p *pendingVerification) result() (info *AuthInfo, decided bool) {
	select {
	case <-p.done:
		return p.info, true
	default:
		return nil, false
	}
}

// want returns what the token says if that is known by now, or the check to
// wait for.
func (c *tokenCache) want(id verification) (*AuthInfo, *pendingVerification) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Whoever was first may be done since the caller looked.
	if info := c.lookup(id.token); info != nil && info.key == id.key {
		return info, nil
	}
	pending := c.verifying[id]
	if pending == nil {
		pending = &pendingVerification{done: make(chan struct{})}
		c.verifying[id] = pending
	}
	pending.wanted++
	return nil, pending
}

// unwant forgets a check that everyone who waited for it has left.
func (c *tokenCache) unwant(id verification, pending *pendingVerification) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pending.wanted--; pending.wanted == 0 && c.verifying[id] == pending {
		delete(c.verifying, id)
	}
}

// start reports whether the check is the caller's, who has a turn.
func (c *tokenCache) start(pending *pendingVerification) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pending.started {
		return false
	}
	pending.started = true
	return true
}

// finish tells everyone who waits, and keeps what holds.
func (c *tokenCache) finish(id verification, pending *pendingVerification) {
	c.mu.Lock()
	delete(c.verifying, id) // who comes now and finds nothing kept starts anew
	if pending.info != nil {
		c.verified.Put(id.token, pending.info, cacheCost(id.token, pending.info))
	}
	c.mu.Unlock()
	close(pending.done)
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
