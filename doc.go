// Package logtoauth is a Caddy v2 module that protects sites with access
// tokens issued by a Logto tenant.
//
// Data flows one way: request → token source → validator (cache, key set) →
// AuthInfo → requirements → next handler, or a refusal.
package logtoauth
