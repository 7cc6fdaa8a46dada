package session

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Fit returns the session as its cookie can hold it. An access token is kept
// if the whole fits. Of an identity's claims those are kept that fit: first
// `sub` and the preferred ones, in their order; then the others, small ones
// first; `organizations` and `organization_roles` last. A claim is kept whole
// or not at all: half a list of organizations would be a lie. It names the
// claims that were left out.
func (s *Session) Fit(preferred []string) (fitted *Session, leftOut []string, err error) {
	if len(s.encode()) <= maxMessage {
		return s, nil, nil
	}
	bare := *s
	bare.Token = Token{}
	if s.Token.Claims == "" {
		bare.Target = Target{}
		if len(bare.encode()) > maxMessage {
			return nil, nil, ErrTooLarge
		}
		return &bare, nil, nil
	}
	bare.Token = s.Token
	bare.Token.Claims = "{}"
	const length = 2 // what a longer text needs for its length
	room := maxMessage - len(bare.encode()) - length
	if bare.Token.Claims, leftOut, err = reduceClaims(s.Token.Claims, preferred, room); err != nil {
		return nil, nil, err
	}
	return &bare, leftOut, nil
}

// reduceClaims keeps the claims that fit into so many octets besides the
// braces.
func reduceClaims(object string, preferred []string, room int) (kept string, leftOut []string, err error) {
	var claims map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &claims); err != nil {
		return "", nil, fmt.Errorf("the claims are no JSON object: %w", err)
	}
	var members []string
	for _, name := range claimOrder(claims, preferred) {
		var member bytes.Buffer
		quoted, err := json.Marshal(name)
		if err != nil {
			return "", nil, err
		}
		member.Write(quoted)
		member.WriteByte(':')
		if err := json.Compact(&member, claims[name]); err != nil {
			return "", nil, err
		}
		if size := member.Len() + len(","); size <= room {
			room -= size
			members = append(members, member.String())
			continue
		}
		if name == "sub" {
			return "", nil, ErrTooLarge
		}
		leftOut = append(leftOut, name)
	}
	return "{" + strings.Join(members, ",") + "}", leftOut, nil
}

// claimOrder lists the names of claims, those first that must not be left out
// for others.
func claimOrder(claims map[string]json.RawMessage, preferred []string) []string {
	const (
		first = iota
		named
		rest
		last
	)
	rank := func(name string) int {
		switch {
		case name == "sub":
			return first
		case slices.Contains(preferred, name):
			return named
		case name == "organizations" || name == "organization_roles":
			return last
		default:
			return rest
		}
	}
	return slices.SortedFunc(maps.Keys(claims), func(a, b string) int {
		if order := cmp.Compare(rank(a), rank(b)); order != 0 {
			return order
		}
		if rank(a) == named {
			return cmp.Compare(slices.Index(preferred, a), slices.Index(preferred, b))
		}
		return cmp.Or(cmp.Compare(len(claims[a]), len(claims[b])), cmp.Compare(a, b))
	})
}
