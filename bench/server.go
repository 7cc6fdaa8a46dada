//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// server is a server in a process of its own, with the processes that it
// started itself.
type server struct {
	command *exec.Cmd
	log     *bytes.Buffer
	addr    string
	home    string        // its own directory
	ended   chan struct{} // closed when the process has ended
	pids    []int
	stopped bool
}

// configure writes what a server needs to know into a directory of its own
// and returns the command that runs it.
type configure func(ctx context.Context, home, addr string) (*exec.Cmd, error)

var errEnded = errors.New("the server ended at once")

// startServer starts a server and waits until it accepts connections. The
// address was free a moment ago; should somebody else have taken it since, the
// server ends and is started with another one.
func startServer(ctx context.Context, dir string, setUp configure) (*server, error) {
	for attempt := 1; ; attempt++ {
		s, err := tryServer(ctx, dir, setUp)
		if attempt == 3 || !errors.Is(err, errEnded) {
			return s, err
		}
	}
}

func tryServer(ctx context.Context, dir string, setUp configure) (*server, error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp(dir, "site")
	if err != nil {
		return nil, err
	}
	s := &server{addr: addr, home: home, log: new(bytes.Buffer), ended: make(chan struct{})}
	if s.command, err = setUp(ctx, home, addr); err != nil {
		return nil, err
	}
	s.command.Stderr = s.log
	bindToThisProgram(s.command)
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.command.Wait() // it was killed, or awaitListener says so
		close(s.ended)
	}()
	if err := s.awaitListener(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w\n%s", err, s.log)
	}
	return s, nil
}

// What answers behind the directive: the least that Caddy can do, or a page from
// a file.
const (
	respondOK = "\trespond ok\n"
	servePage = "\troot {env.XDG_DATA_HOME}\n\tfile_server\n"
)

// page is the file that [servePage] answers with, at the path of all requests.
var page = "<!DOCTYPE html><title>Products</title>" + strings.Repeat("<p>A product</p>\n", 250)

// caddy runs a Caddy with one site, whose admin endpoint is a socket file.
func caddy(binary, site string) configure {
	return func(ctx context.Context, home, addr string) (*exec.Cmd, error) {
		config := filepath.Join(home, "Caddyfile")
		text := fmt.Sprintf("{\n\tadmin unix/%s\n\tpersist_config off\n\tauto_https off\n\tstorage file_system %s\n}\n\nhttp://%s {\n%s}\n", adminSocket(home), home, addr, site)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(home, "products"), []byte(page), 0o600); err != nil {
			return nil, err
		}
		command := exec.CommandContext(ctx, binary, "run", "--config", config) //nolint:gosec // the Caddy that was just built
		command.Env = append(os.Environ(), "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
		return command, nil
	}
}

func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func (s *server) awaitListener(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		connection, err := new(net.Dialer).DialContext(ctx, "tcp", s.addr)
		if err == nil {
			return connection.Close()
		}
		select {
		case <-retry.C:
		case <-s.ended:
			return errEnded
		case <-ctx.Done():
			return errors.New("the server does not listen")
		}
	}
}

func (s *server) stop() {
	if s.stopped {
		return
	}
	s.stopped = true
	_ = s.command.Cancel() // fails where all have ended already
	<-s.ended
}
