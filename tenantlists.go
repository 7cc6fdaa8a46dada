package logtoauth

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// tenantLists are the lists of one tenant in a config. A list is that of the
// first issuer that a site accepts. But a tenant has several names, its own
// domain and custom ones, and one site may put another name first than the next.
// Who is on one of the lists is out at all of the tenant's sites.
type tenantLists struct {
	lists []*endings

	// into is what this has become part of, because a site has shown that two
	// names are one tenant's.
	into *tenantLists
}

// root is what this is part of by now.
func (t *tenantLists) root() *tenantLists {
	for t.into != nil {
		t = t.into
	}
	return t
}

// all are the lists. They do not change any more when the config is loaded, so
// that requests need no lock.
func (t *tenantLists) all() []*endings { return t.root().lists }

// await waits until each of the lists has been read once.
func (t *tenantLists) await(ctx context.Context, timeout time.Duration) error {
	for _, of := range t.all() {
		if err := of.await(ctx, timeout); err != nil {
			return err
		}
	}
	return nil
}

// join makes two one.
func (t *tenantLists) join(other *tenantLists) *tenantLists {
	t, other = t.root(), other.root()
	if t == other {
		return t
	}
	for _, of := range other.lists {
		if !slices.Contains(t.lists, of) {
			t.lists = append(t.lists, of)
		}
	}
	other.into = t
	return t
}

// listsOf returns the lists of the tenant of a site, whose own one is given. An
// entry must live as long as what it ends, at whichever site that is, so how long
// one site keeps entries, or lets sessions last, counts for all of the lists.
func (a *App) listsOf(own *endings, site *keys.Config) *tenantLists {
	a.mu.Lock()
	defer a.mu.Unlock()
	names := site.AcceptedIssuers()
	if site.Endpoint != "" {
		names = append(names, site.EndpointIssuer())
	}
	if site.JWKSURI != "" {
		names = append(names, site.JWKSURI)
	}
	lists := &tenantLists{lists: []*endings{own}}
	for _, name := range names {
		if known := a.signIn.tenants[name]; known != nil {
			lists = known.join(lists)
		}
	}
	if a.signIn.tenants == nil {
		a.signIn.tenants = make(map[string]*tenantLists)
	}
	for _, name := range names {
		a.signIn.tenants[name] = lists
	}
	var longest, keep time.Duration
	for _, of := range lists.lists {
		longest = max(longest, time.Duration(of.longest.Load()))
		keep = max(keep, a.signIn.keeps.of(of.issuer))
	}
	for _, of := range lists.lists {
		of.lastFor(longest)
		a.signIn.keeps.atLeast(of.issuer, keep)
		of.joined.says(a, lists.lists)
	}
	return lists
}

// joinedLists are a list and those that configs have joined with it. What
// outlives a config asks here, such as the refresher of an app.
//
// What a config says counts from when it is provisioned, since it may have
// requests before it starts, until it is cleaned up, since it still answers
// requests when it has stopped. Until then it keeps its lists alive. While one
// config takes over from another, what either of them says counts.
type joinedLists struct {
	own *endings
	all atomic.Pointer[[]*endings] // replaced, never changed: requests read it without a lock

	mu sync.Mutex
	by map[*App][]*endings
}

func newJoinedLists(own *endings) *joinedLists {
	j := &joinedLists{own: own, by: make(map[*App][]*endings)}
	j.all.Store(&[]*endings{own})
	return j
}

// says notes which lists are one for a config.
func (j *joinedLists) says(config *App, lists []*endings) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.by[config] = slices.Clone(lists) // more may be joined to it
	j.update()
}

// forget takes back what a config says.
func (j *joinedLists) forget(config *App) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.by, config)
	j.update()
}

// update is called with mu held.
func (j *joinedLists) update() {
	all := []*endings{j.own}
	for _, lists := range j.by {
		for _, of := range lists {
			if !slices.Contains(all, of) {
				all = append(all, of)
			}
		}
	}
	j.all.Store(&all)
}
