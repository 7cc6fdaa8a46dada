package devtenant

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// App is an application that signs people in: a Logto's "Traditional web", or
// without a secret a "Single page app". Machine-to-machine clients are those
// of [Tenant.RegisterClient].
type App struct {
	ID string

	// If empty, the client is public: PKCE is required, and its refresh token
	// changes at each use.
	Secret string

	// Where a sign-in and a sign-out may end. They are compared as they are;
	// this tenant knows no wildcards.
	RedirectURIs           []string
	PostLogoutRedirectURIs []string

	// If true, every sign-in gives a refresh token, without `offline_access`.
	AlwaysIssueRefreshToken bool

	// If true, the refresh token never changes, not past 70 % of its life either.
	NoRotation bool

	// Where logout tokens go when a browser's session ends, and whether they
	// and the ID tokens have a `sid`.
	BackChannelLogoutURI             string
	BackChannelLogoutSessionRequired bool
}

// User is a person who can sign in.
type User struct {
	ID       string
	Username string // Default: the ID.
	Name     string // Default: the username.
	Email    string // Default: the username at example.com.
	Phone    string
	Roles    []string

	// What the person may have. Permissions of an organization count for its
	// members only.
	Permissions []Permission
}

// directory is what an administrator sees in the console. The tenant's mutex
// guards it.
type directory struct {
	apps      map[string]App
	resources map[string]bool
	people    map[string]*person
	order     []string // IDs of people, as they were added
	automatic string   // who signs in without a page; empty: the page asks
}

type person struct {
	User
	created   time.Time
	updated   time.Time
	suspended bool
	members   []membership    // in the order of joining
	withdrawn map[string]bool // apps that the person may not use
}

type membership struct {
	organization string
	roles        []string
}

func newDirectory() directory {
	return directory{apps: map[string]App{}, resources: map[string]bool{}, people: map[string]*person{}}
}

// AddApp lets an application sign people in. One that was added before under
// this ID is replaced.
func (t *Tenant) AddApp(app App) {
	app.RedirectURIs = slices.Clone(app.RedirectURIs)
	app.PostLogoutRedirectURIs = slices.Clone(app.PostLogoutRedirectURIs)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.directory.apps[app.ID] = app
}

// AddResource makes an API known. Those that a permission names need not be
// added: this is for one of which nobody has a permission.
func (t *Tenant) AddResource(indicator string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.directory.resources[indicator] = true
}

// DeleteResource deletes an API, and with it everybody's permissions there.
// Sign-ins that ask for it fail from now on, those that ask for others as well
// included.
func (t *Tenant) DeleteResource(indicator string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.directory.resources, indicator)
	for _, p := range t.directory.people {
		p.Permissions = slices.DeleteFunc(p.Permissions, func(of Permission) bool { return of.Resource == indicator })
	}
}

// AddUser adds a person. One that was added before under this ID is replaced,
// and is a member of no organization.
func (t *Tenant) AddUser(user User) {
	user.Username = cmp.Or(user.Username, user.ID)
	user.Name = cmp.Or(user.Name, user.Username)
	user.Email = cmp.Or(user.Email, user.Username+"@example.com")
	user.Roles = slices.Clone(user.Roles)
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.directory.people[user.ID]; !known {
		t.directory.order = append(t.directory.order, user.ID)
	}
	added := &person{User: user, created: t.now(), updated: t.now(), withdrawn: map[string]bool{}}
	t.directory.people[user.ID] = added
	t.permitLocked(added, user.Permissions)
}

// SetPermissions replaces what a person may have. As in a Logto, tokens lose
// scopes at the next refresh, and gain them with the next sign-in.
func (t *Tenant) SetPermissions(userID string, permissions ...Permission) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.permitLocked(t.personLocked(userID), permissions)
}

func (t *Tenant) permitLocked(p *person, permissions []Permission) {
	p.Permissions = slices.Clone(permissions)
	for _, permission := range permissions {
		if permission.Resource != "" {
			t.directory.resources[permission.Resource] = true
		}
	}
}

// AddMember lets a person join an organization, or gives a member these roles.
func (t *Tenant) AddMember(organizationID, userID string, roles ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.personLocked(userID)
	joined := membership{organization: organizationID, roles: slices.Clone(roles)}
	if i := p.memberIndex(organizationID); i >= 0 {
		p.members[i] = joined
		return
	}
	p.members = append(p.members, joined)
}

// RemoveMember takes a person out of an organization.
func (t *Tenant) RemoveMember(organizationID, userID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.personLocked(userID)
	if i := p.memberIndex(organizationID); i >= 0 {
		p.members = slices.Delete(p.members, i, i+1)
	}
}

// WithdrawApp bars a person from an application; [Tenant.AllowApp] takes it
// back.
func (t *Tenant) WithdrawApp(appID, userID string) { t.setWithdrawn(appID, userID, true) }

// AllowApp lets a person use an application again.
func (t *Tenant) AllowApp(appID, userID string) { t.setWithdrawn(appID, userID, false) }

func (t *Tenant) setWithdrawn(appID, userID string, withdrawn bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.personLocked(userID).withdrawn[appID] = withdrawn
}

// Suspend bars a person from signing in and from refreshing. As in a Logto, it
// ends the person's sessions and refresh tokens for good, and tells no app:
// back-channel logout is for sign-outs in a browser only.
func (t *Tenant) Suspend(userID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.personLocked(userID)
	p.suspended, p.updated = true, t.now()
	t.endSessionsLocked(userID, true)
}

// Reinstate takes a suspension back.
func (t *Tenant) Reinstate(userID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.personLocked(userID)
	p.suspended, p.updated = false, t.now()
}

// DeleteUser deletes a person, who is then nobody to any session and token.
func (t *Tenant) DeleteUser(userID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.directory.people, userID)
	t.directory.order = slices.DeleteFunc(t.directory.order, func(id string) bool { return id == userID })
}

// SignInAs signs this person in wherever the page would have asked who it is;
// empty lets the page ask again.
func (t *Tenant) SignInAs(userID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.directory.automatic = userID
}

// personLocked panics if there is nobody of this ID: the test's mistake.
func (t *Tenant) personLocked(id string) *person {
	p := t.directory.people[id]
	if p == nil {
		panic("devtenant: no user " + id)
	}
	return p
}

// activeLocked is the person of this ID who may sign in, or nil.
func (t *Tenant) activeLocked(id string) *person {
	if p := t.directory.people[id]; p != nil && !p.suspended {
		return p
	}
	return nil
}

func (p *person) memberIndex(organizationID string) int {
	return slices.IndexFunc(p.members, func(m membership) bool { return m.organization == organizationID })
}

func (p *person) memberOf(organizationID string) bool { return p.memberIndex(organizationID) >= 0 }

// organizationsResource stands in an authorization request for the permissions
// of all organizations; no API has it.
const organizationsResource = "urn:logto:resource:organizations"

// scopesOf returns what the person may have of a resource now: in one
// organization, or if that is empty globally and in every organization of the
// person. An empty resource is the organization's own permissions.
func (p *person) scopesOf(resource, organizationID string) []string {
	if resource == organizationsResource {
		resource = ""
	}
	found := map[string]bool{}
	for _, permission := range p.Permissions {
		in := permission.OrganizationID
		if permission.Resource != resource || in != "" && !p.memberOf(in) || organizationID != "" && in != organizationID {
			continue
		}
		for _, scope := range permission.Scopes {
			found[scope] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// knownResourceLocked reports whether an authorization request may ask for it.
func (t *Tenant) knownResourceLocked(indicator string) bool {
	return indicator == organizationsResource || t.directory.resources[indicator]
}
