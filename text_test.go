package logtoauth

import (
	"crypto/elliptic"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible/legibletest"
)

// nastyKeys gives a tenant keys whose members are escape sequences: one that
// is usable and two that are left out.
func nastyKeys(t *testing.T, tenant *devtenant.Tenant) {
	t.Helper()
	tenant.AddKey(ecJWK(newECKey(elliptic.P256()), "k\u202e\u2066\u2028id"))
	tenant.AddKey(map[string]any{"kty": legibletest.Nasty, "kid": "x"})
	tenant.AddKey(map[string]any{"kty": legibletest.Nasty, "kid": legibletest.Nasty})
}

// A key set is what a tenant wrote: `kty` "\x1b]0;…\x07" must not reach the
// terminal of the operator who looks into it.
func TestCheckShowsNoEscapeSequenceOfATenant(t *testing.T) {
	for name, spoil := range map[string]func(*devtenant.Tenant){
		"keys": func(tenant *devtenant.Tenant) { nastyKeys(t, tenant) },
		"no usable key": func(tenant *devtenant.Tenant) {
			tenant.SetJWKS(mustJSON(t, map[string]any{"keys": []any{map[string]any{"kty": legibletest.Nasty, "kid": "x"}}}))
		},
		"the issuer": func(tenant *devtenant.Tenant) {
			tenant.SetDiscovery(mustJSON(t, map[string]any{"issuer": legibletest.Nasty, "jwks_uri": legibletest.Nasty}))
		},
		"the address of the keys": func(tenant *devtenant.Tenant) {
			tenant.SetDiscovery(mustJSON(t, map[string]any{"issuer": tenant.Issuer(), "jwks_uri": legibletest.Nasty}))
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
				legibletest.Expect(t, "the output", stdout+stderr)
				if len(arguments) > 0 { // programs get no escapes either
					var report any
					if err := json.Unmarshal([]byte(stdout), &report); err != nil {
						t.Fatal(err)
					}
					legibletest.Expect(t, "the report", fmt.Sprint(report))
				}
			}
		})
	}
}

func TestRefusalLogShowsNoEscapeSequenceOfAClient(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	info := &AuthInfo{Subject: legibletest.Nasty, ClientID: legibletest.Nasty, Issuer: legibletest.Nasty, Audience: []string{legibletest.Nasty, testAPI + "/\u202e"}, joseHeader: joseHeader{keyID: legibletest.Nasty}}
	r := &http.Request{Method: legibletest.Nasty, Host: legibletest.Nasty}
	token := encodeText(`{"alg":"ES384","kid":"x","typ":"`+"\u202e\u009b"+`"}`) + ".e30.AAAA"
	// The hint of a site whose organizations are made of the request names them.
	site := siteDemand(t, &Handler{Audiences: []string{testAPI}, Organizations: []string{legibletest.Nasty}})
	for _, test := range allRefusals() {
		logRefusal(zap.New(core).Check(zapcore.DebugLevel, refusalMessage), r, test.refusal, info, token, site, false)
	}
	for _, line := range logs.All() {
		legibletest.Expect(t, "the log line", fmt.Sprint(line.ContextMap()))
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
		legibletest.Expect(t, "the output", stdout+stderr)
		if !strings.Contains(stdout, "iss") {
			t.Errorf("the token was not read:\n%s", stdout)
		}
	}
}
