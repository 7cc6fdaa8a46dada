package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// mutant is one change of the program.
type mutant struct {
	id       int
	position token.Position
	function string // that it is in, or the variable that it makes, with the package's name
	change   string
}

// String is how a report names the mutant.
func (m mutant) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", m.position.Filename, m.position.Line, m.position.Column, m.name())
}

// name stays the same when lines are added above.
func (m mutant) name() string { return m.function + ": " + m.change }

// edit puts text in the place of some octets of a file, often none.
type edit struct {
	from, to int
	text     string
	rank     int // at one place, what encloses more has the lesser rank before it and the greater behind it; endings are negative
}

// mutator finds the mutants of files and the edits that build all of them
// into one program, each behind a switch.
type mutator struct {
	files   *token.FileSet
	info    *types.Info
	pkg     *types.Package
	mutants []mutant
	edits   []edit
	within  string // the function or variable
	depth   int
	unused  map[ast.Expr]bool // calls whose result nobody looks at
}

func (m *mutator) add(at token.Pos, format string, arguments ...any) int {
	id := len(m.mutants) + 1
	position := m.files.Position(at)
	m.mutants = append(m.mutants, mutant{id: id, position: position, function: m.pkg.Name() + "." + m.within, change: fmt.Sprintf(format, arguments...)})
	return id
}

func (m *mutator) offset(at token.Pos) int { return m.files.Position(at).Offset }

// around puts text before and behind a node.
func (m *mutator) around(node ast.Node, before, behind string) {
	m.edits = append(
		m.edits,
		edit{m.offset(node.Pos()), m.offset(node.Pos()), before, 2 * m.depth},
		edit{m.offset(node.End()), m.offset(node.End()), behind, -2 * m.depth},
	)
}

// aroundAll is around, outside of what else is put around this node.
func (m *mutator) aroundAll(node ast.Node, before, behind string) {
	m.edits = append(
		m.edits,
		edit{m.offset(node.Pos()), m.offset(node.Pos()), before, 2*m.depth - 1},
		edit{m.offset(node.End()), m.offset(node.End()), behind, 1 - 2*m.depth},
	)
}

// instead replaces an operator or a name.
func (m *mutator) instead(at token.Pos, old, text string) {
	m.edits = append(m.edits, edit{m.offset(at), m.offset(at) + len(old), text, 2 * m.depth})
}

// Visit implements ast.Visitor for the walk over a file.
func (m *mutator) Visit(node ast.Node) ast.Visitor {
	if node == nil {
		m.depth--
		return nil
	}
	m.depth++
	switch node := node.(type) {
	case *ast.FuncDecl:
		m.within = functionName(node)
	case *ast.GenDecl:
		if node.Tok != token.VAR {
			return m.skip() // constants and types cannot be switched while running
		}
	case *ast.ValueSpec:
		if m.depth == 3 { // in a declaration of the file, and not of a function
			m.within = node.Names[0].Name
		}
	case *ast.Field, *ast.ArrayType:
		return m.skip()
	case *ast.ReturnStmt:
		if failure := m.failure(node); failure != nil {
			ast.Walk(m, failure)
			return m.skip()
		}
	case *ast.ExprStmt:
		m.unused[node.X] = true
	case *ast.DeferStmt:
		m.unused[node.Call] = true
	case *ast.GoStmt:
		m.unused[node.Call] = true
	case *ast.BlockStmt:
		m.statements(node.List)
	case *ast.CaseClause:
		m.statements(node.Body)
	case *ast.CommClause:
		m.statements(node.Body)
	case ast.Expr:
		return m.expression(node)
	}
	return m
}

// functionName is Type.Method or the name of a function.
func functionName(node *ast.FuncDecl) string {
	if node.Recv == nil {
		return node.Name.Name
	}
	receiver := node.Recv.List[0].Type
	if pointer, ok := receiver.(*ast.StarExpr); ok {
		receiver = pointer.X
	}
	if generic, ok := receiver.(*ast.IndexExpr); ok {
		receiver = generic.X
	}
	if name, ok := receiver.(*ast.Ident); ok {
		return name.Name + "." + node.Name.Name
	}
	return node.Name.Name
}

// failure is the error that is returned beside other results. Nobody looks at
// those then, so their mutants would say nothing.
func (m *mutator) failure(node *ast.ReturnStmt) ast.Expr {
	if len(node.Results) < 2 {
		return nil
	}
	last := node.Results[len(node.Results)-1]
	fault, ok := types.Universe.Lookup("error").Type().Underlying().(*types.Interface)
	if value := m.info.Types[last]; !ok || value.IsNil() || !types.Implements(value.Type, fault) {
		return nil
	}
	return last
}

// skip leaves a node's children out. ast.Walk tells of the end of a node only
// to the visitor that it was given for the children.
func (m *mutator) skip() ast.Visitor {
	m.depth--
	return nil
}

// statements puts each statement that only has an effect behind a switch.
func (m *mutator) statements(list []ast.Stmt) {
	for _, statement := range list {
		what := ""
		switch statement := statement.(type) {
		case *ast.ExprStmt:
			if call, ok := statement.X.(*ast.CallExpr); ok && !isCallOf(call, "panic") {
				what = "call"
			}
		case *ast.AssignStmt:
			if statement.Tok != token.DEFINE {
				what = "assignment"
			}
		case *ast.IncDecStmt:
			what = "step"
		case *ast.SendStmt:
			what = "send"
		case *ast.DeferStmt:
			what = "defer"
		case *ast.BranchStmt:
			if statement.Tok == token.CONTINUE {
				what = "continue"
			}
		}
		if what != "" {
			id := m.add(statement.Pos(), "leave out the %s", what)
			m.around(statement, fmt.Sprintf("if !mutantOn(%d) { ", id), " }")
		}
	}
}

func isCallOf(call *ast.CallExpr, name string) bool {
	function, ok := call.Fun.(*ast.Ident)
	return ok && function.Name == name
}

func (m *mutator) expression(node ast.Expr) ast.Visitor {
	value, typed := m.info.Types[node]
	if !typed || value.IsType() {
		return m
	}
	if literal, ok := node.(*ast.BasicLit); ok {
		m.literal(literal, value.Type)
		return m
	}
	if value.Value != nil {
		if isBool(value.Type) { // true and false
			id := m.add(node.Pos(), "the other truth value")
			m.around(node, fmt.Sprintf("(mutantOn(%d) != ", id), ")")
		}
		return m.skip() // any other constant is one value, whatever it is made of
	}
	switch node := node.(type) {
	case *ast.BinaryExpr:
		m.binary(node)
	case *ast.CallExpr:
		for name, swapped := range map[string]string{"min": "mutantMin", "max": "mutantMax"} {
			if isCallOf(node, name) && len(node.Args) == 2 {
				id := m.add(node.Pos(), "the other of min and max")
				m.instead(node.Pos(), name+"(", fmt.Sprintf("%s(%d, ", swapped, id))
			}
		}
	}
	if isBool(value.Type) && isDecision(node) && !m.unused[node] {
		id := m.add(node.Pos(), "always true")
		m.add(node.Pos(), "always false")
		m.aroundAll(node, fmt.Sprintf("mutantBool(%d, ", id), ")")
	}
	return m
}

// isDecision leaves out variables that are assigned to, whose address is
// taken, or that are names of fields: only what computes a truth value.
func isDecision(node ast.Expr) bool {
	switch node := node.(type) {
	case *ast.BinaryExpr:
		return node.Op != token.LAND && node.Op != token.LOR // their parts are forced
	case *ast.UnaryExpr:
		return node.Op == token.NOT
	case *ast.CallExpr:
		return true
	}
	return false
}

func isBool(t types.Type) bool {
	basic, ok := t.Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsBoolean != 0
}

func (m *mutator) binary(node *ast.BinaryExpr) {
	operator := node.Op.String()
	switch node.Op {
	case token.LAND, token.LOR:
		name, other := "mutantAnd", "||"
		if node.Op == token.LOR {
			name, other = "mutantOr", "&&"
		}
		id := m.add(node.OpPos, "%s becomes %s", operator, other)
		m.around(node, fmt.Sprintf("%s(%d, ", name, id), ") })")
		m.instead(node.OpPos, operator, ", func() bool { return (")
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		id := m.add(node.OpPos, "%s moves its boundary", operator)
		m.around(node, fmt.Sprintf("mutantOrdered(%d, %q, ", id, operator), ")")
		m.instead(node.OpPos, operator, ",")
	case token.ADD, token.SUB:
		if basic, ok := m.info.Types[node].Type.Underlying().(*types.Basic); ok && basic.Info()&types.IsNumeric != 0 {
			id := m.add(node.OpPos, "%s becomes its opposite", operator)
			m.around(node, fmt.Sprintf("mutantSum(%d, %q, ", id, operator), ")")
			m.instead(node.OpPos, operator, ",")
		}
	}
}

// literal changes a number or a text, in the type that its place gives it.
func (m *mutator) literal(node *ast.BasicLit, t types.Type) {
	basic, ok := t.Underlying().(*types.Basic)
	if !ok {
		return // a case of an interface
	}
	name := types.TypeString(types.Default(t), func(p *types.Package) string {
		if p == m.pkg {
			return ""
		}
		return p.Name()
	})
	switch {
	case basic.Info()&types.IsNumeric != 0 && node.Kind != token.CHAR:
		id := m.add(node.Pos(), "%s plus one", node.Value)
		m.around(node, fmt.Sprintf("mutantLiteral[%s](%d, ", name, id), ")")
	case basic.Info()&types.IsString != 0:
		id := m.add(node.Pos(), "another text than %.40s", node.Value)
		m.around(node, fmt.Sprintf("mutantText[%s](%d, ", name, id), ")")
	}
}

// apply makes the edits of one file.
func apply(source []byte, edits []edit) string {
	slices.SortStableFunc(edits, func(a, b edit) int {
		return cmp.Or(a.from-b.from, a.rank-b.rank)
	})
	var b strings.Builder
	last := 0
	for _, e := range edits {
		b.Write(source[last:e.from])
		b.WriteString(e.text)
		last = e.to
	}
	b.Write(source[last:])
	return b.String()
}
