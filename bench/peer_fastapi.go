//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
)

// fastapi verifies with PyJWT, in one uvicorn worker.
var fastapi = peer{
	name:     "fastapi",
	title:    "FastAPI + PyJWT",
	packages: "python3-fastapi python3-uvicorn python3-jwt python3-cryptography",
	find: func(ctx context.Context) (string, error) {
		// The first Python need not be the one that Debian's packages are for.
		for _, python := range []string{"python3", "/usr/bin/python3"} {
			if exec.CommandContext(ctx, python, "-c", "import fastapi, uvicorn, jwt, cryptography").Run() == nil { //nolint:gosec // one of the two
				return python, nil
			}
		}
		return "", fmt.Errorf("FastAPI with uvicorn and PyJWT is %w", errNotInstalled)
	},
	site: func(program string, check *check) configure {
		return func(ctx context.Context, home, addr string) (*exec.Cmd, error) {
			if _, err := writeConfig(home, "fastapi_site.py", nil); err != nil {
				return nil, err
			}
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			command := exec.CommandContext(ctx, program, "-m", "uvicorn", "--host", host, "--port", port, //nolint:gosec // what find has found
				"--no-access-log", "--log-level", "warning", "--timeout-keep-alive", "60", "fastapi_site:app")
			command.Dir = home
			command.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
			if check != nil {
				command.Env = append(command.Env, "ALGORITHM="+check.Algorithm, "ISSUER="+check.Issuer, "AUDIENCE="+check.Audience, "KEY="+string(check.Key))
			}
			return command, nil
		}
	},
}
