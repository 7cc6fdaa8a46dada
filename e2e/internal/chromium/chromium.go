//go:build e2e

// Package chromium finds the browser of the end-to-end tests.
package chromium

import (
	"os/exec"
	"runtime"
	"testing"
)

// Executable returns the path of Chromium or Chrome. It is empty where a browser
// is found otherwise, on macOS and Windows: there playwright knows where Chrome
// is. The test is skipped on a Linux that has neither.
func Executable(tb testing.TB) string {
	tb.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if runtime.GOOS == "linux" {
		tb.Skip("there is no Chromium and no Chrome; this test needs one")
	}
	return ""
}
