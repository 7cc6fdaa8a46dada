package session

import (
	"cmp"
	"slices"
	"time"
)

// owner is a person with entries that sign-outs have made. The youngest of them
// are kept; one of the kind BySessionsOf stands for all that are older. What
// that comes to depends on the entries alone, not on the order in which they
// come, so replicas agree.
type owner struct {
	entries []owned // at most maxPerOwner
	// superfluous are objects that the next one of the kind BySessionsOf makes
	// so, as far as they fit here.
	superfluous []string
}

// owned is an entry of an owner, and where it is stored, as far as it is.
type owned struct {
	entry Entry
	paths []string
}

// maxSuperfluous bounds the paths of one owner. Other objects go with their
// directories.
const maxSuperfluous = 2 * maxPerOwner

func foldKey(person string) markKey { return markKey{kind: BySessionsOf, subject: person} }

func (l *List) ownerOf(person string) *owner {
	o := l.owners[person]
	if o == nil {
		o = &owner{}
		l.owners[person] = o
	}
	return o
}

func (o *owner) expire(now time.Time) {
	o.entries = slices.DeleteFunc(o.entries, func(one owned) bool { return !one.entry.Expires.After(now) })
}

func (o *owner) notNeeded(paths ...string) {
	for _, path := range paths {
		if path != "" && len(o.superfluous) < maxSuperfluous {
			o.superfluous = append(o.superfluous, path)
		}
	}
}

// own counts an entry of an owner. One too many makes the oldest part of the
// one for all that are older. The caller holds mu.
func (l *List) own(edit *marksEdit, e Entry, path string, now time.Time) change {
	o := l.ownerOf(e.owner())
	o.expire(now)
	i := slices.IndexFunc(o.entries, func(one owned) bool {
		return keyOf(one.entry) == keyOf(e) && one.entry.NotBefore.Equal(e.NotBefore)
	})
	if i < 0 {
		i = len(o.entries)
		o.entries = append(o.entries, owned{entry: e})
	}
	one := &o.entries[i]
	one.entry.Expires = latest(one.entry.Expires, e.Expires)
	if e.From.Before(one.entry.From) {
		one.entry.From = e.From
	}
	if path != "" {
		one.paths = append(one.paths, path)
	}
	if len(o.entries) <= maxPerOwner {
		return change{entry: true}
	}
	// Not of now: the session that has just been signed in to lives on.
	oldest := slices.MinFunc(o.entries, func(a, b owned) int {
		return cmp.Or(a.entry.NotBefore.Compare(b.entry.NotBefore), cmp.Compare(a.entry.Subject, b.entry.Subject))
	})
	l.fold(edit, e.owner(), markOf(oldest.entry), now)
	all, _ := edit.find(foldKey(e.owner()))
	return change{entry: e.NotBefore.UnixMilli() > all.notBefore, fold: true}
}

// fold makes a mark, and the owner's entries that are not younger, part of the
// one for all that are older. That lasts as long as the longest of them, and
// nothing takes it back: it still counts where one of them is void. The caller
// holds mu.
func (l *List) fold(edit *marksEdit, person string, m mark, now time.Time) {
	old, _ := edit.find(foldKey(person))
	old = old.at(now)
	if !old.isEntry() {
		l.Report(EntriesFolded, nil)
	}
	all := old.and(mark{notBefore: m.notBefore, expires: m.expires})
	o := l.ownerOf(person)
	var left []owned
	for _, one := range o.entries {
		if one.entry.NotBefore.UnixMilli() > all.notBefore {
			left = append(left, one)
			continue
		}
		all.expires = max(all.expires, one.entry.Expires.UnixMilli())
		o.notNeeded(one.paths...)
		edit.removeEntry(keyOf(one.entry))
	}
	o.entries = left
	edit.set(foldKey(person), all)
	for _, one := range left { // of the same session, after an entry was taken back
		key := keyOf(one.entry)
		if found, _ := edit.find(key); !found.isEntry() {
			edit.set(key, found.and(markOf(one.entry)))
		}
	}
}

// pendFold has the entry written that stands for the older ones of an owner.
// The caller holds mu.
func (l *List) pendFold(person string) *pendingEntry {
	all, _ := l.marks.find(foldKey(person))
	o := l.ownerOf(person)
	p := l.pend(Entry{
		Kind: BySessionsOf, Subject: person,
		NotBefore: time.UnixMilli(all.notBefore).UTC(), Expires: time.UnixMilli(all.expires).UTC(),
	})
	p.instead, o.superfluous = o.superfluous, nil
	// What was still to be written is part of it.
	l.pending = slices.DeleteFunc(l.pending, func(other *pendingEntry) bool {
		if other == p || other.entry.owner() != person && keyOf(other.entry) != foldKey(person) ||
			other.entry.NotBefore.UnixMilli() > all.notBefore {
			return false
		}
		p.instead = append(p.instead, other.instead...)
		return other.settle(nil)
	})
	return p
}

// stored records where an entry is. The caller holds mu.
func (l *List) stored(e Entry, where string) {
	if e.Kind == BySessionsOf {
		l.ownerOf(e.Subject).notNeeded(where) // once there is a newer one
		return
	}
	if e.owner() == "" {
		return
	}
	o := l.ownerOf(e.owner())
	for i := range o.entries {
		if one := &o.entries[i]; keyOf(one.entry) == keyOf(e) && one.entry.NotBefore.Equal(e.NotBefore) {
			one.paths = append(one.paths, where)
			return
		}
	}
	o.notNeeded(where) // a fold has come in between
}
