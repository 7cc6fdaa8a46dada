package keys

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// requesterFrom is the requester with this address.
func requesterFrom(address string) Requester { return RequesterAt(netip.MustParseAddr(address)) }

func TestRequestersAreNetworksOfOnePerson(t *testing.T) {
	for _, same := range [][2]string{
		{"192.0.2.1", "192.0.2.1"},
		{"192.0.2.1", "::ffff:192.0.2.1"},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"},
		{"fe80::1%eth0", "fe80::2%eth1"},
	} {
		if requesterFrom(same[0]) != requesterFrom(same[1]) {
			t.Errorf("%s and %s are two", same[0], same[1])
		}
	}
	for _, other := range [][2]string{
		{"192.0.2.1", "192.0.2.2"},
		{"2001:db8:1:2::1", "2001:db8:1:3::1"},
		{"::1", "127.0.0.1"},
		{"0.0.0.0", "::"},
	} {
		if requesterFrom(other[0]) == requesterFrom(other[1]) {
			t.Errorf("%s and %s are one", other[0], other[1])
		}
	}
	if RequesterAt(netip.Addr{}) != Nobody || requesterFrom("0.0.0.0") == Nobody || requesterFrom("::") == Nobody {
		t.Error("an address is nobody's, or no address is somebody's")
	}
}

// More requests than may wait: the surplus is answered at once.
func TestWaitingRequestsAreBounded(t *testing.T) {
	for name, test := range map[string]struct {
		keyless bool
		who     func(i int) Requester
		waiting int
	}{
		"for any key":                         {true, func(int) Requester { return Nobody }, 1024},
		"for an unknown key":                  {false, func(int) Requester { return Nobody }, 768},
		"for any key, all of many clients":    {true, ofMany, 1024},
		"for an unknown key, of many clients": {false, ofMany, 768},
		"for any key, of one client":          {true, func(int) Requester { return requesterFrom("192.0.2.1") }, 512},
		"for an unknown key, of one client":   {false, func(int) Requester { return requesterFrom("192.0.2.1") }, 128},
		"of one IPv6 network": {false, func(i int) Requester {
			return requesterFrom(fmt.Sprintf("2001:db8:1:2:%x::%x", i%7, i))
		}, 128},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, newTenant(), testConfig(), nil)
				if !test.keyless {
					b.fetched(t)
				}
				b.SetFault(devtenant.Slow)
				var answered atomic.Int32
				var all sync.WaitGroup
				for i := range 1200 {
					all.Go(func() {
						if test.keyless {
							b.ks.Await(t.Context(), test.who(i))
						} else {
							b.ks.AwaitKey(t.Context(), fmt.Sprint("made-up-", i), test.who(i))
						}
						answered.Add(1)
					})
				}
				synctest.Wait()
				if got := 1200 - int(answered.Load()); got != test.waiting {
					t.Errorf("%d wait, not %d", got, test.waiting)
				}
				b.SetFault(devtenant.None)
				b.Release()
				all.Wait()
				if !b.serves(b.SigningKID()) {
					t.Error("no keys afterwards")
				}
				if room := &b.ks.waiting; room.taken != 0 || len(room.by) != 0 {
					t.Errorf("%d still wait, %d are remembered", room.taken, len(room.by))
				}
			})
		})
	}
}

// ofMany are requesters of whom none comes more than a few times.
func ofMany(i int) Requester { return requesterFrom(fmt.Sprintf("203.0.%d.%d", i%5, i%250)) }

// 1024 strangers with made-up kids would otherwise take every place, and a
// good token of a key that was rotated a moment ago would be refused.
func TestStrangersLeaveAPlaceForAGoodToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t)
		b.SetJWKSFault(devtenant.Slow)
		kid := b.Rotate("")
		stranger := requesterFrom("192.0.2.66")
		for i := range 2000 {
			go b.ks.AwaitKey(t.Context(), fmt.Sprint("made-up-", i), stranger)
		}
		synctest.Wait()
		found := make(chan bool)
		go func() {
			s := b.ks.AwaitKey(t.Context(), kid, requesterFrom("192.0.2.1"))
			found <- s != nil && s.Key(kid) != nil
		}()
		synctest.Wait()
		b.Release()
		if !<-found {
			t.Error("the good token was refused")
		}
	})
}

// However many strangers wait for keys that nobody has, those who come once no
// key is held at all find a place.
func TestStrangersLeavePlacesForAStartWithoutKeys(t *testing.T) {
	var room waitingRoom
	strangers := 0
	for i := range 5000 {
		if room.enter(requesterFrom(fmt.Sprintf("10.0.%d.%d", i/200, i%200)), false) {
			strangers++
		}
	}
	keyless := 0
	for i := range 5000 {
		if room.enter(requesterFrom(fmt.Sprintf("10.1.%d.%d", i/200, i%200)), true) {
			keyless++
		}
	}
	if strangers != 768 || keyless != 256 {
		t.Errorf("%d and %d found a place", strangers, keyless)
	}
}

// For the race detector, and for counts that drift.
func TestWaitingRoomIsEmptyAfterEveryoneLeft(t *testing.T) {
	var room waitingRoom
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			who := requesterFrom(fmt.Sprintf("192.0.2.%d", i%3))
			for range 1000 {
				if room.enter(who, i%2 == 0) {
					room.leave(who)
				}
			}
		})
	}
	all.Wait()
	if room.taken != 0 || len(room.by) != 0 {
		t.Errorf("%d places taken by %v", room.taken, room.by)
	}
}

func TestRequestThatGivesUpFreesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t)
		b.SetFault(devtenant.Hang)
		who := requesterFrom("192.0.2.1")
		for range shareForUnknownKey {
			go b.ks.AwaitKey(t.Context(), "made-up", who)
		}
		synctest.Wait()
		if began := time.Now(); b.ks.AwaitKey(t.Context(), "made-up", who) == nil || time.Since(began) != 0 {
			t.Error("one more waited")
		}
		advance(6 * time.Second) // fetch_timeout
		if b.ks.waiting.taken != 0 {
			t.Errorf("%d wait for nothing", b.ks.waiting.taken)
		}
	})
}
