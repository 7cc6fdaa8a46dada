module github.com/caddy-logto/caddy-logto-auth/bench

go 1.26.0

// The throw-away tenant, whose tokens the load consists of. The Caddy that is
// measured is built in the repository, by its own go.mod.
replace github.com/caddy-logto/caddy-logto-auth => ../

require (
	github.com/caddy-logto/caddy-logto-auth v0.0.0-00010101000000-000000000000
	github.com/dgraph-io/ristretto/v2 v2.4.2
	github.com/go-jose/go-jose/v4 v4.1.6
	github.com/hashicorp/golang-lru/v2 v2.0.7
	github.com/maypok86/otter/v2 v2.4.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dustin/go-humanize v1.1.0 // indirect
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	golang.org/x/sys v0.48.0 // indirect
)
