package logtoauth

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// none is what is shown of a value that is absent or empty.
const none = "none"

// add notes what a check said.
func (e *examination) add(name, found, asked string, refusal *Refusal) {
	result := checkResult{Check: name, Result: checkOK, Found: cmp.Or(legible.Field(found), none), Asked: legible.Text(asked)}
	if refusal != nil {
		result.Result, result.Reason, result.refusal = checkFailed, refusal.Reason, refusal
	}
	e.results = append(e.results, result)
}

// explainToken goes through what makes a token an access token of the tenant. A
// request is refused at the first check that fails, and cheap ones come first.
// Here all are made that still can be, since whoever asks wants to fix
// everything at once. The verdict is not taken from them: it is what the handler
// itself decides, as in a request.
func (e *examination) explainToken(ctx context.Context) {
	rules := &e.handler.validator.rules
	parsed, refusal := parseJWS(e.token)
	e.add("form", fmt.Sprintf("%d characters", len(e.token)), "a signed JWT", refusal)
	if refusal != nil {
		return
	}
	e.add("type", parsed.typ, cmp.Or(strings.Join(rules.types, " "), anyTokenType), rules.checkType(parsed.typ))
	e.add("algorithm", parsed.algorithm, strings.Join(rules.algorithms, " "), rules.checkAlgorithm(parsed.algorithm))
	e.add("key id", parsed.keyID, "", checkKeyID(parsed.keyID))
	if e.info, refusal = parsed.claims(); refusal != nil {
		e.add("claims", "not usable", "those of an access token", refusal)
	} else {
		e.explainClaims()
	}
	e.explainSignature(ctx, parsed)
}

// explainClaims goes through who a token is from and when it is valid, with the
// very functions that judge requests.
func (e *examination) explainClaims() {
	rules, info, unix := &e.handler.validator.rules, e.info, e.now.Unix()
	e.add("issuer", info.Issuer, strings.Join(rules.issuers, " "), rules.checkIssuer(info))
	e.add("subject and client", "sub "+cmp.Or(info.Subject, none)+", client_id "+cmp.Or(info.ClientID, none), "", rules.checkParties(info))
	issued, age := none, none
	if info.hasIssuedAt {
		issued, age = info.IssuedAt.UTC().Format(time.RFC3339), seconds(unix-info.issuedAt)
	}
	e.add("lifetime", "from "+issued+" until "+info.ExpiresAt.UTC().Format(time.RFC3339), "now "+e.now.UTC().Format(time.RFC3339), rules.checkLifetime(info, unix))
	if rules.maxAge > 0 {
		e.add("age", age, "at most "+seconds(rules.maxAge), rules.checkAge(info, unix))
	}
}

// explainSignature asks for the key and verifies the signature. It waits for the
// tenant like a request that finds no keys, but an unknown kid makes no further
// fetch: these keys are as new as they can be.
func (e *examination) explainSignature(ctx context.Context, parsed *jws) {
	snapshot := e.handler.validator.keys.Await(ctx, keys.Nobody)
	if snapshot == nil {
		e.add("key", "", "the tenant's keys", refuseKeysUnavailable(0))
		return
	}
	key, refusal := parsed.selectKey(snapshot)
	if key.Key == nil {
		e.add("key", parsed.keyID, "a key that the tenant publishes", refuseToken(ReasonUnknownKey, "", "kid"))
		return
	}
	is := key.Status()
	e.add("key", strings.TrimSpace(is.KTY+" "+is.CRV), strings.Join(is.Algorithms, " "), refusal)
	if refusal != nil {
		return
	}
	found := "valid"
	if !parsed.verifiedBy(key) {
		found, refusal = "not made by this key", refusedSignature
	}
	e.add("signature", found, "", refusal)
}

// explainRequirements goes through what the site asks for.
func (e *examination) explainRequirements(q *requirements, asked askedOrganizations) {
	info := e.info
	if info == nil {
		return // the claims could not be read, which was said already
	}
	// A logto_require asks for no audience. A logto_auth without one asks for
	// that of an organization.
	if len(q.audiences) > 0 || q == &e.handler.requirements {
		audience := strings.Join(q.audiences, " ")
		if q.model == modelOrganization {
			audience = e.site.organizationAudience(info)
		}
		e.add("audience", strings.Join(info.Audience, " "), audience, q.checkAudience(info))
	}
	if q.organization != (organizationRule{}) {
		e.explainOrganization(q, asked)
	}
	if len(q.scopes)+len(q.anyScopes) > 0 {
		scopes := strings.Join(q.scopes, " ")
		if len(q.anyScopes) > 0 {
			scopes = strings.TrimSpace(scopes + " any of " + strings.Join(q.anyScopes, " "))
		}
		e.add("scopes", strings.Join(info.Scopes, " "), scopes, q.checkScopes(info))
	}
	if len(q.claims) > 0 {
		var found, claims []string
		for _, claim := range q.claims {
			path := strings.Join(claim.path, ".")
			value := ""
			if got, ok := info.claim(claim.path); ok {
				value = claimText(got)
			}
			found = append(found, path+" "+cmp.Or(value, none))
			claims = append(claims, path+" "+strings.Join(claim.values, "|"))
		}
		e.add("required claims", strings.Join(found, ", "), strings.Join(claims, ", "), q.checkClaims(info))
	}
}

// explainOrganization compares the token's organization with those asked for,
// which may come from placeholders: then it shows what became of them.
func (e *examination) explainOrganization(q *requirements, asked askedOrganizations) {
	text := q.organization.mode
	if q.organization.listed {
		text = asked.text
	}
	found := none
	if id, refusal := tokenOrganization(e.info, q.model); refusal == nil {
		found = id
	} else if e.info.organization == organizationUnusable {
		found = "not a string"
	} else if named := namedOrganizations(e.info); len(named) > 1 {
		found = strings.Join(named, " and ")
	} else if len(named) == 1 {
		found = named[0] + " in aud only"
	}
	wanted := asked.wanted
	if len(asked.unknown) > 0 {
		// Whatever the request asks for, this must hold.
		wanted = suited(e.info, q.model)
	}
	_, refusal := q.checkOrganization(e.info, wanted)
	e.add("organization", found, text, refusal)
	if last := &e.results[len(e.results)-1]; refusal == nil && len(asked.unknown) > 0 {
		last.Result = checkUnknown
	}
}

// askedOrganizations are the organizations that a request asks for.
type askedOrganizations struct {
	wanted wantedOrganizations

	// unknown lists the placeholders that nothing but a request decides. If
	// there are any, nothing is wanted.
	unknown []string

	// text shows the IDs to people: what their placeholders became, and from
	// what.
	text string
}

// asked tells which organizations a request asks for. unknown names the
// placeholders that the request does not decide.
func (o organizationIDs) asked(r *http.Request, unknown func(placeholder string) string) askedOrganizations {
	var asked askedOrganizations
	repl, _ := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	texts := make([]string, 0, len(o.ids))
	for _, id := range o.ids {
		undecided := id.undecided(unknown)
		for _, name := range undecided {
			if !slices.Contains(asked.unknown, name) {
				asked.unknown = append(asked.unknown, name)
			}
		}
		text := id.text
		if id.dynamic && len(undecided) == 0 {
			text = cmp.Or(legible.Field(repl.ReplaceAll(id.text, "")), none) + ", from " + id.text
		}
		texts = append(texts, text)
	}
	asked.text = strings.Join(texts, " or ")
	if len(asked.unknown) == 0 {
		asked.wanted = o.resolve(r)
	}
	return asked
}

// undecided names the placeholders in the ID that have a name.
func (id *organizationID) undecided(unknown func(placeholder string) string) []string {
	var names []string
	// The result is of no interest, only which placeholders there are.
	_, _ = caddy.NewEmptyReplacer().ReplaceFunc(id.text, func(key string, _ any) (any, error) {
		if name := unknown(key); name != "" {
			names = append(names, name)
		}
		return nil, nil
	})
	return names
}
