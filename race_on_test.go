//go:build race

package logtoauth

// underRace reports whether the race detector is on. It makes sync.Pool forget
// at random, so that allocations cannot be counted.
const underRace = true
