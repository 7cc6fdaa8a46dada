package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// shutdownTimeout bounds how long a server waits for requests under way.
const shutdownTimeout = 5 * time.Second

// server is an HTTP server that listens.
type server struct {
	address string
	http    *http.Server
	served  chan error
}

// listen serves on a loopback address, of which the port may be 0.
func listen(ctx context.Context, address string, handler http.Handler) (*server, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &server{
		address: listener.Addr().String(),
		http:    &http.Server{Handler: handler, ReadHeaderTimeout: shutdownTimeout},
		served:  make(chan error, 1),
	}
	go func() { s.served <- s.http.Serve(listener) }()
	return s, nil
}

// stop closes the listener and every connection. It is bound to no context:
// the demo's has ended when it is interrupted, which may be just now.
func (s *server) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return fmt.Errorf("stopping the server on %s: %w", s.address, err)
	}
	if err := <-s.served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", s.address, err)
	}
	return nil
}
