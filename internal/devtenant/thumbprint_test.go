package devtenant

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// The captured sets pair real keys with the IDs that Logto gave them.
func TestThumbprintIsLogtosKeyID(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "logto", "jwks*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no captured sets: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var set struct {
			Keys []jwk `json:"keys"`
		}
		if err := json.Unmarshal(text, &set); err != nil || len(set.Keys) == 0 {
			t.Fatalf("%s: %d keys, %v", file, len(set.Keys), err)
		}
		for _, k := range set.Keys {
			if got := thumbprint(k); got != k.Kid {
				t.Errorf("%s: thumbprint %s, captured %s", filepath.Base(file), got, k.Kid)
			}
		}
	}
}

// RFC 8037 appendix A.3 has the only published thumbprint of an Ed25519 key.
func TestThumbprintOfEd25519(t *testing.T) {
	k := jwk{Kty: "OKP", Crv: "Ed25519", X: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
	if got, want := thumbprint(k), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; got != want {
		t.Errorf("thumbprint %s, RFC 8037 has %s", got, want)
	}
}
