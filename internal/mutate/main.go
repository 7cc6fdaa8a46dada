// Mutate measures how much the tests of a package would notice: it changes one
// operator, condition, literal or statement at a time and runs the tests that
// reach the change.
//
// All mutants are compiled into one test binary, each behind a switch that an
// environment variable sets, so that testing one costs a run and no build. The
// known tools (gremlins, go-mutesting, ooze) build anew for each mutant, and
// here each build links all of Caddy: 1,400 builds instead of one. The sources
// stay as they are.
//
//	go run -C internal/mutate . -dir ../.. validator.go refusal.go
//
// It fails if a mutant survives that explained.txt does not explain. It is a
// module of its own, so that a test run of the product does not include it.
package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed switch.go.txt
var switchSource string

// options are the command's flags.
type options struct {
	only     string
	sample   int
	seed     uint64
	parallel int
}

func main() {
	log.SetFlags(0)
	var o options
	dir := flag.String("dir", ".", "the folder of the package")
	flag.IntVar(&o.sample, "sample", 0, "test this many mutants, chosen at random; 0 is all")
	flag.Uint64Var(&o.seed, "seed", 1, "of the choice")
	flag.IntVar(&o.parallel, "parallel", 2, "how many mutants to test at a time")
	flag.StringVar(&o.only, "only", "", "test only the mutants whose report contains this text")
	flag.Parse()
	// The tests of a package run in its folder, and so does everything here.
	if err := os.Chdir(*dir); err != nil {
		log.Fatal(err)
	}
	if err := run(os.Stdout, flag.Args(), explainedList, o); err != nil {
		log.Fatal(err)
	}
}

// run tests the mutants of the named files of the package in the working
// folder, and returns an error if the explained list does not fit the result.
func run(out io.Writer, names []string, explainedList string, o options) error {
	if len(names) == 0 {
		return errors.New("which files?")
	}
	explained, err := readExplanations(explainedList)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	started := time.Now()
	mutants, overlay, err := mutate(names, dir)
	if err != nil {
		return err
	}
	b, err := build(dir, overlay)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d mutants built in %v\n", len(mutants), time.Since(started).Round(time.Second))
	reached, err := b.observe()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d tests reach %d of %d mutants\n", len(b.tests), reached, len(mutants))
	mutants = o.choose(mutants)
	survivors := b.test(mutants, o.parallel)
	unexplained, stale := judge(explained, mutants, survivors)
	for _, m := range unexplained {
		fmt.Fprintln(out, "survived:", m)
	}
	killed := len(mutants) - len(survivors)
	fmt.Fprintf(out, "%d of %d mutants killed (%.1f %%), %d explained, %d survived, in %v\n", killed, len(mutants),
		100*float64(killed)/float64(max(1, len(mutants))), len(survivors)-len(unexplained), len(unexplained), time.Since(started).Round(time.Second))
	if o.only == "" && o.sample == 0 && len(stale) > 0 {
		return fmt.Errorf("explained.txt names mutants that do not survive:\n%s", strings.Join(stale, "\n"))
	}
	if len(unexplained) > 0 {
		return errors.New("kill them with a test, or explain them in explained.txt")
	}
	return nil
}

// choose returns the mutants that the options ask for.
func (o options) choose(mutants []mutant) []mutant {
	mutants = slices.DeleteFunc(mutants, func(m mutant) bool { return !strings.Contains(m.String(), o.only) })
	if o.sample > 0 && o.sample < len(mutants) {
		random := rand.New(rand.NewPCG(o.seed, 0))
		random.Shuffle(len(mutants), func(i, j int) { mutants[i], mutants[j] = mutants[j], mutants[i] })
		mutants = mutants[:o.sample]
	}
	return mutants
}

// mutate builds the mutants of the named files into copies of them and returns
// what the copies replace.
func mutate(names []string, dir string) ([]mutant, map[string]string, error) {
	files := token.NewFileSet()
	parsed, err := filepath.Glob("*.go")
	if err != nil {
		return nil, nil, err
	}
	var all []*ast.File
	chosen := map[string]*ast.File{}
	for _, name := range parsed {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, file)
		if slices.Contains(names, name) {
			chosen[name] = file
		}
	}
	if len(chosen) != len(names) {
		return nil, nil, fmt.Errorf("not all of %v are files of this package", names)
	}
	m := &mutator{files: files, info: &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}}
	exports, err := exportData()
	if err != nil {
		return nil, nil, err
	}
	config := types.Config{Importer: importer.ForCompiler(files, "gc", exports)}
	if m.pkg, err = config.Check("mutated", files, all, m.info); err != nil {
		return nil, nil, err
	}
	overlay := map[string]string{}
	for _, name := range names {
		source, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, err
		}
		m.edits, m.depth, m.unused = nil, 0, map[ast.Expr]bool{}
		ast.Walk(m, chosen[name])
		if err := lay(overlay, dir, name, apply(source, m.edits)); err != nil {
			return nil, nil, err
		}
	}
	switches := strings.NewReplacer("PACKAGE", m.pkg.Name(), "COUNT", strconv.Itoa(len(m.mutants))).Replace(switchSource)
	return m.mutants, overlay, lay(overlay, dir, "mutant_switch.go", switches)
}

// lay puts a file over one of the package, or beside them.
func lay(overlay map[string]string, dir, name, source string) error {
	path, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	overlay[path] = filepath.Join(dir, name)
	return os.WriteFile(overlay[path], []byte(source), 0o600)
}

// exportData finds the compiled forms of the packages that are imported.
func exportData() (func(path string) (io.ReadCloser, error), error) {
	output, err := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", ".").Output()
	if err != nil {
		return nil, fmt.Errorf("compiling what is imported: %w", err)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(output)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[path] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }, nil
}

// build compiles the package's tests with what is laid over it.
func build(dir string, overlay map[string]string) (*binary, error) {
	replace, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return nil, err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, replace, 0o600); err != nil {
		return nil, err
	}
	b := &binary{dir: dir, path: filepath.Join(dir, "mutants.test")}
	output, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", list, "-o", b.path, ".").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("compiling the mutants: %w\n%s", err, output)
	}
	return b, nil
}
