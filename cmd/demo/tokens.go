package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// heldToken is a token to try, which somebody got from the tenant or made up.
type heldToken struct {
	name  string // of its file, without .jwt
	about string
	issue func(*tenantServer) string
}

// heldTokens are the tokens of the guide and of the page.
var heldTokens = []heldToken{
	{"alice", "Alice's, for the API: read:products", issue(alice(devtenant.TokenRequest{Resource: api, Scope: "read:products"}))},
	{"orders", "Alice's, for the API: read:products write:orders", issue(alice(devtenant.TokenRequest{Resource: api, Scope: "read:products write:orders"}))},
	{"noscope", "Alice's, for the API, without scopes", issue(alice(devtenant.TokenRequest{Resource: api}))},
	{"billing", "Alice's, for another API", issue(alice(devtenant.TokenRequest{Resource: anotherAPI, Scope: "read:products"}))},
	{"acme", "Alice's, for organization acme: read:members", issue(alice(devtenant.TokenRequest{OrganizationID: acme, Scope: "read:members"}))},
	{"guest", "Alice's, for organization acme: invite:member", issue(alice(devtenant.TokenRequest{OrganizationID: acme, Scope: "invite:member"}))},
	{"job", "a machine's, for organization acme: read:members", issue(devtenant.TokenRequest{ClientID: "nightly-job", OrganizationID: acme, Scope: "read:members"})},
	{"both", "Alice's, for the API in acme: read:invoices", issue(alice(devtenant.TokenRequest{Resource: api, OrganizationID: acme, Scope: "read:invoices"}))},
	{"less", "Alice's, for the API in acme, without scopes", issue(alice(devtenant.TokenRequest{Resource: api, OrganizationID: acme}))},
	{"other", "Alice's, for the API in another organization", issue(alice(devtenant.TokenRequest{Resource: api, OrganizationID: "umbrella", Scope: "read:invoices"}))},
	{"opaque", "of a client that named no resource", func(t *tenantServer) string { return t.OpaqueToken() }},
	{"id", "Alice's ID token, which is for no API", func(t *tenantServer) string { return t.IDToken("alice", "web-app") }},
	{"forged", "Alice's, but signed by a stranger", forged},
}

// wallet has a token of each kind, and their files.
type wallet struct {
	directory string

	mu     sync.Mutex
	tokens map[string]string
}

// token returns the token of this name, and whether there is one.
func (w *wallet) token(name string) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	token, held := w.tokens[name]
	return token, held
}

// renew replaces all tokens by new ones, in the files too.
func (w *wallet) renew(t *tenantServer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens = make(map[string]string, len(heldTokens))
	for _, token := range heldTokens {
		w.tokens[token.name] = token.issue(t)
	}
	return writeTokens(w.directory, w.tokens)
}

// clientFile has what the demo's client sends to the token endpoint to say who
// it is.
const clientFile = "client"

// tokenFile is the name of a token's file.
func tokenFile(name string) string { return name + ".jwt" }

// writeTokens writes each token to a file that only this user can read. A file
// is a header line, as curl -H @file takes it; logto-auth explain takes it too.
func writeTokens(directory string, tokens map[string]string) error {
	files := map[string]string{
		clientFile: "grant_type=client_credentials&client_id=" + demoClient + "&client_secret=" + demoSecret,
	}
	for name, token := range tokens {
		files[tokenFile(name)] = "Authorization: Bearer " + token
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text+"\n"), 0o600); err != nil {
			return fmt.Errorf("writing a token: %w", err)
		}
	}
	return nil
}

// alice makes a request for a token one of a user's.
func alice(request devtenant.TokenRequest) devtenant.TokenRequest {
	request.Subject, request.ClientID = "alice", "web-app"
	return request
}

// issue returns what issues a new token.
func issue(request devtenant.TokenRequest) func(*tenantServer) string {
	return func(t *tenantServer) string { return t.Token(request) }
}

// forged has a good token's claims, signed with a stranger's key under the
// tenant's key ID.
func forged(t *tenantServer) string {
	stranger := devtenant.New(devtenant.Options{Issuer: t.Issuer()})
	claims := t.Claims(alice(devtenant.TokenRequest{Resource: api, Scope: "read:products"}))
	return stranger.Sign(map[string]any{"kid": t.SigningKID()}, claims)
}
