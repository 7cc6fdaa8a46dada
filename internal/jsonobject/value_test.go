package jsonobject

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
)

// Anybody can send a token of 16 KiB that is full of these. What it costs to
// refuse one must stay far below a signature check, since nobody waits for a
// turn to have it read.
func TestHostileTextsCostLittle(t *testing.T) {
	const many = 2000
	repeated := func(text string) string { return strings.Repeat(text, many-1) }
	for name, test := range map[string]struct {
		read    func() bool
		allowed float64
	}{
		"names with escapes":     {walks(`{"\n":1` + repeated(`,"\n":1`) + `}`), many},
		"nested objects":         {walks(`{"a":[{}` + repeated(`,{"":[]}`) + `]}`), 0},
		"texts":                  {lists(`[""` + repeated(`,""`) + `]`), 20},
		"texts with escapes":     {lists(`["\n"` + repeated(`,"\n"`) + `]`), many + 20},
		"a text full of escapes": {decodes(`"\n` + repeated(`\ud83d\ude00`) + `"`), 20},
	} {
		t.Run(name, func(t *testing.T) {
			if !test.read() {
				t.Fatal("it cannot be read")
			}
			if got := testing.AllocsPerRun(5, func() { test.read() }); got > test.allowed {
				t.Errorf("%.0f allocations, not %.0f at most", got, test.allowed)
			}
		})
	}
}

func walks(text string) func() bool {
	return func() bool { return Walk(text, func(string, Value) {}) }
}

func lists(text string) func() bool {
	return func() bool { _, usable := Value(text).List(); return usable }
}

func decodes(text string) func() bool {
	return func() bool { _, _, usable := Value(text).Text(); return usable }
}

// Texts of all kinds of escapes, good ones and such that name no character, are
// read as encoding/json reads them, alone and in lists.
func TestEscapesAreReadAsByEncodingJSON(t *testing.T) {
	parts := []string{
		`a`, `é`, `\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`, `\u0000`, `\u0041`, `\u00e9`, `\u20AC`, `\uffff`, `\ufffd`,
		`\ud800`, `\uD83D`, `\udbff`, `\udc00`, `\uDE00`, `\udfff`, `\ud83d\ude00`, `\\u0041`, ` `, `,`, `]`, "\x7f", "\u2028", "😀",
	}
	random := rand.New(rand.NewPCG(1, 15))
	some := func() string {
		var b strings.Builder
		for range random.IntN(6) {
			b.WriteString(parts[random.IntN(len(parts))])
		}
		return `"` + b.String() + `"`
	}
	for range 20_000 {
		text := some()
		var want string
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got, present, usable := Value(text).Text(); got != want || !present || !usable {
			t.Fatalf("%s is read as %q, not %q", text, got, want)
		}
		name := ""
		if !Walk("{"+text+":1}", func(read string, _ Value) { name = read }) || name != want {
			t.Fatalf("the name %s is read as %q, not %q", text, name, want)
		}
	}
	elements := []string{`null`, `1`, `true`, `[]`, `["a"]`, `{}`, `{"a":"b"}`}
	spaces := []string{"", "", " ", "\n\t"}
	for range 5000 {
		var list []string
		for range random.IntN(4) {
			element := some()
			if random.IntN(8) == 0 {
				element = elements[random.IntN(len(elements))]
			}
			list = append(list, spaces[random.IntN(len(spaces))]+element+spaces[random.IntN(len(spaces))])
		}
		text := `{"a":[` + spaces[random.IntN(len(spaces))] + strings.Join(list, ",") + `]}`
		var want map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		members, ok := Parse(text)
		if !ok {
			t.Fatalf("%s is refused", text)
		}
		checkMemberList(t, members, "a", want["a"])
	}
}

// Dates are the numbers that encoding/json reads, cut to seconds, and no others.
func TestDatesAreThoseOfEncodingJSON(t *testing.T) {
	const digits = "0123456789"
	random := rand.New(rand.NewPCG(2, 15))
	number := func() string {
		var b strings.Builder
		if random.IntN(4) == 0 {
			b.WriteByte('-')
		}
		for range 1 + random.IntN(18) {
			b.WriteByte(digits[random.IntN(10)])
		}
		if random.IntN(3) == 0 {
			b.WriteByte('.')
			for range random.IntN(4) {
				b.WriteByte(digits[random.IntN(10)])
			}
		}
		if random.IntN(3) == 0 {
			b.WriteString([]string{"e", "E+", "e-", "E"}[random.IntN(4)])
			for range random.IntN(4) {
				b.WriteByte(digits[random.IntN(10)])
			}
		}
		return b.String()
	}
	seen := 0
	for i := range 20_000 {
		text := number()
		if i < len(oddNumbers) {
			text = oddNumbers[i]
		}
		var want float64
		err := json.Unmarshal([]byte(text), &want)
		members, ok := Parse(`{"a":` + text + `}`)
		if !ok {
			if json.Valid([]byte(text)) {
				t.Fatalf("%s is refused", text)
			}
			continue
		}
		seen++
		got, present, usable := members.Date("a")
		const exact = 1 << 53
		if wanted := err == nil && want >= -exact && want <= exact; usable != wanted || !present {
			t.Fatalf("%s is usable: %t, not %t", text, usable, wanted)
		}
		if usable && (float64(got) > want || want-float64(got) > 1) {
			t.Fatalf("%s is %d", text, got)
		}
	}
	if seen < 5000 {
		t.Errorf("%d numbers: this test shows little", seen)
	}
}

var oddNumbers = []string{
	"0", "-0", "01", "-01", "1e400", "-1e400", "1e-400", "1E+2", "1E2", "0e0", "-0.0", "-0.5", "-1", "1.9999999999999999999", "9007199254740991", "9007199254740992",
	"9007199254740993", "9007199254740994", "-9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551616", "999999999999999", "1000000000000000",
	"1800000000.999999999", "0x10", "1_000", "Infinity", "NaN", "+1", ".5", "1.", "1e", "1e+", "--1", "1e5e5", "٣", "true", "null1",
}
