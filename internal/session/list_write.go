package session

import (
	"context"
	"errors"
	"path"
	"slices"
	"time"
)

var errNoStorage = errors.New("there is no storage")

// writeOn writes what is pending, one entry after the other, until the context
// ends. A storage that hangs holds up no request and no reading.
func (l *List) writeOn(life context.Context) {
	for {
		p := l.firstPending()
		if p == nil {
			select {
			case <-l.wake:
				continue
			case <-life.Done():
				return
			}
		}
		if life.Err() != nil {
			l.flush()
			return
		}
		name, err := l.write(life, p)
		if err != nil && life.Err() != nil {
			continue // it is the last visit's
		}
		l.settleWrite(p, name, err)
		if err == nil {
			continue
		}
		timer := time.NewTimer(l.pause())
		select {
		case <-timer.C:
		case <-life.Done():
			timer.Stop()
		}
	}
}

// flush writes what is pending when the list's life has ended, each entry once:
// a restart must not bring back who has just signed out.
func (l *List) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	for p := l.firstPending(); p != nil && ctx.Err() == nil; p = l.firstPending() {
		name, err := l.write(ctx, p)
		l.settleWrite(p, name, err)
		if err != nil {
			return
		}
	}
}

// firstPending returns what to write next, or nil.
func (l *List) firstPending() *pendingEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.Now()
	l.pending = slices.DeleteFunc(l.pending, func(p *pendingEntry) bool {
		return !p.entry.Expires.After(now) && p.settle(nil)
	})
	if len(l.pending) == 0 {
		return nil
	}
	return l.pending[0]
}

// write stores an entry in the directory of this hour, also one that could not
// be written earlier: older directories are not read often, and may be gone.
func (l *List) write(life context.Context, p *pendingEntry) (where string, err error) {
	storage := l.Storage()
	if storage == nil {
		return "", errNoStorage
	}
	name, object, err := encodeEntry(p.entry)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(life, storageTimeout)
	defer cancel()
	where = path.Join(l.Prefix, hourOf(l.Now()), name)
	if err := storage.Store(ctx, where, object); err != nil {
		return "", err
	}
	for _, superfluous := range p.instead {
		// Left there, it says what the new one says.
		if superfluous != where {
			_ = storage.Delete(ctx, superfluous)
		}
	}
	return where, nil
}

// settleWrite records what came of writing an entry. One that failed goes
// behind the others.
func (l *List) settleWrite(p *pendingEntry, where string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.settle(err)
	i := slices.Index(l.pending, p)
	if err != nil {
		if i >= 0 {
			l.pending = append(slices.Delete(l.pending, i, i+1), p)
		}
		if !l.writeFailed {
			l.writeFailed = true
			l.Report(WriteFailed, err)
		}
		return
	}
	if i >= 0 {
		l.pending = slices.Delete(l.pending, i, i+1)
	}
	l.know(where, p.entry.Expires)
	l.stored(p.entry, where)
	if l.writeFailed {
		l.writeFailed = false
		l.Report(WriteRecovered, nil)
	}
}
