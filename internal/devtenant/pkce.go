package devtenant

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// verifies reports whether the verifier is the one of the challenge (RFC 7636,
// S256). A verifier without a challenge is refused: an attacker may have taken
// the challenge out of the request.
func verifies(challenge, verifier string) bool {
	if challenge == "" && verifier == "" {
		return true
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(challenge), []byte(base64.RawURLEncoding.EncodeToString(sum[:]))) == 1
}
