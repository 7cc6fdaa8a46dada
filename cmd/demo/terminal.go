package main

import (
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// columns and rows are those of the smallest terminal that people still use.
// No line is longer, and no section has more lines.
const (
	columns = 80
	rows    = 24
)

// paint colours text, or leaves it alone.
type paint bool

// paintFor is for what is written to this file.
func paintFor(out *os.File) paint {
	return wantsColours(os.Getenv, runtime.GOOS, term.IsTerminal(int(out.Fd())))
}

// wantsColours reports whether output goes to a terminal that knows colours,
// and nobody asked for none (no-color.org).
func wantsColours(environment func(string) string, system string, terminal bool) paint {
	switch {
	case !terminal, environment("NO_COLOR") != "", environment("TERM") == "dumb":
		return false
	case system == "windows":
		// The console of an older Windows shows the codes themselves.
		return environment("WT_SESSION") != ""
	default:
		return true
	}
}

func (p paint) code(code, text string) string {
	if !p || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p paint) bold(text string) string  { return p.code("1", text) }
func (p paint) soft(text string) string  { return p.code("2", text) }
func (p paint) red(text string) string   { return p.code("31", text) }
func (p paint) green(text string) string { return p.code("32", text) }
func (p paint) blue(text string) string  { return p.code("36", text) }

// wrap breaks a text into lines that, with the indent, fit the terminal. A word
// that is too long for a line is cut.
func wrap(text, indent string) []string {
	width := columns - len(indent)
	var lines []string
	line := []rune{}
	for word := range strings.FieldsSeq(text) {
		rest := []rune(word)
		if len(line) > 0 && len(line)+1+len(rest) <= width {
			line = append(append(line, ' '), rest...)
			continue
		}
		if len(line) > 0 {
			lines = append(lines, indent+string(line))
		}
		for len(rest) > width {
			lines = append(lines, indent+string(rest[:width]))
			rest = rest[width:]
		}
		line = rest
	}
	if len(line) > 0 {
		lines = append(lines, indent+string(line))
	}
	return lines
}

// cut shortens a line to the terminal's width.
func cut(line string) string {
	if runes := []rune(line); len(runes) > columns {
		return string(runes[:columns-1]) + "…"
	}
	return line
}
