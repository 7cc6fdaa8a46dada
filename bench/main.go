//go:build linux

// Command bench measures what logto_auth costs a real Caddy over real
// connections: it runs the same Caddy with and without the directive, each in
// its own process, sends both the same load in alternating rounds and compares
// the processor time that the two processes took. It does the same with other
// servers that can check tokens, where they are installed.
//
//	go run -C bench . [-run hot] [-peers none]
//
// With -profile DIR it also writes DIR/no-token.pprof and the like: CPU profiles
// of the Caddy with the directive, for go tool pprof.
//
// With -flood it measures something else: how long requests with known tokens
// take while others send forged ones.
//
// It prints tables for docs/internals/performance.md. From the tables there it
// draws the pictures, measuring nothing:
//
//	go run -C bench . -draw ../docs
//
// It is a module of its own, with all that measures other people's software, so
// that none of it enters the build of a Caddy or the product's own test run.
//
// It reads /proc, so it runs on Linux only.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"time"
)

// options are the command's flags.
type options struct {
	rounds      int
	duration    time.Duration
	connections int
	only        *regexp.Regexp
	draw        string
	peers       string
	profile     string
	flood       bool
	every       time.Duration
}

func main() {
	runtime.LockOSThread() // bindToThisProgram says why
	var o options
	flag.IntVar(&o.rounds, "rounds", 15, "paired rounds of each workload")
	flag.DurationVar(&o.duration, "duration", 500*time.Millisecond, "how long one round loads each server")
	flag.IntVar(&o.connections, "connections", 8, "connections that are kept busy")
	only := flag.String("run", "", "only workloads whose name matches this expression")
	flag.StringVar(&o.draw, "draw", "", "the folder docs: draw its pictures from its tables, and measure nothing")
	flag.StringVar(&o.peers, "peers", "", "other servers to measure too, such as haproxy,fastapi; none; or, if empty, those that are installed")
	flag.StringVar(&o.profile, "profile", "", "a folder: write a CPU profile of Caddy with the directive there, for each workload")
	flag.BoolVar(&o.flood, "flood", false, "measure known tokens during a flood of forged ones instead")
	flag.DurationVar(&o.every, "every", knownEvery, "with -flood: how often each known token's connection sends; 0 is as soon as it has its answer")
	flag.Parse()

	var err error
	if o.draw != "" {
		err = draw(o.draw)
	} else if o.only, err = regexp.Compile(*only); err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		err = run(ctx, o)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	here, missing, err := findPeers(ctx, o.peers)
	if err != nil {
		return err
	}
	for _, line := range missing {
		fmt.Fprintln(os.Stderr, line)
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o700); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "logto-auth-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system tidies up what is left
	binary := filepath.Join(dir, "caddy")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/caddy") //nolint:gosec // our own source
	build.Dir = ".."                                                              // the repository, whose own go.mod has the versions that everyone gets
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building Caddy (run this in the folder bench): %w", err)
	}
	if o.flood {
		return compareFloods(ctx, o, binary, dir, "ES384")
	}
	// The peers come first: what is wrong with one shows in the first minute.
	others, err := measurePeers(ctx, o, dir, here)
	if err != nil {
		return err
	}
	results, err := measureModule(ctx, o, binary, dir)
	if err != nil {
		return err
	}
	printTable(os.Stdout, results)
	printPeers(os.Stdout, others)
	return nil
}

// pictures returns the pictures of the documentation by their paths below docs,
// drawn from the tables there.
func pictures(docs string) (map[string]string, error) {
	page, err := os.ReadFile(filepath.Join(docs, "internals", "performance.md"))
	if err != nil {
		return nil, err
	}
	results, others, err := readTables(string(page))
	if err != nil {
		return nil, err
	}
	return map[string]string{
		filepath.Join("internals", "performance.svg"): drawChart(results, others),
		filepath.Join("images", "added-cpu.svg"):      drawSummary(results, others),
	}, nil
}

func draw(docs string) error {
	drawn, err := pictures(docs)
	if err != nil {
		return err
	}
	for path, picture := range drawn {
		if err := os.WriteFile(filepath.Join(docs, path), []byte(picture), 0o644); err != nil { //nolint:gosec // documentation that everyone may read
			return err
		}
	}
	return nil
}

func measureModule(ctx context.Context, o options, binary, dir string) (results []result, err error) {
	for _, w := range workloads {
		if !o.only.MatchString(w.name) {
			continue
		}
		r, err := compare(ctx, o, binary, dir, w)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		fmt.Fprintln(os.Stderr, r)
		results = append(results, r)
	}
	return results, nil
}

func measurePeers(ctx context.Context, o options, dir string, here []found) (results []result, err error) {
	for _, p := range here {
		for _, w := range hot {
			if !o.only.MatchString(w.name) {
				continue
			}
			r, err := comparePeer(ctx, o, dir, p, w)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", p.name, w.name, err)
			}
			fmt.Fprintln(os.Stderr, r)
			results = append(results, r)
		}
	}
	return results, nil
}
