package logtoauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// The exit codes of the commands: 0 is yes, the tenant can be used or the
// token is admitted.
const (
	exitNo    = 1
	exitUsage = 2
)

func init() {
	caddycmd.RegisterCommand(command())
}

func command() caddycmd.Command {
	return caddycmd.Command{
		Name:  "logto-auth",
		Usage: "<command>",
		Short: "Finds out why a Logto tenant or a token is not accepted, and revokes tokens",
		Long: `
Answers two questions of whoever runs a site with logto_auth: can this machine
use the tenant (check), and what does my config say of this token (explain). It
also ends tokens and sessions of a running Caddy (revoke).

All exit with 0 for yes, 1 for no and 2 for a mistake in the command's use.
`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.Args = cobra.ArbitraryArgs // or cobra would answer 0 to an unknown command
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				if len(args) > 0 {
					return usageError(cmd, fmt.Errorf("there is no command %q; there are check, explain and revoke", args[0]))
				}
				return cmd.Help()
			}
			cmd.AddCommand(checkCommand(), explainCommand(), revokeCommand())
		},
	}
}

// usage is a mistake in how a command is used.
type usage struct{ error }

func (u usage) Unwrap() error { return u.error }

// newCommand makes a subcommand whose mistakes in flags and arguments have
// the exit code of usage, and which takes no arguments.
func newCommand(cmd *cobra.Command, run func(cmd *cobra.Command) (yes bool, err error)) *cobra.Command {
	cmd.SetFlagErrorFunc(usageError)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			// It is not repeated: it may be a token.
			return usageError(cmd, errors.New("the command takes flags only; a token belongs on standard input"))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		yes, err := run(cmd)
		if mistake, ok := errors.AsType[usage](err); ok {
			return usageError(cmd, mistake.error)
		}
		cmd.SilenceErrors = true
		if err != nil {
			cmd.PrintErrf("Error: %s\n", legible.Lines(err.Error()))
			return err
		}
		if !yes {
			return errors.New("no") // has been said; Caddy makes exit code 1 of it
		}
		return nil
	}
	return cmd
}

// usageError tells a mistake in one sentence and makes exit code 2 of it.
func usageError(cmd *cobra.Command, err error) error {
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.PrintErrf("Error: %s\nRun '%s --help' for usage.\n", legible.Lines(err.Error()), cmd.CommandPath())
	// Caddy's type for exit codes is not exported, its wrapper is.
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return exitUsage, nil })(cmd, nil)
}

// writeJSON prints a report for other programs.
func writeJSON(w io.Writer, report any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}

// palette colours what people read, on a terminal only.
type palette struct{ on bool }

func newPalette(w io.Writer) palette {
	file, ok := w.(*os.File)
	return palette{on: ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))}
}

func (p palette) good(text string) string  { return p.paint("32", text) }
func (p palette) bad(text string) string   { return p.paint("31", text) }
func (p palette) doubt(text string) string { return p.paint("33", text) }
func (p palette) title(text string) string { return p.paint("1", text) }

func (p palette) paint(code, text string) string {
	if !p.on {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
