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
}

type connection struct {
	net.Conn
	answers *bufio.Reader
}

func newClient(ctx context.Context, addr string, connections int) (*client, error) {
	c := new(client)
	for range connections {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
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
	deadline := time.Now().Add(duration)
	for _, connection := range c.connections {
		sending.Go(func() {
			own := make([]time.Duration, 0, 1<<14)
			var err error
			for began := time.Now(); err == nil && began.Before(deadline); {
				err = connection.exchange(next(), status)
				ended := time.Now()
				own = append(own, ended.Sub(began))
				began = ended
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
