package logtoauth

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// webhookKeySetting is the setting that two logto_auth of a site may disagree
// about.
const webhookKeySetting = "revocation.webhook_secret"

// foundWebhook is a logto_auth that takes webhooks.
type foundWebhook struct {
	*foundAuth
	path string // of the endpoint
	key  string // secret
}

// webhookOf expands what load time knows. It reports false for a logto_auth that
// takes no webhooks or will not load, which says why.
func webhookOf(auth *foundAuth) (foundWebhook, bool) {
	if !auth.settings.Revocation.takesWebhooks() {
		return foundWebhook{}, false
	}
	written := *auth.settings.Revocation
	e := &expander{repl: caddy.NewReplacer()}
	written.expand(e)
	path := auth.settings.endpointsPath() + "/" + webhookName
	return foundWebhook{auth, path, written.WebhookSecret}, len(e.errs) == 0
}

// conflictsWith reports whether a delivery for one of two webhooks may come to
// the other, which refuses its signature.
func (w foundWebhook) conflictsWith(other foundWebhook) bool {
	return w.server == other.server && w.path == other.path && w.key != other.key && w.reach.meets(other.reach)
}

// conflictingWebhooks warns of logto_auth of one site that take webhooks at one
// address with different keys: whichever sees a delivery first answers it. It is
// no error, because a matcher may keep their deliveries apart, such as by the
// address of the sender.
func conflictingWebhooks(auths []*foundAuth) []siteWarning {
	var seen []foundWebhook
	var found []siteWarning
	for _, auth := range auths {
		webhook, ok := webhookOf(auth)
		if !ok {
			continue
		}
		if i := slices.IndexFunc(seen, webhook.conflictsWith); i >= 0 {
			// A named route may be invoked more than once.
			if w := seen[i].differs(webhook); !slices.Contains(found, w) {
				found = append(found, w)
			}
		}
		seen = append(seen, webhook)
	}
	return found
}

// differs tells that two webhooks have one address and different keys.
func (w foundWebhook) differs(other foundWebhook) siteWarning {
	return siteWarning{w.server.siteName(other.reach), warning{
		webhookKeySetting,
		"two logto_auth take webhooks at " + w.path + " with different signing keys: " + w.place() + ", and " + other.placeBeside(w) +
			". Whichever sees a webhook first answers it, with 401 if it was signed with the key of the other one. " +
			"Keep webhook_secret in one of them: with revocation alone, the other obeys the same list. For the webhook of another tenant, give its revocation another path",
	}}
}

// place names a logto_auth by its site, the matchers around it, and where its
// signing key comes from. The key itself is secret.
func (w foundWebhook) place() string {
	text := strings.Join(append([]string{w.server.siteName(w.reach)}, w.reach.where...), ", ")
	if source := keySource(w.settings.Revocation.WebhookSecret); source != "" {
		text += " with " + source
	}
	return text
}

// keySource is the placeholder that a signing key comes from, as it is written.
func keySource(written string) string {
	if _, ok := onlyPlaceholder(written); ok {
		return written
	}
	return "" // some or all of it is secret
}

// placeBeside names a logto_auth after another one.
func (w foundWebhook) placeBeside(other foundWebhook) string {
	if place := w.place(); place != other.place() {
		return place
	}
	return "another one there"
}
