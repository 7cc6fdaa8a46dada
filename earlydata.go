package logtoauth

import "net/http"

// refuseEarlyData refuses a request that changes something and came before
// the TLS handshake was complete (0-RTT): whoever recorded it can send it
// again, and neither TLS nor we can tell (RFC 8446 section 8). A client sends
// it again by itself when it is told 425 (RFC 8470 section 5.2).
//
// Only HTTP/3 has early data here: crypto/tls takes none over TCP. quic-go
// hands requests on as they come and leaves it to the handler to look at
// HandshakeComplete.
func refuseEarlyData(r *http.Request) *Refusal {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	// A proxy in front that ends TLS says so in a header, whose value must not
	// matter (RFC 8470 section 5.1). Nobody gains by making it up.
	if r.TLS != nil && !r.TLS.HandshakeComplete || len(r.Header["Early-Data"]) > 0 {
		return refuseTooEarly()
	}
	return nil
}
