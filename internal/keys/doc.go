// Package keys has a tenant's keys: it fetches, checks, keeps and stores them.
// It knows neither Caddy nor handlers, and nothing of what a token must say.
//
//   - [Set] is one tenant's keys under one [Config]. A request reads its
//     [Snapshot] without a lock. If there is none, or the token's key is not in
//     it, the request waits for a fetch ([Set.Await], [Set.AwaitKey]).
//   - [Key] is one key that may verify access tokens. Its address is its
//     identity.
//   - [Environment] is what a config lends to a set: logger, storage, observer.
//     A set outlives configs and holds on to none of it.
//   - [Set.HTTPClient] is how the tenant is talked to, by sign-ins as well.
//   - [Inspect] looks at a tenant once and says what is wrong with it.
//
// A set lives from [New] to [Set.Destruct]. In between one goroutine makes all
// fetches, one at a time (refresh.go); requests only ask for them (wait.go).
package keys
