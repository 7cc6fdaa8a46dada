package fields

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Each query has org_id=acme, which Caddy reads, and the name under which the
// named server finds another organization.
func TestParameterUnderAnotherName(t *testing.T) {
	for _, test := range []struct{ server, query string }{
		{"all: the same once more", "org_id=acme&org_id=evil"},
		{"all: the same before", "org_id=evil&org_id=acme"},
		{"all: encoded", "org_id=acme&%6frg%5Fid=evil"},
		{"without a value", "org_id=acme&org_id"},
		{"ASP.NET: another case", "org_id=acme&ORG_ID=evil"},
		{"a middleware that writes all names in camel case", "org_id=acme&orgId=evil"},
		{"one that folds Unicode cases: U+017F is an s, U+212A a k", "task=acme&ta%C5%BF%E2%84%AA=evil"},
		{"PHP: dot", "org_id=acme&org.id=evil"},
		{"PHP: space", "org_id=acme&org+id=evil"},
		{"PHP: encoded space", "org_id=acme&org%20id=evil"},
		{"PHP: space in front", "org_id=acme&+org_id=evil"},
		{"PHP: encoded spaces in front", "org_id=acme&%20%20org_id=evil"},
		{"PHP: tab and line feed in front", "org_id=acme&%09%0aorg_id=evil"},
		{"Java: space behind", "org_id=acme&org_id%20=evil"},
		{"PHP: hyphen", "org_id=acme&org-id=evil"},
		{"PHP: bracket that nothing closes", "org_id=acme&org[id=evil"},
		{"PHP: encoded bracket that nothing closes", "org_id=acme&org%5Bid=evil"},
		{"PHP, qs, Rack: list", "org_id=acme&org_id[]=evil"},
		{"PHP, qs, Rack: encoded list", "org_id=acme&org_id%5B%5D=evil"},
		{"PHP, qs, Rack: member", "org_id=acme&org_id[0]=evil"},
		{"PHP: list with a dot in the name", "org_id=acme&org.id[x][y]=evil"},
		{"qs: name in brackets", "org_id=acme&[org_id]=evil"},
		{"qs: encoded name in brackets", "org_id=acme&%5Borg_id%5D[]=evil"},
		{"Rack: bracket in front", "org_id=acme&]org_id=evil"},
		{"Rack: bracket behind", "org_id=acme&org_id]=evil"},
		{"Rack: bracket behind, then a member", "org_id=acme&org_id]x=evil"},
		{"qs with allowDots: list", "org_id=acme&org_id.0=evil"},
		{"qs with allowDots: encoded dot", "org_id=acme&org_id%2E0=evil"},
		{"qs with allowDots: member before", "org_id.x[y]=evil&org_id=acme"},
		{"qs with allowDots: dot in front", "org_id=acme&.org_id=evil"},
		{"PHP: NUL", "org_id=acme&org_id%00x=evil"},
		{"PHP: NUL behind a dot", "org_id=acme&org.id%00[y=evil"},
		{"ASP: a percent sign that begins nothing is dropped", "org_id=acme&org%_id=evil"},
		{"ASP: %u", "org_id=acme&%u006frg_id=evil"},
		{"C: any two characters are hexadecimal digits", "org_id=acme&%6_rg_id=evil"},
		{"broken behind the name", "org_id=acme&org_id%=evil"},
		{"Java, Python before 3.9.2: semicolon", "org_id=acme&x=1;org_id=evil"},
		{"semicolon and dot", "org_id=acme&x=1;org.id[]=evil"},
		{"an ampersand that somebody escaped for HTML", "org_id=acme&amp;org_id=evil"},
		{"a name behind an empty one", "org_id=acme&=org_id=evil"},
		{"Node: what follows # is no query, so the application has no organization", "x=1#&org_id=acme"},
	} {
		name := "org_id"
		if strings.HasPrefix(test.query, "task") {
			name = "task"
		}
		if values, _ := url.ParseQuery(test.query); values.Get(name) == "" && test.server[:3] != "all" {
			t.Fatalf("%s: Caddy reads nothing from %s", test.server, test.query)
		}
		if ParameterStandsOnce(test.query, Skeleton(name)) {
			t.Errorf("%s: %s", test.server, test.query)
		}
	}
}

func TestParameterBesideOthers(t *testing.T) {
	for _, query := range []string{
		"org_id=acme", "a=1&org_id=acme&b=2", "&&org_id=acme&", "org_id=acme&org=evil", "org_id=acme&id=1&org_ids=x&xorg_id=y",
		"org_id=acme&filter[org_id]=x", "org_id=acme&filter.org_id=x&org.name=y&org_ids.0=z", "org_id=acme&other=1", "org_id=acme&q=org_id", "org_id=acme&x==org_id", "org_id=acme&gr%C3%B6%C3%9Fe=1&%E5%90%8D=2",
		"org_id=acme&discount=100%", "org_id=acme&[]=1&[=2&%00=3", "org%5fid=acme",
	} {
		if !ParameterStandsOnce(query, Skeleton("org_id")) {
			t.Errorf("%s is refused", query)
		}
	}
	for _, query := range []string{"", "a=1", "org.id=acme&org-id=acme", "a=1&b=%zz", "b%zz=1&org_id=acme"} {
		if ParameterStandsOnce(query, Skeleton("org_id")) {
			t.Errorf("%s is accepted", query)
		}
	}
}

// Each line has org_id=acme, which Caddy reads, and the name under which the
// named server finds another organization, or none.
func TestCookieUnderAnotherName(t *testing.T) {
	for _, test := range []struct {
		server string
		lines  []string
	}{
		{"all: the same once more", []string{"org_id=acme; org_id=evil"}},
		{"all: in another line", []string{"org_id=acme", "org_id=evil"}},
		{"ASP.NET: another case", []string{"org_id=acme; Org_Id=evil"}},
		{"PHP: dot", []string{"org_id=acme; org.id=evil"}},
		{"PHP: space", []string{"org_id=acme; org id=evil"}},
		{"PHP: member", []string{"org_id=acme; org_id[x]=evil"}},
		{"PHP: bracket that nothing closes", []string{"org_id=acme; org[id=evil"}},
		{"PHP before 7.4, Rack before 2.2: encoded", []string{"org_id=acme; %6frg_id=evil"}},
		{"PHP before 7.4: encoded dot", []string{"org_id=acme; org%2eid=evil"}},
		{"PHP before 7.4: encoded NUL", []string{"org_id=acme; org_id%00x=evil"}},
		{"PHP before 7.4: encoded, and broken behind", []string{"org_id=acme; %6frg_id%00%=evil"}},
		{"Rack before 2, Tomcat before 8: comma", []string{"x=1,org_id=evil; org_id=acme"}},
		{"Python: space", []string{"x=1 org_id=evil; org_id=acme"}},
		{"Python: space and no value before", []string{"x org_id=evil; org_id=acme"}},
		{"Python: tab", []string{"x=1\torg_id=evil; org_id=acme"}},
		{"Werkzeug before 2.2.3: no name in front", []string{"==org_id=evil; org_id=acme"}},
		{"Python, Tomcat before 8: in quotes, which hide it", []string{`x="; org_id=acme; y="`}},
		{"Python: in quotes that have no name", []string{`"; org_id=acme; y="`}},
		{"Python: in quotes with escapes", []string{`x="\\"; z="; org_id=acme; w="`}},
		{"Python: in quotes behind an escaped quote", []string{`x="\"; org_id=acme; y="`}},
	} {
		r := &http.Request{Header: http.Header{"Cookie": test.lines}}
		if cookie, err := r.Cookie("org_id"); err != nil || cookie.Value == "" {
			t.Fatalf("%s: Caddy reads nothing from %q", test.server, test.lines)
		}
		if CookieStandsOnce(test.lines, Skeleton("org_id")) {
			t.Errorf("%s: %q", test.server, test.lines)
		}
	}
}

func TestCookieBesideOthers(t *testing.T) {
	for _, lines := range [][]string{
		{"org_id=acme"},
		{"a=1; org_id=acme; b=2"},
		{"a=1", "org_id=acme"},
		{"org_id = acme"},
		{`org_id="acme"`},
		{`a="{\"b\":1}"; org_id=acme`},
		{`a={"b":1}; org_id=acme`},
		{`org_id=acme; a="`},
		{`a="x; b=1"; org_id=acme`},
		{"a=x y, z=50%, d%=1; org_id=acme"},
		{"org_id=acme; org=1; id=2; __Host-org_id=3"},
		{"org_id=acme; org_id.sid=1"}, // no server reads members from cookies this way
	} {
		if !CookieStandsOnce(lines, Skeleton("org_id")) {
			t.Errorf("%q is refused", lines)
		}
	}
	for _, lines := range [][]string{nil, {""}, {"a=1"}, {"a=org_id"}, {"org_id=acme; a%=1"}} {
		if CookieStandsOnce(lines, Skeleton("org_id")) {
			t.Errorf("%q is accepted", lines)
		}
	}
}

// What PHP makes of a name, as main/php_variables.c has it, is always found to
// be the name.
func FuzzParameterNamesAsPHP(f *testing.F) {
	for _, name := range []string{"org_id", "+org.id", "org[id", "org_id[x", "org_id%00", "%20%6frg id[]", "[org_id]", "org%_id", "org%5Bid[x]"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if strings.ContainsAny(name, "&;=#") {
			t.Skip("more than a name")
		}
		if readByPHP(name) == "org_id" && ParameterStandsOnce("org_id=acme&"+name+"=evil", Skeleton("org_id")) {
			t.Errorf("PHP takes %q for org_id", name)
		}
	})
}

// readByPHP returns the variable that PHP registers for a name.
func readByPHP(raw string) string {
	var name []byte
	for i := 0; i < len(raw); i++ {
		switch {
		case raw[i] == '+':
			name = append(name, ' ')
		case raw[i] == '%' && i+2 < len(raw) && isHex(raw[i+1]) && isHex(raw[i+2]):
			decoded, _ := url.PathUnescape(raw[i : i+3])
			name = append(name, decoded...)
			i += 2
		default:
			name = append(name, raw[i])
		}
	}
	text, _, _ := strings.Cut(strings.TrimLeft(string(name), " "), "\x00")
	text, index, indexed := strings.Cut(text, "[")
	text = strings.NewReplacer(" ", "_", ".", "_").Replace(text)
	if indexed && !strings.Contains(index, "]") {
		text += "_" + strings.NewReplacer(" ", "_", ".", "_", "[", "_").Replace(index)
	}
	return text
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// The first and the last of each kind are letters and digits too.
func TestSkeletonKeepsAllLettersAndDigits(t *testing.T) {
	for name, want := range map[string]string{
		"AZaz09": "azaz09", "@[`{/:": "", "a-Z_0.9": "az09", "ſK": "sk", "é\u0080\x7f": "", "Łı": "i", "": "",
	} {
		if got := Skeleton(name); got != want {
			t.Errorf("%q has the skeleton %q, not %q", name, got, want)
		}
	}
}

// To a server that drops what it cannot decode, or does not decode, the letters
// behind a percent sign are the name.
func TestNameThatLooksEncoded(t *testing.T) {
	if ParameterStandsOnce("ab=acme&%ab=evil", Skeleton("ab")) {
		t.Error("accepted")
	}
}
