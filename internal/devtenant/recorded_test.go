package devtenant_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fact is something that was recorded of a live Logto.
type fact struct {
	Name        string         `json:"name"`
	Seen        string         `json:"seen"` // words of testdata/logto/sign-in.md
	Status      int            `json:"status"`
	Error       string         `json:"error"`
	Description string         `json:"error_description"`
	Members     []string       `json:"members"`
	Opaque      int            `json:"opaque"`
	Claims      map[string]any `json:"claims"`
}

// recorded are the facts of testdata/sign-in.json.
type recorded struct {
	Answers      []fact `json:"answers"`
	Callbacks    []fact `json:"callbacks"`
	TokenAnswers []fact `json:"token_answers"`
	AccessTokens []fact `json:"access_tokens"`
	IDToken      struct {
		Header       map[string]any `json:"header"`
		Payload      map[string]any `json:"payload"`
		NotByDefault []string       `json:"not_by_default"`
	} `json:"id_token"`
	LogoutToken struct {
		Header   map[string]any `json:"header"`
		Payload  map[string]any `json:"payload"`
		Lifetime float64        `json:"lifetime"`
	} `json:"logout_token"`
	Webhooks  map[string]any `json:"webhooks"`
	Lifetimes map[string]any `json:"lifetimes"`
}

func readRecorded(t *testing.T) recorded {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "sign-in.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r recorded
	unmarshal(t, text, &r)
	return r
}

// Every fact that the tests of this package compare with quotes the record.
func TestFactsAreThoseOfTheRecord(t *testing.T) {
	record, err := os.ReadFile(filepath.Join("..", "..", "testdata", "logto", "sign-in.md"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", "sign-in.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all any
	unmarshal(t, text, &all)
	oneLine := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	quotes := 0
	var visit func(any)
	visit = func(value any) {
		switch value := value.(type) {
		case []any:
			for _, member := range value {
				visit(member)
			}
		case map[string]any:
			if seen, quotesRecord := value["seen"].(string); quotesRecord {
				quotes++
				if !strings.Contains(oneLine(string(record)), oneLine(seen)) {
					t.Errorf("%v: the record does not say %q", value["name"], seen)
				}
			}
			for _, member := range value {
				visit(member)
			}
		}
	}
	visit(all)
	if quotes < 70 {
		t.Errorf("%d quotes", quotes)
	}
}

// observed runs one step per fact, and fails for facts without a step and
// steps without a fact.
func observed[T any](t *testing.T, facts []fact, steps map[string]func(*site) T, compare func(*testing.T, fact, T)) {
	t.Helper()
	missing := maps.Clone(steps)
	for _, f := range facts {
		step := steps[f.Name]
		if step == nil {
			t.Errorf("nothing is observed of %q", f.Name)
			continue
		}
		delete(missing, f.Name)
		t.Run(f.Name, func(t *testing.T) { compare(t, f, step(newSite(t))) })
	}
	for name := range missing {
		t.Errorf("nothing is recorded of %q", name)
	}
}

// holds fails unless got has the members of want, at any depth; empty texts
// and ones stand for any.
func holds(t *testing.T, what string, got, want any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		members, _ := got.(map[string]any)
		for name := range want {
			if _, given := members[name]; !given {
				t.Errorf("%s has no %s", what, name)
			}
			holds(t, what+"."+name, members[name], want[name])
		}
	case string, float64:
		if sameType := fmt.Sprintf("%T", got) == fmt.Sprintf("%T", want); !sameType || want != "" && want != 1.0 && got != want {
			t.Errorf("%s is %v, recorded %v", what, got, want)
		}
	default:
		if g, w := text(t, got), text(t, want); g != w {
			t.Errorf("%s is %s, recorded %s", what, g, w)
		}
	}
}

func text(t *testing.T, value any) string {
	t.Helper()
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}
