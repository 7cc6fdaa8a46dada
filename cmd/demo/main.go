// Command demo shows logto_auth at work on one machine: a throw-away tenant,
// Caddy with Caddyfile.example, a page in the browser on which one picks a
// request and a token, a members' site to sign in to, and curl lines with the
// answers to expect. With -check it sends those requests itself, signs people
// in and out, rotates the tenant's keys and stops the tenant between requests,
// and fails if an answer differs.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

const exampleConfig = "Caddyfile.example"

func main() {
	config := flag.String("config", "", "the `Caddyfile` to serve, without the guide; default: "+exampleConfig+" with it")
	check := flag.Bool("check", false, "send the requests, compare the answers, and exit")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: unexpected argument %q\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	settings := settings{config: *config, guided: *config == ""}
	if settings.guided {
		settings.config = exampleConfig
	}

	// A terminal that is closed hangs up: the tokens are deleted then, too.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// Once the first signal has arrived, a second one ends the program at once.
	context.AfterFunc(ctx, stop)
	run := serve
	if *check {
		run = checkAnswers
	}
	if err := run(ctx, settings, os.Stdout, paintFor(os.Stdout)); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// serve prints what to try and what runs where, then what Caddy refuses, until
// the context ends.
func serve(ctx context.Context, settings settings, out io.Writer, p paint) error {
	settings.logLevel = "DEBUG"
	err := withStack(ctx, settings, func(s *stack) error {
		if err := printGuide(out, p, s); err != nil {
			return err
		}
		stop := s.journal.follow(func(e entry) {
			// What cannot be shown is no reason to stop serving.
			_, _ = io.WriteString(out, strings.Join(e.lines(p, ""), "\n")+"\n")
		})
		defer stop()
		<-ctx.Done()
		_, err := io.WriteString(out, "\nStopping: Caddy, the tenant, the page.\n")
		return err
	})
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, "Stopped. The tokens are deleted, and nothing is left behind.\n")
	return err
}

// checkAnswers sends the requests of the guide, and more, and says what came.
func checkAnswers(ctx context.Context, settings settings, out io.Writer, p paint) error {
	settings.logLevel = "INFO"
	return withStack(ctx, settings, func(s *stack) error {
		return (&checker{stack: s, out: out, paint: p}).run(ctx, sections)
	})
}
