package turns

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// plenty are more places than any test here needs.
const plenty = 1000

// fixed is a limit that stays.
func fixed(limit int) func() int { return func() int { return limit } }

// schedule notes in which order tasks get their turns. It belongs into a
// synctest bubble.
type schedule struct {
	*Turns[string]
	mu    sync.Mutex
	began []string
	step  chan struct{} // lets one task end
}

func newSchedule(limit func() int) *schedule {
	return &schedule{Turns: New[string](limit, plenty), step: make(chan struct{})}
}

// bring starts a task that waits for its turn, and then until it may end.
func (s *schedule) bring(who, task string) {
	go func() {
		if !s.Take(func() string { return who }, nil, nil) {
			panic("it was sent away")
		}
		s.mu.Lock()
		s.began = append(s.began, task)
		s.mu.Unlock()
		<-s.step
		s.Give()
	}()
	synctest.Wait() // so that tasks come in a known order
}

// ends lets so many tasks end, one after the other.
func (s *schedule) ends(tasks int) {
	for range tasks {
		s.step <- struct{}{}
		synctest.Wait()
	}
}

// empty expects that nothing is left of anybody.
func (t *Turns[W]) empty(tb testing.TB) {
	tb.Helper()
	if t.taken != 0 || t.ring.Len() != 0 || len(t.queues) != 0 {
		tb.Errorf("%d turns are taken, %d wait, %d are remembered", t.taken, t.ring.Len(), len(t.queues))
	}
}

func TestTurnsGoRound(t *testing.T) {
	for name, test := range map[string]struct {
		limit int
		comes []string // who and, after the colon, what
		want  []string
	}{
		"first come, first served for one": {1, []string{"a:1", "a:2", "a:3", "a:4"}, []string{"a:1", "a:2", "a:3", "a:4"}},
		"one who brings many delays another by one": {
			1, []string{"a:1", "a:2", "a:3", "a:4", "a:5", "b:1"}, []string{"a:1", "a:2", "b:1", "a:3", "a:4", "a:5"},
		},
		"two who bring many share with a third": {
			1, []string{"a:1", "a:2", "a:3", "b:1", "b:2", "b:3", "c:1", "c:2"}, []string{"a:1", "a:2", "b:1", "c:1", "a:3", "b:2", "c:2", "b:3"},
		},
		"two at a time": {
			2, []string{"a:1", "a:2", "a:3", "a:4", "b:1", "b:2"}, []string{"a:1", "a:2", "a:3", "b:1", "a:4", "b:2"},
		},
		"a limit of none is one": {0, []string{"a:1", "b:1"}, []string{"a:1", "b:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSchedule(fixed(test.limit))
				for _, task := range test.comes {
					s.bring(task[:1], task)
				}
				if want := max(1, test.limit); len(s.began) != want {
					t.Errorf("%v run, not %d", s.began, want)
				}
				s.ends(len(test.comes))
				if !slices.Equal(s.began, test.want) {
					t.Errorf("the turns are %v, not %v", s.began, test.want)
				}
				s.empty(t)
			})
		})
	}
}

// Whoever comes again after a turn comes after those who wait, so that a single
// task at a time gets no more than its share.
func TestWhoComesAgainIsLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(fixed(1))
		s.bring("a", "a:1")
		s.bring("b", "b:1")
		s.bring("c", "c:1")
		s.ends(1)
		s.bring("a", "a:2")
		s.bring("b", "b:2")
		s.ends(4)
		if want := []string{"a:1", "b:1", "c:1", "a:2", "b:2"}; !slices.Equal(s.began, want) {
			t.Errorf("the turns are %v, not %v", s.began, want)
		}
		s.empty(t)
	})
}

func TestWhoLeavesGivesThePlaceUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(fixed(1))
		s.bring("a", "a:1")
		gone, needless := make(chan struct{}), make(chan struct{})
		var left atomic.Int32
		for i := range 100 {
			go func() {
				if s.Take(func() string { return fmt.Sprint("leaver ", i%3) }, gone, needless) {
					t.Error("a task has a turn that another has")
				}
				left.Add(1)
			}()
		}
		synctest.Wait()
		s.bring("b", "b:1")
		if queues, waiting := len(s.queues), s.Waiting(); queues != 4 || waiting != 101 {
			t.Errorf("%d wait in %d queues, not 101 in 4", waiting, queues)
		}
		close(gone)
		synctest.Wait()
		if left.Load() != 100 || len(s.queues) != 1 || s.Waiting() != 1 {
			t.Errorf("%d left, %d wait in %d queues", left.Load(), s.Waiting(), len(s.queues))
		}
		close(needless)
		s.ends(1)
		if want := []string{"a:1", "b:1"}; !slices.Equal(s.began, want) {
			t.Errorf("the turns are %v, not %v", s.began, want)
		}
		s.ends(1)
		s.empty(t)
	})
}

// Each task that waits takes memory, and that its client has left is not always
// seen.
func TestWhoBringsTooManyIsSentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places = 3
		s := &schedule{Turns: New[string](fixed(1), places), step: make(chan struct{})}
		for i := range 1 + places {
			s.bring("a", fmt.Sprint("a:", i))
		}
		for range 10 {
			if s.Take(func() string { return "a" }, nil, nil) {
				t.Fatal("there is a turn for the fifth")
			}
		}
		s.bring("b", "b:0")
		s.ends(1)
		s.bring("a", "a:4") // one has its turn, so there is a place again
		s.ends(2 + places)
		if want := []string{"a:0", "a:1", "b:0", "a:2", "a:3", "a:4"}; !slices.Equal(s.began, want) {
			t.Errorf("the turns are %v, not %v", s.began, want)
		}
		s.empty(t)
	})
}

// The turn of one who has left in the same moment is not lost.
func TestATurnThatNobodyTakesIsTheNextOnes(t *testing.T) {
	turns := New[string](fixed(1), plenty)
	if !turns.Take(nil, nil, nil) {
		t.Fatal("there is no turn")
	}
	leaver, next := turns.enter("a"), turns.enter("b")
	turns.Give() // to a, who does not look at it any more
	select {
	case <-leaver.granted:
	default:
		t.Error("it is not the turn of a")
	}
	turns.leave(leaver)
	select {
	case <-next.granted:
	default:
		t.Error("it is nobody's turn")
	}
	turns.Give()
	turns.empty(t)
}

// A container may be given more processors while it runs, or fewer.
func TestLimitMayChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var limit atomic.Int32
		limit.Store(3)
		s := newSchedule(func() int { return int(limit.Load()) })
		for i := range 10 {
			s.bring("a", fmt.Sprint("a:", i))
		}
		for _, step := range []struct{ limit, ends, began int }{
			{1, 2, 3}, // the three that run may end, and no other begins
			{1, 1, 4},
			{4, 1, 8}, // one ends, four begin
		} {
			limit.Store(int32(step.limit))
			s.ends(step.ends)
			if len(s.began) != step.began {
				t.Errorf("with a limit of %d then %d have begun, not %d", step.limit, len(s.began), step.began)
			}
		}
		// A task that comes sees it, too, but does not get in before those who wait.
		limit.Store(5)
		s.bring("b", "b:0")
		if len(s.began) != 9 || s.began[8] != "a:8" {
			t.Errorf("%v have begun", s.began)
		}
		s.ends(7)
		s.empty(t)
	})
}

// On the only processor, what is ready runs before the next turn, and not after
// all of them.
func TestTurnsLetOthersRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	turns := New[string](fixed(1), plenty)
	turns.Take(nil, nil, nil)
	var had atomic.Int32
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			turns.Take(nil, nil, nil)
			had.Add(1)
			turns.Give()
		})
	}
	for turns.Waiting() < 100 {
		runtime.Gosched()
	}
	all.Go(func() {
		if before := had.Load(); before > 50 {
			t.Errorf("it runs after %d turns", before)
		}
	})
	turns.Give()
	all.Wait()
	turns.empty(t)
}

// Whoever comes, leaves or panics: while somebody waits nobody else has two
// turns, no turn is free, and none gets lost.
func TestNobodyHasTwoTurnsWhileAnotherWaits(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			limit := 1 + random.IntN(3)
			turns := New[int](fixed(limit), 4)
			type task struct {
				who  int
				gone chan struct{}
			}
			var waiting []task
			var ends []chan bool // of those that have a turn: whether they panic
			had := make(map[int]map[int]int)
			granted := func(who int) {
				for waits := range turns.queues {
					if had[waits] == nil || waits == who {
						had[waits] = make(map[int]int)
					}
					if had[waits][who]++; waits != who && had[waits][who] > 1 {
						t.Errorf("seed %d: %d has two turns while %d waits", seed, who, waits)
					}
				}
			}
			bring := func(who int) {
				gone, end := make(chan struct{}), make(chan bool)
				waiting = append(waiting, task{who, gone})
				go func() {
					defer func() { _ = recover() }()
					if !turns.Take(func() int { return who }, gone, nil) {
						return
					}
					defer turns.Give()
					granted(who)
					ends = append(ends, end)
					if <-end {
						panic("fault")
					}
				}()
			}
			for range 300 {
				switch random.IntN(7) {
				case 0, 1, 2:
					bring(random.IntN(5))
				case 3, 4, 5:
					if len(ends) > 0 {
						i := random.IntN(len(ends))
						end := ends[i]
						ends = slices.Delete(ends, i, i+1)
						end <- random.IntN(4) == 0
					}
				case 6:
					if i := random.IntN(len(waiting) + 1); i < len(waiting) {
						close(waiting[i].gone)
						waiting = slices.Delete(waiting, i, i+1)
					}
				}
				synctest.Wait()
				if turns.taken != len(ends) || turns.taken < limit && turns.Waiting() > 0 {
					t.Fatalf("seed %d: %d turns are taken, %d noted; %d wait", seed, turns.taken, len(ends), turns.Waiting())
				}
				for who := range had {
					if turns.queues[who] == nil {
						delete(had, who)
					}
				}
			}
			for len(ends) > 0 {
				end := ends[0]
				ends = ends[1:]
				end <- false
				synctest.Wait()
			}
			turns.empty(t)
		})
	}
}

// For the race detector, and for turns that get lost.
func TestNeverMoreThanTheLimit(t *testing.T) {
	turns := New[int](fixed(2), plenty)
	var running, done atomic.Int32
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 500 {
				gone := make(chan struct{})
				if i%7 == worker%7 {
					go close(gone)
				}
				if !turns.Take(func() int { return worker % 3 }, gone, nil) {
					continue
				}
				if running.Add(1) > 2 {
					t.Error("more than two at a time")
				}
				done.Add(1)
				running.Add(-1)
				turns.Give()
			}
		})
	}
	all.Wait()
	if done.Load() == 0 {
		t.Error("nobody had a turn")
	}
	turns.empty(t)
}

func TestFreeTurnAllocatesNothing(t *testing.T) {
	turns := New[string](fixed(1), plenty)
	who := func() string { t.Error("asked for a name"); return "" }
	if allocated := testing.AllocsPerRun(100, func() {
		if !turns.Take(who, nil, nil) {
			t.Error("there is none")
		}
		turns.Give()
	}); allocated != 0 {
		t.Errorf("%.0f allocations", allocated)
	}
}

func BenchmarkFreeTurn(b *testing.B) {
	turns := New[string](fixed(1), plenty)
	b.ReportAllocs()
	for b.Loop() {
		turns.Take(nil, nil, nil)
		turns.Give()
	}
}
