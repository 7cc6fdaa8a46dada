package keys

import (
	"net/netip"
	"sync"
)

const (
	// maxWaiting bounds how many requests wait for a fetch at a time: too many
	// could use up the server's memory. Who is not let in is answered at once,
	// from what is there.
	maxWaiting = 1024

	// keptForKeyless of these places are for requests that wait because no key
	// is held at all. Requests whose token names an unknown key do not get
	// them: whoever makes up kids costs nothing but that, while without keys
	// everyone has to wait.
	keptForKeyless = maxWaiting / 4

	// What one requester gets of the places. For an unknown key it is enough
	// for a company behind one address during a fetch, and less than the 250
	// streams of one HTTP/2 connection. Without keys it is more: then everyone
	// who comes has to wait, and where Caddy does not know its proxies, all who
	// come at a restart are one.
	shareForUnknownKey = maxWaiting / 8
	shareForKeyless    = maxWaiting / 2
)

// Requester is who is behind a request that wants to wait: the network that
// one person, or one attacker, has. The zero Requester is nobody: no share
// bounds it, only the number of all places.
type Requester struct{ network netip.Prefix }

// Nobody is the requester if there is no address, as on a Unix socket.
var Nobody Requester

// RequesterAt returns the requester with this address. An IPv6 network of 64
// bits counts as one: that is the least that a provider hands out (RFC 6177),
// and its owner can use another address for every request.
func RequesterAt(address netip.Addr) Requester {
	address = address.Unmap() // ::ffff:192.0.2.1 is 192.0.2.1
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	network, err := address.WithZone("").Prefix(bits)
	if err != nil { // of no address at all
		return Nobody
	}
	return Requester{network}
}

// waitingRoom has a bounded number of places for requests that wait.
type waitingRoom struct {
	mu    sync.Mutex // never taken by a request that need not wait
	taken int
	by    map[Requester]int
}

// enter takes a place and reports whether there was one. keyless is for a
// request that waits because no key is held.
func (w *waitingRoom) enter(who Requester, keyless bool) bool {
	places, share := maxWaiting, shareForKeyless
	if !keyless {
		places, share = maxWaiting-keptForKeyless, shareForUnknownKey
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.taken >= places || who != Nobody && w.by[who] >= share {
		return false
	}
	if w.by == nil {
		w.by = make(map[Requester]int)
	}
	w.taken++
	w.by[who]++
	return true
}

// leave gives a place back.
func (w *waitingRoom) leave(who Requester) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken--
	if w.by[who]--; w.by[who] == 0 {
		delete(w.by, who) // or every address ever seen would be kept
	}
}
