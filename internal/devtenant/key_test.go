package devtenant_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

var algorithms = []string{"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"}

func TestEveryAlgorithmVerifiesWithTheServedKey(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			tenant := devtenant.New(devtenant.Options{Algorithm: alg})
			served := published(t, tenant)
			if len(served) != 1 || served[0]["kid"] != tenant.SigningKID() {
				t.Fatalf("served %v, want the one key %s", served, tenant.SigningKID())
			}
			if _, given := served[0]["alg"]; given != (served[0]["kty"] != "RSA") {
				t.Errorf("`alg` in the JWK: %v; Logto gives it for all but RSA keys", given)
			}
			for name, token := range map[string]string{
				"Token":     tenant.Token(devtenant.TokenRequest{Resource: api}),
				"Sign":      tenant.Sign(map[string]any{"alg": "none"}, map[string]any{}),
				"SignRaw":   tenant.SignRaw([]byte(`{"alg":"x","alg":"y"}`), []byte(`{}`)),
				"SignInput": tenant.SignInput("e30=.e30="),
			} {
				if err := verify(t, token, alg, served[0]); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if verify(t, "x"+token, alg, served[0]) == nil {
					t.Errorf("%s: the signature does not cover the input", name)
				}
			}
		})
	}
}

func TestUnknownAlgorithmPanics(t *testing.T) {
	for _, alg := range []string{"HS256", "none", "es384", "RS1"} {
		t.Run(alg, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("a tenant was made")
				}
			}()
			devtenant.New(devtenant.Options{Algorithm: alg})
		})
	}
}

func verify(t *testing.T, token, alg string, jwk map[string]any) error {
	t.Helper()
	dot := strings.LastIndexByte(token, '.')
	return jwt.GetSigningMethod(alg).Verify(token[:dot], member(t, map[string]any{"sig": token[dot+1:]}, "sig"), publicKey(t, jwk))
}

// publicKey reads a JWK by RFC 7518 section 6 and RFC 8037.
func publicKey(t *testing.T, jwk map[string]any) crypto.PublicKey {
	t.Helper()
	switch jwk["kty"] {
	case "EC":
		curve := map[any]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[jwk["crv"]]
		point := append([]byte{4}, append(member(t, jwk, "x"), member(t, jwk, "y")...)...)
		public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
		if err != nil {
			t.Fatal(err)
		}
		return public
	case "OKP":
		return ed25519.PublicKey(member(t, jwk, "x"))
	default:
		n, e := new(big.Int).SetBytes(member(t, jwk, "n")), new(big.Int).SetBytes(member(t, jwk, "e"))
		return &rsa.PublicKey{N: n, E: int(e.Int64())}
	}
}

func member(t *testing.T, jwk map[string]any, name string) []byte {
	t.Helper()
	text, _ := jwk[name].(string)
	octets, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(octets) == 0 {
		t.Fatalf("member %s of %v: %v", name, jwk, err)
	}
	return octets
}
