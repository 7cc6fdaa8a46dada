package session

import (
	"errors"
	"iter"
	"net/textproto"
	"strings"
)

// maxTried bounds how many cookies of one name are opened. A browser sends
// one; more than a few can only be there to cost time.
const maxTried = 16

// ErrMultiple says that a request shows more than one session: whose it is
// must not be guessed.
var ErrMultiple = errors.New("more than one session cookie")

// named goes through the values of the cookies of one name. net/http would
// drop some for their octets or their number; a second session must not hide.
func named(lines []string, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for rest, more := line, true; more; {
				var pair string
				pair, rest, more = strings.Cut(rest, ";")
				key, value, _ := strings.Cut(pair, "=")
				if textproto.TrimString(key) == name && !yield(textproto.TrimString(value)) {
					return
				}
			}
		}
	}
}

// FindSession returns the session that the Cookie headers of a request hold
// at this site, or nil. Of several cookies of its name the only one that opens
// counts. With two that open it returns ErrMultiple.
//
// It says nothing about time: see [Session.ExpiresAt].
func (k *KeyRing) FindSession(site Site, lines []string) (*Session, error) {
	var found *Session
	tried := 0
	for value := range named(lines, site.session) {
		if tried++; tried > maxTried {
			return nil, ErrMultiple
		}
		session, ok := k.OpenSession(site, value)
		switch {
		case !ok:
		case found != nil:
			return nil, ErrMultiple
		default:
			found = session
		}
	}
	return found, nil
}

// FindFlow returns the flow that the Cookie headers of a request hold. It
// reports false if there is none, or more than one that opens: then a sign-in
// starts with a new one.
func (k *KeyRing) FindFlow(site Site, lines []string) (Flow, bool) {
	var found Flow
	tried, opened := 0, 0
	for value := range named(lines, site.flow) {
		if tried++; tried > maxTried {
			return Flow{}, false
		}
		if flow, ok := k.openFlow(site, value); ok {
			found = flow
			opened++
		}
	}
	if opened != 1 {
		return Flow{}, false
	}
	return found, true
}

// StripCookies takes the cookies of sign-in out of the Cookie headers of a
// request, whatever their prefix and port: cookies do not see ports, so those
// of a site on another port come along. The other cookies keep their order and
// octets. Headers that hold none of them are returned as they are.
func StripCookies(lines []string) []string {
	first := 0
	for first < len(lines) && !holdsOurs(lines[first]) {
		first++
	}
	if first == len(lines) {
		return lines
	}
	var kept []string // often there is no other cookie
	if first > 0 {
		kept = append(kept, lines[:first]...)
	}
	for _, line := range lines[first:] {
		if holdsOurs(line) {
			if line = stripLine(line); line == "" {
				continue
			}
		}
		kept = append(kept, line)
	}
	return kept
}

func holdsOurs(line string) bool {
	for rest, more := line, true; more; {
		var pair string
		if pair, rest, more = strings.Cut(rest, ";"); isOurs(pair) {
			return true
		}
	}
	return false
}

// stripLine is not called for lines without one of our cookies, which keep
// even their odd spaces.
func stripLine(line string) string {
	var kept []string
	for pair := range strings.SplitSeq(line, ";") {
		if !isOurs(pair) {
			kept = append(kept, pair)
		}
	}
	rest := strings.Join(kept, ";")
	if len(kept) > 0 && isOurs(line[:strings.IndexByte(line, ';')]) {
		rest = strings.TrimPrefix(rest, " ") // it stood behind a separator that is gone
	}
	return rest
}

// isOurs reports whether a pair of a Cookie header is one of ours.
func isOurs(pair string) bool {
	name, _, _ := strings.Cut(pair, "=")
	name = textproto.TrimString(name)
	if rest, ok := strings.CutPrefix(name, httpHostPrefix); ok {
		rest, ok = strings.CutPrefix(rest, sessionName)
		return ok && isPortSuffix(rest)
	}
	if rest, ok := strings.CutPrefix(name, sessionName); ok {
		return isPortSuffix(rest)
	}
	rest, ok := strings.CutPrefix(strings.TrimPrefix(name, hostPrefix), flowName)
	return ok && isPortSuffix(rest)
}

// isPortSuffix reports whether a name's rest is empty or -<digits>.
func isPortSuffix(rest string) bool {
	if rest == "" {
		return true
	}
	digits, ok := strings.CutPrefix(rest, "-")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}
