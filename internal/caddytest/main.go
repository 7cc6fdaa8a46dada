package caddytest

import (
	"bytes"
	"flag"
	"io"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// Main runs the tests of a package, for its TestMain. It keeps back what Caddy
// writes to standard error, among which a failed test would be hard to find,
// and prints it after the tests if one fails. With -v nothing is kept back.
// What the Caddy of a [Server] logs is not among it.
func Main(m *testing.M) {
	flag.Parse()
	if testing.Verbose() {
		m.Run()
		return
	}
	stderr := os.Stderr
	reader, writer, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	os.Stderr = writer
	// Caddy's default logger and the one of package log have got hold of the
	// old one when the program started. A configuration without a log replaces
	// both; they stay replaced when Caddy stops.
	if err := caddy.Load([]byte(`{"admin": {"disabled": true, "config": {"persist": false}}}`), true); err != nil {
		log.Fatal(err)
	}
	if err := caddy.Stop(); err != nil {
		log.Fatal(err)
	}
	const begin = "what Caddy logged:\n" // and not about the configuration above
	if _, err := writer.WriteString(begin); err != nil {
		log.Fatal(err)
	}
	var kept bytes.Buffer
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(&kept, reader)
		copied <- err
	}()

	failed := m.Run() != 0

	writer.Close()
	if err := <-copied; err != nil {
		log.Fatal(err)
	}
	if _, logged, _ := strings.Cut(kept.String(), begin); failed {
		_, _ = stderr.WriteString(logged) // there is no other place to report that to
	}
}
