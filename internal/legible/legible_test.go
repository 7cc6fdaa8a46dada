package legible

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible/legibletest"
)

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		"plain":                  "plain",
		"日本 é\u00a0ñ":            "日本 é\u00a0ñ",
		"a\r\nb\tc\x00":          "a��b�c�",
		"\x1b[31m\x07":           "�[31m�",
		"\u0080\u009b\x7f":       "���",
		"adm\u202ein":            "adm�in",
		"\u2066x\u2069":          "�x�",
		"one\u2028two\u2029":     "one�two�",
		"zero\u200bwidth\ufeff":  "zero�width�",
		"tag\U000e0041":          "tag�",
		"stray \x9b octet":       "stray � octet",
		"already \ufffd cleaned": "already � cleaned",
	} {
		if got := Text(text); got != want {
			t.Errorf("%q becomes %q, not %q", text, got, want)
		}
	}
	if got := Lines("one\ntwo\r\x1b"); got != "one\ntwo��" {
		t.Errorf("lines become %q", got)
	}
}

func FuzzText(f *testing.F) {
	f.Add(legibletest.Nasty)
	f.Add("\x9b\xff")
	f.Fuzz(func(t *testing.T, text string) {
		got := Text(text)
		legibletest.Expect(t, "the text", got)
		if strings.Contains(got, "\n") {
			t.Errorf("%q has a line break", got)
		}
		if Text(got) != got {
			t.Errorf("%q changes when it is cleaned again", got)
		}
		if count := utf8.RuneCountInString(Field(text)); count > 128 {
			t.Errorf("%d characters in a log line", count)
		}
		if size := len(Error(errors.New(text))); size > maxErrorText+len("…") {
			t.Errorf("an error of %d bytes", size)
		}
	})
}

func TestField(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"user-1":                              "user-1",
		"adm\u202ein":                         "adm�in", // must not read as admin
		strings.Repeat("x", 128):              strings.Repeat("x", 128),
		strings.Repeat("x", 129):              strings.Repeat("x", 128),
		strings.Repeat("é", 1000):             strings.Repeat("é", 128),
		strings.Repeat("\x00", 1000) + "tail": strings.Repeat("�", 128),
	} {
		if got := Field(text); got != want {
			t.Errorf("%.40q… becomes %q, not %q", text, got, want)
		}
	}
}

func TestPrintableReplacesControlCharacters(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                     "plain",
		"日本 é":                      "日本 é",
		"a\r\nSet-Cookie: x=1":      "a\ufffd\ufffdSet-Cookie: x=1",
		"\x00\x1b[2J\x7f":           "\ufffd\ufffd[2J\ufffd",
		"\u0080\u0085\u009f\u00a0x": "\ufffd\ufffd\ufffd\u00a0x",
		"tab\there":                 "tab\ufffdhere",
		"":                          "",
	} {
		got := Printable(text)
		if got != want {
			t.Errorf("%q becomes %q, not %q", text, got, want)
		}
		if strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("%q still holds a control character", got)
		}
	}
}

func TestHasControl(t *testing.T) {
	for r := range rune(0x300) {
		for _, text := range []string{string(r), "user" + string(r), string(r) + "é", "é" + string(r), "é日本" + string(r) + "x"} {
			if got, want := HasControl(text), unicode.IsControl(r); got != want {
				t.Errorf("%q has a control character: %t", text, got)
			}
		}
	}
	for text, want := range map[string]bool{"": false, "\xff": false, "\xff\n": true, "\xc2": false, "a\u2028b": false, "\u200d": false} {
		if got := HasControl(text); got != want {
			t.Errorf("%q has a control character: %t", text, got)
		}
	}
}
