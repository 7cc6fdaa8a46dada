package devtenant_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

const day = 24 * time.Hour

func TestConfidentialClientsRotatePast70Percent(t *testing.T) {
	s := newSite(t)
	token := s.refreshToken(nil)
	for _, step := range []struct {
		after   time.Duration // since the step before
		rotates bool
	}{
		{0, false},
		{14*day*70/100 - time.Second, false},
		{time.Second, true},
		{0, false},
		{14 * day * 69 / 100, false}, // of the new one's life
	} {
		s.advance(step.after)
		status, answer := s.refresh(token, nil)
		next, _ := answer["refresh_token"].(string)
		if status != 200 || (next != token) != step.rotates {
			t.Errorf("after %v: status %d, rotated %t", step.after, status, next != token)
		}
		token = next
	}
}

func TestRotationCanBeSwitchedOff(t *testing.T) {
	s := newSite(t)
	s.AddApp(devtenant.App{ID: web, Secret: webSecret, RedirectURIs: []string{callback}, NoRotation: true})
	token := s.refreshToken(nil)
	s.advance(13 * day)
	if _, answer := s.refresh(token, nil); answer["refresh_token"] != token {
		t.Errorf("rotated: %v", answer)
	}
}

func TestPublicClientsRotateAtEachUseWithinOneLife(t *testing.T) {
	s := newSite(t)
	token := s.refreshToken(url.Values{"client_id": {spa}})
	for range 3 {
		s.advance(4 * day)
		status, answer := s.refresh(token, public)
		next, _ := answer["refresh_token"].(string)
		if status != 200 || next == token {
			t.Fatalf("status %d, the same refresh token", status)
		}
		token = next
	}
	s.advance(2 * day)
	if status, _ := s.refresh(token, public); status != 400 {
		t.Errorf("status %d after 14 days", status)
	}
}

// As with a code, `invalid_target` comes too late to save the token.
func TestRefusedResourceUsesARotatingTokenUp(t *testing.T) {
	s := newSite(t)
	token := s.refreshToken(url.Values{"client_id": {spa}})
	status, answer := s.refresh(token, url.Values{"client_id": {spa}, "client_secret": nil, "resource": {nobodysAPI}})
	if status != 400 || answer["error"] != "invalid_target" {
		t.Fatalf("status %d, %v", status, answer)
	}
	s.advance(4 * time.Second)
	if status, answer := s.refresh(token, public); status != 400 || answer["error"] != "invalid_grant" {
		t.Errorf("status %d, %v", status, answer)
	}
}

// However often the refresh token is renewed, the grant lives 180 days.
func TestRotationDoesNotOutliveTheGrant(t *testing.T) {
	s := newSite(t)
	token := s.refreshToken(nil)
	begin := s.Now()
	for s.Now().Sub(begin) < 170*day {
		s.advance(10 * day)
		status, answer := s.refresh(token, nil)
		if status != 200 {
			t.Fatalf("status %d after %v", status, s.Now().Sub(begin))
		}
		token, _ = answer["refresh_token"].(string)
	}
	s.advance(10 * day)
	if status, answer := s.refresh(token, nil); status != 400 || answer["error"] != "invalid_grant" {
		t.Errorf("status %d, %v", status, answer)
	}
}
