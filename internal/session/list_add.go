package session

import (
	"cmp"
	"context"
	"errors"
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
// but ErrListFull and ErrTakenBack means that other processes do not know of
// the entry yet; writing goes on being tried. A context that has ended changes
// nothing but the waiting.
//
// Of entries about the same, the longest life counts, in whatever order they
// come or are read: an entry can be made to last longer, never shorter. One
// about a session that says nothing new is not written, so that nobody fills
// the storage by signing out again and again; for that, its Expires has to
// follow from the sign-in, not from the time of the request.
//
// Of one owner the youngest 32 entries are kept. Older ones become one, of the
// kind BySessionsOf, which ends all sessions of that person that are not younger
// than the youngest of these: so nobody fills the list by signing in and out.
//
// After [List.Remove] an entry counts if its NotBefore is newer. One that is
// not is refused with ErrTakenBack: a webhook that comes again does not undo
// what an administrator has done. What ends a session, or says that everything
// is over until now, always counts; its NotBefore is raised.
func (l *List) Add(ctx context.Context, e Entry) error {
	_, object, err := encodeEntry(e)
	if err != nil {
		return err
	}
	if e, err = decodeEntry(object); err != nil { // as others will read it
		return err
	}
	l.mu.Lock()
	e, err = l.raise(e)
	if err != nil {
		l.mu.Unlock()
		return err
	}
	if p, known := l.known(e); known {
		l.mu.Unlock()
		return p.wait(ctx)
	}
	waits, err := l.enter(e)
	l.mu.Unlock()
	if err != nil {
		return err
	}
	for _, p := range waits {
		err = errors.Join(err, p.wait(ctx))
	}
	return err
}

// raise makes an entry count that has to, although something was taken back.
// The caller holds mu.
func (l *List) raise(e Entry) (Entry, error) {
	now := l.Now()
	found, _ := l.marks.find(keyOf(e))
	if found = found.at(now); found.void == 0 || e.NotBefore.UnixMilli() > found.void {
		return e, nil
	}
	// "Until now" was said a moment ago, or another replica's clock is ahead.
	const moment = time.Second
	if e.Kind != BySession && now.Sub(e.NotBefore) >= moment {
		return Entry{}, ErrTakenBack
	}
	e.NotBefore = time.UnixMilli(found.void + 1).UTC()
	return e, nil
}

// enter puts an entry into the list, and has written what is new. The caller
// holds mu.
func (l *List) enter(e Entry) (waits []*pendingEntry, err error) {
	edit := l.marks.edit()
	c, err := l.insert(edit, e, "")
	edit.commit()
	if err != nil {
		return nil, err
	}
	if c.fold {
		waits = append(waits, l.pendFold(cmp.Or(e.owner(), e.Subject)))
	}
	if c.entry {
		waits = append(waits, l.pend(e))
	}
	if len(waits) == 0 && e.owner() != "" {
		waits = append(waits, l.pendingAbout(foldKey(e.owner())))
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return waits, nil
}

// pend has an entry written. The caller holds mu.
func (l *List) pend(e Entry) *pendingEntry {
	p := &pendingEntry{entry: e, written: make(chan struct{})}
	l.pending = append(l.pending, p)
	return p
}

// pendingAbout is what is still to be written, or nil. The caller holds mu.
func (l *List) pendingAbout(key markKey) *pendingEntry {
	i := slices.IndexFunc(l.pending, func(p *pendingEntry) bool { return keyOf(p.entry) == key && !p.entry.void })
	if i < 0 {
		return nil
	}
	return l.pending[i]
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
	return l.pendingAbout(key), true
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

// change is what has to be written after an entry has come: itself, or what
// stands for an owner's older ones.
type change struct{ entry, fold bool }

// insert puts an entry into the maps. The caller holds mu.
func (l *List) insert(edit *marksEdit, e Entry, path string) (change, error) {
	now := l.Now()
	if !e.Expires.After(now) {
		return change{}, nil
	}
	key, m := keyOf(e), markOf(e)
	if person := e.owner(); person != "" {
		all, _ := edit.find(foldKey(person))
		if all = all.at(now); all.isEntry() && m.notBefore <= all.notBefore {
			l.ownerOf(person).notNeeded(path)
			if m.expires <= all.expires {
				return change{}, nil
			}
			all.expires = m.expires
			edit.set(foldKey(person), all)
			return change{fold: true}, nil
		}
	}
	old, known := edit.find(key)
	if !known && edit.count >= maxEntries {
		l.reportFull()
		return change{}, ErrListFull
	}
	if e.Kind == BySessionsOf {
		l.fold(edit, e.Subject, m, now)
		l.ownerOf(e.Subject).notNeeded(path)
		return change{fold: true}, nil
	}
	edit.set(key, old.at(now).and(m))
	if e.owner() == "" {
		return change{entry: true}, nil
	}
	return l.own(edit, e, path, now), nil
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
