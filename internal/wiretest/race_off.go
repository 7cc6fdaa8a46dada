//go:build !race

package wiretest

// underRace reports whether the race detector is on.
const underRace = false
