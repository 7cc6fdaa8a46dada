package session

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/fields"
)

const (
	// maxCookie bounds a cookie with its name and attributes. Browsers drop
	// what is over 4096 octets, without a word.
	maxCookie = 3800

	// flowLifetime is how long a browser may take to sign in.
	flowLifetime = time.Hour

	// maxCookieAge is what browsers shorten longer lives to (RFC 6265bis
	// section 5.5). It also bounds the digits in a cookie.
	maxCookieAge = 400 * 24 * time.Hour

	hostPrefix     = "__Host-"
	httpHostPrefix = "__Host-Http-"
	sessionName    = "logto-session"
	flowName       = "logto-flow"
)

// Site is an origin as a browser sees it. It names the cookies, and what was
// sealed for one host does not open at another.
type Site struct {
	host          string // in lower case, with the port where the browser sent one
	secure        bool
	session, flow string
}

// NewSite returns the site of a request's Host, reached by https or not. Hosts
// that no browser sends, and plain http anywhere but on loopback, are errors.
//
// Browsers that know the prefix __Host-Http- also refuse a cookie of that name
// from a script; the others see the prefix __Host- in it. Neither is accepted
// over http, where the names go without.
func NewSite(host string, secure bool) (Site, error) {
	host = strings.ToLower(host)
	name, port, err := splitHost(host)
	if err != nil {
		return Site{}, err
	}
	if !secure && !fields.IsLoopback(name) {
		return Site{}, errors.New("sessions need https, or plain http on loopback")
	}
	site := Site{host: host, secure: secure, session: sessionName, flow: flowName}
	if secure {
		site.session, site.flow = httpHostPrefix+sessionName, hostPrefix+flowName
	}
	if port != "" {
		// Cookies do not see ports: two sites on one machine would overwrite
		// each other's.
		site.session += "-" + port
		site.flow += "-" + port
	}
	return site, nil
}

var errHost = errors.New("the Host is not a name or an IP address with an optional port")

// splitHost parts a Host into its name and port.
func splitHost(host string) (name, port string, err error) {
	name = host
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i+1:]
		if number, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(number, 10) != port {
			return "", "", errHost
		}
	}
	if inside, ok := strings.CutPrefix(name, "["); ok {
		inside, ok = strings.CutSuffix(inside, "]")
		if address, err := netip.ParseAddr(inside); !ok || err != nil || !address.Is6() || address.Zone() != "" {
			return "", "", errHost
		}
		return inside, port, nil
	}
	if name == "" || len(name) > 253 || strings.ContainsFunc(name, isNoHostCharacter) {
		return "", "", errHost
	}
	return name, port, nil
}

func isNoHostCharacter(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
}

// Host is the host with its port, in lower case.
func (s Site) Host() string { return s.host }

// SessionName is the name of the session's cookie.
func (s Site) SessionName() string { return s.session }

// FlowName is the name of the cookie that binds a sign-in to a browser.
func (s Site) FlowName() string { return s.flow }

// SetSession is the Set-Cookie header that hands a session over.
func (s Site) SetSession(value string, maxAge time.Duration) string {
	return s.setCookie(s.session, value, maxAge)
}

// SetFlow is the Set-Cookie header that hands a flow over, for an hour.
func (s Site) SetFlow(value string) string { return s.setCookie(s.flow, value, flowLifetime) }

// ClearSession is the Set-Cookie header that takes the session away.
func (s Site) ClearSession() string { return s.setCookie(s.session, "", 0) }

// ClearFlow is the Set-Cookie header that takes the flow away.
func (s Site) ClearFlow() string { return s.setCookie(s.flow, "", 0) }

// setCookie writes the attributes out. A cookie that is cleared needs them
// too: without Secure and Path a browser refuses the name's prefix.
func (s Site) setCookie(name, value string, maxAge time.Duration) string {
	// Rounded up: else a session that lasts a day has a cookie for a second less.
	seconds := int64((min(max(maxAge, 0), maxCookieAge) + time.Second - 1) / time.Second)
	cookie := name + "=" + value + "; Path=/; Max-Age=" + strconv.FormatInt(seconds, 10) + "; HttpOnly"
	if s.secure {
		cookie += "; Secure"
	}
	return cookie + "; SameSite=Lax"
}
