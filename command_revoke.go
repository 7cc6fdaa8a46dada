package logtoauth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// revokeFlags are the flags of the command revoke.
type revokeFlags struct {
	revocation
	undo, list               bool
	address, config, adapter string
}

func revokeCommand() *cobra.Command {
	flags := new(revokeFlags)
	cmd := newCommand(&cobra.Command{
		Use:   "revoke (--sub <id> [--organization-id <id>] | --client-id <id> | --organization-id <id> | --session-id <id> | --jti <id>) [--not-before <time>] [--undo] [--address <admin>]",
		Short: "Ends tokens and sessions before they expire",
		Long: `
Puts an entry on the list of revocations of a running Caddy, through its admin
API. Tokens that were issued up to now, or up to --not-before, are refused from
then on by every site with revocation that shares this Caddy's storage, and
sessions that were signed in to by then end.

  --sub              a person, or a machine-to-machine app
  --sub and --organization-id
                     a person's tokens for one organization
  --organization-id  the tokens of all members of an organization
  --client-id        all tokens and sessions of an application
  --session-id       one session of Logto, the ID token's sid
  --jti              one token

With --undo the entry is taken back, with --list all entries are shown.
`,
		Example: `  $ caddy logto-auth revoke --sub 82wtl6z03cep
  $ caddy logto-auth revoke --sub 82wtl6z03cep --organization-id rwheh3w247dn
  $ caddy logto-auth revoke --list`,
	}, flags.run)
	set := cmd.Flags()
	set.StringVar(&flags.Subject, "sub", "", "The person's or machine-to-machine app's id")
	set.StringVar(&flags.OrganizationID, "organization-id", "", "The organization's id")
	set.StringVar(&flags.ClientID, "client-id", "", "The application's id")
	set.StringVar(&flags.SessionID, "session-id", "", "The id of a session of Logto")
	set.StringVar(&flags.TokenID, "jti", "", "The token's id")
	set.StringVar(&flags.Issuer, "issuer", "", "Only the tenant with this issuer, where there are several")
	set.StringVar(&flags.NotBefore, "not-before", "", "Refuse what began at this time or earlier, as RFC 3339 has it; now if empty")
	set.BoolVar(&flags.undo, "undo", false, "Take the entry back")
	set.BoolVar(&flags.list, "list", false, "Show all entries")
	set.StringVar(&flags.address, "address", "", "The address of the admin API; that of the config if empty")
	set.StringVarP(&flags.config, "config", "c", "", "The config whose admin address is used")
	set.StringVarP(&flags.adapter, "adapter", "a", "", "The adapter of that config")
	return cmd
}

// run asks the admin API and prints what it answers.
func (f *revokeFlags) run(cmd *cobra.Command) (bool, error) {
	method, body := http.MethodPost, []byte(nil)
	switch {
	case f.list && (f.undo || f.revocation != revocation{}):
		return false, usage{fmt.Errorf("--list shows all entries and goes with no other flag")}
	case f.list:
		method = http.MethodGet
	default:
		if _, err := f.entry(systemClock()); err != nil {
			return false, usage{err}
		}
		if f.undo {
			method = http.MethodDelete
		}
		var err error
		if body, err = json.Marshal(f.revocation); err != nil {
			return false, err
		}
	}
	address, err := f.adminAddress()
	if err != nil {
		return false, usage{err}
	}
	response, err := caddycmd.AdminAPIRequest(address, method, "/logto_auth/revocations", http.Header{"Content-Type": {"application/json"}}, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("asking Caddy's admin API at %s: %w", address, err)
	}
	defer response.Body.Close()
	var entries []revocation
	if err := json.NewDecoder(io.LimitReader(response.Body, 64<<20)).Decode(&entries); err != nil {
		return false, fmt.Errorf("reading the answer of the admin API: %w", err)
	}
	if f.list {
		return true, writeJSON(cmd.OutOrStdout(), entries)
	}
	for _, entry := range entries {
		verb := "revoked: what began at " + entry.NotBefore + " or earlier is refused"
		if f.undo {
			verb = "taken back"
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", legible.Field(entry.Issuer), verb); err != nil {
			return false, err
		}
	}
	return true, nil
}

// adminAddress is where the admin API is. A config with `admin off` has an
// address in it as well, or Caddy's default, where nobody answers.
func (f *revokeFlags) adminAddress() (string, error) {
	var config []byte
	if f.address == "" && f.config != "" {
		var err error
		if config, _, _, err = caddycmd.LoadConfig(f.config, f.adapter); err != nil {
			return "", err
		}
		var settings struct {
			Admin caddy.AdminConfig `json:"admin"`
		}
		if err := json.Unmarshal(config, &settings); err != nil {
			return "", fmt.Errorf("reading the config: %w", err)
		}
		if settings.Admin.Disabled {
			return "", fmt.Errorf("%s switches the admin API off, which this command asks: take `admin off` out of it, or put `admin localhost:2019` in its place, and restart Caddy; "+
				"or name the admin API of another Caddy with the same storage, with --address", f.config)
		}
	}
	return caddycmd.DetermineAdminAPIAddress(f.address, config, f.config, f.adapter)
}
