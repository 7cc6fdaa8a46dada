package logtoauth

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// mutations are what one tenant signs with several keys, and tokens that an
// attacker makes of that.
type mutations struct {
	*rand.Rand
	signers []*devtenant.Tenant
	tokens  []string // some of them
}

// What stands in headers and payloads: what is right, what looks like it, and
// what parsers have been known to differ in.
var (
	mutatedHeaders = []string{
		`"alg":"EdDSA"`, `"alg":"ES256"`, `"alg":"none"`, `"alg":"HS256"`, `"\u0061lg":"EdDSA"`, `"alg":"Ed\u0044SA"`, `"ALG":"none"`, `"alg":null`, `"alg":["EdDSA"]`,
		`"typ":"at+jwt"`, `"typ":"AT+JWT"`, `"typ":"application/at+jwt"`, `"typ":"JWT"`, `"typ":"at\u002bjwt"`, `"Typ":"JWT"`, `"typ":1`, `"typ":"at+jwt "`,
		`"kid":"k1"`, `"kid":"k2"`, `"kid":"\u006b1"`, `"kid":"K1"`, `"kid":"k1\u0000"`, `"kid":""`, `"kid":null`, `"kid":1`, `"\u006b\u0069\u0064":"k2"`,
		`"crit":["exp"]`, `"crit":null`, `"b64":false`, `"b64":null`, `"":""`, `"x":"\ud800"`, "\"x\":\"\xff\"", "\"\xed\xa0\x80\":1", `"x":[[{}],{"y":[]}]`,
	}
	mutatedClaims = []string{
		`"iss":"ISS"`, `"iss":"ISS\u0000"`, `"iss":"I\u0053S"`, `"iss":["ISS"]`, `"ISS":"x"`, `"sub":"alice"`, `"sub":"bob"`, `"sub":"\ud83d\ude00"`, `"sub":"\ud83d"`, `"sub":""`,
		`"sub":"a\nb"`, `"sub":"a\u007fb"`, `"sub":null`, `"sub":5`, `"\u0073ub":"mallory"`, `"ſub":"mallory"`, `"SUB":"mallory"`, `"client_id":"app"`, `"client_id":""`, `"client_id":{}`,
		`"exp":1800003600`, `"exp":1800003600.5`, `"exp":1.8000036e9`, `"exp":18000036E+2`, `"exp":1799999990`, `"exp":1799999991`, `"exp":1799999990.999`, `"exp":"1800003600"`, `"exp":01`,
		`"exp":1e400`, `"exp":-0`, `"exp":9007199254740993`, `"exp":9007199254740994`, `"exp":9223372036854775808`, `"exp":null`, `"exp":1e3`, `"exp":999999999999999`, `"exp":1E+2`,
		`"nbf":1800000010`, `"nbf":1800000011`, `"nbf":1800000010.9`, `"nbf":-1e15`, `"nbf":-0.5`, `"nbf":[]`, `"iat":1800000000`, `"iat":1.9e9`, `"iat":true`, `"iat":-9007199254740993`,
		`"aud":"api"`, `"aud":["api","b"]`, `"aud":["api",null]`, `"aud":["\u0061pi" , "\n"]`, `"aud":[]`, `"aud":{}`, `"aud":[["api"]]`, `"scope":"read write"`, `"scope":["read"]`, `"scope":"\u0020read"`,
		`"jti":"j"`, `"jti":"\u0085"`, `"jti":1`, `"organization_id":"o"`, `"organization_id":"o\u0000"`, `"organization_id":5`, `"cnf":null`, `"cnf":{"jkt":"x"}`, `"cnf":""`,
		`"act":{"sub":"x","sub":"y"}`, `"act":[`, `"x":tru`, `"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200), `"x":"` + "\x00" + `"`, "\"x\":\"\xc3\x28\"", `"x":1e`, `"x":{"a":1,}`,
	}
	mutatedTails = []string{"", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", " ", "\n\t", "\x00", "{}", "x", "\ufeff", ","}
)

// object is a JSON object that is right but for a few members.
func (m *mutations) object(good, members []string) string {
	object := slices.Clone(good)
	for range m.IntN(4) / 2 {
		member := members[m.IntN(len(members))]
		switch at := m.IntN(len(object) + 1); {
		case m.IntN(3) == 0 && at < len(object):
			object[at] = member
		case m.IntN(4) == 0 && at < len(object):
			object = slices.Delete(object, at, at+1)
		default:
			object = slices.Insert(object, at, member)
		}
	}
	return "{" + strings.Join(object, ",") + "}" + mutatedTails[m.IntN(len(mutatedTails))]
}

// changed is a text with an octet replaced, inserted or taken out.
func (m *mutations) changed(text, octets string) string {
	at := m.IntN(len(text))
	octet := string(octets[m.IntN(len(octets))])
	return text[:at] + []string{octet, "", octet + text[at:at+1]}[m.IntN(3)] + text[at+1:]
}

// next is another token: most are signed, whatever they say, and some are made
// of others.
func (m *mutations) next() string {
	token := m.tokens[m.IntN(len(m.tokens))]
	switch m.IntN(8) {
	case 0: // as it was
	case 1:
		token = m.changed(token, "AQgw_-.=+/ \r\n\x00")
	case 2: // parts of several
		for at := range 3 {
			parts, others := strings.Split(token, "."), strings.Split(m.tokens[m.IntN(len(m.tokens))], ".")
			if m.IntN(2) == 0 && len(parts) == 3 && len(others) == 3 {
				parts[at] = others[at]
				token = strings.Join(parts, ".")
			}
		}
	case 3: // signed in another spelling
		if header, payload, _ := split(token); payload != "" {
			token = m.signer().SignInput(m.changed(header+"."+payload, "AQgw_-.=+/ \r\n"))
		}
	default:
		i := m.IntN(2)
		header := m.object([]string{[]string{`"alg":"EdDSA"`, `"alg":"ES256"`}[i], `"typ":"at+jwt"`, []string{`"kid":"k1"`, `"kid":"k2"`}[i]}, mutatedHeaders)
		payload := m.object([]string{`"iss":"ISS"`, `"sub":"alice"`, `"client_id":"app"`, `"exp":1800003600`, `"aud":"api"`}, mutatedClaims)
		if m.IntN(10) == 0 {
			payload = m.changed(payload, "\"\\{}[]:,1eu\x00\xff ")
		}
		token = m.signers[i].SignRaw([]byte(header), []byte(strings.ReplaceAll(payload, "ISS", m.signers[0].Issuer())))
	}
	m.tokens[10+m.IntN(len(m.tokens)-10)] = token // some stay as they are
	return token
}

func (m *mutations) signer() *devtenant.Tenant { return m.signers[m.IntN(len(m.signers))] }

// jwksOf publishes keys of several tenants under other IDs.
func jwksOf(tb testing.TB, published map[string]*devtenant.Tenant) []byte {
	tb.Helper()
	var keys []json.RawMessage
	for kid, tenant := range published {
		var one struct {
			Keys []json.RawMessage `json:"keys"`
		}
		if err := json.Unmarshal([]byte(replaceKID(tenant.JWKS(), tenant.SigningKID(), kid)), &one); err != nil {
			tb.Fatal(err)
		}
		keys = append(keys, one.Keys...)
	}
	return mustJSON(tb, map[string]any{"keys": keys})
}

// readByLibraries verifies a token with golang-jwt and keyfunc, and judges what
// encoding/json has read of it, as somebody would who need not care for speed.
// It returns nil for what has to be refused.
func readByLibraries(tb testing.TB, jwks []byte, token, issuer string, now float64) jwt.MapClaims {
	tb.Helper()
	set, err := keyfunc.NewJWKSetJSON(jwks)
	if err != nil {
		tb.Fatal(err)
	}
	parsed, err := jwt.NewParser(jwt.WithValidMethods(defaultAlgorithms), jwt.WithStrictDecoding(), jwt.WithJSONNumber(), jwt.WithoutClaimsValidation()).Parse(token, set.Keyfunc)
	if err != nil || strings.ContainsAny(token, "\r\n") {
		return nil
	}
	for _, segment := range strings.Split(token, ".")[:2] {
		// golang-jwt's decoder does not look at what comes behind the object.
		if text, err := base64.RawURLEncoding.DecodeString(segment); err != nil || !utf8.Valid(text) || !json.Valid(text) {
			return nil
		}
	}
	_, crit := parsed.Header["crit"]
	_, b64 := parsed.Header["b64"]
	kid, _ := parsed.Header["kid"].(string)
	typ, _ := parsed.Header["typ"].(string)
	if crit || b64 || kid == "" || !slices.Contains([]string{"at+jwt", "application/at+jwt"}, strings.ToLower(typ)) {
		return nil
	}
	claims, _ := parsed.Claims.(jwt.MapClaims)
	text := func(name string) (value string, ok bool) {
		value, ok = claims[name].(string)
		return value, (ok || claims[name] == nil) && !legible.HasControl(value)
	}
	for name, needed := range map[string]bool{"iss": true, "sub": true, "client_id": true, "jti": false} {
		if value, ok := text(name); !ok || value == "" && needed || name == "iss" && value != issuer {
			return nil
		}
	}
	for name, holds := range map[string]func(date float64) bool{
		"exp": func(date float64) bool { return now < date+10 },
		"nbf": func(date float64) bool { return now+10 >= date },
		"iat": func(date float64) bool { return now+10 >= date },
	} {
		if claims[name] == nil && name != "exp" {
			continue
		}
		number, _ := claims[name].(json.Number)
		date, err := number.Float64()
		if err != nil || date < -1<<53 || date > 1<<53 || !holds(float64(int64(date))) { // none is negative that is near
			return nil
		}
	}
	if _, ok := claims["scope"].(string); !ok && claims["scope"] != nil {
		return nil
	}
	if organization, ok := claims["organization_id"].(string); ok && legible.HasControl(organization) {
		return nil
	}
	list, isList := claims["aud"].([]any)
	if _, ok := claims["aud"].(string); !ok && !isList && claims["aud"] != nil || claims["cnf"] != nil {
		return nil
	}
	for _, audience := range list {
		if _, ok := audience.(string); !ok {
			return nil
		}
	}
	return claims
}

// Whatever tokens came before, and whatever keys were published then: what is
// remembered of headers and tokens changes no verdict, and the verdict is that
// of the libraries.
func TestMemoriesChangeNoVerdict(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	cached := newCachedTenant(t, "EdDSA", 20)
	second, third := devtenant.New(devtenant.Options{Issuer: cached.Issuer(), Algorithm: "ES256"}), devtenant.New(devtenant.Options{Issuer: cached.Issuer(), Algorithm: "EdDSA"})
	published := []map[string]*devtenant.Tenant{
		{"k1": cached.Tenant, "k2": second},
		{"k1": second, "k2": cached.Tenant}, // each has the other's ID
		{"k1": cached.Tenant},
		{"k1": third, "k2": second},
	}
	m := &mutations{rand.New(rand.NewPCG(1, 15)), []*devtenant.Tenant{cached.Tenant, second}, make([]string, 30)}
	for i := range m.tokens {
		m.tokens[i] = cached.SignRaw([]byte(`{"alg":"EdDSA","typ":"at+jwt","kid":"k1"}`), fmt.Appendf(nil, `{"iss":%q,"sub":"%d","client_id":"app","exp":1800003600}`, cached.Issuer(), i))
	}
	var jwks []byte
	warm, admitted := cached.validator(), 0
	const tokens = 3000
	for i := range tokens {
		if i%100 == 0 {
			jwks = jwksOf(t, published[i/100%2*m.IntN(len(published))])
			cached.publish(t, jwks)
		}
		token := m.next()
		cold := cached.validator()
		cold.tokens = newTokenCache(0)
		want, refusal := cold.validate(t.Context(), token, fixed(now), nil)
		got, gotRefusal := warm.validate(t.Context(), token, fixed(now), nil)
		if reasonOf(gotRefusal) != reasonOf(refusal) || refusal != nil && gotRefusal.Detail != refusal.Detail {
			t.Fatalf("token %d is judged %+v, without memory %+v: %s", i, gotRefusal, refusal, token)
		}
		claims := readByLibraries(t, jwks, token, cached.Issuer(), float64(now.Unix()))
		if (claims != nil) != (refusal == nil) {
			header, payload, _ := split(token)
			h, _ := decodeSegment(header)
			p, _ := decodeSegment(payload)
			t.Fatalf("token %d is judged %+v, by the libraries %v: %q %q", i, refusal, claims, h, p)
		}
		if refusal != nil {
			continue
		}
		admitted++
		if got.payload != want.payload || got.joseHeader != want.joseHeader || got.key != want.key || got.Subject != claims["sub"] {
			t.Fatalf("token %d is read as %+v, without memory %+v, by the libraries %v", i, got, want, claims)
		}
	}
	if admitted < tokens/10 || admitted > tokens*9/10 {
		t.Errorf("%d of %d are admitted: this test shows little", admitted, tokens)
	}
	if count, _ := warm.tokens.headers.Size(); count < 2 {
		t.Errorf("%d headers are remembered", count)
	}
}
