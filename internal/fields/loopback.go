package fields

import (
	"net"
	"strings"
)

// IsLoopback reports whether a host, without a port, stays on this machine.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") || IsBelowLocalhost(host) {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// IsBelowLocalhost reports whether a host is below localhost, where every name
// is this machine (RFC 6761 section 6.3). Go's resolver asks the network all the
// same, so who connects to one has to see to it.
func IsBelowLocalhost(host string) bool {
	return strings.HasSuffix(strings.ToLower(host), ".localhost")
}
