package logtoauth

import (
	"crypto/elliptic"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
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
