package logtoauth

import "github.com/caddyserver/caddy/v2"

func init() {
	caddy.RegisterModule(&Handler{})
	caddy.RegisterModule(&Require{})
}
