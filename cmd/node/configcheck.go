package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/recount-ledger/recount/internal/node"
)

// loadConfig reads the settings and converts them. Its error has all problems of both steps.
func loadConfig(path string, fs *pflag.FlagSet, env func(string) (string, bool)) (values, node.Config, error) {
	v, err := load(path, fs, env)
	if v.unread {
		return v, node.Config{}, err
	}
	c, bad := v.nodeConfig()
	return v, c, errors.Join(err, bad)
}

// problems states the number of problems if there are several, with each on its own line and none twice.
func problems(err error) error {
	if err == nil {
		return nil
	}
	var lines []string
	for _, line := range strings.Split(err.Error(), "\n") {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	if len(lines) == 1 {
		return err
	}
	return fmt.Errorf("%d problems:\n%s", len(lines), strings.Join(lines, "\n"))
}

func configCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{Use: "config", Short: "Write, check and show the settings of a node"}
	check := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Report every problem of the settings and of the files that they name",
		Long: `Report every problem at once, where a start stops at the first one. Besides the settings, check loads the files that they name: keys,
certificates with their keys and authorities, the cluster and the node in them, their expiry, the tokens file, the directories
that must be writable, free disk space, and whether another process listens at the addresses. It changes nothing.

Run it on the machine of the node, as the user of the node. While the node runs, its ports and its disk are not tested. A problem that does not
stop a node is a warning on stderr.

Exit codes: 0 the node can start, 2 there are problems.`,
		Example: `  recount-node config check --config /etc/recount/config.yaml
  sudo -u recount recount-node config check --config /etc/recount/config.yaml`,
		RunE: func(cmd *cobra.Command, _ []string) error { return checkConfig(cmd, path) },
	}
	view := &cobra.Command{
		Use: "view --config FILE", Short: "Print each setting, its value and where it came from (secrets masked)",
		Example: `  recount-node config view --config /etc/recount/config.yaml`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return viewConfig(cmd, path) },
	}
	for _, c := range []*cobra.Command{check, view} {
		c.Flags().StringVar(&path, "config", "", "settings file, YAML")
		addFlags(c.Flags())
		cmd.AddCommand(c)
	}
	cmd.AddCommand(configInitCommand())
	return cmd
}

func checkConfig(cmd *cobra.Command, path string) error {
	v, c, err := loadConfig(path, cmd.Flags(), os.LookupEnv)
	var warnings []string
	if !v.unread {
		x := c.Examine(time.Now())
		err = errors.Join(err, errors.Join(x.Problems...))
		warnings = x.Warnings
		if file := v.text["pid_file"]; file != "" {
			err = errors.Join(err, wrapped("pid_file", node.Writable(filepath.Dir(file))))
		}
	}
	for _, w := range append(warnings, unread()...) {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", w)
	}
	if err != nil {
		return wrong(problems(err))
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), "ok")
	return err
}

func viewConfig(cmd *cobra.Command, path string) error {
	v, err := load(path, cmd.Flags(), os.LookupEnv)
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SETTING\tVALUE\tORIGIN")
	for _, s := range settings {
		text := v.text[s.key]
		if s.secret && text != "" {
			text = "(set)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.key, text, v.origin[s.key])
	}
	for i, m := range v.voters {
		fmt.Fprintf(w, "voters[%d]\tid %s, peer %s, api %s\t%s\n", i, m.ID, m.Peer, m.API, v.from)
	}
	return errors.Join(w.Flush(), wrong(problems(err)))
}
