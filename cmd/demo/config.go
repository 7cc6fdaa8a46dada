package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// adapt turns the Caddyfile into JSON, with the tenant in the place of
// {$LOGTO_ENDPOINT}.
func adapt(config, endpoint string) ([]byte, error) {
	text, err := os.ReadFile(config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (run this in the root of the repository, or name a file with -config)", err)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Setenv("LOGTO_ENDPOINT", endpoint); err != nil {
		return nil, err
	}
	adapted, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": config})
	if err != nil {
		return nil, fmt.Errorf("adapting: %w", err)
	}
	for _, warning := range warnings {
		fmt.Fprintln(os.Stderr, "demo:", warning)
	}
	return adapted, nil
}

// contain keeps Caddy to itself whatever the Caddyfile says: a free loopback
// port, no admin endpoint, no certificates, no file outside the working
// directory. The members' site is added to it, and the page unless its address
// is empty. The log is what this module has to say and nothing else, and goes
// to the journal.
func contain(adapted []byte, working, logLevel, page string) ([]byte, error) {
	var config caddy.Config
	if err := json.Unmarshal(adapted, &config); err != nil {
		return nil, fmt.Errorf("decoding the configuration: %w", err)
	}
	var app caddyhttp.App
	if sites, ok := config.AppsRaw["http"]; ok {
		if err := json.Unmarshal(sites, &app); err != nil {
			return nil, fmt.Errorf("decoding the sites: %w", err)
		}
	}
	// Several servers cannot share one address, be its port free or not. The
	// members' site has another name for it.
	if len(app.Servers) != 1 {
		return nil, fmt.Errorf("the sites listen on %d addresses; the demo serves one", len(app.Servers))
	}
	if page != "" {
		for _, server := range app.Servers {
			addPage(server, page)
		}
	}
	if err := addMembers(&app, filepath.Join(working, "members")); err != nil {
		return nil, err
	}
	for name, server := range app.Servers {
		server.Listen = []string{"127.0.0.1:0"}
		if name == membersServer {
			server.Listen = []string{"localhost:0"}
		}
		server.AutoHTTPS = &caddyhttp.AutoHTTPSConfig{Disabled: true}
	}
	config.AppsRaw["http"] = caddyconfig.JSON(app, nil)
	config.Admin = &caddy.AdminConfig{Disabled: true, Config: &caddy.ConfigSettings{Persist: new(false)}}
	config.StorageRaw = caddyconfig.JSON(map[string]string{"module": "file_system", "root": filepath.Join(working, "storage")}, nil)
	config.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{
		// Caddy would tell on standard error of another writer for this one.
		"default": {BaseLog: caddy.BaseLog{Level: "FATAL"}},
		"demo": {
			BaseLog: caddy.BaseLog{
				Level:      logLevel,
				WriterRaw:  caddyconfig.JSON(map[string]string{"output": "logto_demo"}, nil),
				EncoderRaw: caddyconfig.JSON(map[string]string{"format": "json"}, nil),
			},
			Include: []string{"http.handlers.logto_auth", "http.handlers.logto_require", "logto_auth"},
		},
	}}
	contained, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encoding the configuration: %w", err)
	}
	return contained, nil
}
