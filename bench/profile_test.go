//go:build linux

package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestEachWorkloadHasItsOwnProfile(t *testing.T) {
	seen := make(map[string]string)
	for _, w := range workloads {
		name := profileName(w.name)
		if other, taken := seen[name]; taken {
			t.Errorf("the profiles of %q and %q are both called %s", w.name, other, name)
		}
		seen[name] = w.name
		if name != filepath.Base(name) || strings.ContainsAny(name, " ,'") {
			t.Errorf("the profile of %q is called %s, which a shell would not take as it is", w.name, name)
		}
	}
}
