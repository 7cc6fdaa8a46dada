package main

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// explainedList names the mutants that no test can or need notice, a line
// each: the function with its package, since many packages have a New; the
// change; how many of them there are; and why, with tabs between. In place of a
// function stands a variable that is made outside of any.
//
//go:embed explained.txt
var explainedList string

// explanation is one line of explained.txt.
type explanation struct {
	count  int
	reason string
}

func readExplanations(list string) (map[string]explanation, error) {
	explained := make(map[string]explanation)
	for line := range strings.Lines(list) {
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 4 {
			return nil, fmt.Errorf("explained.txt: %q does not have four fields", line)
		}
		count, err := strconv.Atoi(fields[2])
		if err != nil {
			return nil, fmt.Errorf("explained.txt: %q: %w", line, err)
		}
		name := fields[0] + ": " + fields[1]
		if _, twice := explained[name]; twice {
			return nil, fmt.Errorf("explained.txt: %q is there twice", name)
		}
		explained[name] = explanation{count, fields[3]}
	}
	return explained, nil
}

// judge returns the survivors that are not explained and the explanations that
// no longer explain anything. Explanations of functions in which nothing was
// tested do not count.
func judge(explained map[string]explanation, tested, survivors []mutant) (unexplained []mutant, stale []string) {
	left := maps.Clone(explained)
	for _, m := range survivors {
		name := m.name()
		if e := left[name]; e.count > 0 {
			left[name] = explanation{e.count - 1, e.reason}
			continue
		}
		unexplained = append(unexplained, m)
	}
	reached := make(map[string]bool)
	for _, m := range tested {
		reached[m.function] = true
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		function, _, _ := strings.Cut(name, ": ")
		if left[name].count > 0 && reached[function] {
			stale = append(stale, fmt.Sprintf("%s: %d of them are killed or gone", name, left[name].count))
		}
	}
	return unexplained, stale
}
