//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// bindToThisProgram makes a server, with all processes that it starts, a
// group that Cancel ends as one. If this program dies without a chance to do
// that, the system asks the server to end, which then ends what it started: the
// system does so when the thread ends that started the server, so main keeps
// its own.
func bindToThisProgram(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = 5 * time.Second
}

// findProcesses looks once, when all are there, for the processes that the
// server consists of: to look again before every slice would take time.
func (s *server) findProcesses() error {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return err
	}
	s.pids = nil
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // ended since
		}
		// The name before may hold blanks and parentheses itself. The state,
		// the parent and the group follow.
		fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
		if string(fields[2]) != strconv.Itoa(s.command.Process.Pid) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return err
		}
		s.pids = append(s.pids, pid)
	}
	if len(s.pids) == 0 {
		return errEnded
	}
	return nil
}

// processorTime returns how long the server's processes have run on a
// processor. It is summed over threads, which the Go runtime keeps for good and
// the other servers are told to keep, since the figures for whole processes are
// counted in hundredths of a second.
func (s *server) processorTime() (time.Duration, error) {
	var total time.Duration
	for _, pid := range s.pids {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil {
			return 0, err
		}
		if len(files) == 0 {
			return 0, fmt.Errorf("process %d has ended", pid)
		}
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
	}
	if total == 0 {
		return 0, errors.New("this system does not tell the processor time of threads")
	}
	return total, nil
}

// peakMemory returns the most memory that the server's processes have held, in
// MB.
func (s *server) peakMemory() (float64, error) {
	var total float64
	for _, pid := range s.pids {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		_, line, found := strings.Cut(string(status), "\nVmHWM:")
		if !found {
			return 0, io.ErrUnexpectedEOF
		}
		size, _, _ := strings.Cut(line, "kB")
		kb, err := strconv.ParseFloat(strings.TrimSpace(size), 64)
		if err != nil {
			return 0, err
		}
		total += kb * 1024 / 1e6
	}
	return total, nil
}
