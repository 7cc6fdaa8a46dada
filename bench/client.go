//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// client keeps connections to a server busy. It writes requests that were
// rendered before and reads no more of an answer than it must, so that it
// takes little of the machine's time itself.
type client struct {
	connections []*connection
	every       time.Duration // how often each of them sends; 0 is as soon as it has its answer
}

type connection struct {
	net.Conn
	answers *bufio.Reader
}

func newClient(ctx context.Context, addr string, connections int) (*client, error) {
	return newClientFrom(ctx, "", addr, connections)
}

// newClientFrom makes a client that has this address, or any.
func newClientFrom(ctx context.Context, from, addr string, connections int) (*client, error) {
	c := new(client)
	dialer := new(net.Dialer)
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	for range connections {
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil {
			c.close()
			return nil, err
		}
		c.connections = append(c.connections, &connection{conn, bufio.NewReader(conn)})
	}
	return c, nil
}

func (c *client) close() {
	for _, connection := range c.connections {
		_ = connection.Close()
	}
}

// load sends requests, in turn, until the time is over, and returns how long
// each took. Every answer must have the status.
func (c *client) load(duration time.Duration, status int, next func() []byte) ([]time.Duration, error) {
	var (
		sending   sync.WaitGroup
		mu        sync.Mutex
		latencies []time.Duration
		failure   error
	)
	start := time.Now()
	deadline := start.Add(duration)
	for i, connection := range c.connections {
		sending.Go(func() {
			own := make([]time.Duration, 0, 1<<14)
			var err error
			// Those that keep to a rate do not all send at once.
			due := start.Add(c.every * time.Duration(i) / time.Duration(len(c.connections)))
			for began := c.await(due); err == nil && began.Before(deadline); {
				err = connection.exchange(next(), status)
				ended := time.Now()
				own = append(own, ended.Sub(began))
				due = due.Add(c.every)
				began = c.await(due)
			}
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, own...)
			if err != nil {
				failure = err
			}
		})
	}
	sending.Wait()
	return latencies, failure
}

// await waits until the next request is due, and returns what time it is then.
func (c *client) await(due time.Time) time.Time {
	if c.every > 0 {
		time.Sleep(time.Until(due))
	}
	return time.Now()
}

// exchange sends one request and reads the answer.
func (c *connection) exchange(request []byte, status int) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	line, err := c.answers.ReadSlice('\n')
	if err != nil {
		return err
	}
	if want := fmt.Appendf(nil, "HTTP/1.1 %d ", status); !bytes.HasPrefix(line, want) {
		return fmt.Errorf("the answer is %q, not %d", line, status)
	}
	length := 0
	for {
		line, err := c.answers.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= len("\r\n") {
			break
		}
		// Some servers write the names of headers in small letters.
		if name := len("Content-Length: "); len(line) > name && bytes.EqualFold(line[:name], []byte("Content-Length: ")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[name:]))); err != nil {
				return err
			}
		}
	}
	_, err = io.CopyN(io.Discard, c.answers, int64(length))
	return err
}
