package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// slack is what a test may take beyond its usual time before a mutant that
// makes it hang counts as killed.
const slack = 20 * time.Second

// binary is the test binary that holds all mutants.
type binary struct {
	dir, path string
	tests     []observation
}

// observation is what a test did without any mutant.
type observation struct {
	name    string
	took    time.Duration
	reached map[int]bool
}

// observe runs every test by itself, unchanged, and notes which mutants it
// reaches and how long it takes. It returns how many mutants any test reaches.
func (b *binary) observe() (int, error) {
	listed, err := exec.Command(b.path, "-test.list=^(Test|Fuzz|Example)").Output()
	if err != nil {
		return 0, fmt.Errorf("listing the tests: %w", err)
	}
	everywhere := map[int]bool{}
	for name := range strings.FieldsSeq(string(listed)) {
		o, err := b.observeOne(name)
		if err != nil {
			return 0, err
		}
		for id := range o.reached {
			everywhere[id] = true
		}
		b.tests = append(b.tests, o)
	}
	return len(everywhere), nil
}

func (b *binary) observeOne(name string) (observation, error) {
	o := observation{name: name, reached: map[int]bool{}}
	reached := filepath.Join(b.dir, "reached")
	started := time.Now()
	if passed, output := b.run(0, "^"+name+"$", 10*time.Minute, "MUTANTS_REACHED="+reached); !passed {
		return o, fmt.Errorf("%s fails without any mutant:\n%s", name, output)
	}
	o.took = time.Since(started)
	defer os.Remove(reached)
	file, err := os.Open(reached)
	if errors.Is(err, os.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return o, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		id, err := strconv.Atoi(lines.Text())
		if err != nil {
			return o, err
		}
		o.reached[id] = true
	}
	return o, lines.Err()
}

// run runs tests with one mutant switched on, in the package's folder.
func (b *binary) run(id int, tests string, limit time.Duration, environment ...string) (passed bool, output string) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, b.path, "-test.run="+tests, "-test.failfast")
	command.Env = append(append(os.Environ(), "MUTANT="+strconv.Itoa(id)), environment...)
	combined, err := command.CombinedOutput()
	return err == nil, string(combined)
}

// test returns the mutants that no test notices. Those that no test reaches
// are among them.
func (b *binary) test(mutants []mutant, parallel int) (survivors []mutant) {
	survived := make([]bool, len(mutants))
	var workers sync.WaitGroup
	next := make(chan int)
	for range parallel {
		workers.Go(func() {
			for i := range next {
				survived[i] = b.survives(mutants[i].id)
			}
		})
	}
	for i := range mutants {
		next <- i
	}
	close(next)
	workers.Wait()
	for i, m := range mutants {
		if survived[i] {
			survivors = append(survivors, m)
		}
	}
	return survivors
}

// survives runs the tests that reach a mutant, quick ones first.
func (b *binary) survives(id int) bool {
	const quick = 500 * time.Millisecond
	var quickOnes, slowOnes []string
	limit := slack
	for _, o := range b.tests {
		switch {
		case !o.reached[id]:
		case o.took < quick:
			quickOnes = append(quickOnes, o.name)
			limit += o.took
		default:
			slowOnes = append(slowOnes, o.name)
			limit += 3 * o.took
		}
	}
	for _, tests := range [][]string{quickOnes, slowOnes} {
		if len(tests) == 0 {
			continue
		}
		if passed, _ := b.run(id, "^("+strings.Join(tests, "|")+")$", limit); !passed {
			return false
		}
	}
	return true
}
