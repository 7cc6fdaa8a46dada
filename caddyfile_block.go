package logtoauth

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// setting is one subdirective in a block that describes a T.
type setting[T any] struct {
	// parse turns the tokens of one line into a field of the T.
	parse func(target *T, a args) error

	// repeatable subdirectives may stand more than once.
	repeatable bool

	// block tells that parse takes a block too.
	block bool

	// elsewhere says where the subdirective belongs, if not in this block.
	elsewhere string
}

// unmarshalBlock reads a block, which may be left out, line by line into
// target and notes where each setting stands. The prefix tells the names of a
// nested block from those around it.
func unmarshalBlock[T any](d *caddyfile.Dispenser, target *T, settings map[string]setting[T], prefix string, written positions) error {
	nesting := d.Nesting()
	for d.NextBlock(nesting) {
		word := d.Val()
		s, ok := settings[word]
		if !ok {
			return d.Errf("unknown subdirective %q%s", prefix+word, suggestion(word, ownWords(settings)))
		}
		if s.elsewhere != "" {
			return d.Errf("%s belongs in %s", word, s.elsewhere)
		}
		name := prefix + word
		if earlier := written[name]; len(earlier) > 0 && !s.repeatable {
			return d.Errf("%s is given twice, first in line %d", name, earlier[0].Line)
		}
		written[name] = append(written[name], d.Token())
		if err := s.parse(target, args{Dispenser: d, word: name, written: written}); err != nil {
			return err
		}
		if !s.block && opensBlock(d) {
			return errorAt(written.last(name), fmt.Errorf("%s takes no block", name))
		}
	}
	if d.Nesting() > nesting {
		// NextBlock overlooks a closing brace with words behind it, and reads
		// these as if they stood in the block.
		return d.Err("the block is not closed by a brace on a line of its own")
	}
	return nil
}

// ownWords gives the subdirectives of a block, sorted, without those that
// belong elsewhere.
func ownWords[T any](settings map[string]setting[T]) []string {
	words := slices.Sorted(maps.Keys(settings))
	return slices.DeleteFunc(words, func(word string) bool { return settings[word].elsewhere != "" })
}

// opensBlock reports whether a block opens after the current token. NextBlock
// alone says no to an empty one, having moved to its closing brace.
func opensBlock(d *caddyfile.Dispenser) bool {
	return d.NextBlock(d.Nesting()) || d.ValRaw() == "}"
}

// endOfDirective refuses tokens that stand behind the directive's block.
func endOfDirective(d *caddyfile.Dispenser) error {
	if d.Next() {
		return d.Errf("unexpected %q after the block", d.Val())
	}
	return nil
}

// suggestion tells which of the known words was meant, or else all of them.
func suggestion(word string, known []string) string {
	nearest := slices.MinFunc(known, func(a, b string) int {
		return editDistance(word, a) - editDistance(word, b)
	})
	if editDistance(word, nearest) <= 2 {
		return "; did you mean " + nearest + "?"
	}
	return "; known are " + strings.Join(known, ", ")
}

// editDistance counts the bytes to insert, delete or replace to make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// positions remembers the name token of each setting by its name, once for
// each time it was written, so that a mistake which only the whole
// configuration shows can still be reported with its file and line.
type positions map[string][]caddyfile.Token

// inherit adds the positions of settings that p does not have.
func (p positions) inherit(global positions) {
	for name, tokens := range global {
		if _, ok := p[name]; !ok {
			p[name] = tokens
		}
	}
}

// locate makes one error of the problems, each with the file and line of the
// setting that caused it; a setting that was left out has those of the
// directive.
func (p positions) locate(problems []settingError, directive caddyfile.Token) error {
	located := make([]error, 0, len(problems))
	for _, problem := range problems {
		token := directive
		if tokens := p[problem.Setting]; problem.Index < len(tokens) {
			token = tokens[problem.Index]
		}
		located = append(located, errorAt(token, problem))
	}
	return errors.Join(located...)
}

// last gives the position of the latest line of a setting that was written.
func (p positions) last(name string) caddyfile.Token {
	return p[name][len(p[name])-1]
}

// errorAt adds the token's file and line to err.
func errorAt(token caddyfile.Token, err error) error {
	d := caddyfile.NewDispenser([]caddyfile.Token{token})
	d.Next()
	return d.WrapErr(err)
}

// firstToken gives the name token of the directive whose tokens d has.
func firstToken(d *caddyfile.Dispenser) caddyfile.Token {
	d.Reset()
	d.Next()
	return d.Token()
}
