package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
)

func init() { caddy.RegisterModule(journalWriter{}) }

// journal passes on what Caddy logs, to the terminal and to the page.
type journal struct {
	mu        sync.Mutex
	next      int
	followers map[int]func(entry)
}

// current is the journal of the running stack: Caddy makes the modules of its
// config by itself, so that this one cannot be given to the writer.
var current atomic.Pointer[journal]

func newJournal() *journal {
	return &journal{followers: map[int]func(entry){}}
}

// follow calls the function for each line that Caddy logs, one at a time, until
// stop is called.
func (j *journal) follow(do func(entry)) (stop func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	id := j.next
	j.next++
	j.followers[id] = do
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.followers, id)
	}
}

// Write takes one line of Caddy's log, which is one JSON object.
func (j *journal) Write(line []byte) (int, error) {
	e, err := readEntry(line)
	if err != nil {
		return 0, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, do := range j.followers {
		do(e)
	}
	return len(line), nil
}

// entry is a line of Caddy's log.
type entry struct {
	level, message string
	fields         map[string]any
}

func readEntry(line []byte) (entry, error) {
	var fields map[string]any
	if err := json.Unmarshal(line, &fields); err != nil {
		return entry{}, fmt.Errorf("reading a line of Caddy's log: %w", err)
	}
	e := entry{fields: fields}
	e.level, e.message = strings.ToUpper(e.text("level")), e.text("msg")
	for _, known := range []string{"level", "ts", "logger", "msg"} {
		delete(fields, known)
	}
	return e, nil
}

// text returns a field. It is empty if there is none.
func (e entry) text(name string) string {
	switch value := e.fields[name].(type) {
	case nil:
		return ""
	case string:
		return value
	default:
		shown, _ := json.Marshal(value) // it was JSON before
		return string(shown)
	}
}

// refused reports whether the line tells why a request was refused.
// Other lines have a reason too, such as why keys could not be fetched.
func (e entry) refused() bool { return e.message == "request refused" }

// lines shows an entry on as many lines as it needs. Refusals are told by their
// reason and their hint.
func (e entry) lines(p paint, indent string) []string {
	if e.refused() {
		head := fmt.Sprintf("%s%s %s: %s %s", indent, e.text("status"), e.text("reason"), e.text("method"), e.text("host"))
		if sub := e.text("sub"); sub != "" {
			head += ", sub " + sub
		}
		lines := []string{p.red(cut(head))}
		for _, line := range wrap(e.text("hint"), indent+"    ") {
			lines = append(lines, p.soft(line))
		}
		return lines
	}
	fields := make([]string, 0, len(e.fields))
	for _, name := range slices.Sorted(maps.Keys(e.fields)) {
		fields = append(fields, name+"="+e.text(name))
	}
	lines := wrap(e.level+" "+e.message+": "+strings.Join(fields, ", "), indent)
	for i := range lines {
		lines[i] = p.soft(lines[i])
	}
	return lines
}

// journalWriter is a log writer of Caddy that writes to the current journal.
type journalWriter struct{}

// CaddyModule returns the Caddy module information.
func (journalWriter) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.logging.writers.logto_demo", New: func() caddy.Module { return new(journalWriter) }}
}

func (journalWriter) String() string { return "the demo" }

// WriterKey is the same for all, as they write to one journal.
func (journalWriter) WriterKey() string { return "logto_demo" }

// OpenWriter returns what Caddy writes its lines to.
func (w journalWriter) OpenWriter() (io.WriteCloser, error) { return w, nil }

func (journalWriter) Write(line []byte) (int, error) {
	if j := current.Load(); j != nil {
		return j.Write(line)
	}
	return len(line), nil
}

// Close ends nothing: the journal is the stack's.
func (journalWriter) Close() error { return nil }

var _ caddy.WriterOpener = journalWriter{}
