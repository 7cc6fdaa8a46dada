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

// HasCookies reports whether Cookie headers hold any cookie of sign-in, whatever
// its prefix and port.
func HasCookies(lines []string) bool {
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			if isOurs(pair) {
				return true
			}
		}
	}
	return false
}

// StripCookies takes the cookies of sign-in out of the Cookie headers of a
// request, whatever their prefix and port: cookies do not see ports, so those
// of a site on another port come along. The other cookies keep their order and
// octets. Headers that hold none of them are returned as they are.
func StripCookies(lines []string) []string {
	var kept []string // often there is no other cookie
	stripped := false
	for i, line := range lines {
		rest, changed := stripLine(line)
		if changed && !stripped {
			stripped = true
			kept = append(kept, lines[:i]...)
		}
		if stripped && rest != "" {
			kept = append(kept, rest)
		}
	}
	if !stripped {
		return lines
	}
	return kept
}

// stripLine takes our cookies out of one header, and reports whether there were
// any. A header without keeps even its odd spaces.
func stripLine(line string) (rest string, stripped bool) {
	if strings.IndexByte(line, ';') < 0 { // a browser that has no other cookie here
		if isOurs(line) {
			return "", true
		}
		return line, false
	}
	var kept []string
	isFirst := true // of the pairs
	for pair := range strings.SplitSeq(line, ";") {
		switch {
		case isOurs(pair):
			stripped = true
		case len(kept) == 0 && !isFirst:
			kept = append(kept, strings.TrimPrefix(pair, " ")) // it stood behind a separator that is gone
		default:
			kept = append(kept, pair)
		}
		isFirst = false
	}
	if !stripped {
		return line, false
	}
	return strings.Join(kept, ";"), true
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
