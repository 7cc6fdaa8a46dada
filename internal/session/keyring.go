package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-logto/caddy-logto-auth/internal/memory"
)

const (
	// minSecret is the length under which a secret is a mistake, such as a
	// placeholder's name or a word. Logto's app secrets have 32 characters.
	minSecret = 24

	saltSize  = 32
	tagSize   = 16
	nonceSize = 12

	// maxSealed bounds what is decoded at all, and a state, which is part of an
	// address: servers, Node.js's for one, take 16 KiB of an address and all
	// header fields together. A state with the longest return path that asks for
	// little has about 4 KiB.
	maxSealed = 12_000

	// sealVersion is part of every key: what another version sealed does not
	// open, whatever its octets mean.
	sealVersion = "logto_auth/1"
)

// purpose keeps what was sealed for one thing from being opened as another.
type purpose string

const (
	forSession purpose = "session"
	forFlow    purpose = "flow"
	forState   purpose = "state"
)

// KeyRing seals and opens the cookies and the state of one application at one
// issuer. Nothing about its keys is stored: every process that knows the same
// secret opens what the others sealed. Methods may be called concurrently.
type KeyRing struct {
	secrets       [][]byte
	issuer, appID string
	encoding      *base64.Encoding
	opened        *memory.Memory[openedSession]
}

// NewKeyRing makes the ring for the secrets, which are the keys of
// session_key, or else the app secret. The first one seals, all of them open:
// so a secret is replaced without ending a session.
func NewKeyRing(issuer, appID string, secrets ...[]byte) (*KeyRing, error) {
	if issuer == "" || appID == "" {
		return nil, errors.New("the issuer and the app id must not be empty")
	}
	if len(secrets) == 0 {
		return nil, errors.New("there is no secret")
	}
	for i, secret := range secrets {
		if len(secret) < minSecret {
			return nil, fmt.Errorf("secret %d has %d characters; it must have at least %d", i+1, len(secret), minSecret)
		}
	}
	copies := make([][]byte, len(secrets))
	for i, secret := range secrets {
		copies[i] = slices.Clone(secret)
	}
	return &KeyRing{
		secrets: copies, issuer: issuer, appID: appID,
		// Strict, so that no two texts open as one message.
		encoding: base64.RawURLEncoding.Strict(),
		opened:   memory.New[openedSession](maxOpened, maxOpenedBytes),
	}, nil
}

// seal encrypts a message, as base64url text.
func (k *KeyRing) seal(use purpose, cookie, host string, message []byte) string {
	sealed := make([]byte, saltSize, saltSize+len(message)+tagSize)
	// Never fails (crypto/rand).
	_, _ = rand.Read(sealed)
	aead, nonce := k.aead(k.secrets[0], sealed, use)
	sealed = aead.Seal(sealed, nonce, message, k.additionalData(use, cookie, host))
	return k.encoding.EncodeToString(sealed)
}

// open decrypts what a ring with one of the same secrets sealed for the same
// purpose, cookie, host, app and issuer. It reports whether that is what text
// is.
func (k *KeyRing) open(use purpose, cookie, host, text string) ([]byte, bool) {
	// encoding/base64 skips CR and LF wherever they stand, in strict mode too;
	// a state could hold them as %0D%0A.
	if len(text) > maxSealed || strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	sealed, err := k.encoding.DecodeString(text)
	if err != nil || len(sealed) < saltSize+tagSize {
		return nil, false
	}
	data := k.additionalData(use, cookie, host)
	for _, secret := range k.secrets {
		aead, nonce := k.aead(secret, sealed[:saltSize], use)
		if message, err := aead.Open(nil, nonce, sealed[saltSize:], data); err == nil {
			return message, true
		}
	}
	return nil, false
}

// aead derives the key and the nonce of one message. A salt of 256 bits makes
// them new for every message, so that no number of messages, processes or
// restarts repeats a nonce, which would be the end of AES-GCM.
func (k *KeyRing) aead(secret, salt []byte, use purpose) (aead cipher.AEAD, nonce []byte) {
	info := string(lengthPrefixed(sealVersion, string(use), k.issuer, k.appID))
	const keySize = 32
	material, err := hkdf.Key(sha256.New, secret, salt, info, keySize+nonceSize)
	if err != nil {
		panic(err) // only for lengths over 255 hashes
	}
	block, err := aes.NewCipher(material[:keySize])
	if err != nil {
		panic(err) // only for other key sizes
	}
	if aead, err = cipher.NewGCM(block); err != nil {
		panic(err) // only for other block sizes
	}
	return aead, material[keySize:]
}

// additionalData is what a sealed message is bound to without holding it.
func (k *KeyRing) additionalData(use purpose, cookie, host string) []byte {
	return lengthPrefixed(string(use), cookie, host, k.appID, k.issuer)
}

// lengthPrefixed joins texts so that no two lists look alike: without the
// lengths, "ab", "c" and "a", "bc" would.
func lengthPrefixed(texts ...string) []byte {
	var joined []byte
	for _, text := range texts {
		joined = binary.AppendUvarint(joined, uint64(len(text)))
		joined = append(joined, text...)
	}
	return joined
}
