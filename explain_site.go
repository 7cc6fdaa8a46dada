package logtoauth

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/httproutes"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// siteServer is an HTTP server of a config, which has one site or several.
type siteServer struct {
	Listen      []string                    `json:"listen"`
	Routes      []httproutes.Route          `json:"routes"`
	NamedRoutes map[string]httproutes.Route `json:"named_routes"`
	AutoHTTPS   struct {
		Disabled bool     `json:"disable"`
		Skip     []string `json:"skip"`
	} `json:"automatic_https"`
	TLSPolicies []json.RawMessage `json:"tls_connection_policies"`
}

// surveyed is what a survey looks at of the server.
func (s siteServer) surveyed() *surveyedServer {
	return &surveyedServer{Listen: s.Listen, Routes: s.Routes, NamedRoutes: s.NamedRoutes}
}

// addresses are those that the server listens on. What is no address is left
// out: the config would not load.
func (s siteServer) addresses() []caddy.NetworkAddress {
	repl := caddy.NewReplacer()
	addresses := make([]caddy.NetworkAddress, 0, len(s.Listen))
	for _, text := range s.Listen {
		if address, err := caddy.ParseNetworkAddress(repl.ReplaceAll(text, "")); err == nil {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// listensOn reports whether the server listens on a port, or where clients
// may reach it on any: a socket file is for a proxy in front, and the system
// chooses a port for 0.
func (s siteServer) listensOn(port string) bool {
	return slices.ContainsFunc(s.addresses(), func(address caddy.NetworkAddress) bool {
		if address.IsUnixNetwork() || address.IsFdNetwork() || address.StartPort == 0 {
			return true
		}
		for number := address.StartPort; number <= address.EndPort; number++ {
			if port == fmt.Sprint(number) {
				return true
			}
		}
		return false
	})
}

// onSocket stands between a host and the socket file on which it is served.
const onSocket = " on "

// ports are what the server listens on, as a site's address has it.
func (s siteServer) ports() []string {
	var ports []string
	for _, address := range s.addresses() {
		port := fmt.Sprintf(":%d", address.StartPort)
		if address.EndPort != address.StartPort {
			port += fmt.Sprintf("-%d", address.EndPort)
		}
		if address.IsUnixNetwork() || address.IsFdNetwork() {
			port = onSocket + address.String()
		}
		if !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	return ports
}

// name names the site of a route of the server, and the requests to it that
// match: `a.test:8080, path /x*`.
func (s siteServer) name(sets httproutes.MatcherSets) string {
	if len(sets) == 0 {
		return s.nameHosts(nil)
	}
	texts := make([]string, 0, len(sets))
	for _, set := range sets {
		var hosts []string
		_ = json.Unmarshal(set["host"], &hosts) // no hosts are all hosts
		others := maps.Clone(set)
		delete(others, "host")
		texts = append(texts, strings.Join(append([]string{s.nameHosts(hosts)}, httproutes.SetTexts(others)...), ", "))
	}
	return strings.Join(texts, "; or ")
}

// nameHosts names hosts with the ports they are served on, as one would type
// them. Without a host there are only ports, without ports only hosts.
func (s siteServer) nameHosts(hosts []string) string {
	var names []string
	for _, host := range hosts {
		for _, port := range s.ports() {
			names = append(names, host+port)
		}
		if len(s.ports()) == 0 {
			names = append(names, host)
		}
	}
	if len(hosts) == 0 {
		for _, port := range s.ports() {
			names = append(names, strings.TrimPrefix(port, onSocket))
		}
	}
	return legible.Cut(strings.Join(names, " "), httproutes.MaxText)
}

// serves reports whether the server has a site for the host of the request.
func (q question) serves(server siteServer) (bool, error) {
	for _, route := range server.Routes {
		if len(route.Match) == 0 {
			return true, nil
		}
		for _, set := range route.Match {
			host, ok := set["host"]
			if !ok {
				return true, nil
			}
			matched, _, err := q.matchOne("host", host, nil)
			if err != nil || matched != no {
				return true, err
			}
		}
	}
	return len(server.Routes) == 0, nil
}

// unserved says that no site is for the request, and which there are.
func (q question) unserved(servers map[string]siteServer) (string, error) {
	const most = 10
	var ports, sites []string
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		server := servers[name]
		serves, err := q.serves(server)
		if err != nil {
			return "", err
		}
		if serves {
			ports = append(ports, server.ports()...)
		}
		for _, route := range server.Routes {
			if site := server.name(route.Match); !slices.Contains(sites, site) {
				sites = append(sites, site)
			}
		}
	}
	text := fmt.Sprintf("No site of this config serves %s.", siteAddress(q.original))
	switch {
	case len(ports) > 0:
		text += fmt.Sprintf(" It serves %s on %s.", q.original.URL.Hostname(), strings.Join(ports, " and "))
	case len(sites) > most:
		text += fmt.Sprintf(" It has %s and %d more.", strings.Join(sites[:most], " and "), len(sites)-most)
	case len(sites) > 0:
		text += fmt.Sprintf(" It has %s.", strings.Join(sites, " and "))
	}
	return text + " If a proxy or port mapping is in front of Caddy, ask with the host and port that Caddy gets.", nil
}

// siteAddress is the host and port of a request, with the port that clients
// add by themselves.
func siteAddress(r *http.Request) string {
	host := r.URL.Host
	if r.URL.Port() == "" {
		host += ":" + keys.DefaultPort(r.URL.Scheme)
	}
	return r.URL.Scheme + "://" + host
}
