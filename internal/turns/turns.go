// Package turns bounds how many of a costly kind of task run at a time. Who
// comes while all turns are taken waits, and the next turn goes to whoever of
// those who wait has had none for longest: somebody who brings a thousand tasks
// delays everyone else by one of them and not by a thousand.
package turns

import (
	"container/list"
	"runtime"
	"sync"
)

// Turns are the turns at one kind of task. W tells apart those who wait: the
// tasks of one W are done in the order in which they came. There is an entry
// for each task that waits, and nothing once it has its turn or has left. It
// needs no goroutine and no timer.
type Turns[W comparable] struct {
	limit  func() int
	places int

	mu     sync.Mutex // never held for longer than it takes to change what is below
	taken  int
	queues map[W]*queue[W]
	ring   list.List // of *queue[W]; none is empty, and the first has the next turn
}

// queue has those tasks of one W that wait, as *waiter[W].
type queue[W comparable] struct {
	who   W
	tasks list.List
	place *list.Element // in the ring
}

type waiter[W comparable] struct {
	granted chan struct{} // closed when it is its turn
	queue   *queue[W]
	place   *list.Element // in the queue; nil once it is its turn
}

// New makes turns of which limit are taken at a time, at least one. limit is
// asked each time, since a process may be given more processors, or fewer. Of
// each W as many tasks may wait as there are places, at least one.
func New[W comparable](limit func() int, places int) *Turns[W] {
	return &Turns[W]{limit: limit, places: max(1, places), queues: make(map[W]*queue[W])}
}

// Take waits for a turn and reports whether there was one, which the caller must
// Give back. It gives up at once if too many of the same W wait, and when one of
// the channels is closed, either of which may be nil: gone if nobody wants the
// result any more, needless if somebody else has done the task. who is called if
// the task has to wait; nil is the zero W.
func (t *Turns[W]) Take(who func() W, gone, needless <-chan struct{}) bool {
	limit := t.limit()
	t.mu.Lock()
	// Where others wait a turn is free only if the limit was raised. It is theirs.
	if t.ring.Len() == 0 && t.taken < max(1, limit) {
		t.taken++
		t.mu.Unlock()
		return true
	}
	t.mu.Unlock()
	var name W
	if who != nil {
		name = who() // not under the lock
	}
	w := t.enter(name)
	if w == nil {
		return false
	}
	select {
	case <-w.granted:
		// Go runs what a goroutine wakes before all that has been ready for
		// longer. Each turn would wake the next, and on one processor nothing
		// else would run for 10 ms.
		runtime.Gosched()
		return true
	case <-gone:
	case <-needless:
	}
	t.leave(w)
	return false
}

// Give gives a turn back, to the next one who waits.
func (t *Turns[W]) Give() {
	limit := t.limit()
	t.mu.Lock()
	t.taken--
	t.grant(limit)
	t.mu.Unlock()
}

// Waiting returns how many tasks wait.
func (t *Turns[W]) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	count := 0
	for _, q := range t.queues {
		count += q.tasks.Len()
	}
	return count
}

// enter puts a task at the end of its queue, or returns nil if that is full.
// There is no bound for all together: somebody with several addresses would use
// it up for everyone else.
func (t *Turns[W]) enter(who W) *waiter[W] {
	limit := t.limit()
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.queues[who]
	if q == nil {
		q = &queue[W]{who: who}
		q.place = t.ring.PushBack(q)
		t.queues[who] = q
	}
	if q.tasks.Len() >= t.places {
		return nil
	}
	w := &waiter[W]{granted: make(chan struct{}), queue: q}
	w.place = q.tasks.PushBack(w)
	t.grant(limit) // one may have been given back since the caller looked
	return w
}

// leave takes a task out of its queue. If it was its turn meanwhile, that is
// the next one's.
func (t *Turns[W]) leave(w *waiter[W]) {
	limit := t.limit()
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.place != nil {
		t.remove(w)
		return
	}
	t.taken--
	t.grant(limit)
}

// grant passes on the turns that are free. The caller holds mu.
func (t *Turns[W]) grant(limit int) {
	for t.taken < max(1, limit) && t.ring.Len() > 0 {
		q := t.ring.Front().Value.(*queue[W])
		w := q.tasks.Front().Value.(*waiter[W])
		t.ring.MoveToBack(q.place)
		t.remove(w)
		t.taken++
		close(w.granted)
	}
}

// remove forgets a task that waits, and with the last one its queue: or
// everybody who ever waited would be remembered. The caller holds mu.
func (t *Turns[W]) remove(w *waiter[W]) {
	q := w.queue
	q.tasks.Remove(w.place)
	w.place = nil
	if q.tasks.Len() == 0 {
		t.ring.Remove(q.place)
		delete(t.queues, q.who)
	}
}
