package session

import "time"

// writeWindow is how long after a request came its answer may write a cookie.
// An answer that takes longer could bring back what the browser has replaced
// since.
const writeWindow = 10 * time.Second

// Write is what is known when the header of an answer goes out that would
// write a session's cookie.
type Write struct {
	// Came is when the request came; Now is when its header goes out.
	Came, Now time.Time
	// Status is the answer's.
	Status int
	// Listed says that the session is in the list of ended ones, also if its
	// entry takes effect later: a new session has taken its place.
	Listed bool
	// Base is the SealedAt of the state that would be written, or, where that is
	// only renewed, of the one that it was made of: a renewal is always the last
	// to be sealed. Newest is that of the newest cookie that this process wrote
	// for the session.
	Base, Newest time.Time
}

// Allowed reports whether the cookie may be written. It is decided when the
// header goes out: since the request came, the person may have signed out or
// somebody else may have signed in.
func (w Write) Allowed() bool {
	return w.Status >= 200 && // informational answers come before the one that counts
		w.Now.Sub(w.Came) <= writeWindow &&
		!w.Listed &&
		!w.Newest.After(w.Base)
}
