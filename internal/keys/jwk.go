package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/MicahParks/jwkset"
)

const (
	// maxKIDLength bounds a key ID. Logto's are RFC 7638 thumbprints of 43
	// characters.
	maxKIDLength = 256

	// MinRSABits is the size below which an RSA key is not safe (RFC 7518
	// section 3.3).
	MinRSABits = 2048

	// maxRSABits is the size above which every signature costs so much that the
	// tenant's key would slow the site. crypto/tls has the same bound.
	maxRSABits = 8192
)

// Key is one usable public key of a tenant. Its address is its
// identity: it stays the same across refreshes while the JWK is unchanged, so
// that whatever it verified earlier can be told from what another key of the
// same ID would have.
type Key struct {
	kid, kty, crv string
	algorithms    []string
	public        crypto.PublicKey
	jwk           jwkset.JWK // the same for keyfunc
}

// Allows reports whether the key may verify a signature of this algorithm. The
// key's type and curve decide, and its `alg` where it has one: the token's
// header never chooses how a key is used (RFC 8725 section 3.1).
func (k *Key) Allows(alg string) bool {
	return slices.Contains(k.algorithms, alg)
}

// same tells whether both keys of one ID were made of the same JWK. Type and
// curve are the public key's.
func (k *Key) same(other *Key) bool {
	public, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && slices.Equal(k.algorithms, other.algorithms) && public.Equal(other.public)
}

// jwkMembers are the members of one JWK. A map keeps their case, where
// decoding into a struct would let "D" or "KID" stand for "d" or "kid".
type jwkMembers map[string]json.RawMessage

// text returns a member that must be a string where it is present.
func (m jwkMembers) text(name string) (string, error) {
	raw, ok := m[name]
	if !ok {
		return "", nil
	}
	var value *string
	if err := json.Unmarshal(raw, &value); err != nil || value == nil {
		return "", fmt.Errorf("%q is not a string", name)
	}
	return *value, nil
}

// Public returns the public key.
func (k *Key) Public() crypto.PublicKey { return k.public }

// parseJWK makes a key of one JWK (RFC 7517 section 4), or tells why it may
// not verify access tokens. X.509 members are not looked at: jwkset would
// compare certificates that nobody asked for and fetch those behind "x5u".
func parseJWK(raw json.RawMessage) (*Key, error) {
	var members jwkMembers
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return nil, errors.New("not a JSON object")
	}
	kid, err := keyID(members)
	if err != nil {
		return nil, err
	}
	if unfit := checkPurpose(members); unfit != nil {
		return nil, unfit
	}
	public, kty, crv, err := publicKey(members)
	if err != nil {
		return nil, err
	}
	alg, err := members.text("alg")
	if err != nil {
		return nil, err
	}
	algorithms := keyAlgorithms(kty, crv)
	if _, bound := members["alg"]; bound {
		if alg == "Ed25519" && crv == "Ed25519" {
			alg = "EdDSA" // RFC 9864 gave the same algorithm a name per curve
		}
		if !slices.Contains(algorithms, alg) {
			return nil, fmt.Errorf("its alg %.32q is not a signature algorithm of its key type", alg)
		}
		algorithms = []string{alg}
	}
	jwk, err := selectable(kid, algorithms, public)
	if err != nil {
		return nil, err
	}
	return &Key{kid: kid, kty: kty, crv: crv, algorithms: algorithms, public: public, jwk: jwk}, nil
}

// selectable returns the JWK that keyfunc selects. Its `use` is always there:
// keyfunc's list of uses refuses a JWK that has none, and most have none. So is
// its `alg` if the key can have only one.
func selectable(kid string, algorithms []string, public crypto.PublicKey) (jwkset.JWK, error) {
	metadata := jwkset.JWKMetadataOptions{KID: kid, USE: jwkset.UseSig}
	if len(algorithms) == 1 {
		metadata.ALG = jwkset.ALG(algorithms[0])
	}
	// The key has been validated; once more would double what a set of 1 MiB costs.
	return jwkset.NewJWKFromKey(public, jwkset.JWKOptions{Metadata: metadata, Validate: jwkset.JWKValidateOptions{SkipAll: true}})
}

// keyID returns the `kid`, which tokens name their key by: a key without one
// could only be found by trying.
func keyID(members jwkMembers) (string, error) {
	kid, err := members.text("kid")
	switch {
	case err != nil:
		return "", err
	case kid == "":
		return "", errors.New("no kid")
	case len(kid) > maxKIDLength:
		return "", fmt.Errorf("its kid is longer than %d bytes", maxKIDLength)
	case strings.ContainsFunc(kid, unicode.IsControl):
		return "", errors.New("its kid holds a control character")
	}
	return kid, nil
}

// checkPurpose refuses keys that are not public keys for signatures. A
// private member says that the key has leaked; jwkset would silently use its
// public half.
func checkPurpose(members jwkMembers) error {
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, ok := members[name]; ok {
			return errors.New("it holds private or symmetric key material")
		}
	}
	if _, ok := members["use"]; ok {
		if use, err := members.text("use"); err != nil || use != "sig" {
			return errors.New("its use is not sig")
		}
	}
	if raw, ok := members["key_ops"]; ok {
		var operations []string
		if err := json.Unmarshal(raw, &operations); err != nil || !slices.Contains(operations, "verify") {
			return errors.New("its key_ops do not hold verify")
		}
	}
	return nil
}

// publicKey builds the key from the members of its type alone.
func publicKey(members jwkMembers) (key crypto.PublicKey, kty, crv string, err error) {
	values := make(map[string]string)
	for _, name := range []string{"kty", "crv", "x", "y", "n", "e"} {
		var value string
		if value, err = members.text(name); err != nil {
			return nil, "", "", err
		}
		// Go's base64 decoder skips line breaks, in strict mode too.
		if strings.ContainsAny(value, "\r\n") {
			return nil, "", "", fmt.Errorf("%q holds a line break", name)
		}
		values[name] = value
	}
	jwk, err := jwkset.NewJWKFromMarshal(jwkset.JWKMarshal{
		KTY: jwkset.KTY(values["kty"]), CRV: jwkset.CRV(values["crv"]),
		X: values["x"], Y: values["y"], N: values["n"], E: values["e"],
	}, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{StrictPadding: true})
	if err != nil {
		return nil, "", "", err
	}
	switch public := jwk.Key().(type) {
	case *ecdsa.PublicKey:
		return public, "EC", public.Curve.Params().Name, nil
	case ed25519.PublicKey:
		return public, "OKP", "Ed25519", checkEd25519(public)
	case *rsa.PublicKey:
		return public, "RSA", "", checkRSA(public)
	default:
		return nil, "", "", errors.New("its key type or curve is not one for signatures")
	}
}

// checkRSA refuses what jwkset lets through: short and huge moduli, and
// numbers that no RSA key has.
func checkRSA(key *rsa.PublicKey) error {
	switch bits := key.N.BitLen(); {
	case bits < MinRSABits || bits > maxRSABits:
		return fmt.Errorf("its RSA modulus has %d bits, not %d to %d", bits, MinRSABits, maxRSABits)
	case key.N.Bit(0) == 0 || key.E < 3 || key.E%2 == 0:
		return errors.New("it is no valid RSA key")
	}
	return nil
}

// smallOrderY are the y-coordinates of the points of small order in every
// spelling, canonical or not, as Ed25519 encodes them but for the sign.
var smallOrderY = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

// checkEd25519 refuses the keys for which anyone can sign: multiplied with a
// point of small order, one hash in eight or more vanishes, and the signature
// with it.
func checkEd25519(key ed25519.PublicKey) error {
	y := slices.Clone(key)
	y[len(y)-1] &= 0x7f // without the sign
	if slices.Contains(smallOrderY, hex.EncodeToString(y)) {
		return errors.New("it is an Ed25519 point of small order")
	}
	return nil
}

// keyAlgorithms lists the signature algorithms of a key type (RFC 7518
// section 3.1, RFC 8037 section 3.1).
func keyAlgorithms(kty, crv string) []string {
	switch kty + " " + crv {
	case "EC P-256":
		return []string{"ES256"}
	case "EC P-384":
		return []string{"ES384"}
	case "EC P-521":
		return []string{"ES512"}
	case "OKP Ed25519":
		return []string{"EdDSA"}
	case "RSA ":
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	default:
		return nil
	}
}
