package main

import (
	"context"
	"errors"
	"fmt"
)

// What happens to the tenant between two requests of -check. The soak does much
// more to it, amid traffic of all kinds, but allows time for each change; here
// the very next answer is compared.

// keepFirst issues a token that is shown again when its key is gone.
func keepFirst(_ context.Context, s *stack) error {
	s.first = another(s)
	return nil
}

// first is the token that keepFirst has issued.
func first(s *stack) string { return s.first }

// another is a new token that the API takes.
func another(s *stack) string { return heldTokens[0].issue(s.tenant) }

// rotate is what a self-hosted Logto does: the new key signs from the moment on
// in which it appears.
func rotate(_ context.Context, s *stack) error {
	s.tenant.Rotate("RS256")
	return nil
}

// stopTenant takes the tenant off the network and has Caddy ask it for keys,
// which it would next do by itself after refresh_interval.
func stopTenant(ctx context.Context, s *stack) error {
	if err := s.tenant.stop(); err != nil {
		return err
	}
	failure, err := refresh(ctx, s)
	if err == nil && failure == "" {
		err = errors.New("keys came from a tenant that is gone")
	}
	return err
}

// restartTenant brings the tenant back where it was, with one more new key, and
// has Caddy fetch the keys.
func restartTenant(ctx context.Context, s *stack) error {
	if err := s.tenant.start(ctx); err != nil {
		return err
	}
	s.tenant.Rotate("")
	failure, err := refresh(ctx, s)
	if err == nil && failure != "" {
		err = fmt.Errorf("the keys could not be fetched: %s", failure)
	}
	return err
}
