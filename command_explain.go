package logtoauth

import "github.com/spf13/cobra"

func explainCommand() *cobra.Command {
	return newCommand(&cobra.Command{Use: "explain"}, func(*cobra.Command) (bool, error) { return false, nil })
}
