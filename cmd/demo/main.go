// Command demo shows logto_auth at work on one machine: a throw-away tenant, a
// members' site to open in a browser, Caddy with Caddyfile.example, tokens, and
// curl lines with the answers to expect. With -check it sends those requests
// itself, signs people in and out, rotates the tenant's keys and stops the
// tenant between requests, and fails if an answer differs.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	config := flag.String("config", "Caddyfile.example", "the `Caddyfile` to serve")
	check := flag.Bool("check", false, "send the requests, compare the answers, and exit")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: unexpected argument %q\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// Once the first signal has arrived, a second one ends the program at once.
	context.AfterFunc(ctx, stop)
	run := serve
	if *check {
		run = checkAnswers
	}
	if err := run(ctx, *config, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// serve prints what runs where and what to try, until the context ends.
func serve(ctx context.Context, config string, out io.Writer) error {
	return withStack(ctx, config, "DEBUG", func(s *stack) error {
		if err := printGuide(out, s); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
}

// checkAnswers sends the requests of the guide and reports on the answers.
func checkAnswers(ctx context.Context, config string, out io.Writer) error {
	return withStack(ctx, config, "INFO", func(s *stack) error {
		results, err := ask(ctx, s, sections)
		if err != nil {
			return err
		}
		return report(out, results)
	})
}
