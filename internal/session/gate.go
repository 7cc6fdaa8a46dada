package session

// maxRequests is how many token requests one tenant gets at once.
const maxRequests = 64

// Gate bounds the token requests to one tenant: sign-ins and refreshes of all
// sites together.
type Gate struct {
	places chan struct{}
}

// NewGate makes the gate of one tenant.
func NewGate() *Gate { return &Gate{places: make(chan struct{}, maxRequests)} }

// Enter reports whether one more request may begin. If so, Leave must follow.
func (g *Gate) Enter() bool {
	select {
	case g.places <- struct{}{}:
		return true
	default:
		return false
	}
}

// Leave ends what a successful Enter began.
func (g *Gate) Leave() { <-g.places }
