package session

import (
	"context"
	"time"
)

// Remove takes back what the list says about something. It waits until that is
// written, as [List.Add] does, with the same errors; ErrNotListed means that
// there is nothing to take back. The organization is empty unless the kind is
// ByMember.
//
// Objects cannot just be deleted: another replica may write the same a moment
// later, or read and delete in another order. So one more is written, which
// says that entries about this count only if they are newer than now, and lives
// as long as they do.
//
// What stands for many entries of a person cannot be taken back, and neither
// can an entry that has become part of it: it would bring back who has signed
// out.
func (l *List) Remove(ctx context.Context, kind EntryKind, subject, organization string) error {
	l.mu.Lock()
	now := l.Now()
	found, _ := l.marks.find(markKey{kind, subject, organization})
	if found = found.at(now); kind == BySessionsOf || !found.counts() {
		l.mu.Unlock()
		return ErrNotListed
	}
	// An entry from a replica whose clock is ahead is taken back, too.
	void := Entry{
		Kind: kind, Subject: subject, Organization: organization, void: true,
		NotBefore: time.UnixMilli(max(now.UnixMilli(), found.notBefore)).UTC(),
		Expires:   time.UnixMilli(found.expires).UTC(),
	}
	waits, err := l.enter(void)
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return waits[0].wait(ctx)
}
