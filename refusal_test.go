package logtoauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// allRefusals has every refusal that there is, as the contract's table has it.
func allRefusals() []struct {
	refusal *Refusal
	reason  Reason
	status  int
	text    string
	code    string // of the challenge; "none" if there is no challenge
} {
	return []struct {
		refusal *Refusal
		reason  Reason
		status  int
		text    string
		code    string
	}{
		{refusedMissingToken, "missing_token", 401, "Authorization header is missing", ""},
		{refusedScheme, "unsupported_scheme", 401, `Authorization header must start with "Bearer "`, ""},
		{refuseMultipleTokens(), "multiple_tokens", 400, "Multiple access tokens", "invalid_request"},
		{refuseToken(ReasonTokenTooLarge, "d", ""), "token_too_large", 401, "Invalid token", "invalid_token"},
		{refuseMalformed("x"), "malformed_token", 401, "Invalid token", "invalid_token"},
		{refuseToken(ReasonOpaqueToken, "d", ""), "opaque_token", 401, "Invalid token", "invalid_token"},
		{refuseToken(ReasonUnsupportedType, "d", ""), "unsupported_type", 401, "Invalid token", "invalid_token"},
		{refuseToken(ReasonDisallowedAlgorithm, "d", ""), "disallowed_algorithm", 401, "Invalid token", "invalid_token"},
		{refuseToken(ReasonUnknownKey, "d", ""), "unknown_key", 401, "Invalid token", "invalid_token"},
		{refuseToken(ReasonBadSignature, "d", ""), "bad_signature", 401, "Invalid token", "invalid_token"},
		{refuseToken(ReasonWrongIssuer, "d", ""), "wrong_issuer", 401, "Invalid token", "invalid_token"},
		{refuseToken(ReasonExpired, "d", ""), "expired", 401, "Invalid token", "invalid_token"},
		{refuseToken(ReasonNotYetValid, "d", ""), "not_yet_valid", 401, "Invalid token", "invalid_token"},
		{refuseMissingClaim("sub"), "missing_claim", 401, "Invalid token", "invalid_token"},
		{refuseToken(ReasonTooOld, "d", ""), "too_old", 401, "Invalid token", "invalid_token"},
		{refuseToken(ReasonBoundToken, "d", ""), "bound_token", 401, "Invalid token", "invalid_token"},
		{refuseKeysUnavailable(3), "keys_unavailable", 503, "Token verification is temporarily unavailable", "none"},
		{refuseForbidden(ReasonWrongAudience, modelGlobal.audienceText(), codeInvalidToken), "wrong_audience", 403, "Invalid audience", "invalid_token"},
		{refuseForbidden(ReasonWrongAudience, modelOrganization.audienceText(), codeInvalidToken), "wrong_audience", 403, "Invalid audience for organization permissions", "invalid_token"},
		{refuseForbidden(ReasonWrongAudience, modelOrganizationAPI.audienceText(), codeInvalidToken), "wrong_audience", 403, "Invalid audience for organization-level API resources", "invalid_token"},
		{refuseForbidden(ReasonOrganizationForbid, textOrganizationForbid, codeInvalidToken), "organization_forbidden", 403, "Organization token not accepted", "invalid_token"},
		{refuseOrganization(ReasonMissingOrganization, ""), "missing_organization", 403, "Organization ID mismatch", "invalid_token"},
		{refuseOrganization(ReasonWrongOrganization, ""), "wrong_organization", 403, "Organization ID mismatch", "invalid_token"},
		{refuseForbidden(ReasonInsufficientScope, modelGlobal.scopeText(), codeInsufficientScope), "insufficient_scope", 403, "Insufficient scope", "insufficient_scope"},
		{refuseForbidden(ReasonInsufficientScope, modelOrganization.scopeText(), codeInsufficientScope), "insufficient_scope", 403, "Insufficient organization scope", "insufficient_scope"},
		{refuseForbidden(ReasonInsufficientScope, modelOrganizationAPI.scopeText(), codeInsufficientScope), "insufficient_scope", 403, "Insufficient organization-level API scopes", "insufficient_scope"},
		{refuseForbidden(ReasonClaimMismatch, textClaimMismatch, codeInsufficientScope), "claim_mismatch", 403, "Claim requirement not met", "insufficient_scope"},
		{refuseTooEarly(), "too_early", 425, "Too early", "none"},
		{refuseCrossOrigin(), "cross_origin", 403, "Cross-origin request refused", "none"},
	}
}

func TestRefusalsSayWhatTheContractSays(t *testing.T) {
	for _, test := range allRefusals() {
		refusal := test.refusal
		if refusal.Reason != test.reason || refusal.Status != test.status || refusal.Text != test.text || refusal.Error() != test.text {
			t.Errorf("%s: %s %d %q", test.reason, refusal.Reason, refusal.Status, refusal.Text)
		}
		var body map[string]string
		if err := json.Unmarshal(refusal.body(), &body); err != nil || len(body) != 1 || body["error"] != test.text {
			t.Errorf("%s: the body is %s, %v", test.reason, refusal.body(), err)
		}
		challenge := refusal.challenge("", "", []string{"fallback"})
		if test.code == "none" {
			if challenge != "" {
				t.Errorf("%s: challenge %q", test.reason, challenge)
			}
			continue
		}
		got, err := parseChallenge(challenge)
		if err != nil {
			t.Errorf("%s: %v", test.reason, err)
			continue
		}
		want := map[string]string{}
		if test.code != "" {
			want["error"] = test.code
		}
		if refusal.Description != "" {
			want["error_description"] = refusal.Description
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: the challenge says %q, not %q", test.reason, got, want)
		}
		// Without credentials, no error information (RFC 6750 section 3.1).
		if anonymous := test.status == 401 && test.code == ""; refusal.anonymous() != anonymous {
			t.Errorf("%s: anonymous is %v", test.reason, refusal.anonymous())
		}
		if invalid := test.text == "Invalid token"; invalid != (refusal.Description != "") {
			t.Errorf("%s: the description is %q", test.reason, refusal.Description)
		}
	}
}

// Octets are compared by clients and tests: one body, whatever an encoder
// would escape.
func TestRefusalBodiesAreExact(t *testing.T) {
	for want, refusal := range map[string]*Refusal{
		`{"error":"Authorization header is missing"}`:                       refusedMissingToken,
		`{"error":"Authorization header must start with \"Bearer \""}`:      refusedScheme,
		`{"error":"Token verification is temporarily unavailable"}`:         refuseKeysUnavailable(1),
		`{"error":"Invalid audience for organization-level API resources"}`: refuseForbidden("", modelOrganizationAPI.audienceText(), ""),
	} {
		if got := string(refusal.body()); got != want {
			t.Errorf("the body is %s, not %s", got, want)
		}
	}
}

func TestChallengeWithRealmScopeAndMetadata(t *testing.T) {
	const metadata = "https://api.example.com/.well-known/oauth-protected-resource"
	scoped := refuseForbidden(ReasonInsufficientScope, "", codeInsufficientScope)
	scoped.scopes = []string{"read", "write"}
	fallback := []string{"site:a", "site:b"}
	for _, test := range []struct {
		name     string
		refusal  *Refusal
		realm    string
		metadata string
		want     string
	}{
		{"nothing at all", refusedMissingToken, "", "", `Bearer`},
		{"realm", refusedMissingToken, "My API", "", `Bearer realm="My API"`},
		{"realm with quotes that would end it", refusedMissingToken, `a", error="x\`, "", `Bearer realm="a\", error=\"x\\"`},
		{"metadata on 401, with the site's scopes", refusedMissingToken, "", metadata, `Bearer scope="site:a site:b", resource_metadata="` + metadata + `"`},
		{"scopes", scoped, "", "", `Bearer error="insufficient_scope", scope="read write"`},
		{"scopes and metadata", scoped, "r", metadata, `Bearer realm="r", error="insufficient_scope", scope="read write", resource_metadata="` + metadata + `"`},
		{"invalid token", refuseMissingClaim("exp"), "", "", `Bearer error="invalid_token", error_description="The token lacks the claim exp"`},
		{"no metadata on 400", refuseMultipleTokens(), "", metadata, `Bearer error="invalid_request"`},
		{"none on 503", refuseKeysUnavailable(1), "r", metadata, ``},
		{"none for another origin", refuseCrossOrigin(), "r", metadata, ``},
	} {
		got := test.refusal.challenge(test.realm, test.metadata, fallback)
		if got != test.want {
			t.Errorf("%s: %s\nwant %s", test.name, got, test.want)
		}
		if _, err := parseChallenge(got); got != "" && err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// Config checks refuse these values; should one slip through, it must not end
// the header line.
func TestChallengeHoldsNoControlCharacters(t *testing.T) {
	refusal := refuseToken(ReasonExpired, "a\r\nSet-Cookie: x=1\x00\x7f", "")
	refusal.scopes = []string{"a\nb", "日本"}
	challenge := refusal.challenge("r\r\n\r\n<html>", "https://x/\r\nX: y", nil)
	if _, err := parseChallenge(challenge); err != nil {
		t.Error(err)
	}
	if strings.ContainsFunc(challenge, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("the challenge is %q", challenge)
	}
}

func TestRespondWritesTheAnswer(t *testing.T) {
	for _, test := range []struct {
		name     string
		method   string
		refusal  *Refusal
		wantBody string
	}{
		{"GET", http.MethodGet, refusedMissingToken, `{"error":"Authorization header is missing"}`},
		{"POST", http.MethodPost, refusedMissingToken, `{"error":"Authorization header is missing"}`},
		{"HEAD has no body", http.MethodHead, refusedMissingToken, ""},
		{"503", http.MethodGet, refuseKeysUnavailable(7), `{"error":"Token verification is temporarily unavailable"}`},
	} {
		w := httptest.NewRecorder()
		// What an earlier handler set must not let a shared cache keep this.
		w.Header().Set("Cache-Control", "public, max-age=3600")
		w.Header().Set("Content-Type", "text/html")
		if err := new(responder).refuse(w, caddyRequest(t, test.method, "/"), test.refusal); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if w.Code != test.refusal.Status || w.Body.String() != test.wantBody {
			t.Errorf("%s: %d %s", test.name, w.Code, w.Body)
		}
		if got := w.Header()["Cache-Control"]; !slices.Equal(got, []string{"no-store"}) {
			t.Errorf("%s: Cache-Control is %q", test.name, got)
		}
		if got := w.Header()["Content-Type"]; !slices.Equal(got, []string{"application/json"}) {
			t.Errorf("%s: Content-Type is %q", test.name, got)
		}
		if got, has := w.Header().Get("Retry-After"), test.refusal.Status == 503; (got == "7") != has {
			t.Errorf("%s: Retry-After is %q", test.name, got)
		}
		if got, has := w.Header().Get("WWW-Authenticate"), test.refusal.Status != 503; (got != "") != has {
			t.Errorf("%s: the challenge is %q", test.name, got)
		}
	}
}

func TestRespondHandsTheErrorToErrorRoutes(t *testing.T) {
	w := httptest.NewRecorder()
	p := responder{handleErrors: true, realm: "r"}
	err := p.refuse(w, caddyRequest(t, http.MethodGet, "/"), refusedMissingToken)
	handlerError, ok := errors.AsType[caddyhttp.HandlerError](err)
	if !ok || handlerError.StatusCode != http.StatusUnauthorized || handlerError.Err.Error() != "Authorization header is missing" {
		t.Fatalf("the error is %v", err)
	}
	if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Reason != ReasonMissingToken {
		t.Errorf("a handler in Go cannot tell the reason from %v", err)
	}
	if w.Body.Len() != 0 || w.Header().Get("Content-Type") != "" {
		t.Errorf("an answer was written: %q %s", w.Header(), w.Body)
	}
	if w.Header().Get("WWW-Authenticate") != `Bearer realm="r"` || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("the header is %q", w.Header())
	}
}

// What is rendered in advance is what would be rendered for the request.
func TestConstantRefusalsAreAnsweredAsAllOthers(t *testing.T) {
	if len(constantRefusals) < 10 {
		t.Fatalf("there are %d", len(constantRefusals))
	}
	for _, p := range []responder{
		{},
		{realm: `the "realm"`},
		{scopes: []string{"read"}},
		{realm: "r", metadataURL: "https://api.example.com/.well-known/oauth-protected-resource", scopes: []string{"read", "write"}},
	} {
		prepared := p
		prepared.prepare()
		for _, refusal := range constantRefusals {
			answers := make([]*httptest.ResponseRecorder, 2)
			for i, p := range []*responder{&p, &prepared} {
				answers[i] = httptest.NewRecorder()
				if err := p.refuse(answers[i], caddyRequest(t, http.MethodGet, "/"), refusal); err != nil {
					t.Fatal(err)
				}
			}
			want, got := answers[0], answers[1]
			if got.Code != want.Code || got.Body.String() != want.Body.String() || !maps.EqualFunc(got.Header(), want.Header(), slices.Equal) {
				t.Errorf("%s is answered %d %v %s, not %d %v %s", refusal.Reason, got.Code, got.Header(), got.Body, want.Code, want.Header(), want.Body)
			}
			if challenge, ok := prepared.challenges[refusal]; !ok || got.Header().Get("WWW-Authenticate") != challenge {
				t.Errorf("%s was not rendered in advance", refusal.Reason)
			}
		}
	}
}

// Constant refusals are shared by all requests: what error routes do with
// theirs must not reach others.
func TestErrorRoutesGetARefusalOfTheirOwn(t *testing.T) {
	p := responder{handleErrors: true}
	err := p.refuse(httptest.NewRecorder(), caddyRequest(t, http.MethodGet, "/"), refusedMissingToken)
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok || refusal == refusedMissingToken || refusal.Reason != ReasonMissingToken {
		t.Errorf("the error is %v", err)
	}
}

// appending is a middleware in Go that adds a line to what it is given to
// write, and changes header values in place.
type appending struct {
	*httptest.ResponseRecorder
	written []byte
}

func (w *appending) Write(p []byte) (int, error) {
	w.written = appended(p, "for "+w.Header().Get("X-Client"))
	for _, values := range w.Header() {
		_ = append(values, "x")
		values[0] += ";x"
	}
	return len(p), nil
}

func appended(p []byte, text string) []byte { return append(p, text...) }

// The bodies and challenges of answers are shared, too: what a middleware in
// front makes of one must not stand in another.
func TestNoMiddlewareChangesTheAnswersOfOthers(t *testing.T) {
	p := responder{realm: "r"}
	p.prepare()
	for _, refusal := range allRefusals() {
		answer := func(client string) *appending {
			w := &appending{ResponseRecorder: httptest.NewRecorder()}
			w.Header().Set("X-Client", client)
			if err := p.refuse(w, caddyRequest(t, http.MethodGet, "/"), refusal.refusal); err != nil {
				t.Fatal(err)
			}
			return w
		}
		alice, bob := answer("alice"), answer("bob")
		if want := fmt.Sprintf(`{"error":%q}for alice`, refusal.text); string(alice.written) != want {
			t.Errorf("%s: %s was written, not %s", refusal.reason, alice.written, want)
		}
		alice.Header().Set("X-Client", "bob;x")
		if !maps.EqualFunc(alice.Header(), bob.Header(), slices.Equal) {
			t.Errorf("%s: the headers are %v and %v", refusal.reason, alice.Header(), bob.Header())
		}
	}
}

func TestNoMiddlewareChangesTheMetadataOfOthers(t *testing.T) {
	m := &Metadata{document: append(make([]byte, 0, 64), "{}"...)}
	var written [2][]byte
	for i, client := range []string{"alice", "bob"} {
		w := &appending{ResponseRecorder: httptest.NewRecorder()}
		w.Header().Set("X-Client", client)
		if err := m.serveDocument(w); err != nil {
			t.Fatal(err)
		}
		written[i] = w.written
	}
	if string(written[0]) != "{}for alice" {
		t.Errorf("%q was written", written)
	}
}
