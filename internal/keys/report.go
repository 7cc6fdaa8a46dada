package keys

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// progress is how a key set has fared.
type progress struct {
	fetches  uint64
	failures int // in a row
	lastErr  error
	since    time.Time       // of the first failure in a row
	logged   map[string]bool // what has been logged since then
	leftOut  string          // keys that were left out, as last logged
}

// FetchReport tells of one fetch.
type FetchReport struct {
	Issuer string    // the tenant, by its first accepted issuer
	Result string    // "ok", "unchanged" or the kind of failure
	Keys   int       // how many serve now
	LastOK time.Time // when the last successful fetch began; zero: never
}

// Status is what the admin API shows of a key set.
type Status struct {
	Issuers     []string    `json:"issuers"`
	JWKSURI     string      `json:"jwks_uri"`
	Keys        []KeyStatus `json:"keys"`
	Source      keyOrigin   `json:"source"`
	FetchedAt   time.Time   `json:"fetched_at,omitzero"`
	NextFetchAt time.Time   `json:"next_fetch_at,omitzero"`
	LastError   string      `json:"last_error"`
	Fetches     uint64      `json:"fetches"`
}

// KeyStatus is what the admin API and check show of a key.
type KeyStatus struct {
	KID        string   `json:"kid"`
	KTY        string   `json:"kty"`
	CRV        string   `json:"crv"`
	Algorithms []string `json:"algorithms"`
}

// Name is what logs and metrics call the tenant.
func (ks *Set) Name() string { return ks.cfg.name() }

// Compare orders key sets by their names, in the same way at any time.
func Compare(a, b *Set) int {
	return cmp.Or(cmp.Compare(a.cfg.name(), b.cfg.name()), cmp.Compare(a.cfg.trust(), b.cfg.trust()))
}

func (c Config) name() string { return c.AcceptedIssuers()[0] }

// LastError is why the last fetch failed, or nil if it did not.
func (ks *Set) LastError() error {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	return ks.progress.lastErr
}

// Status describes the key set as it is now, keys that have gone stale
// included.
func (ks *Set) Status() Status {
	status := Status{Issuers: ks.cfg.AcceptedIssuers(), JWKSURI: ks.cfg.JWKSURI, Keys: []KeyStatus{}}
	ks.mu.Lock()
	status.NextFetchAt, status.Fetches = ks.nextAt, ks.progress.fetches
	if ks.progress.lastErr != nil {
		status.LastError = legible.Error(ks.progress.lastErr)
	}
	ks.mu.Unlock()
	s := ks.held.Load()
	if s == nil {
		return status
	}
	status.JWKSURI, status.Source, status.FetchedAt = legible.Text(s.jwksURI), s.source, s.fetchedAt
	for _, kid := range slices.Sorted(maps.Keys(s.keys)) {
		status.Keys = append(status.Keys, s.keys[kid].Status())
	}
	return status
}

// Status describes the key.
func (k *Key) Status() KeyStatus {
	return KeyStatus{KID: legible.Text(k.kid), KTY: k.kty, CRV: k.crv, Algorithms: slices.Clone(k.algorithms)}
}

// reportSuccess logs what is new: that keys are there again, that they have
// changed, that some were left out.
func (ks *Set) reportSuccess(old, s *Snapshot, got *fetched, env *Environment) {
	ks.mu.Lock()
	before := ks.progress
	leftOut := leftOutText(got.leftOut)
	ks.progress = progress{fetches: before.fetches + 1, leftOut: leftOut}
	ks.mu.Unlock()

	tenant := zap.String("tenant", ks.cfg.name())
	if before.failures > 0 {
		env.log().Info("keys can be fetched again", tenant,
			zap.Int("failed_attempts", before.failures), zap.Duration("after", s.fetchedAt.Sub(before.since)))
	}
	if added, removed := keyChanges(old, s); len(added)+len(removed) > 0 {
		env.log().Info("the tenant's keys have changed", tenant,
			zap.Strings("added", added), zap.Strings("removed", removed))
	}
	if leftOut != "" && leftOut != before.leftOut {
		env.log().Warn("keys of the tenant were left out", tenant, zap.String("keys", leftOut))
	}
	result := "ok"
	if got.unchanged {
		result = "unchanged"
	}
	ks.observe(env, result, s)
}

// reportFailure logs a failed fetch the first time that it fails in this way
// in this outage, with what to do about it. It is a warning while keys still serve, and an error once
// there is nothing left to decide with.
func (ks *Set) reportFailure(err error, s *Snapshot, env *Environment) {
	kind, status := kindOf(err)
	logAs, message := env.log().Warn, "fetching keys failed; the last good keys serve on"
	if s == nil {
		logAs, message = env.log().Error, "fetching keys failed; there are none to verify tokens with"
	}
	ks.mu.Lock()
	p := &ks.progress
	p.fetches++
	p.lastErr = err
	if p.logged == nil {
		p.logged, p.since = make(map[string]bool), time.Now()
	}
	change := fmt.Sprint(kind, status, message)
	first := !p.logged[change]
	p.logged[change] = true
	ks.mu.Unlock()
	if first {
		logAs(message, zap.String("tenant", ks.cfg.name()), zap.String("reason", string(kind)),
			zap.String("error", legible.Error(err)), zap.String("advice", Advice(err)))
	}
	ks.observe(env, string(kind), s)
}

func (ks *Set) observe(env *Environment, result string, s *Snapshot) {
	if env.Observer == nil {
		return
	}
	report := FetchReport{Issuer: ks.cfg.name(), Result: result}
	if s != nil {
		report.Keys = len(s.keys)
	}
	if held := ks.held.Load(); held != nil {
		report.LastOK = held.fetchedAt
	}
	env.Observer(report)
}

// keyChanges lists the IDs of keys that came and went, for people. The first
// keys of a process are no change.
func keyChanges(old, s *Snapshot) (added, removed []string) {
	if old == nil {
		return nil, nil
	}
	for _, kid := range slices.Sorted(maps.Keys(s.keys)) {
		if !old.Has(s.keys[kid]) {
			added = append(added, legible.Text(kid))
		}
	}
	for _, kid := range slices.Sorted(maps.Keys(old.keys)) {
		if !s.Has(old.keys[kid]) {
			removed = append(removed, legible.Text(kid))
		}
	}
	return added, removed
}

// leftOutText lists what was left out.
func leftOutText(keys []leftOutKey) string {
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = k.String()
	}
	return strings.Join(texts, "; ")
}
