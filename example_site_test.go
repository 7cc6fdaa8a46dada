package logtoauth_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// withExampleSite is startSite for a godoc example.
func withExampleSite(caddyfile string, do func(*site)) {
	e := new(example)
	defer e.end()
	do(startSite(e, caddyfile))
}

// visit shows the site a token, or none if it is empty, and returns the body of
// the answer.
func (s *site) visit(token string) string {
	options := []caddytest.Option{caddytest.Header("Host", "example.com")}
	if token != "" {
		options = append(options, caddytest.Bearer(token))
	}
	return s.Get("/", options...).Body
}

// example is the part of a [testing.T] that startSite needs. The example of a
// documentation has none.
type example struct {
	testing.TB
	cleanups []func()
}

func (*example) Helper()                           {}
func (*example) Failed() bool                      { return false }
func (*example) Context() context.Context          { return context.Background() }
func (e *example) Cleanup(end func())              { e.cleanups = append(e.cleanups, end) }
func (*example) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (*example) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (*example) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }

func (e *example) TempDir() string {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _ = os.RemoveAll(dir) }) // the system tidies up what is left
	return dir
}

func (e *example) end() {
	for _, end := range slices.Backward(e.cleanups) {
		end()
	}
}
