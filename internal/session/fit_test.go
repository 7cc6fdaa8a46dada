package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// claimsOf is the JSON object of claims of so many octets.
func claimsOf(t *testing.T, sizes map[string]int) string {
	t.Helper()
	claims := map[string]any{"sub": "82wtl6z03cep"}
	for name, size := range sizes {
		claims[name] = strings.Repeat("x", size)
	}
	object, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return string(object)
}

func identity(claims string) *Session {
	s := testSession(testTime)
	s.Target, s.Token = Target{}, Token{Claims: claims, IssuedAt: testTime.Unix(), ExpiresAt: testTime.Unix() + 3600}
	return s
}

func TestWhichClaimsAreKept(t *testing.T) {
	for _, test := range []struct {
		name      string
		sizes     map[string]int
		preferred []string
		leftOut   []string
	}{
		{"all that fits", map[string]int{"email": 20, "organizations": 500}, nil, nil},
		{"organizations last", map[string]int{"email": 1200, "organizations": 1000, "organization_roles": 1000}, nil, []string{"organizations"}},
		{"unless they are asked for", map[string]int{"email": 1200, "organizations": 1000, "organization_roles": 1000}, []string{"organizations"}, []string{"organization_roles"}},
		{"in the order asked for", map[string]int{"a": 1500, "b": 1500, "c": 10}, []string{"b", "a"}, []string{"a"}},
		{"small ones first", map[string]int{"a": 2000, "b": 1500, "c": 10}, nil, []string{"a"}},
		{"nothing for one that is too large", map[string]int{"a": 4000, "b": 10}, []string{"a"}, []string{"a"}},
	} {
		full := claimsOf(t, test.sizes)
		fitted, leftOut, err := identity(full).Fit(test.preferred)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if !slices.Equal(leftOut, test.leftOut) {
			t.Errorf("%s: left out are %q", test.name, leftOut)
		}
		var want, got map[string]string
		if err := errors.Join(json.Unmarshal([]byte(full), &want), json.Unmarshal([]byte(fitted.Token.Claims), &got)); err != nil {
			t.Fatal(err)
		}
		for name, value := range want {
			if kept, ok := got[name]; ok == slices.Contains(leftOut, name) || ok && kept != value {
				t.Errorf("%s: %s is %q", test.name, name, kept)
			}
		}
		if len(fitted.encode()) > maxMessage {
			t.Errorf("%s: it has %d octets", test.name, len(fitted.encode()))
		}
		if fitted.Token.IssuedAt != testTime.Unix() || fitted.Token.ExpiresAt != testTime.Unix()+3600 {
			t.Errorf("%s: their life is another one: %+v", test.name, fitted.Token)
		}
		if again, leftOut, err := fitted.Fit(test.preferred); err != nil || leftOut != nil || again != fitted {
			t.Errorf("%s: what was fitted does not fit: %q, %v", test.name, leftOut, err)
		}
	}
}

// What is fitted can be sealed, and no octet of room is lost that a claim needs.
func TestClaimsFillTheCookie(t *testing.T) {
	fullest := 0
	for size := range 40 {
		fitted, _, err := identity(claimsOf(t, map[string]int{"a": 1, "b": 1, "c": 1, "d": maxMessage - 250 + size, "z": 4000})).Fit(nil)
		if err != nil {
			t.Fatal(err)
		}
		fullest = max(fullest, len(fitted.encode()))
	}
	if fullest > maxMessage || fullest < maxMessage-2 {
		t.Errorf("the fullest has %d octets of %d", fullest, maxMessage)
	}
	for room, want := range map[int]string{6: `{"a":1}`, 5: `{}`, 12: `{"a":1,"b":2}`, 11: `{"a":1}`} {
		if got, _, err := reduceClaims(`{"a": 1, "b": 2}`, nil, room); err != nil || got != want {
			t.Errorf("into %d octets fits %s, %v", room, got, err)
		}
	}
}

// Real ID tokens of people in many organizations have over 4 KiB.
func TestAPersonInTwoHundredOrganizationsSignsIn(t *testing.T) {
	var organizations, roles []string
	for i := range 200 {
		organizations = append(organizations, fmt.Sprintf("org%09d", i))
		roles = append(roles, fmt.Sprintf("org%09d:member", i))
	}
	object, err := json.Marshal(map[string]any{
		"sub": "82wtl6z03cep", "name": "Alice", "email": "alice@example.com", "roles": []string{"reader"},
		"organizations": organizations, "organization_roles": roles,
	})
	if err != nil {
		t.Fatal(err)
	}
	fitted, leftOut, err := identity(string(object)).Fit([]string{"roles"})
	if err != nil || !slices.Equal(leftOut, []string{"organizations", "organization_roles"}) {
		t.Fatalf("left out are %q, %v", leftOut, err)
	}
	mustSeal(t, testRing(t), testSite(t, "www.example.com"), fitted)
	if want := `{"sub":"82wtl6z03cep","roles":["reader"],"name":"Alice","email":"alice@example.com"}`; fitted.Token.Claims != want {
		t.Errorf("the claims are %s", fitted.Token.Claims)
	}
}

func TestAnAccessTokenIsKeptIfTheWholeFits(t *testing.T) {
	s := testSession(testTime)
	if fitted, _, err := s.Fit(nil); err != nil || fitted != s {
		t.Errorf("a session that fits is changed: %+v, %v", fitted, err)
	}
	s.Token.Value = strings.Repeat("t", 3000)
	fitted, leftOut, err := s.Fit(nil)
	if err != nil || !fitted.Token.IsZero() || fitted.Target != (Target{}) || leftOut != nil || fitted.RefreshToken != s.RefreshToken {
		t.Errorf("it becomes %+v, %q, %v", fitted, leftOut, err)
	}
	if s.Token.Value == "" {
		t.Error("the session itself was changed")
	}
	// All the rest fits exactly.
	s.Scopes = []string{strings.Repeat("s", 1000)}
	bare := *s
	bare.Target, bare.Token = Target{}, Token{}
	s.Scopes = []string{strings.Repeat("s", 1000+maxMessage-len(bare.encode()))}
	if fitted, _, err := s.Fit(nil); err != nil || len(fitted.encode()) != maxMessage {
		t.Errorf("what fits exactly does not: %v", err)
	}
	s.Scopes = []string{strings.Repeat("s", 3000)}
	if _, _, err := s.Fit(nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("scopes that do not fit: %v", err)
	}
	s = identity(claimsOf(t, map[string]int{"a": 3000}))
	s.Scopes = []string{strings.Repeat("s", 3000)}
	if _, _, err := s.Fit(nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("scopes that leave no room for sub: %v", err)
	}
	if _, _, err := identity("[" + strings.Repeat("1,", 2000) + "1]").Fit(nil); err == nil {
		t.Error("claims that are no object fit")
	}
}
