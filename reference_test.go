package logtoauth

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

const referencePath = "docs/reference.md"

// jsonFields are the JSON fields of subdirectives that are not spelled like
// these.
var jsonFields = map[string][]string{
	"issuer":        {"issuers"},
	"audience":      {"audiences"},
	"any_scope":     {"any_scopes"},
	"organization":  {"organizations", "organization_mode"},
	"claim":         {"claims"},
	"token_from":    {"token_sources"},
	"forward_claim": {"forward_claims"},
	"token_type":    {"token_types"},
}

// TestReferenceIsWhatTheCodeSays makes the reference of the source and
// compares. `make docs` writes it.
func TestReferenceIsWhatTheCodeSays(t *testing.T) {
	made := makeReference(t)
	if *update {
		if err := os.WriteFile(referencePath, []byte(made), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ReplaceAll(string(written), "\r\n", "\n") != made {
		t.Errorf("%s is not what the code says; run make docs", referencePath)
	}
}

// source is the package as it is written.
type source struct {
	t     *testing.T
	files map[string]*ast.File
}

func readSource(t *testing.T) source {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	s := source{t: t, files: make(map[string]*ast.File)}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		if s.files[path], err = parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// typeDoc returns the comment and the fields of a struct.
func (s source) typeDoc(name string) (doc string, fields []*ast.Field) {
	for _, file := range s.files {
		for _, declaration := range file.Decls {
			general, ok := declaration.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range general.Specs {
				if typ, ok := spec.(*ast.TypeSpec); ok && typ.Name.Name == name {
					if structure, ok := typ.Type.(*ast.StructType); ok {
						return general.Doc.Text(), structure.Fields.List
					}
				}
			}
		}
	}
	s.t.Fatalf("there is no struct %s", name)
	return "", nil
}

// funcDecl returns a method by the name of its receiver's type and its own.
func (s source) funcDecl(receiver, name string) *ast.FuncDecl {
	for _, file := range s.files {
		for _, declaration := range file.Decls {
			method, ok := declaration.(*ast.FuncDecl)
			if !ok || method.Name.Name != name || method.Recv == nil {
				continue
			}
			if pointer, ok := method.Recv.List[0].Type.(*ast.StarExpr); ok && fmt.Sprint(pointer.X) == receiver {
				return method
			}
		}
	}
	s.t.Fatalf("there is no method %s of %s", name, receiver)
	return nil
}

// documented is a JSON field and its comment.
type documented struct {
	name, kind, text string
}

// item renders the field as an item of a list.
func (d documented) item() string {
	text := paragraph("- `" + d.name + "`, " + d.kind + ": " + d.text)
	return strings.ReplaceAll(text, "\n", "\n  ") + "\n"
}

func (s source) jsonFields(typ string) []documented {
	var all []documented
	_, fields := s.typeDoc(typ)
	for _, field := range fields {
		if field.Tag == nil {
			continue
		}
		tag, err := strconv.Unquote(field.Tag.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		if field.Doc.Text() == "" {
			s.t.Errorf("%s.%s has no comment", typ, name)
		}
		all = append(all, documented{name, jsonKind(s.t, field.Type), field.Doc.Text()})
	}
	return all
}

func jsonKind(t *testing.T, expression ast.Expr) string {
	t.Helper()
	switch e := expression.(type) {
	case *ast.StarExpr:
		return jsonKind(t, e.X)
	case *ast.ArrayType:
		return "list of " + jsonKind(t, e.Elt) + "s"
	case *ast.SelectorExpr:
		return "duration"
	case *ast.Ident:
		switch e.Name {
		case "string":
			return "string"
		case "bool":
			return "boolean"
		case "int":
			return "number"
		}
		return "object"
	}
	t.Fatalf("no word for %T", expression)
	return ""
}

// paragraph wraps a comment as the other pages are wrapped.
func paragraph(text string) string {
	const width = 130
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return strings.Join(append(lines, line), "\n")
}

// syntax returns the lines of the directive in the comment of its
// UnmarshalCaddyfile, by the word that they begin with. Lines of inner blocks
// begin with the word of the block and a dot.
func (s source) syntax(receiver string) map[string]string {
	lines := make(map[string]string)
	block := ""
	for line := range strings.Lines(s.funcDecl(receiver, "UnmarshalCaddyfile").Doc.Text()) {
		words := strings.Fields(line)
		if !strings.HasPrefix(line, "\t    ") || len(words) == 0 {
			continue
		}
		switch {
		case words[0] == "}":
			block = ""
			continue
		case words[len(words)-1] == "{":
			block = words[0] + "."
			lines[words[0]] = strings.Join(words[:len(words)-1], " ") + " { … }"
			continue
		}
		lines[block+words[0]] = strings.Join(words, " ")
	}
	return lines
}

// syntaxBlock returns the comment of a directive's UnmarshalCaddyfile after
// "Syntax:", the indented lines as a code block.
func (s source) syntaxBlock(receiver string) string {
	_, text, found := strings.Cut(s.funcDecl(receiver, "UnmarshalCaddyfile").Doc.Text(), "Syntax:\n\n")
	code, rest, closed := strings.Cut(text, "\n\n")
	if !found || !closed {
		s.t.Fatalf("the comment of %s.UnmarshalCaddyfile does not show the syntax", receiver)
	}
	return "```text\n" + strings.ReplaceAll("\n"+code, "\n\t", "\n")[1:] + "\n```\n\n" + paragraph(rest) + "\n"
}

// writeGlobalOption documents the settings that a site may leave to the global
// option.
func writeGlobalOption(b *strings.Builder) {
	b.WriteString("\n## The global option\n\n")
	words := slices.Sorted(maps.Keys(globalSettings))
	b.WriteString(paragraph("The global option `logto_auth` takes what concerns the tenant and operation, for all sites: `" +
		strings.Join(words, "`, `") + "`. A site's own value wins. `endpoint`, `issuer`, `jwks_uri` and `jwks_file` go together: " +
		"a site that sets one of them inherits none of the four. `revocation` takes `keep` only: a webhook is taken by one site. " +
		"There are no global defaults in JSON."))
	b.WriteString(`

` + "```caddyfile" + `
{
	logto_auth {
		endpoint https://your-tenant.logto.app
		issuer https://your-tenant.logto.app/oidc https://login.example.com/oidc
		leeway 5s
	}
}

api.example.com {
	logto_auth {
		audience https://api.example.com
	}
	reverse_proxy localhost:3000
}

files.example.com {
	logto_auth {
		audience https://files.example.com
	}
	root * /srv/files
	file_server browse
}
` + "```" + `
`)
}

func makeReference(t *testing.T) string {
	t.Helper()
	s := readSource(t)
	var b strings.Builder
	b.WriteString(`# Reference

Made from the source's comments by ` + "`make docs`" + `, so this page is what the code says. [README.md](../README.md) explains how the
parts go together.

An unknown or repeated subdirective, and a value that cannot be right, are errors when the config is read, with file and line. Settings
that are allowed but rarely meant leave a WARN in the log, and so do [mistakes of a whole site](troubleshooting.md#warnings).
` + "`caddy validate`" + ` shows both. Durations are written as ` + "`10s`, `5m`, `24h` or `1d`" + `. ` + "`{$NAME}`" + ` works everywhere, as in any
Caddyfile.
`)
	s.writeDirective(&b, "logto_auth", "Handler", slices.Sorted(maps.Keys(handlerSettings)))
	s.writeDirective(&b, "logto_require", "Require", slices.Sorted(maps.Keys(requireSettings)))
	writeGlobalOption(&b)
	s.writeHandlers(&b)
	s.writePlaceholders(&b)
	s.writeReasons(&b)
	writeMetrics(t, &b)
	writeAdmin(&b)
	writeCommands(&b)
	return b.String()
}

// writeDirective documents the subdirectives of a directive, in the order of
// its JSON fields. Each subdirective and each field must have the other.
func (s source) writeDirective(b *strings.Builder, directive, typ string, words []string) {
	s.t.Helper()
	fmt.Fprintf(b, "\n## %s\n\n%s", directive, s.syntaxBlock(typ))
	syntax := s.syntax(typ)
	nested := map[string]string{
		"claims": "ClaimRequirement", "token_sources": "TokenSource", "forward_claims": "ForwardClaim", "resource_metadata": "ResourceMetadata",
		"sign_in": "SignIn", "revocation": "Revocation",
	}
	wordOf := make(map[string]string)
	for _, word := range words {
		if syntax[word] == "" {
			s.t.Errorf("the syntax of %s does not show %s", directive, word)
		}
		fields, ok := jsonFields[word]
		if !ok {
			fields = []string{word}
		}
		for _, field := range fields {
			wordOf[field] = word
		}
	}
	written := make(map[string]bool)
	for _, field := range s.jsonFields(typ) {
		word, ok := wordOf[field.name]
		if !ok {
			s.t.Errorf("no subdirective of %s sets %s", directive, field.name)
		}
		delete(wordOf, field.name)
		if !written[word] {
			written[word] = true
			fmt.Fprintf(b, "\n### %s `%s`\n\n", directive, syntax[word])
			if globalSettings[word].parse != nil && directive == "logto_auth" {
				b.WriteString("Also in the global option. ")
			}
		} else {
			b.WriteString("\n")
		}
		fmt.Fprintf(b, "JSON: `%s`, %s.\n\n%s\n", field.name, field.kind, paragraph(field.text))
		if inner := nested[field.name]; inner != "" {
			b.WriteString("\n")
			for _, member := range s.jsonFields(inner) {
				b.WriteString(member.item())
			}
		}
	}
	if len(wordOf) > 0 {
		s.t.Errorf("%s has no JSON fields for %v", directive, wordOf)
	}
}

// writeHandlers documents the handlers that a Caddyfile adds by itself.
func (s source) writeHandlers(b *strings.Builder) {
	b.WriteString("\n## Handlers for JSON\n\n[A config in JSON](json.md) has an example. A Caddyfile adds these handlers where they are needed.\n")
	for _, handler := range []struct{ id, typ string }{{stripName, "StripIdentity"}, {metadataName, "Metadata"}, {endpointsName, "Endpoints"}} {
		doc, _ := s.typeDoc(handler.typ)
		_, text, _ := strings.Cut(doc, " ") // the type's name is not that of the handler
		text = strings.ReplaceAll("`"+handler.id+"` "+text, "[Handler]", "`logto_auth`")
		fmt.Fprintf(b, "\n### http.handlers.%s\n\n%s\n", handler.id, paragraph(text))
		for _, field := range s.jsonFields(handler.typ) {
			b.WriteString("\n" + field.item())
		}
	}
}

// writePlaceholders documents the placeholders in the table of Handler's
// comment, which must be those that the code answers to.
func (s source) writePlaceholders(b *strings.Builder) {
	s.t.Helper()
	b.WriteString("\n## Placeholders\n\n[Where they exist](identity-headers.md#placeholders).\n\n| placeholder | value |\n|---|---|\n")
	doc, _ := s.typeDoc("Handler")
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^`\\{(http\\.auth\\.[^`]+)\\}` \\| (.+)$").FindAllStringSubmatch(doc, -1) {
		documented = append(documented, row[1])
		fmt.Fprintf(b, "| `{%s}` | %s |\n", row[1], row[2])
		if _, known := new(requestState).placeholder(strings.ReplaceAll(row[1], "<path>", "sub")); !known {
			s.t.Errorf("the code does not know the placeholder {%s}", row[1])
		}
	}
	answered := []string{claimsPrefix + "<path>"}
	for name := range userValues {
		answered = append(answered, userPrefix+name)
	}
	for _, name := range s.cases("requestState", "placeholder") {
		answered = append(answered, logtoPrefix+name)
	}
	slices.Sort(answered)
	if sorted := slices.Sorted(slices.Values(documented)); !slices.Equal(sorted, answered) {
		s.t.Errorf("documented are the placeholders\n%v, answered\n%v", sorted, answered)
	}
}

// cases returns the texts in the cases of a method's switches.
func (s source) cases(receiver, name string) []string {
	var texts []string
	ast.Inspect(s.funcDecl(receiver, name), func(node ast.Node) bool {
		clause, ok := node.(*ast.CaseClause)
		if !ok {
			return true
		}
		for _, expression := range clause.List {
			ast.Inspect(expression, func(part ast.Node) bool {
				if literal, ok := part.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					text, err := strconv.Unquote(literal.Value)
					if err != nil {
						s.t.Fatal(err)
					}
					texts = append(texts, text)
				}
				return true
			})
		}
		return true
	})
	return texts
}

// writeReasons documents the constants of type Reason, which must all be among
// the reasons that metrics are made for.
func (s source) writeReasons(b *strings.Builder) {
	s.t.Helper()
	b.WriteString("\n## Reasons\n\nIn `{http.auth.logto.reason}`, in the access log as `logto_reason`, in metrics and spans. [What to do](troubleshooting.md).\n\n| reason | meaning |\n|---|---|\n")
	var constants []Reason
	for _, declaration := range s.files["refusal.go"].Decls {
		general, ok := declaration.(*ast.GenDecl)
		if !ok || general.Tok != token.CONST {
			continue
		}
		for _, spec := range general.Specs {
			value, ok := spec.(*ast.ValueSpec)
			if !ok || fmt.Sprint(value.Type) != "Reason" {
				continue
			}
			code, err := strconv.Unquote(value.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				s.t.Fatal(err)
			}
			constants = append(constants, Reason(code))
			// Where a directive for linters comes first, the comment follows.
			_, meaning, found := strings.Cut(value.Comment.List[0].Text, "// ")
			if !found {
				s.t.Errorf("the reason %s has no comment", code)
			}
			fmt.Fprintf(b, "| `%s` | %s |\n", code, meaning)
		}
	}
	if missing := slices.DeleteFunc(slices.Clone(constants), func(r Reason) bool { return slices.Contains(reasons, r) }); len(missing) > 0 || len(reasons) != len(constants) {
		s.t.Errorf("the constants are %v, reasons %v", constants, reasons)
	}
}

var descPattern = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "([^"]+)", (?:unit: "", )?constLabels: \{\}, variableLabels: \{([^}]*)\}`)

func writeMetrics(t *testing.T, b *strings.Builder) {
	t.Helper()
	b.WriteString("\n## Metrics\n\n[How to use them](operation.md#metrics).\n\n| metric | labels | meaning |\n|---|---|---|\n")
	for _, collector := range metrics.collectors() {
		descs := make(chan *prometheus.Desc, 10)
		collector.Describe(descs)
		close(descs)
		for desc := range descs {
			parts := descPattern.FindStringSubmatch(desc.String())
			if parts == nil {
				t.Fatalf("cannot read %s", desc)
			}
			labels := "–"
			if parts[3] != "" {
				labels = "`" + strings.ReplaceAll(parts[3], ",", "`, `") + "`"
			}
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", parts[1], labels, parts[2])
		}
	}
}

func writeAdmin(b *strings.Builder) {
	b.WriteString("\n## Admin API\n\n[How to use it](operation.md#admin-api).\n\n")
	for _, route := range new(adminAPI).Routes() {
		fmt.Fprintf(b, "- `%s`\n", route.Pattern)
	}
}

func writeCommands(b *strings.Builder) {
	b.WriteString("\n## Commands\n")
	root := &cobra.Command{Use: command().Name}
	command().CobraFunc(root)
	for _, cmd := range root.Commands() {
		fmt.Fprintf(b, "\n### caddy %s\n\n%s.\n\n```text\n%s```\n", cmd.CommandPath(), cmd.Short, cmd.Flags().FlagUsages())
	}
}

// A page that is made may still lack something if two things have one name.
func TestReferenceNamesEachThingOnce(t *testing.T) {
	text, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	once := func(pattern string) {
		t.Helper()
		if found := regexp.MustCompile("(?m)"+pattern).FindAll(text, -1); len(found) != 1 {
			t.Errorf("%s stands there %d times: %s", pattern, len(found), bytes.Join(found, []byte(" ")))
		}
	}
	for word := range handlerSettings {
		once("^### logto_auth `" + word + "[ `]")
	}
	for word := range requireSettings {
		once("^### logto_require `" + word + "[ `]")
	}
	for _, reason := range reasons {
		once("^\\| `" + string(reason) + "` \\|")
	}
	for _, name := range []string{
		"requests_total", "token_cache_total", "signature_duration_seconds", "jwks_fetches_total", "jwks_keys", "jwks_last_success_timestamp_seconds",
		"sign_ins_total", "session_refreshes_total", "sessions_ended_total", "revocations", "revocation_events_total",
	} {
		once("^\\| `caddy_logto_auth_" + name + "` \\|")
	}
}
