//go:build e2e

package signin

import (
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/e2e/internal/npm"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

const (
	site   = "https://www.example.com"
	prefix = "/.logto"
)

// elsewhere has addresses of another site, and of the endpoints of sign-in, as
// somebody would write them who wants to get past a check.
var elsewhere = []string{
	"https://evil.example", "HtTpS://evil.example", "https:/evil.example", "https:evil.example", "https:///evil.example",
	"//evil.example", "///evil.example", "/////evil.example", `\\evil.example`, `/\evil.example`, `\/evil.example`,
	`/\/evil.example`, `//\evil.example`, "//user@evil.example", "//www.example.com@evil.example", "//evil.example:443/x",
	"/\t/evil.example", "\t//evil.example", "/\n/evil.example", "/\r\n/evil.example", "\x00//evil.example", "  //evil.example",
	"//evil%E3%80%82example", "//evil。example", "／／evil.example", "//[::1]", "//2130706433", "//0x7f.1",
	"http://www.example.com", "ws://www.example.com", "ftp://evil.example", "javascript:alert(1)", "data:text/html,x",
	"/./\t/evil.example", "/.//evil.example", "/..//evil.example", "/%2e//evil.example", "/x/..//evil.example",
	"/.logto/sign-out", "/%2elogto/sign-out", "/x/../.logto/sign-out", "/x/%2E%2e/.logto/sign-out", "/x\\..\\.logto/sign-out",
	"/.lo\tgto/sign-out", "/%zz/%2e%2e/.logto/sign-out", "/.logto?x", "/./.logto/sign-out", "//x/../.logto/sign-out",
}

// here has return paths, for mutations that are close to one.
var here = []string{"/", "/members/plan?week=47", "/a/b/c", "/a/../b", "/search?q=//x#y", "/x/.logto", "/@scope%2fpkg"}

// pieces are what mutations are made of.
var pieces = []string{
	"/", "/", "//", `\`, "%2f", "%5c", "%5C", ".", "..", "/../", "/./", "%2e", "%2E", ".%2e", "%2e%2e", "\t", "\n", "\r", "\x00",
	"\x7f", " ", "%20", "%09", "%0a", "%00", "@", ":", ";", "?", "#", "&", "=", "%", "%25", "[", "]", "|", "^", "'", "\"", "<", "*",
	"evil.example", "www.example.com", "https:", "http:", "javascript:", ".logto", "/.logto", ".LOGTO", "sign-out", "x", "C:", "C|",
	"／", "．", "。", "\u00ad", "\ufeff", "\u2028", "\u200b", "é", "\xff", "\xc0\xaf", "\U0001f600",
}

// mutated changes a text a few times.
func mutated(random *rand.Rand, text string) string {
	for range 1 + random.IntN(4) {
		piece := pieces[random.IntN(len(pieces))]
		at := random.IntN(len(text) + 1)
		end := min(len(text), at+random.IntN(4))
		switch random.IntN(5) {
		case 0:
			text = text[:at] + text[end:] // octets leave
		case 1:
			text = text[:at] + piece + text[end:]
		case 2:
			text = piece + text
		case 3:
			text = "/" + text
		default:
			text = text[:at] + piece + text[at:]
		}
	}
	return text
}

// spellings are those of elsewhere and what mutations make of them and of paths
// of this site.
func spellings(count int) []string {
	random := rand.New(rand.NewPCG(12, 2026)) // the same ones in every run
	made := slices.Concat(elsewhere, here)
	for len(made) < count {
		made = append(made, mutated(random, made[random.IntN(len(made))]))
	}
	return made
}

// resolver tells where a browser goes. It starts the program that knows.
func resolver(t *testing.T) func(references []string) []*[2]string {
	program := npm.Start(t, "whatwg.mjs", site+prefix+"/callback?code=x")
	return func(references []string) []*[2]string {
		t.Helper()
		question, err := json.Marshal(references)
		if err != nil {
			t.Fatal(err)
		}
		program.WriteLine(t, string(question))
		var answer []*[2]string
		if err := json.Unmarshal([]byte(program.ReadLine(t)), &answer); err != nil {
			t.Fatal(err)
		}
		if len(answer) != len(references) {
			t.Fatalf("%d answers for %d references", len(answer), len(references))
		}
		return answer
	}
}

// isBelowPrefix reports whether a path leads to the endpoints, to a browser or
// to Caddy's path matcher, which decodes, resolves and ignores case.
func isBelowPrefix(pathname string) bool {
	if decoded, err := url.PathUnescape(pathname); err == nil {
		pathname = decoded
	}
	pathname = strings.ToLower(path.Clean(pathname))
	return pathname == prefix || strings.HasPrefix(pathname, prefix+"/")
}

// TestReturnPathsStayOnThisSite asks WHATWG's algorithm, which browsers follow
// and net/url does not, where return paths lead.
func TestReturnPathsStayOnThisSite(t *testing.T) {
	resolve := resolver(t)
	const batch = 500
	var leftAlone, ledAway, ledBelow int
	all := spellings(20_000)
	for start := 0; start < len(all); start += batch {
		given := all[start:min(start+batch, len(all))]
		returned := make([]string, len(given))
		for i := range given {
			returned[i] = session.ReturnPath(given[i], prefix)
		}
		asGiven, asReturned := resolve(given), resolve(returned)
		for i, to := range asReturned {
			switch {
			case to == nil:
				t.Errorf("%q becomes %q, which is no address", given[i], returned[i])
			case to[0] != site:
				t.Errorf("%q becomes %q, which leads to %s", given[i], returned[i], to[0])
			case isBelowPrefix(to[1]):
				t.Errorf("%q becomes %q, which leads to %s", given[i], returned[i], to[1])
			}
			if returned[i] != "/" {
				leftAlone++
			}
			if to := asGiven[i]; to != nil && to[0] != site {
				ledAway++
			} else if to != nil && isBelowPrefix(to[1]) {
				ledBelow++
			}
		}
	}
	// Else the above would prove little.
	t.Logf("of %d spellings %d lead to another origin, %d to the endpoints; %d are return paths", len(all), ledAway, ledBelow, leftAlone)
	if least := len(all) / 20; leftAlone < least || ledAway < least || ledBelow < least {
		t.Errorf("too few of one kind among %d: %d lead to another origin, %d to the endpoints, %d are return paths", len(all), ledAway, ledBelow, leftAlone)
	}
}

// TestSpellingsOfElsewhere shows that none of them survives, and that most of
// them are as dangerous as they look.
func TestSpellingsOfElsewhere(t *testing.T) {
	for i, to := range resolver(t)(elsewhere) {
		if got := session.ReturnPath(elsewhere[i], prefix); got != "/" {
			t.Errorf("%q becomes %q", elsewhere[i], got)
		}
		if to != nil && to[0] == site && !isBelowPrefix(to[1]) {
			t.Logf("%q stays on this site: %s", elsewhere[i], to[1])
		}
	}
}
