package session

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// maxEntries bounds the list. maxObjects bounds the names of stored objects
	// in memory, of which some have expired or are one entry.
	maxEntries = 100_000
	maxObjects = 4 * maxEntries

	// maxPerOwner is how many entries one person has besides the one that older
	// ones become.
	maxPerOwner = 32

	// fullInterval is how often all directories are read, not just the newest.
	fullInterval = 5 * time.Minute
	// storageTimeout bounds one visit to the storage. No request waits for it
	// that long.
	storageTimeout = 30 * time.Second
	// flushTimeout bounds the last visit.
	flushTimeout = 2 * time.Second

	// maxSkew is what the clocks of replicas differ by at most, for an entry to
	// be seen with the next reading. With more, it takes a full one.
	maxSkew = 5 * time.Minute
)

var (
	// ErrListFull says that the list takes no more entries.
	ErrListFull = errors.New("the list of revocations and ended sessions is full")
	// ErrListUnread says that the storage has not answered yet, so that nobody
	// knows which sessions have ended.
	ErrListUnread = errors.New("the list of revocations and ended sessions has not been read yet")
	// ErrNotListed says that there is nothing to take back.
	ErrNotListed = errors.New("nothing like this is in the list")
	// ErrTakenBack says that an entry would not count, since one as new was
	// taken back.
	ErrTakenBack = errors.New("an entry that is as new was taken back")
)

// Storage is what the list needs of Caddy's storage (certmagic.Storage). Load
// and List return fs.ErrNotExist for what is not there.
type Storage interface {
	Store(ctx context.Context, key string, value []byte) error
	Load(ctx context.Context, key string) ([]byte, error)
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, path string, recursive bool) ([]string, error)
}

// Event is something that the log should tell, once per change.
type Event string

// The events. ReadRecovered follows one or more of the first three, and
// WriteRecovered follows WriteFailed.
const (
	ReadFailed      Event = "read_failed"    // the last list serves on
	NeverRead       Event = "never_read"     // it cannot be read since the start: the list is empty, and serves
	NeverAnswered   Event = "never_answered" // the storage hangs since the start: see [List.Wait]
	ReadRecovered   Event = "read_recovered"
	WriteFailed     Event = "write_failed" // the entry holds here, and writing is tried again
	WriteRecovered  Event = "write_recovered"
	EntryUnreadable Event = "entry_unreadable"
	ListIsFull      Event = "list_full"
	EntriesFolded   Event = "entries_folded"
)

// ListOptions is what a list needs. All of it is mandatory.
type ListOptions struct {
	// Prefix is the directory in the storage.
	Prefix string
	// Storage and Interval are asked for anew each time: a reload changes them
	// and keeps the list. Storage may be nil; another one does not get what the
	// one before it holds. Interval is how often the newest two directories are
	// read.
	Storage  func() Storage
	Interval func() time.Duration
	Now      func() time.Time
	// Report is told of events, from several goroutines. It must not call the
	// list.
	Report func(Event, error)
}

// List is the sessions, and other things, that are over before their time. It
// is in the storage, one object for each entry, so that replicas share it and
// a restart keeps it; requests look it up in memory.
type List struct {
	ListOptions
	marks *marks
	ready chan struct{} // closed after the first reading
	start sync.Once
	ended chan struct{} // closed when nothing is read and written any more
	wake  chan struct{} // there is something to write
	hurry chan struct{} // the storage is to be read now

	mu          sync.Mutex // guards all below, and changes of marks
	owners      map[string]*owner
	directories map[string]*directory
	objects     int // in all directories
	pending     []*pendingEntry
	wasRead     bool  // all of the storage, once
	unreadable  Event // why it cannot be read now; empty if it can
	writeFailed bool
	full        bool
}

// directory is what is known of one hour's.
type directory struct {
	names   map[string]struct{}
	expires time.Time // of the last of its entries
}

// NewList makes an empty list, which [List.Start] begins to read.
func NewList(options ListOptions) *List {
	return &List{
		ListOptions: options,
		marks:       newMarks(),
		ready:       make(chan struct{}),
		ended:       make(chan struct{}),
		wake:        make(chan struct{}, 1),
		hurry:       make(chan struct{}, 1),
		owners:      make(map[string]*owner),
		directories: make(map[string]*directory),
	}
}

// Start begins to read and to write, until the context ends. Calls after the
// first do nothing.
func (l *List) Start(life context.Context) {
	l.start.Do(func() {
		var running sync.WaitGroup
		running.Go(func() { l.readOn(life) })
		running.Go(func() { l.writeOn(life) })
		go func() {
			running.Wait()
			close(l.ended)
		}()
	})
}

// Join waits until a list whose context has ended has stored what it still had
// to, and does nothing any more. It does not wait longer for a storage that
// hangs.
func (l *List) Join() {
	l.start.Do(func() { close(l.ended) })
	timer := time.NewTimer(flushTimeout + time.Second)
	defer timer.Stop()
	select {
	case <-l.ended:
	case <-timer.C:
	}
}

// Hurry has the storage read now, and the interval asked for anew: for one that
// has become shorter.
func (l *List) Hurry() {
	select {
	case l.hurry <- struct{}{}:
	default: // it will be read
	}
}

// pause is how long to wait before the storage is visited again.
func (l *List) pause() time.Duration { return max(l.Interval(), time.Second) }

// Wait waits until the list has been read once, or the storage has failed to:
// then the list is empty. It returns ErrListUnread if the storage has done
// neither when the context ends.
func (l *List) Wait(ctx context.Context) error {
	select {
	case <-l.ready: // also if the context has ended
		return nil
	default:
	}
	select {
	case <-l.ready:
		return nil
	case <-ctx.Done():
		return ErrListUnread
	}
}

// Ended reports whether a session is over. It is judged by the time of its
// sign-in: a refresh makes new tokens, but no new session.
func (l *List) Ended(s *Session) bool {
	return l.Any() && (l.Covers(BySession, s.ID, "", s.SignedIn) ||
		s.LogtoSession != "" && l.Covers(ByLogtoSession, s.LogtoSession, "", s.SignedIn) ||
		l.Covers(BySessionsOf, s.Subject, "", s.SignedIn) ||
		l.Covers(BySubject, s.Subject, "", s.SignedIn))
}

// Listed reports whether a session is over or will be: a new one has taken its
// place, and its cookie must not be written any more.
func (l *List) Listed(s *Session) bool {
	found, _ := l.marks.find(markKey{kind: BySession, subject: s.ID})
	return found.at(l.Now()).counts() || l.Ended(s)
}

// Covers reports whether something that began then, or in the same
// millisecond, is over: a token by its `iat`. The organization is empty unless
// the kind is ByMember. Sessions are asked for with [List.Ended].
//
// An `iat` is whole seconds, rounded down: a token of 12:00:00.9 has one of
// 12:00:00, and an entry of 12:00:00.5 refuses it although it is younger.
// Nothing tells it from one of 12:00:00.1, so refusing is the safe side; the
// next token passes.
func (l *List) Covers(kind EntryKind, subject, organization string, began time.Time) bool {
	found, ok := l.marks.find(markKey{kind, subject, organization})
	return ok && found.covers(began, l.Now())
}

// Any reports whether the list may say that something is over. If it does not,
// nothing is, and there is nothing to look up.
func (l *List) Any() bool { return l.marks.count.Load() != 0 }

// Len is how many entries there are, without those that have expired or were
// taken back.
func (l *List) Len() (n int) {
	for range l.marks.live(l.Now()) {
		n++
	}
	return n
}

// Counts is how many of these there are of each kind. Each kind is among them.
// It goes through the whole list, and takes no lock that a request or a writer
// might want.
func (l *List) Counts() map[EntryKind]int {
	counts := make(map[EntryKind]int, len(kinds))
	for _, kind := range kinds {
		counts[kind] = 0
	}
	for key := range l.marks.live(l.Now()) {
		counts[key.kind]++
	}
	return counts
}

// Entries are the entries that have not expired and were not taken back, in no
// order, with their owner left out.
func (l *List) Entries() []Entry {
	var entries []Entry
	for key, m := range l.marks.live(l.Now()) {
		e := Entry{
			Kind: key.kind, Subject: key.subject, Organization: key.organization,
			NotBefore: time.UnixMilli(m.notBefore).UTC(), Expires: time.UnixMilli(m.expires).UTC(),
		}
		if m.from != 0 {
			e.From = time.UnixMilli(m.from).UTC()
		}
		entries = append(entries, e)
	}
	return entries
}
