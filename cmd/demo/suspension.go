package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// webhookSecret is the signing key of the tenant's webhook, which the members'
// site takes for all sites.
const webhookSecret = "signing-key-of-the-demo-32-chars"

// suspend bars Alice, as the button in Logto's console does: the tenant suspends
// her and sends a signed webhook.
func suspend(ctx context.Context, s *stack) error {
	s.tenant.Suspend("alice")
	return s.tellOfAlice(ctx)
}

// reinstate lets Alice in again. The tenant sends a webhook of that too, which
// takes nothing back: who is let in again gets new tokens.
func reinstate(ctx context.Context, s *stack) error {
	s.tenant.Reinstate("alice")
	if err := s.tellOfAlice(ctx); err != nil {
		return err
	}
	// A token says in which second it was issued, and one of the second of the
	// suspension is refused.
	next := time.NewTimer(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
	defer next.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-next.C:
	}
	return s.wallet.renew(s.tenant)
}

// tellOfAlice sends the webhook that a change of her suspension causes.
func (s *stack) tellOfAlice(ctx context.Context) error {
	hook := devtenant.Webhook{ID: "demo", URL: "http://" + s.members + "/.logto/webhook", SigningKey: webhookSecret}
	request, err := hook.Request(ctx, s.tenant.SuspensionEvent("alice"))
	if err != nil {
		return err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return fmt.Errorf("the webhook was answered with %s: %s", response.Status, body)
	}
	return nil
}
