// Command caddy is a Caddy with its standard modules and logto_auth, for those
// who build without xcaddy.
package main

import (
	_ "time/tzdata"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-logto/caddy-logto-auth"
)

func main() {
	caddycmd.Main()
}
