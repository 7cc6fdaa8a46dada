//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// apacheModules is where Debian has them.
const apacheModules = "/usr/lib/apache2/modules"

// apache verifies with mod_auth_openidc as a resource server, in one worker
// process with a fixed number of threads.
var apache = peer{
	name:     "apache",
	title:    "Apache mod_auth_openidc",
	packages: "apache2 libapache2-mod-auth-openidc",
	find: func(context.Context) (string, error) {
		if _, err := os.Stat(filepath.Join(apacheModules, "mod_auth_openidc.so")); err != nil {
			return "", fmt.Errorf("mod_auth_openidc is %w", errNotInstalled)
		}
		return findProgram("apache2", "/usr/sbin/apache2")
	},
	site: func(program string, check *check) configure {
		return func(ctx context.Context, home, addr string) (*exec.Cmd, error) {
			config, err := writeConfig(home, "apache.conf", map[string]any{
				"Modules": apacheModules, "Home": home, "Address": addr, "Root": os.Geteuid() == 0, "Check": check,
			})
			return exec.CommandContext(ctx, program, "-f", config, "-DFOREGROUND"), err //nolint:gosec // what find has found
		}
	},
}
