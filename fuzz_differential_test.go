package logtoauth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	josejson "github.com/go-jose/go-jose/v4/json"
	josejwt "github.com/go-jose/go-jose/v4/jwt"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// differential judges tokens twice: by this package and by go-jose, a second
// implementation of JOSE whose author, JSON decoder and verifier are others.
// Whatever this package admits, go-jose must admit and read alike. It may
// refuse more, for the reasons that justifiedRefusal lists.
type differential struct {
	tenants   []*devtenant.Tenant // one for each kind of key, all of one issuer
	validator *validator
	site      requirements
	keys      jose.JSONWebKeySet
	now       time.Time
}

func newDifferential(tb testing.TB) *differential {
	tb.Helper()
	d := &differential{
		now:  time.Unix(1_800_000_000, 0),
		site: requirements{model: modelGlobal, audiences: []string{testAPI}, organization: organizationRule{mode: organizationForbid}},
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	for _, algorithm := range []string{"ES256", "ES384", "ES512", "RS256", "EdDSA"} {
		tenant := devtenant.New(devtenant.Options{Algorithm: algorithm, Now: func() time.Time { return d.now }})
		d.tenants = append(d.tenants, tenant)
		var one struct {
			Keys []json.RawMessage `json:"keys"`
		}
		if err := json.Unmarshal(tenant.JWKS(), &one); err != nil {
			tb.Fatal(err)
		}
		set.Keys = append(set.Keys, one.Keys...)
	}
	jwks, err := json.Marshal(set)
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(jwks, &d.keys); err != nil {
		tb.Fatal(err)
	}
	d.validator = validatorOf(tenantOf(tb, jwks, d.tenants[0].Issuer()))
	return d
}

// ours is the whole decision of a global site of this package.
func (d *differential) ours(tb testing.TB, token string) (*AuthInfo, *Refusal) {
	tb.Helper()
	info, refusal := d.validator.validate(tb.Context(), token, fixed(d.now), nil)
	if refusal == nil {
		_, refusal = d.site.check(info, wantedOrganizations{})
	}
	return info, refusal
}

// joseClaims are the claims that decide, as RFC 9068 section 2.2 has them and
// Logto's organizations.
type joseClaims struct {
	josejwt.Claims

	ClientID       string              `json:"client_id"`
	Scope          string              `json:"scope"`
	OrganizationID josejson.RawMessage `json:"organization_id"`
}

// theirs is what somebody would write who verifies Logto's access tokens with
// go-jose and reads its documentation with care.
func (d *differential) theirs(token string) (*joseClaims, error) {
	algorithms := make([]jose.SignatureAlgorithm, 0, len(defaultAlgorithms))
	for _, algorithm := range defaultAlgorithms {
		algorithms = append(algorithms, jose.SignatureAlgorithm(algorithm))
	}
	parsed, err := josejwt.ParseSigned(token, algorithms)
	if err != nil {
		return nil, err
	}
	header := parsed.Headers[0]
	typ, _ := header.ExtraHeaders[jose.HeaderType].(string)
	if !slices.Contains([]string{"at+jwt", "application/at+jwt"}, strings.ToLower(typ)) {
		return nil, fmt.Errorf("typ %q", typ)
	}
	var claims joseClaims
	if err := parsed.Claims(d.keys, &claims); err != nil {
		return nil, err
	}
	if err := claims.ValidateWithLeeway(josejwt.Expected{
		Issuer: d.tenants[0].Issuer(), AnyAudience: josejwt.Audience{testAPI}, Time: d.now,
	}, time.Duration(d.validator.rules.leeway)*time.Second); err != nil {
		return nil, err
	}
	switch {
	case claims.Expiry == nil, claims.Subject == "", claims.ClientID == "":
		return nil, errors.New("exp, sub or client_id is missing")
	case len(claims.OrganizationID) > 0 && string(claims.OrganizationID) != "null":
		return nil, errors.New("an organization's token")
	}
	return &claims, nil
}

// compare judges one token, which sign has made of its header and payload.
func (d *differential) compare(t *testing.T, token string, sign func(header, payload []byte) string) {
	t.Helper()
	info, refusal := d.ours(t, token)
	claims, err := d.theirs(token)
	switch {
	case refusal == nil && err != nil:
		header, payload := decodedSegments(t, token)
		if !repeatsName(header) && !repeatsName(payload) && !holdsUnread(header) {
			t.Fatalf("admitted here, refused by go-jose: %v\n%s\n%s", err, header, payload)
		}
		// go-jose refuses a name that stands twice, where RFC 7515 section 4
		// lets the last one count, and header parameters of the wrong type
		// that nobody asked for. Without either it must agree.
		if claims, err = d.theirs(sign(reduce(t, header, "alg", "typ", "kid"), reduce(t, payload,
			"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "organization_id"))); err != nil {
			t.Fatalf("admitted here, refused by go-jose when reduced to what is read: %v\n%s\n%s", err, header, payload)
		}
		d.compareClaims(t, info, claims)
	case refusal == nil:
		d.compareClaims(t, info, claims)
	case err == nil:
		if why := d.justifiedRefusal(token, refusal); why == "" {
			header, payload := decodedSegments(t, token)
			t.Fatalf("admitted by go-jose, refused here as %s (%s) without a known cause\n%s\n%s",
				refusal.Reason, refusal.Detail, header, payload)
		}
	}
}

func (d *differential) compareClaims(t *testing.T, info *AuthInfo, claims *joseClaims) {
	t.Helper()
	if info.Subject != claims.Subject || info.ClientID != claims.ClientID || info.Issuer != claims.Issuer ||
		info.TokenID != claims.ID || !slices.Equal(info.Audience, claims.Audience) ||
		!slices.Equal(info.Scopes, splitScopes(claims.Scope)) || info.OrganizationID != "" {
		t.Fatalf("read as\n%+v, by go-jose as\n%+v", info, claims)
	}
	// go-jose cuts fractions towards zero, this package downwards.
	if got, want := info.expiresAt, int64(*claims.Expiry); got != want && (want > 0 || got != want-1) {
		t.Fatalf("exp is %d, by go-jose %d", got, want)
	}
}

// justifiedRefusal names why this package refuses a token that go-jose admits,
// or returns "" if it has no good cause. It looks for the cause in the token
// itself, not in the refusal.
func (d *differential) justifiedRefusal(token string, refusal *Refusal) string {
	if len(token) > maxTokenSize {
		return "over 16 KiB"
	}
	header, payload, ok := lenientSegments(token)
	if !ok {
		return ""
	}
	canonical := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	var members, claims map[string]json.RawMessage
	switch {
	case !strings.HasPrefix(token, canonical) || strings.ContainsAny(token, "\r\n") || !canonicalEnd(token):
		return "a second spelling of the same token: line breaks or stray bits in base64url"
	case !utf8.Valid(header) || !utf8.Valid(payload):
		return "invalid UTF-8, which decoders replace in different ways"
	case json.Unmarshal(header, &members) != nil || json.Unmarshal(payload, &claims) != nil:
		return "JSON that encoding/json does not take, nested more than 10,000 deep"
	}
	_, crit := members["crit"]
	_, b64 := members["b64"]
	_, cnf := claims["cnf"]
	switch {
	case crit || b64:
		return "crit and b64: this package knows no extension"
	case cnf && refusal.Reason == ReasonBoundToken:
		return "cnf: a token that is bound to a key is no bearer token"
	}
	for _, name := range []string{"iss", "sub", "client_id", "jti"} {
		var value string
		if json.Unmarshal(claims[name], &value) == nil && strings.ContainsFunc(value, unicode.IsControl) {
			return "a control character in an identifier"
		}
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		var value float64
		if json.Unmarshal(claims[name], &value) == nil && (value > 1<<53 || value < -1<<53) {
			return "a date beyond 2^53, where seconds can no longer be told apart"
		}
		if edge := float64(d.now.Unix() - d.validator.rules.leeway); name == "exp" && value >= edge && value < edge+1 {
			return "exp at the very second: it expires on, not after it (RFC 7519 section 4.1.4)"
		}
	}
	return ""
}

// canonicalEnd tells whether the signature has no stray bits.
func canonicalEnd(token string) bool {
	_, err := base64.RawURLEncoding.Strict().DecodeString(token[strings.LastIndexByte(token, '.')+1:])
	return err == nil
}

func lenientSegments(token string) (header, payload []byte, ok bool) {
	segments := strings.Split(token, ".")
	if len(segments) != 3 {
		return nil, nil, false
	}
	header, headerErr := base64.RawURLEncoding.DecodeString(segments[0])
	payload, payloadErr := base64.RawURLEncoding.DecodeString(segments[1])
	return header, payload, headerErr == nil && payloadErr == nil
}

func decodedSegments(t *testing.T, token string) (header, payload []byte) {
	t.Helper()
	header, payload, ok := lenientSegments(token)
	if !ok {
		t.Fatalf("no segments: %q", token)
	}
	return header, payload
}

// reduce keeps the last value of the members that are named.
func reduce(t *testing.T, object []byte, names ...string) []byte {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(members, func(name string, _ json.RawMessage) bool { return !slices.Contains(names, name) })
	reduced, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return reduced
}

// holdsUnread tells whether a header has parameters that go-jose gives a type
// and this package does not look at.
func holdsUnread(header []byte) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(header, &members) != nil {
		return false
	}
	for name := range members {
		if !slices.Contains([]string{"alg", "typ", "kid", "crit", "b64"}, name) {
			return true
		}
	}
	return false
}

// repeatsName tells whether any object in the JSON has a name twice.
func repeatsName(text []byte) bool {
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	type level struct {
		names  map[string]bool // nil in an array
		isName bool
	}
	var levels []level
	for {
		token, err := decoder.Token()
		if err != nil {
			return !errors.Is(err, io.EOF) // what cannot be read is left to the other branch
		}
		top := len(levels) - 1
		if name, ok := token.(string); ok && top >= 0 && levels[top].isName {
			if levels[top].names[name] {
				return true
			}
			levels[top].names[name], levels[top].isName = true, false
			continue
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{names: map[string]bool{}, isName: true})
			continue
		case json.Delim('['):
			levels = append(levels, level{})
			continue
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:top]
		}
		if top = len(levels) - 1; top >= 0 && levels[top].names != nil {
			levels[top].isName = true // a value has ended
		}
	}
}

// signedSeeds are headers and payloads with KID and NOW for the key's ID and
// the time.
var signedSeeds = []struct{ header, payload string }{
	{`{"alg":"ALG","typ":"at+jwt","kid":"KID"}`, goodClaims},
	{`{"alg":"ALG","typ":"application/AT+JWT","kid":"KID","jwk":{"kty":"oct"}}`, goodClaims},
	{`{"alg":"ALG","typ":"at+jwt","kid":"KID","crit":["b64"],"b64":true}`, goodClaims},
	{`{"alg":"none","alg":"ALG","typ":"at+jwt","kid":"KID"}`, goodClaims},
	{`{"alg":"ALG","typ":"at+jwt","kid":"KID","ALG":"none","Kid":"x"}`, goodClaims},
	{`{"alg":"ALG","typ":"JWT","kid":"KID"}`, goodClaims},
	{`{"alg":"ALG","typ":"at+jwt","kid":"KID"}`, goodClaimsWith(`"exp":1799999990`, "exp")},
	{`{"alg":"ALG","typ":"at+jwt","kid":"KID"}`, goodClaimsWith(`"exp":1.8000001e9,"nbf":1800000010.5,"iat":-0.5`, "exp", "iat")},
	{`{"alg":"ALG","typ":"at+jwt","kid":"KID"}`, goodClaimsWith(`"exp":9007199254740994`, "exp")},
	{`{"alg":"ALG","typ":"at+jwt","kid":"KID"}`, goodClaimsWith(`"aud":["https://api.example.com","urn:logto:organization:o"]`, "aud")},
	{`{"alg":"ALG","typ":"at+jwt","kid":"KID"}`, goodClaimsWith(`"organization_id":null`)},
	{`{"alg":"ALG","typ":"at+jwt","kid":"KID"}`, goodClaimsWith(`"sub":"a\nb"`, "sub")},
	{`{"alg":"ALG","typ":"at+jwt","kid":"KID"}`, goodClaimsWith(`"cnf":{"jkt":"x"}`)},
	{`{"alg":"ALG","typ":"at+jwt","kid":"KID"}`, goodClaimsWith(`"SUB":"admin","ſub":"admin","Client_ID":"x"`)},
	{`{"alg":"ALG","typ":"at+jwt","kid":"KID"}`, goodClaimsWith(`"scope":" a  b ","act":{"sub":"x","sub":"y"}`, "scope")},
	{`{"alg":"ALG","typ":"at+jwt","kid":"KID"}`, goodClaims + ` {}`},
	{"\xef\xbb\xbf" + `{"alg":"ALG","typ":"at+jwt","kid":"KID"}`, goodClaims},
	{`{"alg":"ALG","typ":"at+jwt","kid":"KID"}`, goodClaimsWith("\"jti\":\"\xff\"", "jti")},
}

const goodClaims = `{"jti":"j","sub":"user-1","iat":1800000000,"exp":1800003600,"scope":"read write","client_id":"app-1",` +
	`"iss":"http://localhost:3001/oidc","aud":"https://api.example.com"}`

// goodClaimsWith adds members, before which one of the same name has to go.
func goodClaimsWith(members string, replaced ...string) string {
	claims := goodClaims
	for _, name := range replaced {
		claims = regexp.MustCompile(`"`+name+`":("[^"]*"|\d+),?`).ReplaceAllString(claims, "")
	}
	return strings.TrimRight(claims, ",}") + "," + members + "}"
}

// FuzzDifferentialSigned signs whatever header and claims the fuzzer makes up,
// so that it gets past the signature and searches the reading of both.
func FuzzDifferentialSigned(f *testing.F) {
	d := newDifferential(f)
	for i, seed := range signedSeeds { // few: a short run must get past them
		f.Add(uint8(i), seed.header, seed.payload)
	}
	f.Fuzz(func(t *testing.T, key uint8, header, payload string) {
		tenant := d.tenants[int(key)%len(d.tenants)]
		header = strings.ReplaceAll(header, "ALG", []string{"ES256", "ES384", "ES512", "RS256", "EdDSA"}[int(key)%len(d.tenants)])
		header = strings.ReplaceAll(header, "KID", tenant.SigningKID())
		d.compare(t, tenant.SignRaw([]byte(header), []byte(payload)), tenant.SignRaw)
	})
}

// FuzzDifferentialSpelling edits a good token. No edit may be admitted: what
// is admitted has one spelling.
func FuzzDifferentialSpelling(f *testing.F) {
	d := newDifferential(f)
	tokens := make([]string, 0, len(d.tenants))
	for _, tenant := range d.tenants {
		tokens = append(tokens, tenant.Token(devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", Resource: testAPI}))
	}
	for i, text := range []string{"", "=", "\n", "\r", "A", ".", "+", "/", "-", " ", "\x00", "é"} {
		f.Add(uint8(i), uint16(60), uint8(0), text)
		f.Add(uint8(i), uint16(65535), uint8(1), text)
	}
	f.Fuzz(func(t *testing.T, key uint8, at uint16, cut uint8, text string) {
		i := int(key) % len(tokens)
		good := tokens[i]
		from := min(int(at), len(good))
		token := good[:from] + text + good[min(from+int(cut), len(good)):]
		if _, refusal := d.ours(t, token); (refusal == nil) != (token == good) {
			t.Fatalf("admitted: %t, unchanged: %t\n%s\n%s", refusal == nil, token == good, good, token)
		}
		d.compare(t, token, d.tenants[i].SignRaw)
	})
}

// TestDifferencesFromGoJose lists every known token that the two judge
// differently. The fuzz targets above allow these and no others.
func TestDifferencesFromGoJose(t *testing.T) {
	d := newDifferential(t)
	tenant := d.tenants[1] // ES384
	header := `{"alg":"ES384","typ":"at+jwt","kid":"` + tenant.SigningKID() + `"}`
	headerWith := func(members string) string { return strings.TrimSuffix(header, "}") + "," + members + "}" }
	signed := func(header, payload string) string { return tenant.SignRaw([]byte(header), []byte(payload)) }
	good := signed(header, goodClaims)
	edge := fmt.Sprintf(`"exp":%d`, d.now.Unix()-d.validator.rules.leeway)
	tests := []struct {
		name, token string
		refused     Reason // by this package; empty if go-jose is the one that refuses
	}{
		{"line break in a segment", good[:50] + "\n" + good[50:], ReasonMalformedToken},
		{"line break in the signature", good + "\r\n", ReasonMalformedToken},
		{"over 16 KiB", signed(header, goodClaimsWith(`"x":"`+strings.Repeat("x", maxTokenSize)+`"`)), ReasonTokenTooLarge},
		{"invalid UTF-8 in the claims", signed(header, goodClaimsWith("\"x\":\"\xff\"")), ReasonMalformedToken},
		{"invalid UTF-8 in the header", signed(headerWith("\"x\":\"\xff\""), goodClaims), ReasonMalformedToken},
		{"crit that names b64", signed(headerWith(`"crit":["b64"],"b64":true`), goodClaims), ReasonMalformedToken},
		{"b64 without crit", signed(headerWith(`"b64":true`), goodClaims), ReasonMalformedToken},
		{"sender-constrained token", signed(header, goodClaimsWith(`"cnf":{"jkt":"x"}`)), ReasonBoundToken},
		{"control character in sub", signed(header, goodClaimsWith(`"sub":"a\nb"`, "sub")), ReasonMalformedToken},
		{"date beyond 2^53", signed(header, goodClaimsWith(`"exp":9007199254740994`, "exp")), ReasonMalformedToken},
		{"exp at the very second", signed(header, goodClaimsWith(edge, "exp")), ReasonExpired},
		{"name that stands twice in the claims", signed(header, goodClaimsWith(`"sub":"user-2"`)), ""},
		{"name that stands twice in the header", signed(headerWith(`"typ":"at+jwt"`), goodClaims), ""},
		{"unread header parameter of the wrong type", signed(headerWith(`"nonce":1`), goodClaims), ""},
		{"embedded key that is none", signed(headerWith(`"jwk":{"kty":"oct"}`), goodClaims), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, refusal := d.ours(t, test.token)
			_, err := d.theirs(test.token)
			if got := reasonOf(refusal); got != test.refused {
				t.Errorf("refused as %q, want %q", got, test.refused)
			}
			if (err != nil) != (test.refused == "") {
				t.Errorf("go-jose says %v", err)
			}
			d.compare(t, test.token, tenant.SignRaw)
		})
	}
}
