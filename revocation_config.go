package logtoauth

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// Revocation lets a site refuse tokens and sessions before they expire: those
// of a person, an app, a member of an organization, a session, or one token,
// if they are not younger than the entry in the list of revocations.
//
// The list is in Caddy's storage, so that all processes that share it obey it.
// Entries come from the admin API, from Logto's webhooks, and from back-channel
// logout (`sign_in`).
type Revocation struct {
	// How long an entry is kept about tokens only. It must be at least as long
	// as the tenant's access tokens live. Entries that a session can match are
	// kept as long as a session may last, if that is longer. Default: `24h`.
	Keep caddy.Duration `json:"keep,omitempty"`

	// The signing key of a webhook in Logto. With it, this site takes webhooks
	// at `<path>/webhook`. At least 16 characters. Placeholders (`{env.*}`,
	// `{file.*}`) are expanded when the config is loaded. Default: no webhook
	// is taken.
	WebhookSecret string `json:"webhook_secret,omitempty"`

	// The path below which the webhook is, where the site has no `sign_in`.
	// Default: that of `sign_in`, else `/.logto`. Placeholders are not
	// expanded.
	Path string `json:"path,omitempty"`
}

const (
	defaultKeep = caddy.Duration(24 * time.Hour)

	// minWebhookSecret is the length under which a signing key is a mistake.
	// Logto's have 32.
	minWebhookSecret = 16
)

// applyDefaults fills in what is left out.
func (v *Revocation) applyDefaults(signIn *SignIn) {
	setDefault(&v.Keep, defaultKeep)
	if signIn != nil {
		setDefault(&v.Path, signIn.Path)
	}
	setDefault(&v.Path, defaultSignInPath)
}

// takesWebhooks reports whether a site with these settings takes Logto's
// webhooks. They need not be provisioned; nil is none.
func (v *Revocation) takesWebhooks() bool { return v != nil && v.WebhookSecret != "" }

// expand replaces the placeholders that are known at load.
func (v *Revocation) expand(e *expander) {
	if v.takesWebhooks() {
		e.expandSecret("revocation.webhook_secret", "the signing key", &v.WebhookSecret)
	}
}

// vetRevocation judges the settings of revocation.
func (h *Handler) vetRevocation(f *findings) {
	v := h.Revocation
	if v == nil {
		return
	}
	const block = "revocation."
	if v.Keep < 0 {
		f.add(block+"keep", "%s is negative", time.Duration(v.Keep))
	}
	if f.stage == sharing && (v.WebhookSecret != "" || v.Path != "") {
		f.add("revocation", "webhook_secret and path belong in the revocation of the one site that takes webhooks, not in the global option")
	}
	if v.WebhookSecret != "" {
		f.vetSecret(block+"webhook_secret", "the signing key", v.WebhookSecret, vetWebhookSecret)
	}
	if v.Path != "" {
		f.note(block+"path", 0, vetSignInPath(v.Path))
		if h.SignIn != nil {
			if other := cmp.Or(h.SignIn.Path, defaultSignInPath); other != v.Path {
				f.add(block+"path", "%q is not the path of sign_in, %q; leave the line out", v.Path, other)
			}
		}
	}
}

func vetWebhookSecret(secret string) error {
	switch {
	case vetText(secret) != nil:
		return errors.New("the signing key holds a control character, or a space at one end")
	case len(secret) < minWebhookSecret:
		return fmt.Errorf("the signing key has %d characters; it must have at least %d, and Logto's have 32", len(secret), minWebhookSecret)
	}
	return nil
}

// inherit takes from the global option what the site leaves out. A webhook is
// each site's own.
func (v *Revocation) inherit(global *Revocation) *Revocation {
	if v == nil {
		return &Revocation{Keep: global.Keep}
	}
	setDefault(&v.Keep, global.Keep)
	return v
}

// revocationSettings are the lines of a revocation block.
var revocationSettings = map[string]setting[Revocation]{
	"keep":           {parse: func(v *Revocation, a args) error { return a.positiveDuration(&v.Keep) }},
	"webhook_secret": {parse: func(v *Revocation, a args) error { return a.text(&v.WebhookSecret) }},
	"path":           {parse: func(v *Revocation, a args) error { return a.text(&v.Path) }},
}

// revocation takes a block, which may be left out.
func (a args) revocation(field **Revocation) error {
	if a.NextArg() {
		return a.Errf("%s takes a block only", a.word)
	}
	*field = new(Revocation)
	return unmarshalBlock(a.Dispenser, *field, revocationSettings, a.word+".", a.written)
}
