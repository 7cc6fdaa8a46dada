package devtenant_test

import (
	"slices"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

func TestRotation(t *testing.T) {
	// Each step returns the key that must sign after it and the set that must
	// be served then.
	type step func(tenant *devtenant.Tenant, first string) (signing string, set []string)
	for name, after := range map[string]step{
		"no rotation": func(_ *devtenant.Tenant, first string) (string, []string) {
			return first, []string{first}
		},
		"immediate, the new key signs at once": func(tenant *devtenant.Tenant, first string) (string, []string) {
			second := tenant.Rotate("")
			return second, []string{second, first}
		},
		"twice, the first key is gone": func(tenant *devtenant.Tenant, _ string) (string, []string) {
			second := tenant.Rotate("")
			third := tenant.Rotate("ES256")
			return third, []string{third, second}
		},
		"staged, the old key still signs": func(tenant *devtenant.Tenant, first string) (string, []string) {
			staged := tenant.Stage("")
			return first, []string{first, staged}
		},
		"activated, the old key stays in the set": func(tenant *devtenant.Tenant, first string) (string, []string) {
			staged := tenant.Stage("")
			tenant.Activate(staged)
			return staged, []string{staged, first}
		},
		"activated and rotated, the first key is gone": func(tenant *devtenant.Tenant, _ string) (string, []string) {
			staged := tenant.Stage("")
			tenant.Activate(staged)
			third := tenant.Rotate("")
			return third, []string{third, staged}
		},
		"activated and rotated twice, that key is gone too": func(tenant *devtenant.Tenant, _ string) (string, []string) {
			tenant.Activate(tenant.Stage(""))
			third := tenant.Rotate("")
			fourth := tenant.Rotate("")
			return fourth, []string{fourth, third}
		},
		"rotated beside a staged key, which stays": func(tenant *devtenant.Tenant, first string) (string, []string) {
			staged := tenant.Stage("")
			rotated := tenant.Rotate("")
			return rotated, []string{rotated, first, staged}
		},
		"back to the previous key": func(tenant *devtenant.Tenant, first string) (string, []string) {
			second := tenant.Rotate("")
			tenant.Activate(first)
			return first, []string{first, second}
		},
		"removed, signs on but is not served": func(tenant *devtenant.Tenant, first string) (string, []string) {
			tenant.RemoveKey(first)
			return first, nil
		},
		"removed, does not come back by a rotation": func(tenant *devtenant.Tenant, first string) (string, []string) {
			tenant.RemoveKey(first)
			second := tenant.Rotate("")
			return second, []string{second}
		},
	} {
		t.Run(name, func(t *testing.T) {
			tenant := devtenant.New(devtenant.Options{})
			signing, set := after(tenant, tenant.SigningKID())
			if got := kids(t, tenant); !slices.Equal(got, set) {
				t.Errorf("served %v, want %v", got, set)
			}
			header, _ := decode(t, tenant.Token(devtenant.TokenRequest{Resource: api}))
			if header["kid"] != signing || tenant.SigningKID() != signing {
				t.Errorf("signed by %v, SigningKID %s, want %s", header["kid"], tenant.SigningKID(), signing)
			}
		})
	}
}

func TestRotateKeepsOrChangesTheAlgorithm(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{Algorithm: "ES512"})
	for _, rotated := range []struct{ to, want string }{{"", "ES512"}, {"EdDSA", "EdDSA"}, {"", "EdDSA"}} {
		tenant.Rotate(rotated.to)
		header, _ := decode(t, tenant.Sign(nil, nil))
		if header["alg"] != rotated.want {
			t.Errorf("after Rotate(%q) alg is %v, want %s", rotated.to, header["alg"], rotated.want)
		}
	}
}

func TestActivateOfAnUnknownKeyPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a key that was never made signs")
		}
	}()
	devtenant.New(devtenant.Options{}).Activate("unknown")
}

func TestAddedKeysStandBeforeTheGoodOnes(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	tenant.AddKey(map[string]any{"kid": "broken", "kty": "EC", "x": 7})
	tenant.AddKey(map[string]any{"kid": 7})
	served := published(t, tenant)
	if len(served) != 3 || served[0]["x"] != 7.0 || served[1]["kid"] != 7.0 || served[2]["kid"] != tenant.SigningKID() {
		t.Fatalf("served %v", served)
	}
	tenant.RemoveKey("broken")
	if served = published(t, tenant); len(served) != 2 || served[0]["kid"] != 7.0 {
		t.Errorf("served %v after removing one", served)
	}
}

func kids(t *testing.T, tenant *devtenant.Tenant) []string {
	t.Helper()
	served := published(t, tenant)
	all := make([]string, len(served))
	for i, k := range served {
		all[i], _ = k["kid"].(string)
	}
	return all
}
