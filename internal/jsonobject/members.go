// Package jsonobject reads the JSON objects of tokens: their members, with no
// more tolerance and no more memory than needed, and values deep inside them.
package jsonobject

import (
	"slices"
	"strings"
)

// Members are the members of a JSON object, in their order. Names are compared
// with their case, and one that stands twice counts once, the last time.
// Decoding into a struct would do neither: encoding/json takes `EXP`, `Aud`
// and even `ſub` for `exp`, `aud` and `sub`.
//
// The members are cut out of the object's text, which they keep alive, and
// only those that somebody asks for are decoded. A map of json.RawMessage
// would say the same with forty more allocations.
type Members []member

// member is a name and its value.
type member struct {
	name  string
	value Value
}

// Parse takes a JSON object apart, and refuses all else.
func Parse(text string) (Members, bool) {
	m := make(Members, 0, min(strings.Count(text, ",")+1, 16))
	if !Walk(text, func(name string, value Value) { m = append(m, member{name, value}) }) {
		return nil, false
	}
	return m, true
}

// Get returns the value of a member, or "".
func (m Members) Get(name string) Value {
	for _, member := range slices.Backward(m) {
		if member.name == name {
			return member.value
		}
	}
	return ""
}

// Text returns a member as Value.Text does.
func (m Members) Text(name string) (value string, present, usable bool) { return m.Get(name).Text() }

// Date returns a member as Value.Date does.
func (m Members) Date(name string) (seconds int64, present, usable bool) { return m.Get(name).Date() }

// List returns a member as Value.List does.
func (m Members) List(name string) (values []string, usable bool) { return m.Get(name).List() }
