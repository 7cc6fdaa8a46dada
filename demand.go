package logtoauth

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// demand is what hints need to know of a site: how a client must request a
// token that the site admits. All hints about one request are made from one
// demand, so that none of them contradicts another.
type demand struct {
	// requirements are what is asked for. Those of a logto_require have the
	// audiences and, unless it asks for an organization itself, the
	// organization of the logto_auth before it.
	requirements

	// organizations are the IDs of which the token's must be one, if they are
	// known.
	organizations []string

	// resolved says that they were made of the request, where a name is
	// easily taken for an ID.
	resolved bool

	// impossible tells why no token at all has the organization that both
	// logto_auth and logto_require ask for; empty if one can.
	impossible string

	// sources are the places where a token may stand.
	sources tokenSources

	// sessionsOnly says that no token is let in: people sign in, and their ID
	// tokens are all that is checked.
	sessionsOnly bool
}

// demand tells what the site demands of a token, where these organizations are
// wanted.
func (h *Handler) demand(wanted wantedOrganizations) demand {
	return demand{
		requirements:  h.requirements,
		organizations: wanted.ids,
		resolved:      h.organizations.dynamic(),
		sources:       h.sources,
		sessionsOnly:  h.identityMode(),
	}
}

// demand is the same for a logto_require. base is what the logto_auth before
// it demands, the zero value if none ran.
func (q *Require) demand(wanted wantedOrganizations, base demand) demand {
	d := base
	d.requirements = q.after(&base.requirements)
	d.audiences = base.audiences
	own := demand{requirements: q.requirements, organizations: wanted.ids, resolved: q.organizations.dynamic()}
	d.organization = base.organization
	d.ask(&own)
	return d
}

// demandBehind is what a request must meet behind a logto_auth, nil if none ran.
func (q *Require) demandBehind(before *Handler, r *http.Request) demand {
	var base demand
	if before != nil {
		base = before.demand(before.organizations.resolve(r))
	}
	return q.demand(q.organizations.resolve(r), base)
}

// ask adds the organization that a logto_require asks for.
func (d *demand) ask(own *demand) {
	asked, before := own.organization, d.organization
	switch {
	case asked == organizationRule{}, asked.mode == organizationAny && before.asked():
		return // what logto_auth asks for is as strict
	case asked.asked() && before.mode == organizationForbid:
		d.impossible = "this logto_require asks for an organization but logto_auth forbids one, so no token can pass: set organization in logto_auth"
	case asked.mode == organizationForbid && before.asked():
		d.impossible = "this logto_require forbids an organization but logto_auth asks for one, so no token can pass: change one of the two"
	case before.listed && len(d.organizations) > 0 && len(own.organizations) > 0:
		both := slices.DeleteFunc(slices.Clone(own.organizations), func(id string) bool { return !slices.Contains(d.organizations, id) })
		if len(both) == 0 {
			d.impossible = "logto_auth asks for " + parameter("organization_id", d.organizations) + " and this logto_require for " +
				parameter("organization_id", own.organizations) + ", so no token can pass both"
		}
		own.organizations = both
	}
	d.organization, d.organizations, d.resolved = asked, own.organizations, own.resolved
}

// dynamic reports whether an ID has placeholders of request time.
func (o organizationIDs) dynamic() bool {
	return slices.ContainsFunc(o.ids, func(id organizationID) bool { return id.dynamic })
}

// request tells how a client must request a token that the site admits. info
// is what the token at hand says; nil if that cannot be read.
func (d *demand) request(info *AuthInfo) string {
	switch {
	case d.model == modelOrganization:
		return "request it with " + d.organizationParameter(info) + " and without resource"
	case d.organization.asked():
		return "request it with " + d.resourceParameter() + " and " + d.organizationParameter(info)
	case d.organization.mode == organizationForbid:
		return "request it with " + d.resourceParameter() + " and without organization_id"
	default:
		return "request it with " + d.resourceParameter()
	}
}

// resourceParameter is the parameter that gives a token one of the audiences.
func (d *demand) resourceParameter() string { return parameter("resource", d.audiences) }

// organizationParameter is the parameter that gives a token its organization:
// one of those that are asked for, or where any will do the token's own.
func (d *demand) organizationParameter(info *AuthInfo) string {
	return parameter("organization_id", d.suitable(info))
}

// organizationAudience is the audience of an organization's token.
func (d *demand) organizationAudience(info *AuthInfo) string {
	if ids := d.suitable(info); len(ids) == 1 {
		return organizationURN + legible.Field(ids[0])
	}
	return organizationURN + "<id>"
}

func (d *demand) suitable(info *AuthInfo) []string {
	if d.organization.mode == organizationAny {
		return namedOrganizations(info)
	}
	return d.organizations
}

// wants reports whether an organization is one of those that are asked for.
func (d *demand) wants(organization string) bool {
	return d.organization.mode == organizationAny || slices.Contains(d.organizations, organization)
}

// parameter writes a parameter of a token request with its possible values, of
// which no more are shown than can be read.
func parameter(name string, values []string) string {
	const most = 3
	if len(values) == 0 {
		return name
	}
	shown := make([]string, 0, most)
	for _, value := range values[:min(len(values), most)] {
		shown = append(shown, legible.Field(value))
	}
	text := name + "=" + strings.Join(shown, " or ")
	if len(values) > most {
		text += " or …"
	}
	return text
}

// namedOrganizations are the organizations that a token names in its claim and
// its audience, each once.
func namedOrganizations(info *AuthInfo) []string {
	if info == nil {
		return nil
	}
	ids := organizationAudiences(info.Audience)
	if info.organizationID != "" {
		ids = append(ids, info.organizationID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// places names where the site looks for a token.
func (d *demand) places() string {
	texts := make([]string, 0, len(d.sources))
	for _, source := range d.sources {
		switch {
		case source.From == sourceHeader && source.Name == defaultSourceHeader:
			texts = append(texts, `"Authorization: Bearer …"`)
		default:
			texts = append(texts, source.From+" "+source.Name)
		}
	}
	return strings.Join(texts, " or ")
}
