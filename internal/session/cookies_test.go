package session

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestWhichSessionCookieCounts(t *testing.T) {
	ring, site := testRing(t), testSite(t, "www.example.com")
	one, other := mustSeal(t, ring, site, testSession(testTime)), mustSeal(t, ring, site, testSession(testTime))
	name := site.SessionName()
	flow, _ := Flow{}.Start(testTime, false)
	stale := mustSeal(t, testRing(t, strings.Repeat("x", 32)), site, testSession(testTime))
	for _, test := range []struct {
		name  string
		lines []string
		value string // whose session it is; empty for none
		err   error
	}{
		{"no header", nil, "", nil},
		{"no cookie of ours", []string{"a=b"}, "", nil},
		{"one", []string{name + "=" + one}, one, nil},
		{"one among others", []string{"a=b", "c;" + name + "=" + one + " ;d=e"}, one, nil},
		{"an empty one", []string{name + "="}, "", nil},
		{"a name only", []string{name}, "", nil},
		{"a made-up one", []string{name + "=" + strings.Repeat("A", 300)}, "", nil},
		{"of another secret", []string{name + "=" + stale}, "", nil},
		{"a stale one in front", []string{name + "=" + stale + "; " + name + "=" + one}, one, nil},
		{"a stale one in another line", []string{name + "=" + one, name + "=" + stale}, one, nil},
		{"two that open", []string{name + "=" + one + "; " + name + "=" + other}, "", ErrMultiple},
		{"two that open in two lines", []string{name + "=" + one, name + "=" + other}, "", ErrMultiple},
		{"twice the same", []string{name + "=" + one + "; " + name + "=" + one}, "", ErrMultiple},
		{"three that open", []string{name + "=" + one + "; " + name + "=" + other + "; " + name + "=" + one}, "", ErrMultiple},
		{"as many as are tried", []string{strings.Repeat(name+"=x;", maxTried-1) + name + "=" + one}, one, nil},
		{"far too many", []string{strings.Repeat(name+"=x;", maxTried) + name + "=" + one}, "", ErrMultiple},
		{"in quotes", []string{name + `="` + one + `"`}, "", nil},
		{"another name", []string{"logto-session=" + one + "; __Host-logto-session=" + one + "; x" + name + "=" + one}, "", nil},
		{"another port's name", []string{name + "-8443=" + one}, "", nil},
		{"another case", []string{strings.ToLower(name) + "=" + one}, "", nil},
		{"a flow cookie as session", []string{name + "=" + ring.SealFlow(site, flow)}, "", nil},
	} {
		got, err := ring.FindSession(site, test.lines)
		if !errors.Is(err, test.err) || (got == nil) != (test.value == "") {
			t.Errorf("%s: %v, %v", test.name, got, err)
			continue
		}
		if want, _ := ring.OpenSession(site, test.value); got != nil && got.ID != want.ID {
			t.Errorf("%s: it is another session", test.name)
		}
	}
}

func TestStripCookies(t *testing.T) {
	theSame := []string{"the same"}
	for _, test := range []struct{ lines, want []string }{
		{nil, nil},
		{[]string{"a=1"}, []string{"a=1"}},
		{[]string{"__Host-Http-logto-session=x"}, []string{}},
		{[]string{"a=1; __Host-Http-logto-session=x; b=2"}, []string{"a=1; b=2"}},
		{[]string{"__Host-Http-logto-session=x; b=2"}, []string{"b=2"}},
		{[]string{"a=1; __Host-logto-flow=x"}, []string{"a=1"}},
		{[]string{"__Host-logto-flow-8443=x; a=1; logto-session-80=y; logto-flow=z;b=2"}, []string{"a=1;b=2"}},
		{[]string{" a = \"1;2\" ;c", "logto-session; d"}, []string{" a = \"1;2\" ;c", "d"}},
		{[]string{"a=1;  __Host-Http-logto-session-1=x;\tb=2 ;;"}, []string{"a=1;\tb=2 ;;"}},
		{[]string{"a=1", "logto-flow=x", "b=2"}, []string{"a=1", "b=2"}},
		{[]string{"\tlogto-flow\t=x; a=1"}, []string{"a=1"}},
		{[]string{" a=1; logto-flow=x"}, []string{" a=1"}},
		{[]string{";logto-session=x"}, nil},
		{[]string{"a=1", "logto-flow=x", "b=2", "logto-session=y", "c=3"}, []string{"a=1", "b=2", "c=3"}},
		// Names that are not ours.
		{[]string{
			"logto-sessions=x; logto-session-=x; logto-session-8a=x; logto-session-8·=x; xlogto-flow=x; Logto-Flow=x; logto-flows=x",
			"__Host-Http-logto-flow=x; __Host-logto-session=x; __Host-Http-logto-sessions=x; __Host-Http-=x; __Host-=x; =x",
		}, theSame},
	} {
		want := test.want
		if slices.Equal(want, theSame) {
			want = test.lines
		}
		before := slices.Clone(test.lines)
		if got := StripCookies(test.lines); !slices.Equal(got, want) {
			t.Errorf("%q becomes %q, not %q", test.lines, got, want)
		}
		if HasCookies(test.lines) == slices.Equal(want, test.lines) {
			t.Errorf("%q has cookies of ours: %v", test.lines, HasCookies(test.lines))
		}
		if !slices.Equal(before, test.lines) {
			t.Errorf("%q was changed to %q", before, test.lines)
		}
	}
}

// FuzzStripCookies: none of ours is left, and the others are what they were.
func FuzzStripCookies(f *testing.F) {
	f.Add("a=1; __Host-Http-logto-session=x; b=2")
	f.Add("logto-flow-80=x;a;; =; \"")
	f.Fuzz(func(t *testing.T, line string) {
		others := func(lines []string) (rest []string) {
			for _, line := range lines {
				for pair := range strings.SplitSeq(line, ";") {
					if !isOurs(pair) && strings.Trim(pair, " ") != "" {
						rest = append(rest, strings.TrimLeft(pair, " "))
					}
				}
			}
			return rest
		}
		got := StripCookies([]string{line})
		if slices.ContainsFunc(got, func(line string) bool { _, held := stripLine(line); return held }) {
			t.Errorf("%q leaves %q", line, got)
		}
		if !slices.Equal(others(got), others([]string{line})) {
			t.Errorf("%q becomes %q", line, got)
		}
	})
}

// FuzzFindSession: whatever Cookie headers a browser sends, a session that is
// found was sealed for this site and is shown in full, and nothing is found
// where two are.
func FuzzFindSession(f *testing.F) {
	ring, site := testRing(f, newID()+newID()), testSite(f, "www.example.com")
	first, second := testSession(testTime), New("another", testTime)
	values := map[string]string{"FIRST": mustSeal(f, ring, site, first), "SECOND": mustSeal(f, ring, site, second)}
	for _, lines := range [][2]string{
		{"NAME=FIRST", ""},
		{"a=b; NAME=FIRST; c=d", "NAME=x"},
		{"NAME=FIRST; NAME=SECOND", ""},
		{"NAME=FIRST", "NAME=SECOND"},
		{"NAME=FIRST; NAME=FIRST", ""},
		{"NAME=\"FIRST\"", ""},
		{"NAME= FIRST ;", ""},
		{"name=FIRST", "NAME =SECOND"},
		{"NAME=FIRSTSECOND", ""},
		{"x=NAME=FIRST", ""},
		{"NAME=FIRST, NAME=SECOND", ""},
		{"NAME-443=FIRST", ""},
		{"NAME=FIRST=", ""},
		{";;NAME=SECOND;", "=; NAME"},
		{"NAME\n=SECOND", "NAME\t=\r\nx"},
	} {
		f.Add(lines[0], lines[1], uint(0))
		f.Add(lines[0], lines[1], uint(50))
	}
	f.Fuzz(func(t *testing.T, one, two string, cut uint) {
		replacer := strings.NewReplacer("NAME", site.SessionName(), "FIRST", values["FIRST"], "SECOND", values["SECOND"])
		one, two = replacer.Replace(one), replacer.Replace(two)
		if cut > 0 && uint(len(one)) > cut {
			one = one[:cut] + one[cut+1:]
		}
		found, err := ring.FindSession(site, []string{one, two})
		if err != nil && found != nil {
			t.Fatalf("%+v in spite of %v", found, err)
		}
		if found == nil {
			return
		}
		all := one + "\n" + two
		// What surrounds names and values is taken off (textproto.TrimString),
		// line breaks included, though no server lets those into a header.
		bare := strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "").Replace(all)
		shown := func(name string) bool {
			return strings.Contains(bare, site.SessionName()+"="+values[name])
		}
		switch found.ID {
		case first.ID:
			if found.Subject != first.Subject || found.Token != first.Token || !shown("FIRST") {
				t.Errorf("%q opens as %+v", all, found)
			}
		case second.ID:
			if found.Subject != second.Subject || !shown("SECOND") {
				t.Errorf("%q opens as %+v", all, found)
			}
		default:
			t.Errorf("nobody sealed %+v", found)
		}
	})
}
