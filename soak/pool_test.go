package soak

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// poolSize is how many tokens are in use at a time. The cache of the Caddy
// under test holds fewer.
const poolSize = 400

// token is a minted token and what is known of it.
type token struct {
	encoded  string
	kid      string
	claims   map[string]any
	audience []string
	issued   time.Time
	expires  time.Time
	flaw     string // why it is no access token of the tenant, whatever a site asks for
	needsKey bool   // the flaw shows only with a key

	mu            sync.Mutex
	maybe, surely time.Time // since when it is revoked
}

func (k *token) text(claim string) string {
	text, _ := k.claims[claim].(string)
	return text
}

// pool holds the tokens that clients use. One after another is replaced.
type pool struct {
	tenant  *tenant
	secrets *secrets

	mu     sync.Mutex
	tokens []*token
	next   int
	number int
}

func newPool(t *tenant) *pool {
	p := &pool{tenant: t, secrets: newSecrets()}
	for range poolSize {
		p.tokens = append(p.tokens, p.mint())
	}
	return p
}

// renew replaces the oldest token.
func (p *pool) renew() {
	minted := p.mint()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens[p.next] = minted
	p.next = (p.next + 1) % len(p.tokens)
}

// issue replaces some tokens at once, as after a rotation.
func (p *pool) issue() {
	for range poolSize / 10 {
		p.renew()
	}
}

// mint makes a token: a plain good one for one of the models, or one of which
// anything may be odd.
func (p *pool) mint() *token {
	p.mu.Lock()
	p.number++
	number := p.number
	p.mu.Unlock()
	now := time.Now()
	user := fmt.Sprintf("user-%d", number)
	k := &token{expires: now.Add(time.Hour), claims: map[string]any{
		"jti": fmt.Sprintf("jti-%d", number), "sub": user, "client_id": "app-1", "iss": p.tenant.Issuer(),
		"iat": now.Unix(), "scope": "read:products write:orders generation:0 generation:1", "roles": []any{"admin", "reader"},
	}}
	k.audience = []string{api}
	switch rand.N(4) {
	case 0:
		k.audience = []string{orgURN + "acme"}
	case 1:
		k.claims["organization_id"] = "acme"
	}
	header := map[string]any{}
	if rand.N(2) == 0 {
		p.vary(k, header, now)
	}
	k.flaw = p.flawOf(k.claims, header, now)
	k.claims["exp"] = k.expires.Unix()
	k.expires, k.issued = time.Unix(k.expires.Unix(), 0), time.Unix(k.claims["iat"].(int64), 0)
	if k.claims["aud"] = k.audience; len(k.audience) == 1 {
		k.claims["aud"] = k.audience[0]
	}
	k.encoded, k.kid = p.tenant.sign(header, k.claims)
	if rand.N(10) == 0 {
		p.damage(k, header)
	}
	p.secrets.add(k.encoded)
	return k
}

// vary makes some claims odd.
func (p *pool) vary(k *token, header map[string]any, now time.Time) {
	variations := []func(){
		func() { k.audience = []string{"https://other.example.com"} },
		func() { k.audience = []string{"https://other.example.com", api} },
		func() { k.audience = []string{api + "/"} },
		func() { k.audience = []string{orgURN + "acme", orgURN + "globex"} },
		func() { k.audience = []string{orgURN + "globex"} },
		func() { k.audience = []string{api, orgURN + "globex"}; k.claims["organization_id"] = "acme" },
		func() {
			k.claims["organization_id"] = []any{nil, "globex", "", 42, []any{"acme"}, "ACME", "acme "}[rand.N(7)]
		},
		func() {
			k.claims["scope"] = []string{"", "read:products", "write:orders", "read:product", "generation:0", "generation:1"}[rand.N(6)]
		},
		func() { delete(k.claims, "scope") },
		func() {
			k.claims["roles"] = []any{"admin", []any{"reader"}, nil, map[string]any{"admin": true}}[rand.N(4)]
		},
		func() { k.claims["sub"] = "app-1" },
		func() { k.expires = now.Add(time.Duration(rand.N(20)-leewaySeconds) * time.Second) },
		func() { k.expires = now.Add(-time.Hour); k.claims["iat"] = now.Add(-2 * time.Hour).Unix() },
		func() { k.claims["nbf"] = now.Add(time.Hour).Unix() },
		func() { k.claims["iat"] = now.Add(time.Hour).Unix() },
		func() { k.claims["iss"] = "https://other.example.com/oidc" },
		func() { k.claims["iss"] = p.tenant.Issuer() + "/" },
		func() { delete(k.claims, "client_id") },
		func() { delete(k.claims, "sub") },
		func() { k.claims["cnf"] = map[string]any{"jkt": "x"} },
		func() { header["typ"] = "JWT" },
		func() { header["typ"] = nil },
		func() { header["crit"] = []any{"exp"} },
	}
	for range 1 + rand.N(2) {
		variations[rand.N(len(variations))]()
	}
}

// flawOf tells why no site may admit a token with these claims.
func (p *pool) flawOf(claims, header map[string]any, now time.Time) string {
	for _, name := range []string{"sub", "client_id"} {
		if _, ok := claims[name]; !ok {
			return "no " + name
		}
	}
	for _, name := range []string{"iat", "nbf"} {
		if at, ok := claims[name].(int64); ok && at > now.Unix() {
			return name + " to come"
		}
	}
	switch {
	case claims["iss"] != p.tenant.Issuer():
		return "another issuer"
	case claims["cnf"] != nil:
		return "bound to a key"
	case len(header) > 0:
		return "another header"
	}
	return ""
}

// leewaySeconds is leeway as a number.
const leewaySeconds = int(leeway / time.Second)

// damage makes a token of a minted one that nobody may admit.
func (p *pool) damage(k *token, header map[string]any) {
	segments := strings.Split(k.encoded, ".")
	switch rand.N(8) {
	case 0:
		at := rand.N(len(segments[2]) - 2)
		changed := []byte(segments[2])
		changed[at] = map[bool]byte{true: 'B', false: 'A'}[changed[at] == 'A']
		k.encoded, k.flaw, k.needsKey = segments[0]+"."+segments[1]+"."+string(changed), "a changed signature", true
	case 1:
		forged := maps.Clone(header)
		forged["kid"] = k.kid
		forged["alg"] = "ES384" // the stranger's key; another of the tenant's is condemned for that alone
		k.encoded, k.flaw, k.needsKey = p.tenant.stranger.Sign(forged, k.claims), "a stranger's signature under a true kid", true
	case 2:
		k.encoded, k.kid = p.tenant.stranger.Sign(header, k.claims), ""
		k.flaw, k.needsKey = "a stranger's token", true
	case 3:
		forged := maps.Clone(header)
		forged["kid"] = fmt.Sprintf("made-up-%d", rand.Uint64())
		k.encoded, k.kid, k.flaw, k.needsKey = p.tenant.stranger.Sign(forged, k.claims), "", "a made-up kid", true
	case 4:
		unsigned := p.tenant.stranger.Sign(map[string]any{"alg": "none", "kid": k.kid}, k.claims)
		k.encoded, k.flaw = unsigned[:strings.LastIndexByte(unsigned, '.')+1], "no signature"
	case 5:
		k.encoded, k.flaw = k.encoded[:len(k.encoded)*3/4], "cut short"
		if strings.Count(k.encoded, ".") == 2 { // only the signature is shorter
			k.needsKey = true
		}
	case 6:
		k.encoded, k.flaw = devtenant.New(devtenant.Options{}).OpaqueToken(), "opaque"
	case 7:
		k.encoded, k.flaw = p.tenant.IDToken("user-1", "app-1"), "an ID token"
	}
}

// request is one request, before it is sent.
type request struct {
	site         *site
	token        *token
	credential   string // "token", "none", "basic" or "twice"
	organization string
	crossOrigin  bool
}

func (r *request) describe() string {
	if r.token == nil {
		return r.credential
	}
	return fmt.Sprintf("%s, organization %q, flaw %q, cross-origin %t, kid %q, claims %v",
		r.credential, r.organization, r.token.flaw, r.crossOrigin, r.token.kid, r.token.claims)
}

// request makes up a request.
func (p *pool) request() *request {
	r := &request{site: sites[rand.N(len(sites))], credential: "token", organization: "acme"}
	switch n := rand.N(20); {
	case n == 0:
		r.credential = "none"
		return r
	case n == 1 && r.site.from == "header":
		r.credential = "basic"
		return r
	case n == 2:
		r.credential = "twice"
	case n == 3:
		r.organization = []string{"globex", "any", "", "{http.request.host}"}[rand.N(4)]
	}
	r.crossOrigin = rand.N(4) == 0
	p.mu.Lock()
	defer p.mu.Unlock()
	// Any token at any site would mostly be refused, and mostly for its audience.
	wanted := wishes[rand.N(len(wishes))]
	for range tries {
		r.token = p.tokens[rand.N(len(p.tokens))]
		if wanted(r.decide(0, facts{keyKnown: true})) {
			break
		}
	}
	return r
}

// tries is how many tokens are looked at for one that makes a wish true.
const tries = 20

// wishes are the answers that a request is made up for.
var wishes = []func(decision) bool{
	func(decision) bool { return true },
	func(d decision) bool { return d.status == http.StatusOK },
	func(d decision) bool { return strings.Contains(d.body, "scope") || strings.Contains(d.body, "Claim") },
}

// secrets finds parts of tokens in texts. It knows pieces of every payload and
// signature that was ever minted.
type secrets struct {
	mu     sync.RWMutex
	pieces map[string]struct{}
}

const (
	// A part of pieceLength+pieceStep characters or more holds a whole piece.
	pieceLength = 16
	pieceStep   = 8
)

func newSecrets() *secrets { return &secrets{pieces: map[string]struct{}{}} }

func (s *secrets) add(encoded string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	segments := strings.Split(encoded, ".")
	for _, segment := range segments[min(1, len(segments)-1):] { // a header is no secret
		for at := 0; at+pieceLength <= len(segment); at += pieceStep {
			s.pieces[strings.Clone(segment[at:at+pieceLength])] = struct{}{}
		}
	}
}

// found returns a part of a token that stands in the text.
func (s *secrets) found(text string) (string, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for word := range strings.FieldsFuncSeq(text, func(c rune) bool { return !isBase64URL(c) }) {
		for at := range max(0, len(word)-pieceLength+1) {
			if _, known := s.pieces[word[at:at+pieceLength]]; known {
				return word[at : at+pieceLength], true
			}
		}
	}
	return "", false
}

func isBase64URL(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
