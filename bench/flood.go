//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// Who sends in a flood, each from an address of its own.
const (
	floodConnections = 50 // as fast as they are answered, or as fast as said
	knownConnections = 10 // tokens that are known
	knownEvery       = 5 * time.Millisecond
	newEvery         = 20 * time.Millisecond // one connection whose tokens are all new

	floodAddress = "127.0.0.2"
	knownAddress = "127.0.0.3"
	newAddress   = "127.0.0.4"
)

// flood is what the fifty send.
type flood struct {
	name   string
	status int

	// asForged says that they send as many requests per second as were answered
	// of the forged ones before, and not as many as they can.
	asForged bool
}

// The floods that are compared, the one in question first.
var floods = []flood{
	{name: "forged", status: http.StatusUnauthorized},
	{name: "plain, all that the server answers", status: http.StatusOK},
	{name: "plain, as many as forged", status: http.StatusOK, asForged: true},
}

// crowd is a server and who sends to it.
type crowd struct {
	*server
	flooding, known, newcomer    *client
	forged, genuine, neverBefore *requests
}

// felt is what one kind of flood did to everyone during one round.
type felt struct {
	rate            float64 // of the flood, per second
	known, newcomer round
}

// compareFloods measures how long known tokens take while others send forged
// ones, and while those send plain requests.
func compareFloods(ctx context.Context, o options, binary, dir, algorithm string) error {
	tenant, endTenant, err := startTenant(ctx, algorithm)
	if err != nil {
		return err
	}
	defer endTenant()
	c, err := newCrowd(ctx, o, binary, dir, algorithm, tenant)
	if err != nil {
		return err
	}
	defer c.end()
	if _, err := c.feel(time.Second, floods[0], 0); err != nil { // a new process takes a while to settle
		return err
	}
	rounds := make([][]felt, len(floods))
	for range o.rounds {
		rate := 0.0
		for i, f := range floods {
			one, err := c.feel(o.duration, f, rate)
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			if i == 0 {
				rate = one.rate
			}
			rounds[i] = append(rounds[i], one)
		}
	}
	printFloods(os.Stdout, algorithm, rounds)
	return nil
}

func newCrowd(ctx context.Context, o options, binary, dir, algorithm string, tenant *devtenant.Tenant) (c *crowd, err error) {
	c = new(crowd)
	directive := workload{}.directive(tenant)
	if c.server, err = startServer(ctx, dir, caddy(binary, directive+respondOK)); err != nil {
		return nil, err
	}
	if c.flooding, err = newClientFrom(ctx, floodAddress, c.addr, floodConnections); err == nil {
		if c.known, err = newClientFrom(ctx, knownAddress, c.addr, knownConnections); err == nil {
			c.newcomer, err = newClientFrom(ctx, newAddress, c.addr, 1)
		}
	}
	if err != nil {
		c.end()
		return nil, err
	}
	c.newcomer.every = newEvery
	c.known.every = o.every
	long := time.Second + time.Duration(o.rounds*len(floods))*o.duration
	tokens := genuine(16 + 2*int(long/newEvery))(tenant)
	c.genuine = render(c.addr, bearers(tokens[:16]))
	c.neverBefore = render(c.addr, bearers(tokens[16:]))
	c.forged = render(c.addr, bearers(forged(algorithm)(tenant)))
	return c, nil
}

func (c *crowd) end() {
	for _, client := range []*client{c.flooding, c.known, c.newcomer} {
		if client != nil {
			client.close()
		}
	}
	c.stop()
}

// feel lets everyone send for a while.
func (c *crowd) feel(duration time.Duration, f flood, rate float64) (felt, error) {
	sent := c.genuine
	if f.status != http.StatusOK {
		sent = c.forged
	}
	c.flooding.every = 0
	if f.asForged {
		c.flooding.every = time.Duration(float64(time.Second) * floodConnections / rate)
	}
	type outcome struct {
		latencies []time.Duration
		err       error
	}
	start := func(client *client, status int, next func() []byte) chan outcome {
		done := make(chan outcome, 1)
		go func() {
			latencies, err := client.load(duration, status, next)
			done <- outcome{latencies, err}
		}()
		return done
	}
	began := time.Now()
	flooding := start(c.flooding, f.status, sent.request)
	known := start(c.known, http.StatusOK, c.genuine.request)
	newcomer := start(c.newcomer, http.StatusOK, c.neverBefore.request)
	a, b, n := <-flooding, <-known, <-newcomer
	for _, o := range []outcome{a, b, n} {
		if o.err != nil {
			return felt{}, o.err
		}
	}
	took := time.Since(began)
	of := func(o outcome) round { return (&spent{took: took, latencies: o.latencies}).round() }
	return felt{rate: float64(len(a.latencies)) / took.Seconds(), known: of(b), newcomer: of(n)}, nil
}

// printFloods writes a row for each kind of flood; the ratios are medians over
// the rounds, each of which has all kinds.
func printFloods(w io.Writer, algorithm string, rounds [][]felt) {
	fmt.Fprintf(w, "| the fifty send, %s | requests/s of theirs | known tokens: requests/s | p50 | p99 | p99 when forged, over this | first sights: p50 | p99 |\n|---|---|---|---|---|---|---|---|\n", algorithm)
	for i, f := range floods {
		pick := func(of func(felt) float64) float64 { return medianOf(rounds[i], of) }
		ratios := make([]float64, len(rounds[i]))
		for j := range ratios {
			ratios[j] = rounds[0][j].known.p99 / rounds[i][j].known.p99
		}
		fmt.Fprintf(w, "| %s | %.0f | %.0f | %.2f ms | %.2f ms | **× %.2f** | %.2f ms | %.2f ms |\n", f.name,
			pick(func(f felt) float64 { return f.rate }), pick(func(f felt) float64 { return f.known.rate }),
			pick(func(f felt) float64 { return f.known.p50 })/1000, pick(func(f felt) float64 { return f.known.p99 })/1000,
			medianOf(ratios, func(ratio float64) float64 { return ratio }),
			pick(func(f felt) float64 { return f.newcomer.p50 })/1000, pick(func(f felt) float64 { return f.newcomer.p99 })/1000)
	}
}

// medianOf returns the median of what is measured of each.
func medianOf[T any](all []T, of func(T) float64) float64 {
	values := make([]float64, 0, len(all))
	for _, one := range all {
		values = append(values, of(one))
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}
