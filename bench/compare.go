//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// round is what one server did in one round.
type round struct {
	processor float64 // µs for each request
	rate      float64 // requests per second
	p50, p99  float64 // µs
}

// result compares the rounds of a workload, in pairs.
type result struct {
	name              string
	plain, protected  round // medians
	ratio             round // medians of the pairs' ratios
	plainMB           float64
	protectedMB       float64
	fetches           int
	requests, seconds float64
}

func (r result) String() string {
	return fmt.Sprintf("%-28s processor %6.1f → %6.1f µs (×%.3f), requests/s ×%.2f, p50 ×%.2f, p99 ×%.2f, peak %3.0f → %3.0f MB",
		r.name, r.plain.processor, r.protected.processor, r.ratio.processor, r.ratio.rate, r.ratio.p50, r.ratio.p99, r.plainMB, r.protectedMB)
}

// side is one of the two servers with its client.
type side struct {
	*server
	*client
	*requests
	status int
}

// requests are sent in turn.
type requests struct {
	rendered [][]byte
	next     atomic.Uint64
}

// compare runs a workload against a site without and with the directive.
func compare(ctx context.Context, o options, binary, dir string, w workload) (result, error) {
	tenant, endTenant, err := startTenant(ctx, w.algorithm)
	if err != nil {
		return result{}, err
	}
	defer endTenant()
	plain, err := newSide(ctx, o, dir, caddy(binary, w.answer()), http.StatusOK)
	if err != nil {
		return result{}, err
	}
	defer plain.end()
	protected, err := newSide(ctx, o, dir, caddy(binary, w.directive(tenant)+w.answer()), w.status)
	if err != nil {
		return result{}, err
	}
	defer protected.end()
	var credentials []string
	if w.people > 0 {
		if credentials, err = sessions(ctx, tenant, protected.addr, w.people); err != nil {
			return result{}, err
		}
	} else {
		credentials = bearers(w.tokens(tenant))
	}
	plain.requests = render(plain.addr, credentials)
	protected.requests = render(protected.addr, credentials)
	if err := admitOne(ctx, w, tenant, plain, protected); err != nil {
		return result{}, err
	}
	if err := warmUp(plain, protected); err != nil {
		return result{}, err
	}
	fetches := tenant.Counts().JWKS
	r, err := measure(o.rounds, o.duration, plain, protected)
	r.name, r.fetches = w.name, tenant.Counts().JWKS-fetches
	if err == nil && o.profile != "" {
		err = protected.profile(ctx, filepath.Join(o.profile, profileName(w.name)))
	}
	return r, err
}

// admitOne shows both sites a good token, since every site in use has seen one,
// a site that refuses nearly all included.
func admitOne(ctx context.Context, w workload, tenant *devtenant.Tenant, sides ...*side) error {
	if w.instead != "" || w.people > 0 {
		return nil
	}
	for _, s := range sides {
		status, err := get(ctx, s.addr, genuine(1)(tenant)[0])
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("the answer to a good token is %d", status)
		}
	}
	return nil
}

// measure compares two servers that are warm, in rounds.
func measure(rounds int, duration time.Duration, plain, protected *side) (r result, err error) {
	began := time.Now()
	plains, protecteds := make([]round, rounds), make([]round, rounds)
	ratios := make([]round, rounds)
	for i := range rounds {
		plains[i], protecteds[i], err = pairedRound(duration, plain, protected)
		if err != nil {
			return result{}, err
		}
		ratios[i] = protecteds[i].over(plains[i])
	}
	r.seconds = time.Since(began).Seconds()
	r.requests = float64(protected.next.Load())
	r.plain, r.protected, r.ratio = medians(plains), medians(protecteds), medians(ratios)
	if r.plainMB, err = plain.peakMemory(); err != nil {
		return result{}, err
	}
	r.protectedMB, err = protected.peakMemory()
	return r, err
}

// startTenant serves a throw-away tenant from this process.
func startTenant(ctx context.Context, algorithm string) (*devtenant.Tenant, func(), error) {
	tenant := devtenant.New(devtenant.Options{Algorithm: algorithm})
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	endpoint := "http://" + listener.Addr().String()
	tenant.SetEndpoint(endpoint)
	tenant.SetIssuer(endpoint + "/oidc")
	server := &http.Server{Handler: tenant, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // ends with Close
	return tenant, func() { _ = server.Close() }, nil
}

func newSide(ctx context.Context, o options, dir string, setUp configure, status int) (*side, error) {
	server, err := startServer(ctx, dir, setUp)
	if err != nil {
		return nil, err
	}
	client, err := newClient(ctx, server.addr, o.connections)
	if err != nil {
		server.stop()
		return nil, err
	}
	return &side{server: server, client: client, status: status}, nil
}

// bearers are the header lines that show tokens.
func bearers(tokens []string) []string {
	lines := make([]string, len(tokens))
	for i, token := range tokens {
		if token != "" {
			lines[i] = "Authorization: Bearer " + token + "\r\n"
		}
	}
	return lines
}

// render makes a request of each header line.
func render(addr string, credentials []string) *requests {
	r := new(requests)
	for _, line := range credentials {
		r.rendered = append(r.rendered, []byte("GET /products HTTP/1.1\r\nHost: "+addr+"\r\nUser-Agent: bench\r\nAccept: */*\r\n"+line+"\r\n"))
	}
	return r
}

func (s *side) end() {
	s.close()
	s.stop()
}

func (r *requests) request() []byte {
	return r.rendered[(r.next.Add(1)-1)%uint64(len(r.rendered))]
}

// warmUp sends every request once, and then more for as long as a new process
// takes to settle.
func warmUp(sides ...*side) error {
	for _, s := range sides {
		for s.next.Load() < uint64(len(s.rendered)) {
			if _, err := s.load(300*time.Millisecond, s.status, s.request); err != nil {
				return err
			}
		}
		if err := s.findProcesses(); err != nil {
			return err
		}
	}
	return nil
}

// slice is how long one server is loaded before the other one has its turn:
// so short that whatever else the machine does slows both alike.
const slice = 50 * time.Millisecond

// pairedRound loads both servers for the duration, slice by slice.
func pairedRound(duration time.Duration, plain, protected *side) (a, b round, err error) {
	var spentPlain, spentProtected spent
	for i := 0; time.Duration(i)*slice < duration; i++ {
		turns := []func() error{
			func() error { return plain.loadSlice(&spentPlain) },
			func() error { return protected.loadSlice(&spentProtected) },
		}
		if i%2 == 1 {
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return round{}, round{}, err
			}
		}
	}
	return spentPlain.round(), spentProtected.round(), nil
}

// spent is what the slices of a round took together.
type spent struct {
	processor, took time.Duration
	latencies       []time.Duration
}

func (s *side) loadSlice(sum *spent) error {
	before, err := s.processorTime()
	if err != nil {
		return err
	}
	began := time.Now()
	latencies, err := s.load(slice, s.status, s.request)
	if err != nil {
		return err
	}
	sum.took += time.Since(began)
	after, err := s.processorTime()
	if err != nil {
		return err
	}
	sum.processor += after - before
	sum.latencies = append(sum.latencies, latencies...)
	return nil
}

func (s *spent) round() round {
	slices.Sort(s.latencies)
	count := len(s.latencies)
	return round{
		processor: microseconds(s.processor) / float64(count),
		rate:      float64(count) / s.took.Seconds(),
		p50:       microseconds(s.latencies[count/2]),
		p99:       microseconds(s.latencies[count*99/100]),
	}
}

// over compares two rounds.
func (r round) over(other round) round {
	return round{r.processor / other.processor, r.rate / other.rate, r.p50 / other.p50, r.p99 / other.p99}
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func medians(rounds []round) round {
	median := func(of func(round) float64) float64 { return medianOf(rounds, of) }
	return round{
		processor: median(func(r round) float64 { return r.processor }),
		rate:      median(func(r round) float64 { return r.rate }),
		p50:       median(func(r round) float64 { return r.p50 }),
		p99:       median(func(r round) float64 { return r.p99 }),
	}
}
