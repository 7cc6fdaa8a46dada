package session

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// readers is how many objects are read at once: a storage across a network
	// would take minutes for a long list, and requests wait for the first
	// reading.
	readers = 16

	hour = time.Hour
)

// readOn reads the storage until the context ends: all of it at first, and
// every five minutes, the newest directories in between.
func (l *List) readOn(life context.Context) {
	var lastFull time.Time
	for {
		now := l.Now()
		full := lastFull.IsZero() || now.Sub(lastFull) >= fullInterval
		// A storage may ignore its context.
		hangs := time.AfterFunc(storageTimeout+time.Second, func() { l.settleRead(context.DeadlineExceeded) })
		err := l.read(life, full, now)
		hangs.Stop()
		if life.Err() != nil {
			return
		}
		if full && err == nil {
			lastFull = now
		}
		l.settleRead(err)
		timer := time.NewTimer(l.pause())
		select {
		case <-timer.C:
		case <-l.hurry:
			timer.Stop()
		case <-life.Done():
			timer.Stop()
			return
		}
	}
}

// settleRead lets waiting requests go on after the first reading. A storage
// that fails is one without ended sessions; of one that hangs nobody knows.
func (l *List) settleRead(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	hangs := errors.Is(err, context.DeadlineExceeded)
	before := l.unreadable
	switch {
	case err == nil:
		l.wasRead, l.unreadable = true, ""
	case l.wasRead:
		l.unreadable = ReadFailed
	case hangs && !l.isReady():
		l.unreadable = NeverAnswered
	default:
		l.unreadable = NeverRead
	}
	switch {
	case l.unreadable == before:
	case err == nil:
		l.Report(ReadRecovered, nil)
	default:
		l.Report(l.unreadable, err)
	}
	if !hangs && !l.isReady() {
		close(l.ready)
	}
}

// isReady reports whether nobody waits for the first reading any more.
func (l *List) isReady() bool {
	select {
	case <-l.ready:
		return true
	default:
		return false
	}
}

// read reads the storage once. What could be read counts even if there is an
// error.
func (l *List) read(life context.Context, full bool, now time.Time) error {
	storage := l.Storage()
	if storage == nil {
		return errNoStorage
	}
	var (
		objects []string
		err     error
	)
	if full {
		objects, err = list(life, storage, l.Prefix, true)
	} else {
		for _, at := range newestHours(now) {
			found, failed := list(life, storage, path.Join(l.Prefix, at), false)
			objects, err = append(objects, found...), errors.Join(err, failed)
		}
	}
	listed := l.named(objects)
	err = errors.Join(err, l.load(life, storage, l.unknown(listed)))
	if full && err == nil {
		l.tidy(life, storage, listed, now)
	}
	return err
}

// newestHours are the directories that replicas write to at a time, and have
// written to lately: those whose clocks are ahead are in the next hour already.
func newestHours(now time.Time) []string {
	return slices.Compact([]string{hourOf(now.Add(maxSkew)), hourOf(now), hourOf(now.Add(-hour))})
}

// list lists a directory. One that does not exist is empty, but not at the
// first look: FileStorage says the same if a file is renamed or deleted while
// it walks, and leaves out what it has not come to.
func list(life context.Context, storage Storage, directory string, recursive bool) (objects []string, err error) {
	ctx, cancel := context.WithTimeout(life, storageTimeout)
	defer cancel()
	const looks = 5
	for range looks {
		found, err := storage.List(ctx, directory, recursive)
		if err == nil {
			return found, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		objects = append(objects, found...)
	}
	if len(objects) > 0 {
		return objects, errors.New("the directory changes all the time")
	}
	return nil, nil
}

// named picks the entries among the objects of the storage, by their
// directories.
func (l *List) named(objects []string) map[string][]string {
	listed := make(map[string][]string)
	for _, object := range objects {
		directory, name := path.Split(strings.TrimPrefix(object, l.Prefix+"/"))
		directory = strings.TrimSuffix(directory, "/")
		if _, err := time.Parse(hourLayout, directory); err == nil && isEntryName(name) {
			listed[directory] = append(listed[directory], name)
		}
	}
	return listed
}

// unknown are the objects that have not been read yet. The newest hours come
// first, in case that they are too many.
func (l *List) unknown(listed map[string][]string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var unknown []string
	if l.marks.count.Load() >= maxEntries {
		l.reportFull()
		return nil // read when there is room
	}
	for _, at := range newestFirst(listed) {
		known := l.directories[at]
		for _, name := range listed[at] {
			if known != nil {
				if _, ok := known.names[name]; ok {
					continue
				}
			}
			if l.objects+len(unknown) >= maxObjects {
				l.reportFull()
				return unknown
			}
			unknown = append(unknown, path.Join(l.Prefix, at, name))
		}
	}
	return unknown
}

// loaded is an object that was read.
type loaded struct {
	path  string
	entry Entry
	err   error // it cannot be understood
	gone  bool
}

// load reads objects and puts them into the list, a number at a time.
func (l *List) load(life context.Context, storage Storage, objects []string) error {
	const batch = 4096
	var failed error
	for len(objects) > 0 {
		some := objects[:min(batch, len(objects))]
		objects = objects[len(some):]
		results, err := loadAll(life, storage, some)
		l.insertAll(results)
		if err != nil {
			failed = err
		}
		if life.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
			return err // it would not be better with the others
		}
	}
	return failed
}

// loadAll reads objects, several at once. The error is one of reading.
func loadAll(life context.Context, storage Storage, objects []string) (results []loaded, failed error) {
	var (
		mu    sync.Mutex
		group sync.WaitGroup
	)
	next := make(chan string)
	for range min(readers, len(objects)) {
		group.Go(func() {
			for object := range next {
				result, err := loadOne(life, storage, object)
				mu.Lock()
				switch {
				case err != nil:
					failed = err
				case !result.gone:
					results = append(results, result)
				}
				mu.Unlock()
			}
		})
	}
	for _, object := range objects {
		mu.Lock()
		stop := failed != nil && errors.Is(failed, context.DeadlineExceeded) || life.Err() != nil
		mu.Unlock()
		if stop {
			break
		}
		next <- object
	}
	close(next)
	group.Wait()
	return results, failed
}

func loadOne(life context.Context, storage Storage, object string) (loaded, error) {
	ctx, cancel := context.WithTimeout(life, storageTimeout)
	defer cancel()
	data, err := storage.Load(ctx, object)
	if errors.Is(err, fs.ErrNotExist) {
		return loaded{gone: true}, nil // deleted since it was listed
	}
	if err != nil {
		return loaded{}, err
	}
	entry, err := decodeEntry(data)
	return loaded{path: object, entry: entry, err: err}, nil
}

// insertAll puts objects into the list that were read.
func (l *List) insertAll(results []loaded) {
	l.mu.Lock()
	defer l.mu.Unlock()
	edit := l.marks.edit()
	for _, result := range results {
		if result.err != nil {
			// Not read again, and gone with its directory in the end.
			l.know(result.path, l.Now().Add(maxCookieAge))
			l.Report(EntryUnreadable, result.err)
			continue
		}
		// Folding is repeated by everyone who reads the same objects. One that
		// does not fit is tried again with the next reading.
		if _, err := l.insert(edit, result.entry, result.path); err == nil {
			l.know(result.path, result.entry.Expires)
		}
	}
	edit.commit()
}

// know records that an object needs not be read. The caller holds mu.
func (l *List) know(where string, expires time.Time) {
	at, name := path.Base(path.Dir(where)), path.Base(where)
	known := l.directories[at]
	if known == nil {
		known = &directory{names: make(map[string]struct{})}
		l.directories[at] = known
	}
	if _, ok := known.names[name]; !ok {
		known.names[name] = struct{}{}
		l.objects++
	}
	if expires.After(known.expires) {
		known.expires = expires
	}
}
