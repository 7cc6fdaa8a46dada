package session

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

// Each of the things that a message is bound to is another one, one at a time.
func TestNothingOpensElsewhere(t *testing.T) {
	ring := testRing(t)
	const cookie, host = "__Host-Http-logto-session", "www.example.com"
	sealed := ring.seal(forSession, cookie, host, []byte("message"))
	if message, ok := ring.open(forSession, cookie, host, sealed); !ok || string(message) != "message" {
		t.Fatalf("it opens as %q, %v", message, ok)
	}
	for name, open := range map[string]func() ([]byte, bool){
		"a flow as a session": func() ([]byte, bool) { return ring.open(forFlow, cookie, host, sealed) },
		"a state as a session": func() ([]byte, bool) {
			return ring.open(forState, cookie, host, sealed)
		},
		"another cookie's":        func() ([]byte, bool) { return ring.open(forSession, cookie+"-8443", host, sealed) },
		"another host's":          func() ([]byte, bool) { return ring.open(forSession, cookie, "app.example.com", sealed) },
		"another port's":          func() ([]byte, bool) { return ring.open(forSession, cookie, host+":8443", sealed) },
		"the border of two names": func() ([]byte, bool) { return ring.open(forSession, cookie+"w", host[1:], sealed) },
		"another app's":           func() ([]byte, bool) { return ringOf(t, testIssuer, "other").open(forSession, cookie, host, sealed) },
		"another issuer's": func() ([]byte, bool) {
			return ringOf(t, "https://x/oidc", testApp).open(forSession, cookie, host, sealed)
		},
		"app and issuer swapped": func() ([]byte, bool) { return ringOf(t, testApp, testIssuer).open(forSession, cookie, host, sealed) },
		"another secret's": func() ([]byte, bool) {
			return testRing(t, strings.Repeat("x", 32)).open(forSession, cookie, host, sealed)
		},
		"a line end inside": func() ([]byte, bool) { return ring.open(forSession, cookie, host, sealed[:10]+"\r\n"+sealed[10:]) },
		"a line end behind": func() ([]byte, bool) { return ring.open(forSession, cookie, host, sealed+"\n") },
		"padding":           func() ([]byte, bool) { return ring.open(forSession, cookie, host, sealed+"=") },
		"an octet behind whole groups of four": func() ([]byte, bool) {
			return ring.open(forSession, cookie, host, ring.seal(forSession, cookie, host, []byte("messages!"))+"=")
		},
		"nothing":                    func() ([]byte, bool) { return ring.open(forSession, cookie, host, "") },
		"a salt only":                func() ([]byte, bool) { return ring.open(forSession, cookie, host, sealed[:43]) },
		"far too long":               func() ([]byte, bool) { return ring.open(forSession, cookie, host, strings.Repeat("A", maxSealed+1)) },
		"with another message's tag": func() ([]byte, bool) { return ring.open(forSession, cookie, host, exchangeTag(ring, sealed)) },
	} {
		if message, ok := open(); ok {
			t.Errorf("%s opens as %q", name, message)
		}
	}
}

// exchangeTag puts the tag of another message of the same length behind one.
func exchangeTag(ring *KeyRing, sealed string) string {
	one, _ := base64.RawURLEncoding.DecodeString(sealed)
	other, _ := base64.RawURLEncoding.DecodeString(ring.seal(forSession, "c", "h", []byte("massage")))
	return base64.RawURLEncoding.EncodeToString(append(one[:len(one)-tagSize], other[len(other)-tagSize:]...))
}

// What is longer than any address is not decoded at all.
func TestTheLongestSealOpens(t *testing.T) {
	ring := testRing(t)
	const longest = maxSealed*3/4 - saltSize - tagSize
	for size, want := range map[int]bool{longest: true, longest + 1: false} {
		sealed := ring.seal(forState, "c", "h", make([]byte, size))
		if _, ok := ring.open(forState, "c", "h", sealed); ok != want || (len(sealed) <= maxSealed) != want {
			t.Errorf("%d characters open: %v", len(sealed), ok)
		}
	}
}

func TestAlteredOctetsDoNotOpen(t *testing.T) {
	ring := testRing(t)
	sealed := ring.seal(forSession, "c", "h", []byte("a message of some length"))
	for i := range len(sealed) {
		for _, flipped := range []byte{sealed[i] ^ 1, sealed[i] ^ 2, sealed[i] ^ 0x20, sealed[i] ^ 0x80, '.'} {
			altered := sealed[:i] + string([]byte{flipped}) + sealed[i+1:]
			if _, ok := ring.open(forSession, "c", "h", altered); ok && altered != sealed {
				t.Errorf("octet %d may be %q", i, flipped)
			}
		}
		if _, ok := ring.open(forSession, "c", "h", sealed[:i]); ok {
			t.Errorf("it may be cut at %d", i)
		}
	}
	octets, _ := base64.RawURLEncoding.DecodeString(sealed)
	for bit := range len(octets) * 8 {
		altered := bytes.Clone(octets)
		altered[bit/8] ^= 1 << (bit % 8)
		if _, ok := ring.open(forSession, "c", "h", base64.RawURLEncoding.EncodeToString(altered)); ok {
			t.Errorf("bit %d may be flipped", bit)
		}
	}
}

func TestTheFirstSecretSealsAndAllOpen(t *testing.T) {
	oldKey, newKey := strings.Repeat("o", 32), strings.Repeat("n", 32)
	before, during, after := testRing(t, oldKey), testRing(t, newKey, oldKey), testRing(t, newKey)
	sealedBefore := before.seal(forSession, "c", "h", []byte("m"))
	sealedDuring := during.seal(forSession, "c", "h", []byte("m"))
	for _, test := range []struct {
		name   string
		ring   *KeyRing
		sealed string
		opens  bool
	}{
		{"the new ring and an old cookie", during, sealedBefore, true},
		{"the new ring and its own cookie", during, sealedDuring, true},
		{"a process without the old secret", after, sealedDuring, true},
		{"a process without the new secret", before, sealedDuring, false},
		{"an old cookie once the old secret is gone", after, sealedBefore, false},
	} {
		if _, ok := test.ring.open(forSession, "c", "h", test.sealed); ok != test.opens {
			t.Errorf("%s: opens is %v", test.name, ok)
		}
	}
}

func TestEverySealIsNew(t *testing.T) {
	ring := testRing(t)
	one, _ := base64.RawURLEncoding.DecodeString(ring.seal(forSession, "c", "h", []byte("m")))
	other, _ := base64.RawURLEncoding.DecodeString(ring.seal(forSession, "c", "h", []byte("m")))
	if bytes.Equal(one[:saltSize], other[:saltSize]) || bytes.Equal(one[saltSize:], other[saltSize:]) {
		t.Error("two seals of one message are alike")
	}
}

func TestWeakSecretsAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		secrets []string
		want    string
	}{
		"none":          {nil, "there is no secret"},
		"empty":         {[]string{""}, "secret 1 has 0 characters; it must have at least 24"},
		"23 characters": {[]string{strings.Repeat("x", 23)}, "secret 1 has 23 characters; it must have at least 24"},
		"a second one":  {[]string{testSecret, "short"}, "secret 2 has 5 characters; it must have at least 24"},
	} {
		var octets [][]byte
		for _, secret := range test.secrets {
			octets = append(octets, []byte(secret))
		}
		if _, err := NewKeyRing(testIssuer, testApp, octets...); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	testRing(t, strings.Repeat("x", 24))
	if _, err := NewKeyRing("", testApp, []byte(testSecret)); err == nil {
		t.Error("no issuer: no error")
	}
	if _, err := NewKeyRing(testIssuer, "", []byte(testSecret)); err == nil {
		t.Error("no app: no error")
	}
	secret := []byte(testSecret)
	ring, err := NewKeyRing(testIssuer, testApp, secret)
	if err != nil {
		t.Fatal(err)
	}
	clear(secret)
	if _, ok := testRing(t).open(forSession, "c", "h", ring.seal(forSession, "c", "h", nil)); !ok {
		t.Error("the ring does not keep its own copy of a secret")
	}
}
