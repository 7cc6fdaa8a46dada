// Package configs keeps what configs lend to things that outlive them. A
// reload makes a new config while the old one serves, and either may turn out
// to be the one that stays.
package configs

import (
	"slices"
	"sync"
)

// Lent is what configs have lent to one thing that they share, one T each:
// loggers, storage. The thing asks for the current one each time and holds on
// to none. The zero Lent is empty. Methods may be called concurrently.
type Lent[T any] struct {
	mu  sync.Mutex
	all []loan[T] // the oldest first
}

type loan[T any] struct {
	lent *T
	live bool // its config has been started
}

// Attach offers what a config lends. Until that config is live it counts only
// where no other one is: a config may yet fail to start, while a request may
// come before its start.
func (l *Lent[T]) Attach(lent *T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, loan[T]{lent: lent})
}

// GoLive says that the config has been started.
func (l *Lent[T]) GoLive(lent *T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.all {
		if l.all[i].lent == lent {
			l.all[i].live = true
		}
	}
}

// Detach takes back what a config has lent. Who has asked for it before may
// still be using it.
func (l *Lent[T]) Detach(lent *T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = slices.DeleteFunc(l.all, func(one loan[T]) bool { return one.lent == lent })
}

// Current returns what the newest live config has lent, else the newest one,
// else nil.
func (l *Lent[T]) Current() *T {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range slices.Backward(l.all) {
		if one.live {
			return one.lent
		}
	}
	if n := len(l.all); n > 0 {
		return l.all[n-1].lent
	}
	return nil
}
