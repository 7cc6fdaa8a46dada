package soak

import (
	"math"
	"sync"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// settle is how long a tenant must have answered without a fault until the
// Caddy under test has surely fetched its keys: refresh_interval, the longest
// pause between failed fetches, fetch_timeout, and patience with a busy
// machine.
const settle = 5 * time.Second

// tenant is a throw-away tenant that remembers when its keys came and went and
// when it failed.
type tenant struct {
	*devtenanttest.Server

	stranger *devtenant.Tenant // signs with keys of its own

	mu      sync.Mutex
	keys    map[string]*lifetime
	healthy []*lifetime // stretches without a fault
}

// lifetime is a span of time that may not have ended.
type lifetime struct{ from, to time.Time }

var endless = time.Unix(math.MaxInt32, 0)

func newTenant(server *devtenanttest.Server) *tenant {
	now := time.Now()
	t := &tenant{
		Server:   server,
		stranger: devtenant.New(devtenant.Options{Issuer: server.Issuer()}),
		keys:     map[string]*lifetime{server.SigningKID(): {now, endless}},
		healthy:  []*lifetime{{now, endless}},
	}
	return t
}

// sign signs claims and tells with which key.
func (t *tenant) sign(header, claims map[string]any) (text, kid string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.Sign(header, claims), t.SigningKID()
}

// rotate lets a new key sign. The one before it stays published until the next
// rotation.
func (t *tenant) rotate(algorithm string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	current, now := t.SigningKID(), time.Now()
	kid := t.Rotate(algorithm)
	for id, life := range t.keys {
		if id != current && life.to.Equal(endless) {
			life.to = now
		}
	}
	t.keys[kid] = &lifetime{now, endless}
}

func (t *tenant) fail(fault devtenant.Fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.healthy[len(t.healthy)-1].to = time.Now()
	t.SetFault(fault)
}

func (t *tenant) recover() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.SetFault(devtenant.None)
	t.healthy = append(t.healthy, &lifetime{time.Now(), endless})
}

// settledBetween tells whether the tenant answered for long enough at one
// stretch.
func (t *tenant) settledBetween(from, to time.Time) bool {
	for _, stretch := range t.healthy {
		if earliest(stretch.to, to).Sub(latest(stretch.from, from)) >= settle {
			return true
		}
	}
	return false
}

// failedBetween tells whether a fault was on at any moment.
func (t *tenant) failedBetween(from, to time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, stretch := range t.healthy {
		if !stretch.from.After(from) && !stretch.to.Before(to) {
			return false
		}
	}
	return true
}

// mayKnow tells what the Caddy under test may know of a key.
func (t *tenant) mayKnow(kid string, sent, answered time.Time) []bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	life := t.keys[kid]
	switch {
	case life == nil:
		return []bool{false} // never published
	case life.to.After(answered) && t.settledBetween(life.from, sent):
		return []bool{true}
	case life.to.Before(sent) && t.settledBetween(life.to, sent):
		return []bool{false}
	default:
		return []bool{true, false}
	}
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
