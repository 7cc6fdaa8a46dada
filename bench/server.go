package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// server is a Caddy in a process of its own.
type server struct {
	command *exec.Cmd
	log     *bytes.Buffer
	addr    string
}

// startServer starts Caddy with one site and waits until it accepts
// connections.
func startServer(ctx context.Context, binary, dir, site string) (*server, error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp(dir, "site")
	if err != nil {
		return nil, err
	}
	config := filepath.Join(home, "Caddyfile")
	text := fmt.Sprintf("{\n\tadmin off\n\tpersist_config off\n\tauto_https off\n\tstorage file_system %s\n}\n\nhttp://%s {\n%s\trespond ok\n}\n", home, addr, site)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	s := &server{addr: addr, log: new(bytes.Buffer)}
	s.command = exec.CommandContext(ctx, binary, "run", "--config", config) //nolint:gosec // the Caddy that was just built
	s.command.Env = append(os.Environ(), "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
	s.command.Stderr = s.log
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	if err := s.awaitListener(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w\n%s", err, s.log)
	}
	return s, nil
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
		case <-ctx.Done():
			return errors.New("caddy does not listen")
		}
	}
}

func (s *server) stop() {
	_ = s.command.Process.Kill()
	_ = s.command.Wait() // it was killed, and says so
}

// processorTime returns how long the process has run on a processor. It is
// summed over threads, which the Go runtime keeps for good, since the figures
// for whole processes are counted in hundredths of a second.
func (s *server) processorTime() (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		field, _, _ := strings.Cut(string(content), " ")
		ns, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		total += time.Duration(ns)
	}
	if total == 0 {
		return 0, errors.New("this system does not tell the processor time of threads")
	}
	return total, nil
}

// peakMemory returns the most memory the process has held, in MB.
func (s *server) peakMemory() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if size, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(size), " kB"), 64)
			return kb * 1024 / 1e6, err
		}
	}
	return 0, io.ErrUnexpectedEOF
}
