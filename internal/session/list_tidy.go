package session

import (
	"context"
	"maps"
	"path"
	"slices"
	"time"
)

// newestFirst are the names of hours, the newest first.
func newestFirst(listed map[string][]string) []string {
	names := slices.Sorted(maps.Keys(listed))
	slices.Reverse(names)
	return names
}

// tidy forgets what has expired, after all of the storage was read, and
// deletes the directories in which everything has. Nobody writes to these any
// more: what is written late goes into the directory of its hour.
func (l *List) tidy(life context.Context, storage Storage, listed map[string][]string, now time.Time) {
	for _, directory := range l.forget(listed, now) {
		ctx, cancel := context.WithTimeout(life, storageTimeout)
		// It is tried again in five minutes, by all replicas.
		_ = storage.Delete(ctx, path.Join(l.Prefix, directory))
		cancel()
	}
}

// forget returns the directories to delete.
func (l *List) forget(listed map[string][]string, now time.Time) (expired []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marks.sweep(now)
	if l.marks.count.Load() < maxEntries && l.objects < maxObjects {
		l.full = false
	}
	for name, o := range l.owners {
		o.expire(now)
		if _, folded := l.marks.find(foldKey(name)); len(o.entries) == 0 && !folded {
			delete(l.owners, name)
		}
	}
	for at, known := range l.directories {
		if !isPast(at, now) {
			continue
		}
		names, isListed := listed[at]
		switch {
		case !isListed: // somebody has deleted it
			l.objects -= len(known.names)
			delete(l.directories, at)
		case !known.expires.After(now) && holdsNames(known.names, names):
			expired = append(expired, at)
		}
	}
	return expired
}

// holdsNames reports whether all these objects have been read.
func holdsNames(known map[string]struct{}, names []string) bool {
	for _, name := range names {
		if _, ok := known[name]; !ok {
			return false
		}
	}
	return true
}

// isPast reports whether nobody writes to an hour's directory any more,
// whatever clocks differ by.
func isPast(at string, now time.Time) bool {
	begin, err := time.Parse(hourLayout, at)
	return err == nil && now.Sub(begin) >= 3*hour
}
