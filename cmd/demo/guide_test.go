package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// guideOf returns what the demo prints first, with a short name for the
// directory: how long its own is depends on the machine.
func guideOf(t *testing.T, settings settings, p paint) string {
	t.Helper()
	var out strings.Builder
	err := withStack(t.Context(), settings, func(s *stack) error {
		short := *s
		short.directory = "/tmp/logto-demo-1234567890"
		return printGuide(&out, p, &short)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// screens cuts a guide before each title.
func screens(guide string) []string {
	lines := strings.Split(strings.TrimRight(guide, "\n"), "\n")
	var found []string
	begin := 0
	for i := range lines {
		if i+1 < len(lines) && strings.HasPrefix(lines[i+1], "===") && i > 0 {
			found = append(found, strings.Join(lines[begin:i-1], "\n"))
			begin = i
		}
	}
	return append(found, strings.Join(lines[begin:], "\n"))
}

func TestGuideFitsATerminal(t *testing.T) {
	for name, settings := range map[string]settings{"the example": example, "-config": {config: example.config}} {
		t.Run(name, func(t *testing.T) {
			keepEnvironment(t)
			guide := guideOf(t, settings, false)
			fitsTheTerminal(t, guide)
			for _, screen := range screens(guide) {
				if got := strings.Count(screen, "\n") + 1; got > rows {
					t.Errorf("%d lines:\n%s", got, screen)
				}
			}
		})
	}
}

// A terminal without scrolling shows the end of the guide.
func TestGuideEndsWithWhatRunsWhere(t *testing.T) {
	keepEnvironment(t)
	all := screens(guideOf(t, example, false))
	if len(all) != 9 {
		t.Errorf("%d screens, not 9", len(all))
	}
	last := all[len(all)-1]
	if !strings.HasPrefix(last, "What runs where\n===") || !strings.HasSuffix(last, "\nCtrl-C stops all of it and deletes the tokens.") {
		t.Errorf("it ends with:\n%s", last)
	}
}

func TestGuideSaysWhatMayBeAskedFor(t *testing.T) {
	keepEnvironment(t)
	guide := guideOf(t, example, false)
	for _, granted := range permissions {
		for _, want := range append([]string{granted.Resource, granted.OrganizationID}, granted.Scopes...) {
			if !strings.Contains(screens(guide)[1], want) {
				t.Errorf("%q is not in\n%s", want, screens(guide)[1])
			}
		}
	}
}

func TestAnotherConfigIsServedWithoutTheGuide(t *testing.T) {
	keepEnvironment(t)
	config := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(config, []byte("http:// {\n\trespond \"my own root\"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := settings{config: config}
	if all := screens(guideOf(t, settings, false)); len(all) != 1 || strings.Contains(all[0], "curl lines") {
		t.Errorf("the guide is:\n%s", strings.Join(all, "\n"))
	}
	err := withStack(t.Context(), settings, func(s *stack) error {
		root, err := send(t.Context(), s, "", check{path: "/"}, "")
		if root.status != 200 || root.body != "my own root" {
			t.Errorf("its root answers %v", root)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTokenFilesAreForTheirUserOnly(t *testing.T) {
	temporary := keepEnvironment(t)
	err := withStack(t.Context(), example, func(s *stack) error {
		if filepath.Dir(s.directory) != temporary {
			t.Errorf("they are in %s", s.directory)
		}
		for _, name := range append([]string{"client"}, names()...) {
			file, err := os.Stat(filepath.Join(s.directory, name))
			if err != nil {
				return err
			}
			if runtime.GOOS != "windows" && file.Mode() != 0o600 {
				t.Errorf("%s has the mode %v", name, file.Mode())
			}
		}
		token, _ := s.wallet.token("alice")
		text, err := os.ReadFile(filepath.Join(s.directory, "alice.jwt"))
		if want := "Authorization: Bearer " + token + "\n"; string(text) != want {
			t.Errorf("alice.jwt is %q, want %q", text, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func names() []string {
	var files []string
	for _, token := range heldTokens {
		files = append(files, tokenFile(token.name))
	}
	return files
}

func TestColoursAreForTerminalsThatWantThem(t *testing.T) {
	keepEnvironment(t)
	if plain := guideOf(t, example, false); strings.Contains(plain, "\x1b") {
		t.Errorf("coloured:\n%q", plain)
	}
	coloured := guideOf(t, example, true)
	if !strings.Contains(coloured, "\x1b[36mcurl -i") {
		t.Errorf("not coloured:\n%s", coloured)
	}
	if text := regexp.MustCompile("\x1b\\[\\d+m").ReplaceAllString(coloured, ""); strings.Contains(text, "\x1b") {
		t.Errorf("other codes than colours:\n%q", text)
	}
	for name, test := range map[string]struct {
		environment map[string]string
		system      string
		terminal    bool
		want        paint
	}{
		"a terminal":              {nil, "linux", true, true},
		"a file or a pipe":        {nil, "linux", false, false},
		"NO_COLOR":                {map[string]string{"NO_COLOR": "1"}, "linux", true, false},
		"NO_COLOR, but empty":     {map[string]string{"NO_COLOR": ""}, "linux", true, true},
		"a terminal without them": {map[string]string{"TERM": "dumb"}, "linux", true, false},
		"an old Windows":          {nil, "windows", true, false},
		"Windows Terminal":        {map[string]string{"WT_SESSION": "x"}, "windows", true, true},
	} {
		if got := wantsColours(func(name string) string { return test.environment[name] }, test.system, test.terminal); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if paintFor(file) {
		t.Error("a file is coloured")
	}
}

// Each line of the guide is run by a shell, as a reader does.
func TestGuideHoldsAWorkingLineForEachCheck(t *testing.T) {
	keepEnvironment(t)
	err := withStack(t.Context(), example, func(s *stack) error {
		var out strings.Builder
		if err := printGuide(&out, false, s); err != nil {
			return err
		}
		// Without a mark they are lines of the shell; only the summary indents.
		lines := regexp.MustCompile(`(?m)^(?:  )?(?:curl|[AT]=).*$`).FindAllString(out.String(), -1)
		wanted := answersOfTheGuide()
		if len(lines) != len(wanted)+2 {
			t.Errorf("the guide has %d lines of the shell, not %d", len(lines), len(wanted)+2)
		}
		return runWithCurl(t, s, lines, wanted)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// answersOfTheGuide are those to its curl lines, in their order: one with an
// own token, the checks, Alice's suspension, then three of the admin API.
func answersOfTheGuide() []answer {
	wanted := []answer{{200, "Hello, demo", ""}}
	for _, section := range sections {
		if section.onlyCheck != "" {
			continue
		}
		for _, check := range section.checks {
			wanted = append(wanted, check.want)
		}
	}
	return append(wanted,
		answer{200, "Hello, alice", ""},
		answer{200, "Alice is suspended.", ""},
		answer{401, `{"error":"Invalid token"}`, ""},
		answer{200, "Alice is back", ""},
		answer{200, "Hello, alice", ""},
		answer{200, `"last_error":""`, ""},
		answer{200, `"source":"tenant"`, ""},
		answer{200, "\ncaddy_logto_auth_jwks_keys{", ""})
}

func runWithCurl(t *testing.T, s *stack, lines []string, wanted []answer) error {
	t.Helper()
	for _, program := range []string{"sh", "curl", "grep"} {
		if path, _ := exec.LookPath(program); path == "" {
			t.Logf("%s is not installed: lines are counted only", program)
			return nil
		}
	}
	// curl reads its other options there. The token endpoint's answer is not
	// spoilt: of it the line takes only the token.
	settings := t.TempDir()
	if err := os.WriteFile(filepath.Join(settings, ".curlrc"), []byte("silent\nshow-error\nwrite-out = \"\\n%{http_code}\"\n"), 0o600); err != nil {
		return err
	}
	before := ""
	for _, line := range lines {
		if !strings.HasPrefix(strings.TrimSpace(line), "curl") {
			before += line + "\n"
			continue
		}
		if len(wanted) == 0 {
			break // counted by the caller
		}
		shell := exec.CommandContext(t.Context(), "sh", "-c", before+line)
		shell.Dir = s.directory
		shell.Env = append(os.Environ(), "CURL_HOME="+settings)
		output, err := shell.CombinedOutput()
		got := string(output)
		if err != nil {
			t.Errorf("%s: %v: %s", line, err, got)
		} else if status := got[len(got)-3:]; status != wanted[0].String()[:3] || !strings.Contains(got, wanted[0].body) {
			t.Errorf("%s\nanswered %s, not %v", line, got, wanted[0])
		}
		wanted = wanted[1:]
	}
	return nil
}
