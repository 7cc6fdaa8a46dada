package devtenant

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// key is a signing key of the tenant.
type key struct {
	jwk     jwk
	private crypto.Signer
	method  jwt.SigningMethod
	staged  bool // published, has never signed
}

// jwk is a public key as Logto publishes it, members in Logto's order.
type jwk struct {
	Kty string `json:"kty"`
	Use string `json:"use"`
	Kid string `json:"kid"`
	Alg string `json:"alg,omitempty"`
	Crv string `json:"crv,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	E   string `json:"e,omitempty"`
	N   string `json:"n,omitempty"`
}

// newKey makes a key for an asymmetric JWS algorithm and panics on any other.
func newKey(alg string) *key {
	method := jwt.GetSigningMethod(alg)
	if method == nil {
		panic("devtenant: unknown algorithm " + alg)
	}
	private := generate(alg)
	public := publicJWK(private.Public(), alg)
	public.Kid = thumbprint(public)
	return &key{jwk: public, private: private, method: method}
}

func generate(alg string) crypto.Signer {
	var private crypto.Signer
	var err error
	switch {
	case alg == "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case alg == "ES384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case alg == "ES512":
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case alg == "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case strings.HasPrefix(alg, "RS"), strings.HasPrefix(alg, "PS"):
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		panic("devtenant: not an asymmetric algorithm: " + alg)
	}
	if err != nil {
		panic("devtenant: generating a key: " + err.Error())
	}
	return private
}

// publicJWK leaves `alg` out of RSA keys, as Logto does: they serve six
// algorithms.
func publicJWK(public crypto.PublicKey, alg string) jwk {
	encode := base64.RawURLEncoding.EncodeToString
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // 4, X and Y, both padded to the curve's size
		if err != nil {
			panic("devtenant: encoding a point: " + err.Error())
		}
		x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
		return jwk{Kty: "EC", Use: "sig", Alg: alg, Crv: public.Params().Name, X: encode(x), Y: encode(y)}
	case ed25519.PublicKey:
		return jwk{Kty: "OKP", Use: "sig", Alg: alg, Crv: "Ed25519", X: encode(public)}
	case *rsa.PublicKey:
		exponent := big.NewInt(int64(public.E)).Bytes()
		return jwk{Kty: "RSA", Use: "sig", E: encode(exponent), N: encode(public.N.Bytes())}
	default:
		panic("devtenant: no JWK for this kind of key")
	}
}

// thumbprint is the RFC 7638 SHA-256 thumbprint, which Logto uses as `kid`.
func thumbprint(k jwk) string {
	required := map[string]string{"kty": k.Kty}
	switch k.Kty {
	case "EC":
		required["crv"], required["x"], required["y"] = k.Crv, k.X, k.Y
	case "OKP":
		required["crv"], required["x"] = k.Crv, k.X
	case "RSA":
		required["e"], required["n"] = k.E, k.N
	}
	sum := sha256.Sum256(mustMarshal(required)) // encoding/json sorts the members
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
