//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// profileTime is how long a profile records: at a hundred samples a second of
// each processor, enough to tell half a per cent.
const profileTime = 10 * time.Second

// profile loads a Caddy once more, after all is measured, and writes a CPU
// profile of it meanwhile. A profile that was taken while measuring would slow
// one of the two servers only.
func (s *side) profile(ctx context.Context, path string) error {
	recorded := make(chan error, 1)
	go func() { recorded <- s.recordProfile(ctx, path) }()
	for {
		if _, err := s.load(slice, s.status, s.request); err != nil {
			return errors.Join(err, <-recorded)
		}
		select {
		case err := <-recorded:
			return err
		default:
		}
	}
}

// recordProfile asks Caddy's admin endpoint for a profile.
func (s *server) recordProfile(ctx context.Context, path string) error {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", adminSocket(s.home))
	}}
	defer transport.CloseIdleConnections()
	url := fmt.Sprintf("http://caddy/debug/pprof/profile?seconds=%d", int(profileTime.Seconds()))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("taking a profile: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it was read
	profile, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("taking a profile: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("taking a profile: %s: %s", response.Status, profile)
	}
	return os.WriteFile(path, profile, 0o600)
}

// adminSocket is where a Caddy that runs in a directory has its admin endpoint.
func adminSocket(home string) string { return filepath.Join(home, "admin.sock") }

// profileName is the name of a workload's file: `first-sight-ES384.pprof`.
func profileName(workload string) string {
	words := strings.FieldsFunc(workload, func(r rune) bool { return r == ' ' || r == ',' || r == '\'' || r == '/' })
	return strings.Join(words, "-") + ".pprof"
}
