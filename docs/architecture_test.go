package docs_test

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const architecture = "internals/architecture.md"

// A name in backquotes that is a path: `handler.go`, `config*.go`, `docs/`.
var namedPath = regexp.MustCompile("`([\\w./*-]+(?:\\.go|\\.md|/))`")

// named returns what the patterns of the page lead to, from the root of the
// repository: files, and folders with a slash behind.
func named(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, match := range namedPath.FindAllStringSubmatch(read(t, architecture), -1) {
		paths, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(match[1])))
		if err != nil {
			t.Fatal(err)
		}
		if len(paths) == 0 {
			t.Errorf("%s names %s, which does not exist", architecture, match[1])
		}
		for _, path := range paths {
			found = append(found, filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator))))
		}
	}
	return found
}

// A newcomer finds each file of the root and each package on the page.
func TestArchitectureNamesEverything(t *testing.T) {
	names := named(t)
	seen := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".") && path != ".."
		if entry.IsDir() && (hidden || entry.Name() == "testdata" || entry.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		path = filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))
		what := filepath.ToSlash(filepath.Dir(path))
		if what == "." {
			if strings.HasSuffix(path, "_test.go") {
				return nil
			}
			what = path
		}
		seen[what] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) < 20 {
		t.Fatalf("only %d files and packages were found", len(seen))
	}
	for what := range seen {
		if !slices.Contains(names, what) {
			t.Errorf("%s does not name %s: add it to a table", architecture, what)
		}
	}
}

// A file in a picture is in the root or in internal/keys.
func TestPicturesOfTheArchitectureNameFiles(t *testing.T) {
	pictures := regexp.MustCompile("(?s)```mermaid\n.*?\n```").FindAllString(read(t, architecture), -1)
	if len(pictures) != 2 {
		t.Fatalf("there are %d pictures, not 2", len(pictures))
	}
	for _, picture := range pictures {
		for _, name := range regexp.MustCompile(`\w+\.go`).FindAllString(picture, -1) {
			found, err := filepath.Glob(filepath.Join("..", name))
			below, belowErr := filepath.Glob(filepath.Join("..", "internal", "keys", name))
			if err != nil || belowErr != nil || len(found)+len(below) == 0 {
				t.Errorf("a picture names %s, which does not exist", name)
			}
		}
	}
}

func TestContributorsAreLedToTheArchitecture(t *testing.T) {
	if !strings.Contains(read(t, "../CONTRIBUTING.md"), "(docs/"+architecture+")") {
		t.Errorf("CONTRIBUTING.md does not lead to %s", architecture)
	}
}
