package main

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// The app that signs people in.
const (
	membersApp    = "rowing-club"
	membersSecret = "secret-of-the-rowing-club-32-chars"

	// membersServer is the name of its server in Caddy's config.
	membersServer = "members"
)

// membersSite is a Caddyfile and its pages. All of it is in the program, so
// that the demo needs no file but the Caddyfile that it shows.
//
//go:embed members/Caddyfile all:members/site
var membersSite embed.FS

// addMembers adds the members' site to a config, as a server of its own. Its
// pages are written into the directory.
func addMembers(config *caddyhttp.App, directory string) error {
	pages, err := fs.Sub(membersSite, "members/site")
	if err != nil {
		return err
	}
	if err := os.CopyFS(directory, pages); err != nil {
		return fmt.Errorf("writing the members' pages: %w", err)
	}
	for name, value := range map[string]string{
		"LOGTO_APP_ID": membersApp, "LOGTO_APP_SECRET": membersSecret, "LOGTO_WEBHOOK_KEY": webhookSecret, "DEMO_SITE": filepath.ToSlash(directory),
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	text, err := membersSite.ReadFile("members/Caddyfile")
	if err != nil {
		return err
	}
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": "members/Caddyfile"})
	if err != nil {
		return fmt.Errorf("adapting the members' site: %w", err)
	}
	var members struct {
		Apps struct {
			HTTP caddyhttp.App `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(adapted, &members); err != nil {
		return fmt.Errorf("decoding the members' site: %w", err)
	}
	for _, server := range members.Apps.HTTP.Servers {
		config.Servers[membersServer] = server
		return nil
	}
	return errors.New("the members' site has no server")
}

// inviteMembers tells the tenant of the app and of two people. The app's
// addresses are known once Caddy listens.
func (t *tenantServer) inviteMembers(address string) {
	site := "http://" + address
	t.AddApp(devtenant.App{
		ID: membersApp, Secret: membersSecret,
		RedirectURIs:           []string{site + "/.logto/callback"},
		PostLogoutRedirectURIs: []string{site + "/.logto/signed-out"},
	})
	t.AddUser(devtenant.User{ID: "alice", Name: "Alice", Roles: []string{"board"}})
	t.AddUser(devtenant.User{ID: "bob", Name: "Bob"})
}
