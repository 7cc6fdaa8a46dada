package session

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/memory"
)

func TestASessionIsWhatItWas(t *testing.T) {
	ring, site := testRing(t), testSite(t, "www.example.com")
	full := testSession(testTime)
	full.Target.Organization = "org-1"
	for name, s := range map[string]*Session{
		"with an access token": full,
		"with nothing":         New("someone", testTime),
		"with claims": func() *Session {
			s := New("someone", testTime)
			s.Token = Token{Claims: `{"sub":"someone"}`, IssuedAt: 1795191120, ExpiresAt: 1795194720}
			return s
		}(),
		"renewed": full.Renewed(testTime.Add(time.Hour)),
		"odd texts": func() *Session {
			s := New("\x00;\"é=,", testTime)
			s.Scopes = []string{"", "a b"}
			return s
		}(),
	} {
		value := mustSeal(t, ring, site, s)
		for where, other := range map[string]*KeyRing{"here": ring, "at another process": testRing(t)} {
			got, ok := other.OpenSession(site, value)
			if !ok || !reflect.DeepEqual(got, s) {
				t.Errorf("%s, %s: %+v became %+v", name, where, s, got)
			}
		}
		if strings.Trim(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("%s: %q is no cookie value", name, value)
		}
	}
}

func TestOtherSessionsAreNotSealed(t *testing.T) {
	ring, site := testRing(t), testSite(t, "www.example.com")
	for name, change := range map[string]func(*Session){
		"without a subject": func(s *Session) { s.Subject = "" },
		"without an id":     func(s *Session) { s.ID = "" },
		"with a long id":    func(s *Session) { s.ID += "AAAA" },
	} {
		s := testSession(testTime)
		change(s)
		if value, err := ring.SealSession(site, s); err == nil {
			t.Errorf("a session %s is %q", name, value)
		}
	}
	s := testSession(testTime)
	s.Token.Value = strings.Repeat("t", 4000)
	if _, err := ring.SealSession(site, s); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a session that is too large: %v", err)
	}
}

// What is opened was sealed by us, so this is about what other versions write.
func TestMessagesHaveOneForm(t *testing.T) {
	message := testSession(testTime).encode()
	if _, ok := decodeSession(message); !ok {
		t.Fatal("it does not decode")
	}
	for i := range message {
		if _, ok := decodeSession(message[:i]); ok {
			t.Errorf("it decodes when cut at %d", i)
		}
	}
	if _, ok := decodeSession(append(message, 0)); ok {
		t.Error("it decodes with an octet behind")
	}
	// 0x81 0x00 is a longer form of 0x01.
	if _, ok := decodeSession(append([]byte{0x81, 0x00}, message[1:]...)); ok {
		t.Error("a number may have a longer form")
	}
	if _, ok := decodeSession(append([]byte{sessionFormat + 1}, message[1:]...)); ok {
		t.Error("another format decodes")
	}
	if _, ok := decodeSession(append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, message[1:]...)); ok {
		t.Error("a huge format decodes")
	}
}

// What another version has sealed for the same purpose is not guessed at.
func TestMessagesOfOtherFormatsAreNothing(t *testing.T) {
	ring, site := testRing(t), testSite(t, "www.example.com")
	flow := func(message writer) bool {
		_, ok := ring.FindFlow(site, []string{site.FlowName() + "=" + ring.seal(forFlow, site.flow, site.host, message)})
		return ok
	}
	state := func(message writer) bool {
		_, err := ring.OpenState(site, ring.seal(forState, site.flow, site.host, message), "i", "r", testTime)
		return err == nil
	}
	session := func(message writer) bool {
		_, ok := ring.OpenSession(site, ring.seal(forSession, site.session, site.host, message))
		return ok
	}
	binding, id := strings.Repeat("b", bindingSize), strings.Repeat("i", idSize)
	hour := string(binary.AppendUvarint(nil, uint64(testTime.UnixMilli())))
	const far = "\xff\xff\xff\xff\xff\xff\xff\x7f"
	const negative = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" // as a signed number
	last := string(binary.AppendUvarint(nil, maxMillis))
	for name, test := range map[string]struct {
		opens   func(writer) bool
		message string
		want    bool
	}{
		"a flow":                           {flow, "\x01" + binding + hour + "\x03", true},
		"another flow's format":            {flow, "\x02" + binding + hour + "\x03", false},
		"a flow with an octet behind":      {flow, "\x01" + binding + hour + "\x03\x00", false},
		"a flow of the last time":          {flow, "\x01" + binding + last + "\x03", true},
		"a flow of another time":           {flow, "\x01" + binding + far + "\x03", false},
		"a state":                          {state, "\x03" + id + binding + hour + "\x01/\x01i\x01r\x00\x00\x00\x00\x00", true},
		"a state that asked for something": {state, "\x03" + id + binding + hour + "\x01/\x01i\x01r\x01\x01a\x01\x01s\x02\x01a\x01b\x02", true},
		"another state's format":           {state, "\x04" + id + binding + hour + "\x01/\x01i\x01r\x00\x00\x00\x00\x00", false},
		"the earlier state's format":       {state, "\x02" + id + binding + hour + "\x01/\x01i\x01r\x00\x00\x00\x00\x00", false},
		"a state of the earlier length":    {state, "\x03" + id + binding + hour + "\x01/\x01i\x01r\x00\x00\x00\x00", false},
		"a state of all kinds":             {state, "\x03" + id + binding + hour + "\x01/\x01i\x01r\x03\x00\x00\x00\x00", true},
		"a state of another kind":          {state, "\x03" + id + binding + hour + "\x01/\x01i\x01r\x04\x00\x00\x00\x00", false},
		"a state with an octet behind":     {state, "\x03" + id + binding + hour + "\x01/\x01i\x01r\x00\x00\x00\x00\x00\x00", false},
		"a state that needs too much":      {state, "\x03" + id + binding + hour + "\x01/\x01i\x01r\x01\x01a\x01\x01s\x01\x01a\x02", false},
		"a state with a long list":         {state, "\x03" + id + binding + hour + "\x01/\x01i\x01r\x00\x00\x03\x00\x00", false},
		"a session":                        {session, "\x01" + id + "\x01u\x00" + hour + "\x00\x00\x00\x00\x00", true},
		"a session of the last time":       {session, "\x01" + id + "\x01u\x00" + hour + last + "\x00\x00\x00\x00", true},
		"a session far in the future":      {session, "\x01" + id + "\x01u\x00" + hour + far + "\x00\x00\x00\x00", false},
		"a list longer than the rest":      {session, "\x01" + id + "\x01u\x00" + hour + "\x00\x00\x05\x00\x00", false},
		"a text longer than the rest":      {session, "\x01" + id + "\x01u\x00" + hour + "\x00\x00\x00\x05\x00", false},
		"a text of a negative length":      {session, "\x01" + id + "\x01u\x00" + hour + "\x00\x00\x00" + negative + "\x00", false},
		"a list of a negative length":      {session, "\x01" + id + "\x01u\x00" + hour + "\x00\x00" + negative + "\x00\x00", false},
		"a session without a subject":      {session, "\x01" + id + "\x00\x00" + hour + "\x00\x00\x00\x00\x00", false},
		"a session that shows a new thing": {session, "\x01" + id + "\x01u\x00" + hour + "\x00\x00\x00\x00\x03", false},
		"claims":                           {session, "\x01" + id + "\x01u\x00" + hour + "\x00\x00\x00\x00\x02\x02{}\x01\x01", true},
		"claims that are empty":            {session, "\x01" + id + "\x01u\x00" + hour + "\x00\x00\x00\x00\x02\x00\x01\x01", false},
		"claims of the last time":          {session, "\x01" + id + "\x01u\x00" + hour + "\x00\x00\x00\x00\x02\x02{}" + last + last, true},
		"claims of another time":           {session, "\x01" + id + "\x01u\x00" + hour + "\x00\x00\x00\x00\x02\x02{}" + far + "\x01", false},
		"claims of a long life":            {session, "\x01" + id + "\x01u\x00" + hour + "\x00\x00\x00\x00\x02\x02{}\x01" + far, false},
	} {
		if got := test.opens(writer(test.message)); got != test.want {
			t.Errorf("%s opens: %v", name, got)
		}
	}
}

// Reading needs no more memory than the message has, whatever lengths it names.
func TestReadingToTheEnd(t *testing.T) {
	for message, want := range map[string][]string{
		"\x00":             nil,
		"\x01\x00":         {""},
		"\x02\x00\x00":     {"", ""},
		"\x02\x01a\x02bc":  {"a", "bc"},
		"\xff\xff\x7f\x00": nil,
	} {
		r := reader{rest: []byte(message)}
		if got := r.list(); !reflect.DeepEqual(got, want) || r.ended() != (message[0] != 0xff) {
			t.Errorf("%q is %q, to the end: %v", message, got, r.ended())
		}
	}
}

// A cookie that opened is remembered with its site: memory must not let it in
// where it would not open.
func TestARememberedCookieOpensAtItsSiteOnly(t *testing.T) {
	ring, site := testRing(t), testSite(t, "www.example.com")
	value := mustSeal(t, ring, site, testSession(testTime))
	if _, ok := ring.OpenSession(site, value); !ok {
		t.Fatal("it does not open")
	}
	loopback, err := NewSite("localhost:8080", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []Site{testSite(t, "app.example.com"), testSite(t, "www.example.com:8443"), loopback, {}} {
		if _, ok := ring.OpenSession(other, value); ok {
			t.Errorf("it opens at %q", other.Host())
		}
	}
	if _, ok := ring.OpenSession(testSite(t, "WWW.Example.com"), value); !ok {
		t.Error("it does not open at the same host in another case")
	}
}

// What is remembered is found by its salt, which anybody can copy.
func TestARememberedSaltOpensNothingElse(t *testing.T) {
	ring, site := testRing(t), testSite(t, "www.example.com")
	value := mustSeal(t, ring, site, testSession(testTime))
	for name, other := range map[string]string{
		"the salt alone": value[:saltText],
		"less":           value[:saltText-1],
		"nothing":        "",
		"cut":            value[:len(value)-1],
		"longer":         value + "A",
		"changed behind": value[:len(value)-1] + string(value[len(value)-1]^1),
		"another's rest": value[:saltText] + mustSeal(t, ring, site, testSession(testTime))[saltText:],
	} {
		if _, ok := ring.OpenSession(site, other); ok {
			t.Errorf("%s opens", name)
		}
		if _, ok := ring.OpenSession(site, value); !ok {
			t.Errorf("%s: the real one does not open any more", name)
		}
	}
}

// What is remembered is bounded in octets: each is counted with all that it
// keeps alive.
func TestWhatARememberedCookieKeepsIsCounted(t *testing.T) {
	text := func(n int) string { return strings.Repeat("x", n) }
	s := &Session{
		ID: text(1001), Subject: text(1002), LogtoSession: text(1003), RefreshToken: text(1004),
		Target: Target{Resource: text(1005), Organization: text(1006)},
		Scopes: []string{text(1007), text(1008)}, Resources: []string{text(1009)},
		Token: Token{Value: text(1010), Claims: text(1011)},
	}
	const texts = 11*1000 + 66
	if got := s.size(); got < texts || got > texts+1000 {
		t.Errorf("%d octets are counted for texts of %d", got, texts)
	}
	ring, site := testRing(t), testSite(t, "www.example.com")
	s = testSession(testTime)
	value := mustSeal(t, ring, site, s)
	if _, got := ring.opened.Size(); got != saltText+len(value)+len(site.Host())+s.size() {
		t.Errorf("%d octets are counted, with a session of %d", got, s.size())
	}
}

func TestMadeUpCookiesPushNoneOut(t *testing.T) {
	ring, site := testRing(t), testSite(t, "www.example.com")
	value := mustSeal(t, ring, site, testSession(testTime))
	for range 100 {
		ring.OpenSession(site, testRing(t, strings.Repeat("x", 32)).seal(forSession, site.SessionName(), site.Host(), []byte("m")))
	}
	if got, _ := ring.opened.Size(); got != 1 {
		t.Errorf("%d cookies are remembered", got)
	}
	if _, ok := ring.opened.Get(value[:saltText]); !ok {
		t.Error("the real one is not")
	}
}

// The longest cookie that a site writes stays under what browsers take.
func TestTheLongestCookieFits(t *testing.T) {
	ring, site := testRing(t), testSite(t, "localhost:65535")
	s := testSession(testTime)
	s.Token.Value = strings.Repeat("t", maxMessage-len(s.encode())+len(s.Token.Value))
	for len(s.encode()) > maxMessage {
		s.Token.Value = s.Token.Value[1:]
	}
	if fitted, _, err := s.Fit(nil); err != nil || fitted != s || len(s.encode()) != maxMessage {
		t.Errorf("%d octets do not fit: %v", len(s.encode()), err)
	}
	cookie := site.SetSession(mustSeal(t, ring, site, s), 10*maxCookieAge)
	if len(cookie) > maxCookie || len(cookie) < maxCookie-8 {
		t.Errorf("the cookie has %d octets", len(cookie))
	}
}

// A cookie that another process has sealed is decrypted once.
func TestACookieThatOpenedIsRemembered(t *testing.T) {
	ring, site := testRing(t), testSite(t, "www.example.com")
	value := mustSeal(t, testRing(t), site, testSession(testTime))
	first, ok := ring.OpenSession(site, value)
	if !ok {
		t.Fatal("it does not open")
	}
	if again, _ := ring.OpenSession(site, value); again != first {
		t.Error("it is opened a second time")
	}
}

func TestOpeningARememberedCookieAllocatesNothing(t *testing.T) {
	ring, site := testRing(t), testSite(t, "www.example.com")
	lines := []string{"theme=dark; " + site.SessionName() + "=" + mustSeal(t, ring, site, testSession(testTime)) + "; lang=en"}
	if got := testing.AllocsPerRun(100, func() {
		if s, err := ring.FindSession(site, lines); s == nil || err != nil {
			t.Fatal(err)
		}
	}); got > 1 {
		t.Errorf("it allocates %v times", got)
	}
	for _, lines := range [][]string{nil, {"theme=dark"}, {"theme=dark", "lang=en"}} {
		if got := testing.AllocsPerRun(100, func() { StripCookies(lines) }); got != 0 {
			t.Errorf("stripping nothing from %q allocates %v times", lines, got)
		}
	}
}

// FuzzSession: whatever is shown as a cookie, only what was sealed as a session
// of this site opens, and it is what was sealed.
func FuzzSession(f *testing.F) {
	// The fuzzer's processes share what they are given, but not what they have
	// sealed: each has a secret of its own.
	ring, site := testRing(f, newID()+newID()), testSite(f, "www.example.com")
	s := testSession(testTime)
	sealed := mustSeal(f, ring, site, s)
	flow, _ := Flow{}.Start(testTime, false)
	for i, value := range []string{
		sealed, sealed + "=", sealed[:len(sealed)-1], ring.SealFlow(site, flow),
		mustSealState(f, ring, site, flow.NewState(testTime, testIssuer, "https://www.example.com/.logto/callback", "/")),
		mustSeal(f, ring, testSite(f, "app.example.com"), s),
	} {
		f.Add(value, uint(i), "A")
	}
	f.Fuzz(func(t *testing.T, value string, at uint, piece string) {
		// Made up, and altered somewhere.
		start := int(at % uint(len(sealed)))
		for _, shown := range []string{
			value, sealed[:start] + piece + sealed[min(start+len(piece), len(sealed)):], sealed[:start] + piece + sealed[start:],
			sealed[:start] + value, value + sealed[start:], sealed,
		} {
			got, ok := ring.OpenSession(site, shown)
			if ok != (shown == sealed) {
				t.Fatalf("%q opens: %v", shown, ok)
			}
			if ok && (got.ID != s.ID || got.Subject != s.Subject || got.Token != s.Token) {
				t.Errorf("it opens as %+v", got)
			}
		}
	})
}

// FuzzMessage: what decodes is written again with the same octets.
func FuzzMessage(f *testing.F) {
	f.Add(testSession(testTime).encode())
	f.Add(New("someone", testTime).encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, message []byte) {
		if s, ok := decodeSession(message); ok && !bytes.Equal(s.encode(), message) {
			t.Errorf("%x becomes %x", message, s.encode())
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	ring, site := testRing(b), testSite(b, "www.example.com")
	lines := []string{"theme=dark; " + site.SessionName() + "=" + mustSeal(b, ring, site, testSession(testTime))}
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if s, err := ring.FindSession(site, lines); s == nil || err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ring.opened = memory.New[openedSession](maxOpened, maxOpenedBytes)
			if s, err := ring.FindSession(site, lines); s == nil || err != nil {
				b.Fatal(err)
			}
		}
	})
}
