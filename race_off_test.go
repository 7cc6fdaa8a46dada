//go:build !race

package logtoauth

const underRace = false
