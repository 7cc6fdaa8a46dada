package logtoauth

import (
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// nasty holds one of everything that does something to a terminal or a line
// instead of being seen.
const nasty = "n\x1b]0;x\x07\u009b31m\u202e\u2066\u200b\ufeff\u2028\u2029\U000e0041y"

// expectLegible fails if somebody else's text got through. Line breaks of the
// text's own are expected.
func expectLegible(tb testing.TB, what, text string) {
	tb.Helper()
	if !utf8.ValidString(text) {
		tb.Errorf("%s is not valid UTF-8: %q", what, text)
	}
	for _, r := range strings.ReplaceAll(text, "\n", "") {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) { // not by what is tested
			tb.Errorf("%s has %U in it: %q", what, r, text)
			return
		}
	}
}

func TestTextForPeopleIsLegible(t *testing.T) {
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
		if got := legible(text); got != want {
			t.Errorf("%q becomes %q, not %q", text, got, want)
		}
	}
	if got := legibleLines("one\ntwo\r\x1b"); got != "one\ntwo��" {
		t.Errorf("lines become %q", got)
	}
}

func FuzzLegible(f *testing.F) {
	f.Add(nasty)
	f.Add("\x9b\xff")
	f.Fuzz(func(t *testing.T, text string) {
		got := legible(text)
		expectLegible(t, "the text", got)
		if strings.Contains(got, "\n") {
			t.Errorf("%q has a line break", got)
		}
		if legible(got) != got {
			t.Errorf("%q changes when it is cleaned again", got)
		}
		if count := utf8.RuneCountInString(loggable(text)); count > 128 {
			t.Errorf("%d characters in a log line", count)
		}
		if size := len(errorText(errors.New(text))); size > maxErrorText+len("…") {
			t.Errorf("an error of %d bytes", size)
		}
	})
}

func TestLoggableCutsAndCleans(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"user-1":                              "user-1",
		"adm\u202ein":                         "adm�in", // must not read as admin
		strings.Repeat("x", 128):              strings.Repeat("x", 128),
		strings.Repeat("x", 129):              strings.Repeat("x", 128),
		strings.Repeat("é", 1000):             strings.Repeat("é", 128),
		strings.Repeat("\x00", 1000) + "tail": strings.Repeat("�", 128),
	} {
		if got := loggable(text); got != want {
			t.Errorf("%.40q… becomes %q, not %q", text, got, want)
		}
	}
}

// nastyKeys gives a tenant keys whose members are escape sequences: one that
// is usable and two that are left out.
func nastyKeys(t *testing.T, tenant *devtenant.Tenant) {
	t.Helper()
	tenant.AddKey(ecJWK(newECKey(elliptic.P256()), "k\u202e\u2066\u2028id"))
	tenant.AddKey(map[string]any{"kty": nasty, "kid": "x"})
	tenant.AddKey(map[string]any{"kty": nasty, "kid": nasty})
}

// A key set is what a tenant wrote: `kty` "\x1b]0;…\x07" must not reach the
// terminal of the operator who looks into it.
func TestCheckShowsNoEscapeSequenceOfATenant(t *testing.T) {
	for name, spoil := range map[string]func(*devtenant.Tenant){
		"keys": func(tenant *devtenant.Tenant) { nastyKeys(t, tenant) },
		"no usable key": func(tenant *devtenant.Tenant) {
			tenant.SetJWKS(mustJSON(t, map[string]any{"keys": []any{map[string]any{"kty": nasty, "kid": "x"}}}))
		},
		"the issuer": func(tenant *devtenant.Tenant) {
			tenant.SetDiscovery(mustJSON(t, map[string]any{"issuer": nasty, "jwks_uri": nasty}))
		},
		"the address of the keys": func(tenant *devtenant.Tenant) {
			tenant.SetDiscovery(mustJSON(t, map[string]any{"issuer": tenant.Issuer(), "jwks_uri": nasty}))
		},
		"headers": func(tenant *devtenant.Tenant) {
			tenant.SetFault(func(e *devtenant.Exchange) {
				for _, header := range []string{"Content-Type", "Cache-Control", "ETag"} {
					e.Writer.Header().Set(header, "\"\u009b\u202e\x9b\"")
				}
				_, _ = e.Writer.Write(e.Answer().Body)
			})
		},
		"a redirect": func(tenant *devtenant.Tenant) {
			tenant.SetFault(devtenant.RedirectTo("https://evil.example/\u009b\u202e"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tenant := devtenanttest.NewServer(t, devtenant.Options{})
			spoil(tenant.Tenant)
			for _, arguments := range [][]string{nil, {"--json"}} {
				_, stdout, stderr := caddyCommand(t, "", append([]string{"check", "--endpoint", tenant.URL}, arguments...)...)
				expectLegible(t, "the output", stdout+stderr)
				if len(arguments) > 0 { // programs get no escapes either
					var report any
					if err := json.Unmarshal([]byte(stdout), &report); err != nil {
						t.Fatal(err)
					}
					expectLegible(t, "the report", fmt.Sprint(report))
				}
			}
		})
	}
}

func TestKeyLogsAndStatusShowNoEscapeSequenceOfATenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t)
		nastyKeys(t, b.Tenant)
		b.fetched(t)
		b.RemoveKey("k\u202e\u2066\u2028id")
		b.SetJWKS(mustJSON(t, map[string]any{"keys": []any{map[string]any{"kty": nasty, "kid": "x"}}}))
		if err := b.ks.refreshNow(t.Context()); err == nil {
			t.Fatal("the keys were taken")
		}
		logs := b.logs.All()
		if len(logs) < 3 { // new keys, keys left out, a fetch that failed
			t.Fatalf("%d log lines", len(logs))
		}
		for i := range logs {
			expectLegible(t, "the log line", fmt.Sprint(logs[i].Message, logs[i].ContextMap()))
		}
		status := b.ks.status()
		if len(status.Keys) != 2 || status.LastError == "" {
			t.Errorf("the status is %+v", status)
		}
		expectLegible(t, "the status", fmt.Sprintf("%+v", status))
	})
}

func TestRefusalLogShowsNoEscapeSequenceOfAClient(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	info := &AuthInfo{Subject: nasty, ClientID: nasty, Issuer: nasty, Audience: []string{nasty, testAPI + "/\u202e"}, keyID: nasty}
	r := &http.Request{Method: nasty, Host: nasty}
	token := encodeText(`{"alg":"ES384","kid":"x","typ":"`+"\u202e\u009b"+`"}`) + ".e30.AAAA"
	// The hint of a site whose organizations are made of the request names them.
	site := siteDemand(t, &Handler{Audiences: []string{testAPI}, Organizations: []string{nasty}})
	for _, test := range allRefusals() {
		logRefusal(zap.New(core).Check(zapcore.DebugLevel, refusalMessage), r, test.refusal, info, token, site)
	}
	for _, line := range logs.All() {
		expectLegible(t, "the log line", fmt.Sprint(line.ContextMap()))
	}
	if logs.Len() == 0 {
		t.Error("nothing was logged")
	}
}

// What explain prints of a token comes from whoever wrote the token.
func TestExplainShowsNoEscapeSequenceOfAToken(t *testing.T) {
	e := newExplained(t, "audience https://api.example.com")
	token := e.tenant.SignRaw(
		[]byte(`{"alg":"ES384","typ":"at+jwt","kid":"`+"\u202e\u009b"+`"}`),
		[]byte(`{"iss":"`+"\u202e\u009b\u2028"+`","sub":"`+"\u2066"+`","client_id":"`+"\u200b"+`","exp":99999999999,"aud":"`+"\u202e"+`","scope":"`+"\u202e"+`","name":"`+"\u202e\u2029"+`"}`))
	for _, arguments := range [][]string{e.arguments(), e.arguments("--json")} {
		_, stdout, stderr := caddyCommand(t, token, arguments...)
		expectLegible(t, "the output", stdout+stderr)
		if !strings.Contains(stdout, "iss") {
			t.Errorf("the token was not read:\n%s", stdout)
		}
	}
}
