package logtoauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// report is what a config says of a token.
type report struct {
	Outcome  verdict        `json:"outcome"`
	Summary  string         `json:"summary"`
	At       time.Time      `json:"at"`
	Notes    []string       `json:"notes,omitempty"`
	Token    shownToken     `json:"token"`
	Handlers []*explanation `json:"handlers"`

	// unserved says that no site is for the request; empty if one is.
	unserved string
}

// conclude makes one verdict of those of all handlers. original is nil if the
// question is about all requests.
func (r *report) conclude(original *http.Request) {
	outcomes := make(map[verdict]int)
	guarded := false
	for _, told := range r.Handlers {
		outcome := told.Outcome
		if outcome == verdictRefused && told.ReportOnly {
			outcome = verdictAdmitted
		}
		if original != nil && outcome != verdictAdmitted && len(told.Depends) > 0 {
			outcome = verdictDepends
		}
		outcomes[outcome]++
		guarded = guarded || told.Directive == authDirective && len(told.Depends) == 0
	}
	admitted, refused := outcomes[verdictAdmitted], outcomes[verdictRefused]
	switch {
	case r.unserved != "":
		r.Outcome, r.Summary = verdictNotReached, r.unserved
	case len(r.Handlers) == 0:
		r.Outcome, r.Summary = verdictNotReached, "No logto_auth and no logto_require is for this request: it passes without a token."
	case refused > 0:
		r.Outcome, r.Summary = verdictRefused, "The token is refused."
		if original == nil && admitted > 0 {
			r.Summary = fmt.Sprintf("The token is refused by some: %d of %d handlers admit it. With --url you see those of one request.",
				admitted, len(r.Handlers))
		}
	case outcomes[verdictDepends] > 0 || original != nil && !guarded:
		r.Outcome, r.Summary = verdictDepends, "Whether the token is admitted depends on more than is known here."
	default:
		r.Outcome, r.Summary = verdictAdmitted, "The token is admitted."
	}
}

// text is the report for people.
func (r *report) text(p palette) string {
	w := new(strings.Builder)
	fmt.Fprintf(w, "Judged at %s.\n", r.At.Format(time.RFC3339))
	for _, note := range r.Notes {
		fmt.Fprintf(w, "%s: %s\n", p.doubt("Note"), note)
	}
	for _, part := range []struct {
		name string
		json json.RawMessage
	}{{"header", r.Token.Header}, {"claims", r.Token.Claims}} {
		if part.json != nil {
			fmt.Fprintf(w, "\n%s %s\n", p.title(part.name), part.json)
		}
	}
	for _, told := range r.Handlers {
		told.write(w, p)
	}
	paint := p.bad
	switch r.Outcome {
	case verdictAdmitted:
		paint = p.good
	case verdictDepends:
		paint = p.doubt
	}
	fmt.Fprintf(w, "\n%s\n", paint(r.Summary))
	return w.String()
}

func (t *explanation) write(w *strings.Builder, p palette) {
	where := "every request"
	if t.Where != "" {
		where = t.Where
	}
	fmt.Fprintf(w, "\n%s for %s\n", p.title(t.Directive), where)
	for _, check := range t.Checks {
		check.write(w, p)
	}
	switch t.Outcome {
	case verdictAdmitted:
		fmt.Fprintf(w, "  => %s\n", p.good("admits the token"))
	case verdictRefused:
		fmt.Fprintf(w, "  => %s with %d %s, %q\n", p.bad("refuses"), t.Status, t.Reason, t.Error)
		said := slices.ContainsFunc(t.Checks, func(check checkResult) bool { return check.Hint == t.Hint })
		if t.Hint != "" && !said {
			fmt.Fprintf(w, "     %s\n", t.Hint)
		}
		if t.ReportOnly {
			fmt.Fprintf(w, "     %s\n", p.doubt("report_only: the request passes nevertheless"))
		}
	case verdictDepends:
		fmt.Fprintf(w, "  => %s\n", p.doubt("admits the token if the organization is the one that the request asks for"))
	case verdictNotReached:
		fmt.Fprintf(w, "  => not reached: the logto_auth before it refuses\n")
	}
	if len(t.Depends) > 0 {
		fmt.Fprintf(w, "     not known here: %s\n", strings.Join(t.Depends, ", "))
	}
}

func (c *checkResult) write(w *strings.Builder, p palette) {
	mark := p.good("ok  ")
	switch c.Result {
	case checkFailed:
		mark = p.bad("FAIL")
	case checkUnknown:
		mark = p.doubt("?   ")
	}
	line := fmt.Sprintf("  %s  %-18s %s", mark, c.Check, c.Found)
	if c.Asked != "" && c.Result != checkOK {
		line += "  (asked: " + c.Asked + ")"
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
	if c.Hint != "" {
		fmt.Fprintf(w, "        %s\n", c.Hint)
	}
}
