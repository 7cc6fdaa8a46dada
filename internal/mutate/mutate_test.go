package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inPackage makes a package of these files the working folder.
func inPackage(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

// limits is a package whose test notices all mutants but those of the boundary.
var limits = map[string]string{
	"go.mod": "module example.com/limits\n\ngo 1.26.0\n",
	"limits.go": `package limits

import "strings"

// Low reports whether a number is low and has a name.
func Low(n int, name string) bool {
	return n < 10 && strings.TrimSpace(name) != ""
}
`,
	"other.go": "package limits\n\n// Unseen has no test.\nfunc Unseen(n int) int { return n + 1 }\n",
	"limits_test.go": `package limits

import "testing"

func TestLow(t *testing.T) {
	for _, test := range []struct {
		n    int
		name string
		want bool
	}{{1, "one", true}, {11, "eleven", false}, {1, " ", false}, {11, "", false}} {
		if got := Low(test.n, test.name); got != test.want {
			t.Errorf("Low(%d, %q) is %v", test.n, test.name, got)
		}
	}
}
`,
}

// boundary explains the two mutants of n < 10 that no test of the package
// notices: ten itself is not among its numbers.
const boundary = "limits.Low\t< moves its boundary\t1\tten is not tried\nlimits.Low\t10 plus one\t1\tten is not tried\n"

func TestRun(t *testing.T) {
	tests := []struct {
		name      string
		files     []string
		explained string
		options   options
		says      []string // in the output
		wantErr   string
	}{
		{
			name: "survivors that nobody explains", files: []string{"limits.go"},
			says: []string{
				"1 tests reach 8 of 8 mutants\n",
				"survived: limits.go:7:11: limits.Low: < moves its boundary\n",
				"survived: limits.go:7:13: limits.Low: 10 plus one\n",
				"6 of 8 mutants killed (75.0 %), 0 explained, 2 survived,",
			},
			wantErr: "kill them with a test",
		},
		{
			name: "explained survivors", files: []string{"limits.go"}, explained: "# why\n\n" + boundary,
			says: []string{"6 of 8 mutants killed (75.0 %), 2 explained, 0 survived,"},
		},
		{
			name: "an explanation of a mutant that a test kills", files: []string{"limits.go"},
			explained: boundary + "limits.Low\t&& becomes ||\t1\twrong\n",
			wantErr:   "explained.txt names mutants that do not survive:\nlimits.Low: && becomes ||: 1 of them are killed or gone",
		},
		{
			name: "one more explained than there are", files: []string{"limits.go"},
			explained: strings.Replace(boundary, "boundary\t1", "boundary\t2", 1),
			wantErr:   "limits.Low: < moves its boundary: 1 of them are killed or gone",
		},
		{
			name: "an explanation of a file that was not asked for", files: []string{"limits.go"},
			explained: boundary + "limits.Unseen\t+ becomes its opposite\t1\tno test\n",
		},
		{
			name: "an explanation of a function of that name in another package", files: []string{"limits.go"},
			explained: boundary + "other.Low\t&& becomes ||\t1\tno test\n",
		},
		{
			name: "survivors that only another package's explanations name", files: []string{"limits.go"},
			explained: strings.ReplaceAll(boundary, "limits.Low", "other.Low"),
			says:      []string{"0 explained, 2 survived,"},
			wantErr:   "kill them with a test",
		},
		{
			name: "code that no test reaches", files: []string{"other.go"},
			says:    []string{"1 tests reach 0 of 2 mutants\n", "0 of 2 mutants killed"},
			wantErr: "kill them with a test",
		},
		{
			name: "some of them", files: []string{"limits.go", "other.go"}, options: options{only: "becomes ||"},
			says: []string{"1 tests reach 8 of 10 mutants\n", "1 of 1 mutants killed"},
		},
		{name: "no file", wantErr: "which files?"},
		{name: "a file of nobody", files: []string{"nobody.go"}, wantErr: "not all of [nobody.go] are files of this package"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inPackage(t, limits)
			test.options.parallel = 2
			var out strings.Builder
			err := run(&out, test.files, test.explained, test.options)
			if (err == nil) != (test.wantErr == "") || err != nil && !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("got the error %v, want …%s…", err, test.wantErr)
			}
			for _, line := range test.says {
				if !strings.Contains(out.String(), line) {
					t.Errorf("it does not say %q:\n%s", line, out.String())
				}
			}
		})
	}
}

// The sources under test stay as they are, whatever happens to their copies.
func TestRunLeavesTheSourcesAlone(t *testing.T) {
	inPackage(t, limits)
	if err := run(new(strings.Builder), []string{"limits.go"}, boundary, options{parallel: 1}); err != nil {
		t.Fatal(err)
	}
	for name, want := range limits {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s is now %q, %v", name, got, err)
		}
	}
	if files, err := os.ReadDir("."); err != nil || len(files) != len(limits) {
		t.Errorf("the folder has %d files, not %d: %v", len(files), len(limits), err)
	}
}

func TestRunRefusesAPackageWhoseTestsFail(t *testing.T) {
	broken := map[string]string{}
	for name, text := range limits {
		broken[name] = strings.Replace(text, `{11, "eleven", false}`, `{11, "eleven", true}`, 1)
	}
	inPackage(t, broken)
	err := run(new(strings.Builder), []string{"limits.go"}, boundary, options{parallel: 1})
	if err == nil || !strings.Contains(err.Error(), "TestLow fails without any mutant") {
		t.Errorf("got %v", err)
	}
}

func TestReadExplanations(t *testing.T) {
	for name, test := range map[string]struct{ list, wantErr string }{
		"the list of this repository": {explainedList, ""},
		"three fields":                {"Low\t< moves its boundary\t1\n", "does not have four fields"},
		"no number":                   {"Low\t< moves its boundary\tone\twhy\n", "invalid syntax"},
		"twice":                       {boundary + boundary, "is there twice"},
	} {
		t.Run(name, func(t *testing.T) {
			explained, err := readExplanations(test.list)
			if (err == nil) != (test.wantErr == "") || err != nil && !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("got the error %v, want …%s…", err, test.wantErr)
			}
			if test.wantErr == "" && len(explained) == 0 {
				t.Error("the list is empty")
			}
		})
	}
}

// Every kind of change that the tool knows, in the words of its report.
func TestMutants(t *testing.T) {
	source := `package kinds

import "errors"

const limit = 3 // a constant cannot be switched while running

func all(a, b int, on bool, seen map[int]int, sent chan int) (int, error) {
	defer close(sent)
	for i := range a {
		if i == b || on && i >= limit {
			continue
		}
		seen[i] += min(a-b, 7)
		seen[i]++
		sent <- i
	}
	if !on {
		return a + b, errors.New("off")
	}
	on = true
	return a, nil
}

var _ = all

type box[T any] struct{ filled bool }

func (b *box[T]) empty() bool { return !b.filled }

// A function in front of it is not what it is in.
var errLow = errors.New("low")
`
	inPackage(t, map[string]string{"go.mod": "module example.com/kinds\n\ngo 1.26.0\n", "kinds.go": source})
	mutants, overlay, err := mutate([]string{"kinds.go"}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(overlay) != 2 {
		t.Errorf("%d files are laid over the package, not the copy and the switches", len(overlay))
	}
	found := map[string]int{}
	lineOf := func(text string) int {
		before, _, _ := strings.Cut(source, text)
		return 1 + strings.Count(before, "\n")
	}
	boxLine, errLine := lineOf("return !b.filled"), lineOf("var errLow")
	for _, m := range mutants {
		found[m.change]++
		want := "kinds.all"
		switch m.position.Line {
		case boxLine:
			want = "kinds.box.empty"
		case errLine:
			want = "kinds.errLow"
		}
		if m.function != want {
			t.Errorf("%v is not in %s", m, want)
		}
	}
	for change, want := range map[string]int{
		"leave out the defer": 1, "leave out the continue": 1, "leave out the assignment": 2, "leave out the step": 1,
		"leave out the send": 1, "|| becomes &&": 1, "&& becomes ||": 1, ">= moves its boundary": 1,
		"- becomes its opposite": 1, "the other of min and max": 1, "7 plus one": 1, "the other truth value": 1,
		"always true": 4, "always false": 4, // i == b, i >= limit, !on, !b.filled
		`another text than "off"`: 1, `another text than "low"`: 1,
		"+ becomes its opposite": 0, // returned beside an error: nobody looks at it
		"3 plus one":             0,
	} {
		if found[change] != want {
			t.Errorf("%q: %d times, want %d", change, found[change], want)
		}
	}
}
