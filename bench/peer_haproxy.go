//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// haproxy verifies with jwt_verify, on one thread.
var haproxy = peer{
	name:     "haproxy",
	title:    "HAProxy `jwt_verify`",
	packages: "haproxy",
	find: func(context.Context) (string, error) {
		return findProgram("haproxy", "/usr/sbin/haproxy")
	},
	site: func(program string, check *check) configure {
		return func(ctx context.Context, home, addr string) (*exec.Cmd, error) {
			key := filepath.Join(home, "key.pem")
			if check != nil {
				if err := os.WriteFile(key, check.Key, 0o600); err != nil {
					return nil, err
				}
			}
			config, err := writeConfig(home, "haproxy.cfg", map[string]any{"Address": addr, "KeyFile": key, "Check": check})
			// -db: in the foreground, without a second process.
			return exec.CommandContext(ctx, program, "-db", "-f", config), err //nolint:gosec // the program was asked for
		}
	},
}

// findProgram looks for a program by its name and then where Debian has it:
// few users have /usr/sbin in their path.
func findProgram(name, path string) (string, error) {
	for _, program := range []string{name, path} {
		if program, err := exec.LookPath(program); err == nil {
			return program, nil
		}
	}
	return "", fmt.Errorf("%s is %w", name, errNotInstalled)
}
