package soak

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// revokeEvery is how often a token of the pool is revoked.
const revokeEvery = 200 * time.Millisecond

// revoke puts a token of the pool on the list: itself, its person, or the person
// in the organization.
func (s *soak) revoke() {
	s.pool.mu.Lock()
	k := s.pool.tokens[rand.N(len(s.pool.tokens))]
	s.pool.mu.Unlock()
	ways := []map[string]string{{"jti": k.text("jti")}}
	if subject := k.text("sub"); strings.HasPrefix(subject, "user-") { // who has this token only
		ways = append(ways, map[string]string{"sub": subject})
		if k.claims["organization_id"] == "acme" || slices.Contains(k.audience, orgURN+"acme") {
			ways = append(ways, map[string]string{"sub": subject, "organization_id": "acme"})
		}
	}
	k.revokes(time.Now(), endless)
	if s.tell(ways[rand.N(len(ways))]) {
		k.revokes(time.Now(), time.Now())
	}
}

// tell sends a revocation to the admin API, and reports whether it is in force.
func (s *soak) tell(revocation map[string]string) bool {
	body, err := json.Marshal(revocation)
	if err != nil {
		s.Error(err)
		return false
	}
	request, err := http.NewRequestWithContext(s.Context(), http.MethodPost, "http://localhost/logto_auth/revocations", bytes.NewReader(body))
	if err != nil {
		s.Error(err)
		return false
	}
	s.told.Add(1)
	answer, err := s.server.admin.Do(request)
	if err != nil {
		return false // a reload ends the admin endpoint: nobody knows whether it was told
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		s.Errorf("revoking %s: %d %s", body, answer.StatusCode, text)
		return false
	}
	s.revoked.Add(1)
	return true
}

// revokes notes that the token may be on the list from a time on, and surely is
// from another.
func (k *token) revokes(maybe, surely time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.maybe.IsZero() {
		k.maybe, k.surely = maybe, endless
	}
	k.surely = earliest(k.surely, surely)
}

// mayBeRevoked tells whether the token was on the list in a request that was
// under way between two moments.
func (k *token) mayBeRevoked(sent, answered time.Time) []bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.maybe.IsZero() || answered.Before(k.maybe):
		return []bool{false}
	case sent.After(k.surely):
		return []bool{true}
	}
	return []bool{false, true}
}
