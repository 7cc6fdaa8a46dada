package keys

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// FuzzDifferentialJWK lets both read a key. One that may verify tokens here
// must be a valid key to go-jose, and the same one.
func FuzzDifferentialJWK(f *testing.F) {
	defer func(bits int) { jose.MaxRSAModulusBits = bits }(jose.MaxRSAModulusBits)
	jose.MaxRSAModulusBits = maxRSABits
	for _, algorithm := range []string{"ES256", "ES384", "ES512", "RS256", "EdDSA"} {
		var set struct {
			Keys []json.RawMessage `json:"keys"`
		}
		if err := json.Unmarshal(devtenant.New(devtenant.Options{Algorithm: algorithm}).JWKS(), &set); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(set.Keys[0]))
		f.Add(bytes.Replace(set.Keys[0], []byte(`{`), []byte(`{"other":"g","x5c":"g",`), 1))
	}
	f.Add([]byte(`{"kty":"EC","e":"g","kid":"A","crv":"P-256","x":"Ep92eog1nMHSW348jPIx-qZNCqt55L2jEI3RPwSvPWo",` +
		`"y":"5LLT2eFnJ8axIcKvNYJ2MTuSoDhjoiFs6UqfumqED1E"}`))
	for _, x := range weakEd25519Keys {
		f.Add([]byte(`{"kty":"OKP","crv":"Ed25519","kid":"weak","x":"` + x + `"}`))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := parseJWK(text)
		if err != nil {
			return
		}
		var theirs jose.JSONWebKey
		// Members that are not read here may be anything. go-jose decodes those of
		// the other key types too.
		own := map[string][]string{"EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}, "RSA": {"n", "e"}}[key.kty]
		if err := theirs.UnmarshalJSON(reduce(t, text, append(own, "kty", "kid", "alg", "use")...)); err != nil {
			t.Fatalf("a key here, none to go-jose: %v\n%s", err, text)
		}
		public, ok := key.public.(interface{ Equal(crypto.PublicKey) bool })
		if !theirs.Valid() || !theirs.IsPublic() || !ok || !public.Equal(theirs.Key) || theirs.KeyID != key.kid {
			t.Fatalf("read as %+v, by go-jose as %+v\n%s", key, theirs, text)
		}
	})
}

// weakEd25519Keys are the points of small order in every spelling, canonical
// or not. Anyone can sign for them.
var weakEd25519Keys = []string{
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA",
	"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA",
	"7P_______________________________________38", "7P________________________________________8",
	"7f_______________________________________38", "7f________________________________________8",
	"7v_______________________________________38", "7v________________________________________8",
	"xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o", "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA_o",
	"JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU", "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_IU",
}

func TestKeyThatAnyoneCanSignForIsLeftOut(t *testing.T) {
	for _, x := range weakEd25519Keys {
		if key, err := parseJWK([]byte(`{"kty":"OKP","crv":"Ed25519","kid":"weak","x":"` + x + `"}`)); err != nil {
			if err.Error() != "it is an Ed25519 point of small order" {
				t.Errorf("%s is left out because %v", x, err)
			}
		} else {
			// R = S·B with S = 0 holds for the neutral element and any message,
			// for the others for one message in two, four or eight.
			forged := append(append([]byte{1}, make([]byte, 31)...), make([]byte, 32)...)
			holds := 0
			for i := range 64 {
				if ed25519.Verify(key.public.(ed25519.PublicKey), []byte{byte(i)}, forged) {
					holds++
				}
			}
			t.Errorf("%s is a key; a signature made without it held for %d of 64 messages", x, holds)
		}
	}
}

// reduce keeps the last value of the members that are named.
func reduce(t *testing.T, object []byte, names ...string) []byte {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(members, func(name string, _ json.RawMessage) bool { return !slices.Contains(names, name) })
	reduced, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return reduced
}
