// Package tokenendpoint is the client of a tenant's token endpoint and
// revocation endpoint: it exchanges codes, refreshes tokens and revokes them
// for one confidential app. It caches nothing, verifies no token, logs nothing,
// and knows neither Caddy nor the handlers.
//
// # Why not golang.org/x/oauth2
//
// It cannot be made to do what Logto and a server need (v0.37.0, read and run):
//
//   - It sends a code or refresh token more than once. Its requests have a
//     GetBody, with which net/http repeats a POST on its own (see post). Logto
//     takes a second use for a theft and ends the grant. A RoundTripper around
//     the client's could take GetBody away, but the redirect policy would have
//     to be replaced as well.
//   - Its refresh sends neither `resource` nor `organization_id`, so all it gets
//     is opaque tokens. It knows no revocation.
//   - Its error text quotes the answer: `error_description`, or all of the body.
//     A log would show whatever a broken proxy echoes.
//   - It reads 1 MiB, reads the members of JSON without their case, takes an
//     answer of text/plain apart as a form, and every 2xx and token type as
//     success.
package tokenendpoint
