// Package caches compares the caches that were considered for verified
// tokens. BenchmarkTokenCache in the repository's root measures what was chosen
// in the same way.
package caches

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/dgraph-io/ristretto/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"
)

const (
	capacity  = 10_000
	tokenSize = 700
)

// info stands for what is kept of a token.
type info struct {
	token string
	_     [300]byte
}

// cache is what is measured of each candidate.
type cache struct {
	get func(token string) *info
	set func(token string, value *info)
	end func()
}

var candidates = []struct {
	name string
	make func(testing.TB) cache
}{
	{"otter", newOtter},
	{"ristretto", newRistretto},
	{"golang-lru", newLRU},
	{"golang-lru-64-shards", newShardedLRU},
	{"rwmutex-map-64-shards", newShardedMap},
}

func newOtter(tb testing.TB) cache {
	tb.Helper()
	c, err := otter.New(&otter.Options[string, *info]{MaximumSize: capacity})
	if err != nil {
		tb.Fatal(err)
	}
	return cache{
		get: func(token string) *info { value, _ := c.GetIfPresent(token); return value },
		set: func(token string, value *info) { c.Set(token, value) },
		end: func() { c.InvalidateAll() },
	}
}

// newRistretto compares the whole token itself: ristretto compares hashes.
func newRistretto(tb testing.TB) cache {
	tb.Helper()
	c, err := ristretto.NewCache(&ristretto.Config[string, *info]{NumCounters: 10 * capacity, MaxCost: capacity, BufferItems: 64, IgnoreInternalCost: true})
	if err != nil {
		tb.Fatal(err)
	}
	return cache{
		get: func(token string) *info {
			if value, ok := c.Get(token); ok && value.token == token {
				return value
			}
			return nil
		},
		set: func(token string, value *info) { c.Set(token, value, 1); c.Wait() },
		end: c.Close,
	}
}

func newLRU(tb testing.TB) cache {
	tb.Helper()
	c, err := lru.New[string, *info](capacity)
	if err != nil {
		tb.Fatal(err)
	}
	return cache{
		get: func(token string) *info { value, _ := c.Get(token); return value },
		set: func(token string, value *info) { c.Add(token, value) },
		end: func() {},
	}
}

// shards, and an inexpensive choice among them: a signature's octets are as
// good as random.
const shards = 64

func shard(token string) int {
	n := len(token)
	return int(token[n-1]^token[n-2]<<3^token[n-3]<<5) % shards
}

func newShardedLRU(tb testing.TB) cache {
	tb.Helper()
	var c [shards]*lru.Cache[string, *info]
	for i := range c {
		var err error
		if c[i], err = lru.New[string, *info](2 * capacity / shards); err != nil {
			tb.Fatal(err)
		}
	}
	return cache{
		get: func(token string) *info { value, _ := c[shard(token)].Get(token); return value },
		set: func(token string, value *info) { c[shard(token)].Add(token, value) },
		end: func() {},
	}
}

// newShardedMap has no bound: it shows what the lock and the map alone take.
func newShardedMap(testing.TB) cache {
	var c [shards]struct {
		sync.RWMutex
		m map[string]*info
	}
	for i := range c {
		c[i].m = make(map[string]*info)
	}
	return cache{
		get: func(token string) *info {
			s := &c[shard(token)]
			s.RLock()
			defer s.RUnlock()
			return s.m[token]
		},
		set: func(token string, value *info) {
			s := &c[shard(token)]
			s.Lock()
			defer s.Unlock()
			s.m[token] = value
		},
		end: func() {},
	}
}

func tokens(n int) []string {
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = strings.Repeat("h", tokenSize-6) + strconv.Itoa(100_000+i)
	}
	return tokens
}

// BenchmarkHit looks up tokens that are kept.
func BenchmarkHit(b *testing.B) {
	for _, candidate := range candidates {
		for _, distinct := range []int{1, 16, capacity / 2} {
			b.Run(candidate.name+"/"+strconv.Itoa(distinct), func(b *testing.B) {
				c := candidate.make(b)
				defer c.end()
				all := tokens(distinct)
				for _, token := range all {
					c.set(strings.Clone(token), &info{token: token})
				}
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						c.get(all[i%distinct])
					}
				})
			})
		}
	}
}

// BenchmarkInsert adds tokens that were never seen to a cache that is full.
func BenchmarkInsert(b *testing.B) {
	for _, candidate := range candidates {
		if candidate.name == "rwmutex-map-64-shards" {
			continue // it never forgets
		}
		b.Run(candidate.name, func(b *testing.B) {
			c := candidate.make(b)
			defer c.end()
			value := new(info)
			for _, token := range tokens(2 * capacity) {
				c.set(token, value)
			}
			padding := strings.Repeat("h", tokenSize)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				c.set(padding+strconv.Itoa(i), value)
			}
		})
	}
}
