package configs

import "testing"

func TestWhichLoanIsCurrent(t *testing.T) {
	names := map[string]*string{}
	for _, name := range []string{"a", "b", "c"} {
		names[name] = &name
	}
	for _, test := range []struct {
		name  string
		steps string // attach a, live A, detach -a
		want  string
	}{
		{"nothing", "", ""},
		{"the only one", "a", "a"},
		{"the newest, where none is live", "ab", "b"},
		{"the live one, before a newer one that may fail", "aAb", "a"},
		{"the newest live one", "aAbB", "b"},
		{"the newest live one, whichever was started last", "abBA", "b"},
		{"a failed reload", "aAb-b", "a"},
		{"a reload", "aAbB-a", "b"},
		{"a reload that came to nothing at the last moment", "aAbB-b", "a"},
		{"the newest of those that are left", "aAbc-a", "c"},
		{"after the last one", "aA-a", ""},
		{"one that is attached twice and gone", "aa-a", ""},
		{"one that was never attached", "A", ""},
		{"one that goes live after it is gone", "ab-bB", "a"},
		{"one that comes back is not live", "aA-aba", "a"},
		{"one that comes back behind a live one", "aA-abBa", "b"},
	} {
		var lent Lent[string]
		for i := 0; i < len(test.steps); i++ {
			switch step := test.steps[i]; {
			case step == '-':
				i++
				lent.Detach(names[string(test.steps[i])])
			case step >= 'a':
				lent.Attach(names[string(step)])
			default:
				lent.GoLive(names[string(step-'A'+'a')])
			}
		}
		got := lent.Current()
		if got != names[test.want] {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// A config's loan is the very one that it has lent, not one that looks alike.
func TestLoansAreKnownByTheirAddress(t *testing.T) {
	var lent Lent[string]
	one, other := "x", "x"
	lent.Attach(&one)
	lent.Attach(&other)
	lent.GoLive(&one)
	if lent.Current() != &one {
		t.Error("the other one is current")
	}
	lent.Detach(&one)
	if lent.Current() != &other {
		t.Error("the other one is gone")
	}
}
