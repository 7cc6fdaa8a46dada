package logtoauth

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

var update = flag.Bool("update", false, "write what is adapted into the golden files")

// goldenSeparator stands between a Caddyfile and what it adapts to.
const goldenSeparator = "\n----------\n"

// TestCaddyfileAdaptsAsWritten compares each golden Caddyfile with the JSON, or
// the text of the error, that stands below it.
func TestCaddyfileAdaptsAsWritten(t *testing.T) {
	files, err := filepath.Glob("testdata/caddyfile/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, ok := strings.Cut(string(content), goldenSeparator)
			if !ok {
				t.Fatal("no line of dashes between the Caddyfile and its result")
			}
			input += "\n"
			if formatted := string(caddyfile.Format([]byte(input))); formatted != input {
				t.Errorf("caddy fmt would change the Caddyfile to:\n%s", formatted)
			}

			got := adaptGolden(t, input)
			if *update {
				golden := strings.TrimSuffix(input, "\n") + goldenSeparator + got + "\n"
				if err := os.WriteFile(file, []byte(golden), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != strings.TrimSpace(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			isError := strings.HasPrefix(filepath.Base(file), "error_")
			if isError == strings.HasPrefix(got, "{") {
				t.Errorf("the file's name tells otherwise whether it is an error")
			}
		})
	}
}

// adaptGolden gives the adapted JSON, indented, or the text of the error.
func adaptGolden(t *testing.T, input string) string {
	t.Helper()
	adapted, warnings, err := adaptCaddyfile(input)
	if err != nil {
		return err.Error()
	}
	for _, warning := range warnings {
		t.Errorf("warning: %s", warning)
	}
	if err := decodesStrictly(adapted); err != nil {
		t.Error(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, adapted, "", "  "); err != nil {
		t.Fatal(err)
	}
	return indented.String()
}

// goldenKeys gives the names of all JSON members in the golden files.
func goldenKeys(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("testdata/caddyfile/*.caddyfiletest")
	if err != nil {
		t.Fatal(err)
	}
	keys := make(map[string]bool)
	member := regexp.MustCompile(`"(\w+)": `)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, adapted, _ := strings.Cut(string(content), goldenSeparator)
		for _, match := range member.FindAllStringSubmatch(adapted, -1) {
			keys[match[1]] = true
		}
	}
	return keys
}

func adaptCaddyfile(input string) ([]byte, []caddyconfig.Warning, error) {
	return caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), nil)
}

// decodesStrictly reports the first of our handlers in the config that does
// not decode into its struct without unknown fields, or whose struct says
// something else than the JSON.
func decodesStrictly(config []byte) error {
	var tree any
	if err := json.Unmarshal(config, &tree); err != nil {
		return err
	}
	found, err := decodeHandlers(tree)
	if err == nil && found == 0 {
		err = fmt.Errorf("the config has no handler of ours: %s", config)
	}
	return err
}

func decodeHandlers(node any) (found int, err error) {
	var children []any
	switch node := node.(type) {
	case []any:
		children = node
	case map[string]any:
		var module any
		switch node["handler"] {
		case authDirective:
			module = new(Handler)
		case requireDirective:
			module = new(Require)
		}
		if module != nil {
			return 1, decodeHandler(node, module)
		}
		for _, child := range node {
			children = append(children, child)
		}
	}
	for _, child := range children {
		n, err := decodeHandlers(child)
		if err != nil {
			return 0, err
		}
		found += n
	}
	return found, nil
}

func decodeHandler(node map[string]any, module any) error {
	// Caddy takes the inline key out before it decodes.
	delete(node, "handler")
	before, err := json.Marshal(node)
	if err != nil {
		return err
	}
	if err := caddy.StrictUnmarshalJSON(before, module); err != nil {
		return fmt.Errorf("decoding %s: %w", before, err)
	}
	var again map[string]any
	after, err := json.Marshal(module)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(after, &again); err != nil {
		return err
	}
	if after, err = json.Marshal(again); err != nil {
		return err
	}
	if !bytes.Equal(before, after) {
		return fmt.Errorf("the struct of %s says %s", before, after)
	}
	return nil
}

// TestUnmarshalerReadsOneSegment shows that both handlers work where another
// module reads them, with the matcher already taken off.
func TestUnmarshalerReadsOneSegment(t *testing.T) {
	tests := []struct {
		name  string
		input string
		want  string
	}{
		{
			name:  "http.handlers.logto_auth",
			input: "logto_auth {\n audience a b\n organization any\n}",
			want:  `{"audiences":["a","b"],"organization_mode":"any"}`,
		},
		{
			name:  "http.handlers.logto_require",
			input: "logto_require read {\n scopes write\n organization org1 org2\n}",
			want:  `{"scopes":["read","write"],"organizations":["org1","org2"]}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := caddyfile.NewTestDispenser(test.input)
			d.Next()
			module, err := caddyfile.UnmarshalModule(d, test.name)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(module)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestNothingAfterTheBlockIsIgnored shows that a misplaced word is not dropped
// without a word.
func TestNothingAfterTheBlockIsIgnored(t *testing.T) {
	for _, input := range []string{
		"logto_auth {\n audience a\n}\nscopes b",
		"logto_auth\nscopes b",
	} {
		if err := new(Handler).UnmarshalCaddyfile(caddyfile.NewTestDispenser(input)); err == nil {
			t.Errorf("%q was accepted", input)
		}
	}
	for _, input := range []string{
		"logto_require a {\n any_scope b\n}\nc",
		"logto_require a\nb",
	} {
		if err := new(Require).UnmarshalCaddyfile(caddyfile.NewTestDispenser(input)); err == nil {
			t.Errorf("%q was accepted", input)
		}
	}
}

// TestEveryGlobalSettingIsInherited keeps the global option from taking a line
// and dropping it.
func TestEveryGlobalSettingIsInherited(t *testing.T) {
	values := map[string]string{
		"endpoint": "https://tenant.example", "issuer": "https://tenant.example/oidc", "jwks_uri": "https://tenant.example/keys",
		"jwks_file": "keys.json", "trusted_ca_file": "ca.pem", "insecure_http": "", "algorithms": "ES256", "token_type": "any",
		"leeway": "1s", "cache_size": "7", "refresh_interval": "1m", "refresh_cooldown": "2s", "max_stale": "3h", "fetch_timeout": "4s",
		"realm": "here", "errors": "handle_errors", "revocation": "{\nkeep 2h\n}",
	}
	for name := range globalSettings {
		value, known := values[name]
		d := caddyfile.NewTestDispenser("logto_auth {\n" + name + " " + value + "\n}")
		d.Next()
		global, site := new(Handler), new(Handler)
		if err := unmarshalBlock(d, global, globalSettings, "", positions{}); err != nil || !known {
			t.Errorf("%s cannot be tried: %v", name, err)
		}
		site.inherit(global)
		given, err := json.Marshal(global)
		if err != nil {
			t.Fatal(err)
		}
		if inherited, err := json.Marshal(site); err != nil || !bytes.Equal(inherited, given) {
			t.Errorf("of %s is inherited %s, %v", given, inherited, err)
		}
	}
}

var lineNumber = regexp.MustCompile(`Caddyfile:\d+|line #\d+`)

// FuzzCaddyfile states that any text inside the block of logto_auth either
// adapts to JSON that the handler takes, or is an error that names its line.
func FuzzCaddyfile(f *testing.F) {
	for _, lines := range []string{
		"audience a",
		"audience a\nscopes read write\nany_scope x\nclaim roles admin\nclaim a\\.b 1 2",
		"organization org1 {http.request.header.X-Org}\nmax_age 1d",
		"audience a\ntoken_from header X-Token\ntoken_from cookie t\ntoken_from query q\nstrip_token\noptional",
		"audience https://a.example\nresource_metadata {\nresource https://a.example\nscopes a\nname \"A b\"\n}",
		"audience a {\n}\n",
		"sign_in app {env.SECRET} {\npath /in\noffline off\nidle 1h\nbase_url https://a.example\nsession_key {env.KEY}\nforward_token\n}\naudience a",
		"audience a\nrevocation {\nkeep 1h\nwebhook_secret {env.KEY}\npath /hooks\n}",
		"leeway -1s\ncache_size 0\nmax_stale 0s\nrefresh_interval 0s",
		"forward_claim sub X-User\nforward_claim sub x_user\nrealm \"\x7f\"",
		"audience a\naudience b\nunknown",
		"audience <<EOF\n a\n EOF",
		"jwks_file {env.FILE}\nissuer https://a/oidc\naudience {env.AUD} \"\"",
	} {
		f.Add(lines)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		if !staysInBlock(lines) {
			t.Skip("not only the text of one block")
		}
		adapted, _, err := adaptCaddyfile(":80 {\n\tlogto_auth {\n\t\tendpoint https://tenant.example\n" + lines + "\n\t}\n}\n")
		if err != nil {
			if !lineNumber.MatchString(err.Error()) {
				t.Errorf("the error names no line: %v", err)
			}
			return
		}
		if err := decodesStrictly(adapted); err != nil {
			t.Error(err)
		}
	})
}

// staysInBlock reports whether the text neither closes the block that it is
// put into nor asks Caddy's parser for files or the environment.
func staysInBlock(lines string) bool {
	if strings.Contains(lines, "import") || strings.Contains(lines, "{$") || strings.Contains(lines, "{block") {
		return false
	}
	tokens, err := caddyfile.Tokenize([]byte(lines+"\n"), "Caddyfile")
	if err != nil {
		return false
	}
	depth := 0
	for _, token := range tokens {
		switch {
		case token.Quoted():
		case token.Text == "{":
			depth++
		case token.Text == "}":
			depth--
		}
		if depth < 0 {
			return false
		}
	}
	return depth == 0
}
