package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/repair"
	"github.com/recount-ledger/recount/internal/term"
)

func repairCommand() *cobra.Command {
	var config, output string
	cmd := &cobra.Command{
		Use:   "repair --config FILE",
		Short: "Replace the damaged log of a stopped node by a copy from the other nodes",
		Long: `Get the log of a node that does not start, or is quarantined, because its log is damaged. The node keeps its
id. It must be stopped, and a leader with a majority of the voters must run without it. The settings name
the other nodes and the certificate of this one.

First the leader says how far the copy has to go, so that it holds every entry that this node had acknowledged. Then
the log of a member is copied, each of its tables is read, and what can still be read of the damaged log is compared
with it. The folded state is dropped. The node folds it again from the copy when it starts, and compares its digests
with the other nodes before it answers a client.

It is refused when the files with the votes or the identity of the node are damaged, too, because the node might vote
twice. Then a node with a new id has to take its place, as docs/members.md says. A log that is whole is left alone.

The command may be given again after any interruption. It goes on with what it has. The damaged log stays in the
directory events.damaged-1 beside events until you remove it, and takes its space there. A node that was interrupted
while the new log was put in place does not start before the command has ended.

Exit codes: 0 repaired, or the log is whole, 1 not repaired, give it again, 2 wrong usage or settings, 70 refused.`,
		Example: `  recount-node repair --config /etc/recount/config.yaml
  recount-node repair --config /etc/recount/config.yaml -o json`,
		Args: cli.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if config == "" {
				return wrong(errors.New("give the settings of the node with --config"))
			}
			_, c, err := loadConfig(config, cmd.Flags(), os.LookupEnv)
			if err != nil {
				return wrong(problems(err))
			}
			progress := cmd.ErrOrStderr()
			r, err := repair.Repair(cmd.Context(), repair.Options{Config: c,
				Logger: slog.New(slog.NewTextHandler(progress, &slog.HandlerOptions{Level: slog.LevelWarn})),
				Tell:   func(line string) { fmt.Fprintln(progress, term.Visible(line)) }})
			if errors.Is(err, repair.ErrWhole) {
				_, err := fmt.Fprintln(progress, "the log of this node is whole, and nothing was changed")
				return err
			}
			if err != nil {
				return err
			}
			return showRepair(cmd.OutOrStdout(), progress, &r, c.Dir, output)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "settings file of the node, YAML (required)")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table (text for people) or json")
	cli.Closed(cmd, "output", "table", "json")
	return cmd
}

// showRepair prints what was done to out, and the next step to hints.
func showRepair(out, hints io.Writer, r *repair.Report, dir, output string) error {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	var err error
	if output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		err = enc.Encode(r)
	} else {
		err = showPairs(out, "node", r.Node, "found", r.Found, "copied from", r.Member, "last entry", number(r.Index),
			"last event", number(r.Seq), "needed up to", number(r.Fence), "compared", number(r.Same)+" entries",
			"damaged log", filepath.Join(dir, r.Damaged))
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(hints, "Next: examine the disk, then start the node. It folds the log from its first event "+
		"and is ready afterwards.\nThen remove %s, which keeps the damaged log.\n", filepath.Join(dir, r.Damaged))
	return err
}
