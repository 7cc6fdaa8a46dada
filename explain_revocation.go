package logtoauth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// readList lets the sites of a config that have `revocation` read their list in
// the config's storage, as in a running Caddy. Nothing is written to it.
func (c *siteConfig) readList(ctx caddy.Context) error {
	module, err := ctx.App(appName)
	if err != nil {
		return err
	}
	app := module.(*App)
	if !slices.ContainsFunc(app.auths, func(auth *foundAuth) bool { return auth.settings.Revocation != nil }) {
		return nil // a storage may be at the other end of a network
	}
	storage, err := c.openStorage(ctx)
	app.storage = &listReader{storage: storage, failed: err}
	return nil
}

// openStorage returns the storage of the config, or Caddy's own.
func (c *siteConfig) openStorage(ctx caddy.Context) (session.Storage, error) {
	if c.StorageRaw == nil {
		return caddy.DefaultStorage, nil
	}
	module, err := ctx.LoadModule(c, "StorageRaw")
	if err != nil {
		return nil, err
	}
	return module.(caddy.StorageConverter).CertMagicStorage()
}

// listReader is a storage that cannot be written to, and remembers what could
// not be read: the list goes on without it, and its reader should know.
type listReader struct {
	storage session.Storage

	mu     sync.Mutex
	failed error
}

var errReadOnly = errors.New("nothing is written here")

// Store implements [session.Storage].
func (*listReader) Store(context.Context, string, []byte) error { return errReadOnly }

// Delete implements [session.Storage].
func (*listReader) Delete(context.Context, string) error { return errReadOnly }

// Load implements [session.Storage].
func (l *listReader) Load(ctx context.Context, key string) ([]byte, error) {
	if l.storage == nil {
		return nil, l.failure()
	}
	value, err := l.storage.Load(ctx, key)
	return value, l.note(err)
}

// List implements [session.Storage].
func (l *listReader) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	if l.storage == nil {
		return nil, l.failure()
	}
	names, err := l.storage.List(ctx, path, recursive)
	return names, l.note(err)
}

func (l *listReader) note(err error) error {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.mu.Lock()
		l.failed = err
		l.mu.Unlock()
	}
	return err
}

func (l *listReader) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// theList names what an outcome depends on that could not be read.
const theList = "the list of revocations"

// explainRevocation looks a token up in the list of revocations. It returns
// what the outcome depends on if that cannot be read.
func (e *examination) explainRevocation(ctx context.Context) (depends []string) {
	v := e.handler.revocations
	if v == nil || e.info == nil {
		return nil
	}
	refusal := v.check(ctx, e.info, false)
	if refusal != nil && refusal.Reason == ReasonRevoked {
		e.add("revocation", "revoked since "+v.since(e.info), "", refusal)
		return nil
	}
	var failed error
	if reader, ok := v.storage().(*listReader); ok {
		failed = reader.failure()
	}
	switch {
	case failed == nil && refusal == nil:
		e.add("revocation", fmt.Sprintf("not on the list (entries: %d)", v.entries()), "", nil)
		return nil
	case failed == nil:
		failed = errors.New("the storage does not answer")
	}
	e.add("revocation", "the list cannot be read: "+legible.Error(failed), "", nil)
	last := &e.results[len(e.results)-1]
	last.Result, last.Hint = checkUnknown, "run this as the user that Caddy runs as, with its environment: the list is in Caddy's storage"
	return []string{theList}
}

// entries is how many entries there are about the tenant.
func (v *revocations) entries() (n int) {
	for _, of := range v.lists.all() {
		n += of.list.Len()
	}
	return n
}

// since says when a token on the list was revoked, and by what: of several
// entries, the one that refuses the most.
func (v *revocations) since(info *AuthInfo) string {
	var newest session.Entry
	for _, of := range v.lists.all() {
		for _, entry := range of.list.Entries() {
			if concerns(entry, info) && entry.NotBefore.After(newest.NotBefore) {
				newest = entry
			}
		}
	}
	text := rfc3339(newest.NotBefore) + ", by " + string(newest.Kind) + " " + legible.Field(newest.Subject)
	if newest.Organization != "" {
		text += " in " + legible.Field(newest.Organization)
	}
	return text
}

// concerns reports whether an entry is about a token.
func concerns(entry session.Entry, info *AuthInfo) bool {
	of := func(organization string) bool {
		return organization == info.organizationID || slices.Contains(info.Audience, organizationURN+organization)
	}
	switch entry.Kind {
	case session.ByToken:
		return entry.Subject == info.TokenID
	case session.BySubject:
		return entry.Subject == info.Subject
	case session.ByClient:
		return entry.Subject == info.ClientID
	case session.ByMember:
		return entry.Subject == info.Subject && of(entry.Organization)
	case session.ByOrganization:
		return of(entry.Subject)
	}
	return false
}
