package logtoauth

import "strings"

// What a cached token takes beside its own octets: its places in the map, the
// list and AuthInfo, and the parts of its claims, each of which may become a
// value in a Go map when somebody asks for a claim. A tenant's custom-claims
// script decides how many parts there are, so they are counted and not
// averaged: `{"":{"":…}}` takes seventy times its length. A test compares
// these figures with the heap.
const (
	costEntry   = 448
	costObject  = 384 // a map with slots for its first eight members
	costArray   = 48
	costElement = 56 // a value in an array or object, with its name
	costSlot    = 56 // in a map that has grown
	costScope   = 24
)

// cacheCost estimates what a cached token takes in memory, decoded claims
// included: they are charged before they exist, since nobody asks again later.
// Punctuation inside texts counts too, which errs on the safe side.
func cacheCost(token string, info *AuthInfo) int {
	count := func(octet string) int { return strings.Count(info.payload, octet) }
	text := len(token) + 2*len(info.payload)
	text += text / 8 // the allocator's size classes
	objects, elements := count("{"), count(",")
	return costEntry + text + costObject*objects + costArray*count("[") + costElement*elements +
		costSlot*max(0, elements-7*objects) + costScope*count(" ")
}
