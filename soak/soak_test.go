// Package soak runs a real Caddy for minutes under mixed traffic while keys
// rotate, the tenant fails and the configuration is reloaded, and checks each
// answer against a reference decision. Run it with `make soak`.
package soak

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

var (
	duration = flag.Duration("soak", 0, "how long the traffic lasts; 0 skips the test")
	rate     = flag.Int("soak.rate", 400, "requests per second")
)

const (
	reloadEvery  = 4 * time.Second
	rotateEvery  = 9 * time.Second
	faultEvery   = 13 * time.Second
	faultLasts   = 3 * time.Second
	renewEvery   = 100 * time.Millisecond // one token of the pool, so that some outlive their keys
	measureEvery = 5 * time.Second

	// reloadEcho is how long after a reload connections of the old
	// configuration may end: its grace period and more.
	reloadEcho = 4 * time.Second

	// keylessEcho is how long after a reload that begins with an empty key set
	// there may be no key, if the tenant fails at the same time.
	keylessEcho = 6 * time.Second

	// restFor is how long connections may take to end.
	restFor = 10 * time.Second

	clientsPerProtocol = 4
)

// faults are the ways in which the tenant fails in turn.
var faults = []struct {
	name  string
	fault devtenant.Fault
}{
	{"down", devtenant.Down},
	{"hang", devtenant.Hang},
	{"stall", devtenant.Stall},
	{"server error", devtenant.ServerError},
	{"garbage", devtenant.Garbage},
	{"login page", devtenant.HTML},
	{"empty set", devtenant.EmptySet},
	{"truncated", devtenant.Truncated},
	{"huge", devtenant.Huge},
	{"304 always", devtenant.NotModifiedAlways},
	{"redirect loop", devtenant.RedirectLoop},
}

// soak is one run.
type soak struct {
	*testing.T

	tenant   *tenant
	server   *server
	upstream *upstream
	pool     *pool
	clients  []*client
	crowd    *crowd

	tickets chan struct{} // one for each request

	requests, exact, admitted, broken atomic.Int64
	reloads, rotations, faulted       int
	told, revoked                     atomic.Int64 // revocations that were sent, and that were answered well
	mu                                sync.Mutex
	refused                           map[string]int // by status and text
	peak                              measurement
}

func TestSoak(t *testing.T) {
	if *duration == 0 {
		t.Skip("needs minutes: run `make soak`")
	}
	s := &soak{T: t, tickets: make(chan struct{}), refused: map[string]int{}}
	s.tenant = newTenant(devtenanttest.NewServer(t, devtenant.Options{TokenTTL: tokenLife}))
	s.upstream = startUpstream(t)
	s.pool = newPool(s.tenant)
	s.server = startServer(t, s.tenant, s.upstream, s.pool.secrets)
	s.clients = newClients(t, s.server)
	s.crowd = newCrowd(t, s)

	// What a run leaves behind shows against a Caddy that has seen everything
	// once.
	s.traffic(max(*duration/10, 10*time.Second))
	before := s.rest()
	s.traffic(*duration)
	after := s.rest()
	s.report(before, after)
	s.judge(before, after)
	s.crowd.judge()
}

// traffic sends requests for a time, with all that goes on beside them.
func (s *soak) traffic(lasts time.Duration) {
	stop := make(chan struct{})
	var others, clients sync.WaitGroup
	every := func(interval time.Duration, do func()) {
		others.Go(func() {
			ticker := time.NewTicker(interval)
			defer ticker.Stop()
			for {
				select {
				case <-ticker.C:
					do()
				case <-stop:
					return
				}
			}
		})
	}
	every(time.Second/time.Duration(*rate), func() {
		select {
		case s.tickets <- struct{}{}:
		case <-stop:
		}
	})
	every(reloadEvery, s.reload)
	every(rotateEvery, s.rotate)
	every(faultEvery, func() { s.fail(stop) })
	every(renewEvery, s.pool.renew)
	every(revokeEvery, s.revoke)
	every(measureEvery, func() { s.peak = s.peak.most(s.server.measure(s.T)) })
	for i := range s.clients {
		clients.Go(func() { s.run(s.clients[i], stop) })
	}
	for _, p := range s.crowd.persons {
		clients.Go(func() { p.live(stop) })
	}
	timer := time.NewTimer(lasts)
	defer timer.Stop()
	<-timer.C
	close(stop)
	others.Wait()
	clients.Wait()
}

// run is one client. It has one request under way at a time.
func (s *soak) run(c *client, stop <-chan struct{}) {
	for {
		select {
		case <-s.tickets:
		case <-stop:
			return
		}
		r := s.pool.request()
		sent := time.Now()
		got, err := c.send(s.Context(), r)
		if errors.Is(err, errContract) {
			s.Errorf("%s %s: %v: %s", c.protocol, r.site, err, r.describe())
			continue
		}
		if err != nil {
			// A reload closes connections, also some that a request is on its
			// way to.
			s.broken.Add(1)
			if !s.server.reloadedBetween(sent.Add(-reloadEcho), time.Now()) {
				s.Errorf("%s: %v, and no reload near", c.protocol, err)
			}
			continue
		}
		s.requests.Add(1)
		answered := time.Now()
		keyless := s.server.renewedBetween(sent.Add(-keylessEcho), answered) && s.tenant.failedBetween(sent.Add(-keylessEcho), answered)
		acceptable := s.tenant.reference(r, got.generation, sent, answered, keyless)
		if len(acceptable) == 1 {
			s.exact.Add(1)
		}
		if !slices.Contains(acceptable, got.decision) {
			s.Errorf("%s %s: %s\n got %d %s\nwant %+v", c.protocol, r.site, r.describe(), got.status, got.body, acceptable)
			continue
		}
		s.count(got.decision)
	}
}

func (s *soak) count(d decision) {
	if d.status == http.StatusOK {
		s.admitted.Add(1)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[fmt.Sprintf("%d %s", d.status, d.body)]++
}

func (s *soak) reload() {
	s.server.load(s.T)
	s.reloads++
}

func (s *soak) rotate() {
	s.tenant.rotate([]string{"ES384", "RS256", "ES256"}[rand.N(3)])
	s.pool.issue()
	s.rotations++
}

func (s *soak) fail(stop <-chan struct{}) {
	f := faults[s.faulted%len(faults)]
	s.faulted++
	s.tenant.fail(f.fault)
	timer := time.NewTimer(faultLasts)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-stop:
	}
	s.tenant.recover()
}

// rest ends all connections of the clients and returns the least that is left:
// now and then a fetch is under way.
func (s *soak) rest() measurement {
	for _, c := range s.clients {
		c.close()
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	least := s.server.measure(s.T)
	for range int(restFor / time.Second) {
		<-ticker.C
		least = least.least(s.server.measure(s.T))
	}
	return least
}

// What may be more after the run than before it: a fetch that happens to be
// under way, a cache that is fuller.
const (
	moreGoroutines  = 8
	moreDescriptors = 6
	moreHeap        = 8 << 20
)

func (s *soak) judge(before, after measurement) {
	if after.goroutines > before.goroutines+moreGoroutines {
		s.Errorf("goroutines leak: %d, then %d\n%s", before.goroutines, after.goroutines, s.server.debug(s.T, "/debug/pprof/goroutine?debug=1"))
	}
	if after.descriptors > before.descriptors+moreDescriptors {
		s.Errorf("file descriptors leak: %d, then %d", before.descriptors, after.descriptors)
	}
	if after.heap > before.heap+moreHeap {
		s.Errorf("memory leaks: %d octets, then %d", before.heap, after.heap)
	}
	if broken, all := s.broken.Load(), s.requests.Load(); broken > all/100 {
		s.Errorf("%d of %d requests met a broken connection", broken, all)
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	for i, line := range s.server.faults {
		if i == 10 {
			s.Errorf("and %d lines more", len(s.server.faults)-i)
			break
		}
		s.Errorf("logged: %.2000s", line)
	}
}

func (s *soak) report(before, after measurement) {
	all := s.requests.Load()
	s.Logf("%d requests, of which %d admitted; for %.1f %% the reference had one answer", all, s.admitted.Load(), 100*float64(s.exact.Load())/float64(max(1, all)))
	for _, name := range slices.Sorted(maps.Keys(s.refused)) {
		s.Logf("%7d × %s", s.refused[name], name)
	}
	s.Logf("%d revocations", s.revoked.Load())
	s.Logf("%d connections broken by reloads; %d reloads, %d rotations, %d faults, %d log lines",
		s.broken.Load(), s.reloads, s.rotations, s.faulted, s.server.lines)
	s.Logf("before: %s", before)
	s.Logf("peak:   %s", s.peak)
	s.Logf("after:  %s", after)
}
