package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// noticeTimeout bounds how long Caddy may take to ask a tenant that is back.
// It tries again after a quarter of a second at most, then after twice as long
// each time.
const noticeTimeout = 20 * time.Second

// keep issues a token for later.
func keep(name string) func(context.Context, *stack) error {
	return func(_ context.Context, s *stack) error {
		s.kept[name] = admitted.token(s)
		return nil
	}
}

// rotateAtOnce is what a self-hosted Logto does: the new key signs from the
// moment on in which it appears.
func rotateAtOnce(_ context.Context, s *stack) error {
	s.tenant.Rotate("RS256")
	return nil
}

// stopTenant leaves behind a token that nobody has used yet.
func stopTenant(ctx context.Context, s *stack) error {
	if err := keep("second")(ctx, s); err != nil {
		return err
	}
	return s.tenant.stop()
}

// refreshInVain has Caddy ask the tenant that is gone, which it would next do
// by itself after refresh_interval.
func refreshInVain(ctx context.Context, s *stack) error {
	failure, err := refresh(ctx, s)
	if err == nil && failure == "" {
		err = errors.New("keys came from a tenant that is gone")
	}
	return err
}

// restartTenant brings the tenant back where it was and waits until Caddy has
// come for the keys by itself.
func restartTenant(ctx context.Context, s *stack) error {
	s.nextKey = s.tenant.Stage("")
	before := s.tenant.Counts().JWKS
	if err := s.tenant.start(ctx); err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, noticeTimeout)
	defer cancel()
	if err := s.tenant.Wait(patience, func(c devtenant.Counts) bool { return c.JWKS > before }); err != nil {
		return fmt.Errorf("waiting for Caddy to ask the tenant again: %w", err)
	}
	return refreshed(ctx, s)
}

// rotateAsAnnounced is the rotation that a tenant prepares by publishing the
// next key ahead of its use.
func rotateAsAnnounced(ctx context.Context, s *stack) error {
	s.tenant.Activate(s.nextKey)
	return refreshed(ctx, s)
}

// refreshed has Caddy fetch the keys, and is back when that has succeeded.
func refreshed(ctx context.Context, s *stack) error {
	failure, err := refresh(ctx, s)
	if err == nil && failure != "" {
		err = fmt.Errorf("the keys could not be fetched: %s", failure)
	}
	return err
}
