package session

import (
	"context"
	"slices"
	"time"
)

// pendingEntry is an entry that has to be written.
type pendingEntry struct {
	entry   Entry
	instead []string      // the objects that it makes superfluous
	written chan struct{} // closed after the first attempt
	err     error         // of the first attempt; readable after written
}

// Add puts an entry into the list, where requests see it at once, and writes
// it to the storage. It waits for that as long as the context allows. An error
// but ErrListFull means that other processes do not know of the entry yet;
// writing goes on being tried. A context that has ended changes nothing but
// the waiting.
//
// Of entries about the same, the longest life counts, in whatever order they
// come or are read: an entry can be made to last longer, never shorter. One
// about a session that says nothing new is not written, so that nobody fills
// the storage by signing out again and again; for that, its Expires has to
// follow from the sign-in, not from the time of the request.
//
// The 33rd entry of one owner replaces all of them by one, which ends all
// sessions of that person that are not younger than the youngest of these: so
// nobody fills the list by signing in and out.
func (l *List) Add(ctx context.Context, e Entry) error {
	if _, _, err := encodeEntry(e); err != nil {
		return err
	}
	l.mu.Lock()
	if p, known := l.known(e); known {
		l.mu.Unlock()
		return p.wait(ctx)
	}
	edit := l.marks.edit()
	folded, err := l.insert(edit, e, "")
	edit.commit()
	if err != nil {
		l.mu.Unlock()
		return err
	}
	p := &pendingEntry{entry: e, written: make(chan struct{})}
	if folded != nil {
		p.entry, p.instead = folded.entry, folded.instead
		// What was still to be written is part of it.
		l.pending = slices.DeleteFunc(l.pending, func(other *pendingEntry) bool {
			return other.entry.Owner == e.Owner && other.settle(nil)
		})
	}
	l.pending = append(l.pending, p)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return p.wait(ctx)
}

// known reports whether an entry about a session says nothing that the list
// does not know. If what says so has not been written yet, it is returned too.
// Of other entries that cannot be told: what is known may be two objects
// together, of which one expires first. The caller holds mu.
func (l *List) known(e Entry) (*pendingEntry, bool) {
	key := keyOf(e)
	if found, ok := l.marks.find(key); !ok || e.Kind != BySession || !found.includes(markOf(e)) {
		return nil, false
	}
	i := slices.IndexFunc(l.pending, func(p *pendingEntry) bool { return keyOf(p.entry) == key })
	if i < 0 {
		return nil, true
	}
	return l.pending[i], true
}

// wait waits for the first attempt to write an entry. Nil is one that was
// written earlier.
func (p *pendingEntry) wait(ctx context.Context) error {
	if p == nil {
		return nil
	}
	select {
	case <-p.written:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle tells who waits how the first attempt to write has ended.
func (p *pendingEntry) settle(err error) bool {
	select {
	case <-p.written:
	default:
		p.err = err
		close(p.written)
	}
	return true
}

// fold is an entry in the place of others.
type fold struct {
	entry   Entry
	instead []string
}

// insert puts an entry into the maps. The caller holds mu. It returns the
// entry that has replaced those of an owner, if it is one too many.
func (l *List) insert(edit *marksEdit, e Entry, path string) (*fold, error) {
	now := l.Now()
	if !e.Expires.After(now) {
		return nil, nil
	}
	key, m := keyOf(e), markOf(e)
	// An entry that ends all of a person's sessions makes others superfluous,
	// whichever comes first.
	if all, ok := edit.find(markKey{kind: BySubject, subject: e.Owner}); ok && e.Owner != "" && all.includes(m) {
		return nil, nil
	}
	if e.Kind == BySubject {
		l.disown(edit, e.Subject, m)
	}
	old, known := edit.find(key)
	if !known && edit.count >= maxEntries {
		l.reportFull()
		return nil, ErrListFull
	}
	if known {
		m = m.and(old)
	}
	edit.set(key, m)
	if e.Owner == "" {
		return nil, nil
	}
	return l.own(edit, e, path, now), nil
}

// disown removes the entries of an owner that one about all of the owner's
// sessions includes. The caller holds mu.
func (l *List) disown(edit *marksEdit, owner string, all mark) {
	left := slices.DeleteFunc(l.owners[owner], func(o owned) bool {
		one, ok := edit.find(keyOf(o.entry))
		if !ok || !all.includes(one) {
			return false
		}
		edit.remove(keyOf(o.entry))
		return true
	})
	if l.owners[owner] = left; len(left) == 0 {
		delete(l.owners, owner)
	}
}

// own counts an entry of an owner, and folds them if they are too many. The
// caller holds mu.
func (l *List) own(edit *marksEdit, e Entry, path string, now time.Time) *fold {
	entries := slices.DeleteFunc(l.owners[e.Owner], func(o owned) bool { return !o.entry.Expires.After(now) })
	if i := slices.IndexFunc(entries, func(o owned) bool { return keyOf(o.entry) == keyOf(e) }); i >= 0 {
		same := &entries[i]
		same.entry.NotBefore = latest(same.entry.NotBefore, e.NotBefore)
		same.entry.Expires = latest(same.entry.Expires, e.Expires)
		if path != "" {
			same.paths = append(same.paths, path)
		}
	} else {
		one := owned{entry: e}
		if path != "" {
			one.paths = []string{path}
		}
		entries = append(entries, one)
	}
	if len(entries) <= maxPerOwner {
		l.owners[e.Owner] = entries
		return nil
	}
	all := Entry{Kind: BySubject, Subject: e.Owner, Expires: e.Expires}
	var instead []string
	for _, o := range entries {
		// Not until now: the session that has just been signed in to lives on.
		all.NotBefore = latest(all.NotBefore, o.entry.NotBefore)
		all.Expires = latest(all.Expires, o.entry.Expires)
		instead = append(instead, o.paths...)
		edit.remove(keyOf(o.entry))
	}
	delete(l.owners, e.Owner)
	key, m := keyOf(all), markOf(all)
	if old, ok := edit.find(key); ok {
		m = m.and(old)
	}
	edit.set(key, m)
	l.Report(EntriesFolded, nil)
	return &fold{all, instead}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// reportFull tells once that the list is full, and again after it was not.
// The caller holds mu.
func (l *List) reportFull() {
	if !l.full {
		l.full = true
		l.Report(ListIsFull, ErrListFull)
	}
}
