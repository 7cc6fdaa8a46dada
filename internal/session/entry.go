package session

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
)

// EntryKind says what an entry of the list is about.
type EntryKind string

// The kinds of entries. A session is matched by its id, by Logto's session and
// by its person; tokens by the others and by the person.
const (
	BySession      EntryKind = "session"      // Session.ID
	ByLogtoSession EntryKind = "sid"          // Session.LogtoSession
	BySessionsOf   EntryKind = "sessions"     // a person: the sessions, not the tokens
	BySubject      EntryKind = "sub"          // a person or an app
	ByClient       EntryKind = "client_id"    // an application
	ByMember       EntryKind = "member"       // a person in an organization
	ByOrganization EntryKind = "organization" // all members of an organization
	ByToken        EntryKind = "jti"          // a token
)

// kinds are all kinds. An entry of another one would match nothing.
var kinds = [...]EntryKind{BySession, ByLogtoSession, BySessionsOf, BySubject, ByClient, ByMember, ByOrganization, ByToken}

// index is the place of a kind among all, or -1.
func (k EntryKind) index() int { return slices.Index(kinds[:], k) }

// Entry says that something is over: what began at NotBefore or earlier. The
// beginning of a session is its sign-in, that of a token its `iat`.
type Entry struct {
	Kind    EntryKind
	Subject string // the id of what Kind names
	// Organization is the organization's id where Kind is ByMember.
	Organization string
	// Owner is the `sub` of the person whose session this is about, if Kind is
	// BySession or ByLogtoSession. It bounds the entries of one owner (see
	// [List.Add]).
	Owner string

	NotBefore time.Time
	// From is when the entry takes effect; zero is at once.
	From time.Time
	// Expires is when nothing that the entry is about can be shown any more.
	Expires time.Time

	// void makes it the opposite: entries about the same, of NotBefore or
	// earlier, do not count (see [List.Remove]).
	void bool
}

// owner is whose entries this one is counted among, if anybody's.
func (e Entry) owner() string {
	if e.void || e.Kind != BySession && e.Kind != ByLogtoSession {
		return ""
	}
	return e.Owner
}

// EndSession is the entry that ends a session, at once or from a later time
// on: requests that are under way when a new session takes the place of an old
// one are let through.
func EndSession(s *Session, from, expires time.Time) Entry {
	return Entry{
		Kind: BySession, Subject: s.ID, Owner: s.Subject, NotBefore: s.SignedIn,
		From: from, Expires: expires,
	}
}

// storedEntry is an object in the storage. Times are in milliseconds since
// 1970.
type storedEntry struct {
	Format       int       `json:"format"`
	Kind         EntryKind `json:"kind"`
	Subject      string    `json:"subject"`
	Organization string    `json:"organization,omitempty"`
	Owner        string    `json:"owner,omitempty"`
	NotBefore    int64     `json:"not_before"`
	From         int64     `json:"from,omitempty"`
	Expires      int64     `json:"expires"`
	Void         bool      `json:"void,omitempty"`
}

const (
	entryFormat  = 1
	maxEntrySize = 4 << 10

	// nameSize is half the length of an object's name. FileStorage writes to
	// temporary files beside, whose names are short and of digits only.
	nameSize = 16

	// hourLayout names the directories, in UTC: no colon, for Windows.
	hourLayout = "2006010215"
)

var (
	errNoSubject   = errors.New("the entry does not say what it is about")
	errUnknownKind = errors.New("the entry has an unknown kind")
	errVoidFold    = errors.New("the entry takes back what stands for many")
)

// check reports an entry that is none.
func (s storedEntry) check() error {
	switch {
	case s.Kind == "" || s.Subject == "":
		return errNoSubject
	case s.Kind.index() < 0:
		return errUnknownKind
	case s.Void && s.Kind == BySessionsOf:
		return errVoidFold
	}
	return nil
}

// encodeEntry returns an entry's object and its name, which the object makes:
// an entry that is added twice is one object, and two are never one.
func encodeEntry(e Entry) (name string, object []byte, err error) {
	stored := storedEntry{
		Format: entryFormat, Kind: e.Kind, Subject: e.Subject, Organization: e.Organization, Owner: e.Owner,
		NotBefore: e.NotBefore.UnixMilli(), Expires: e.Expires.UnixMilli(), Void: e.void,
	}
	if err = stored.check(); err != nil {
		return "", nil, err
	}
	if !e.From.IsZero() {
		stored.From = e.From.UnixMilli()
	}
	if object, err = json.Marshal(stored); err != nil {
		return "", nil, err
	}
	if len(object) > maxEntrySize {
		return "", nil, errors.New("the entry is too large")
	}
	sum := sha256.Sum256(object)
	return hex.EncodeToString(sum[:nameSize]), object, nil
}

// decodeEntry reads an object of the storage.
func decodeEntry(object []byte) (Entry, error) {
	if len(object) > maxEntrySize {
		return Entry{}, errors.New("it is too large")
	}
	var stored storedEntry
	if err := json.Unmarshal(object, &stored); err != nil {
		return Entry{}, err
	}
	if stored.Format != entryFormat {
		return Entry{}, errors.New("it has an unknown format")
	}
	if err := stored.check(); err != nil {
		return Entry{}, err
	}
	e := Entry{
		Kind: stored.Kind, Subject: stored.Subject, Organization: stored.Organization, Owner: stored.Owner,
		NotBefore: time.UnixMilli(stored.NotBefore).UTC(), Expires: time.UnixMilli(stored.Expires).UTC(),
		void: stored.Void,
	}
	if stored.From != 0 {
		e.From = time.UnixMilli(stored.From).UTC()
	}
	return e, nil
}

// isEntryName reports whether a name in a directory is that of an entry.
func isEntryName(name string) bool {
	return len(name) == 2*nameSize && strings.Trim(name, "0123456789abcdef") == ""
}

// hourOf is the directory that an entry is written to at a time.
func hourOf(t time.Time) string { return t.UTC().Format(hourLayout) }
