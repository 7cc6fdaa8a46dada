package main

import (
	"slices"
	"strings"
	"testing"
)

func TestWrapFitsTheTerminal(t *testing.T) {
	long := strings.Repeat("x", 2*columns)
	for _, text := range []string{"", "one", strings.Repeat("word ", 60), long, "a " + long + " b", strings.Repeat("ä", columns+1)} {
		lines := wrap(text, "    ")
		fitsTheTerminal(t, strings.Join(lines, "\n"))
		joined := strings.ReplaceAll(strings.Join(lines, ""), " ", "")
		if want := strings.ReplaceAll(text, " ", ""); joined != want {
			t.Errorf("%q became %q", text, lines)
		}
	}
}

func TestEntriesAreTold(t *testing.T) {
	for name, test := range map[string]struct {
		line string
		want []string
	}{
		"a refusal": {
			`{"level":"debug","ts":1,"logger":"x","msg":"request refused","reason":"expired","status":401,"method":"GET","host":"a","sub":"alice","hint":"get a new one"}`,
			[]string{"  401 expired: GET a, sub alice", "      get a new one"},
		},
		"something else": {
			`{"level":"warn","ts":1,"logger":"x","msg":"no keys","issuer":"b","attempts":3}`,
			[]string{"  WARN no keys: attempts=3, issuer=b"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := readEntry([]byte(test.line))
			if err != nil {
				t.Fatal(err)
			}
			if got := e.lines(false, "  "); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
