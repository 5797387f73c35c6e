package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/doctor"
	"github.com/recount-ledger/recount/internal/stopped"
	"github.com/recount-ledger/recount/internal/term"
)

// errFindings ends recount-node doctor when a finding is critical or a warning.
var errFindings = errors.New("there are findings")

func doctorCommand() *cobra.Command {
	var dir, config, output string
	var o stopped.Options
	cmd := &cobra.Command{
		Use:   "doctor (--dir DIR | --config FILE)",
		Short: "Examine the directory of a stopped node, and its settings",
		Long: `Examine the directory of a node that does not run: whose it is, whether it is quarantined, its free space, and its log. The log is
opened as a start would open it, on a copy of hard links that is removed again, and every table is read. Nothing else changes.
With --config the settings and the files that they name are examined, too, as "config check" does.

"recount doctor" examines a running cluster. Each finding has a severity (critical, warning, note), plain words, the next command
and a page of docs/.

Exit codes: 0 no finding is critical or a warning, 1 there is one, 2 wrong usage.`,
		Example: `  recount-node doctor --config /etc/recount/config.yaml
  recount-node doctor --dir /var/lib/recount -o json
  recount-node doctor --dir /var/lib/recount --skip-log`,
		Args: cli.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var found []doctor.Finding
			if config != "" {
				_, c, err := loadConfig(config, cmd.Flags(), os.LookupEnv)
				if err != nil {
					return wrong(problems(err))
				}
				found = stopped.Settings(&c, config, time.Now())
				dir = cmp.Or(dir, c.Dir)
			}
			if dir == "" {
				return wrong(errors.New("give the directory with --dir, or the settings that name it with --config"))
			}
			if _, err := os.Stat(dir); err != nil {
				return wrong(fmt.Errorf("--dir: %w", err))
			}
			o.Config = config
			o.Progress = logProgress(cmd.ErrOrStderr())
			found = append(found, stopped.Directory(cmd.Context(), dir, o)...)
			return showFindings(cmd, doctor.NewReport(time.Now(), 1, found), output)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "data directory of the node (setting dir)")
	cmd.Flags().StringVar(&config, "config", "", "settings file of the node, YAML")
	cmd.Flags().BoolVar(&o.SkipLog, "skip-log", false, "do not open and read the log")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table (text for people) or json")
	cli.Closed(cmd, "output", "table", "json")
	return cmd
}

// logProgress prints how much of the log is read, every two seconds.
func logProgress(to io.Writer) func(read, of uint64) {
	began := time.Now()
	last := began
	return func(read, of uint64) {
		now := time.Now()
		if now.Sub(last) < 2*time.Second || read == 0 {
			return
		}
		last = now
		elapsed := now.Sub(began).Seconds()
		rate := float64(read) / elapsed
		fmt.Fprintf(to, "read %d of %d MiB of the log, %.0f MiB/s, %.0f s left\n", read>>20, of>>20, rate/(1<<20),
			float64(of-read)/rate)
	}
}

// showFindings prints a report, and fails unless all is well.
func showFindings(cmd *cobra.Command, r *doctor.Report, output string) error {
	out := cmd.OutOrStdout()
	if output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return err
		}
	} else {
		for _, f := range r.Findings {
			fmt.Fprintf(out, "%s  %s  %s\n  finding  %s\n  next     %s\n  page     docs/%s\n", f.Severity, f.Check, f.Node,
				term.Visible(f.Text), f.Next, f.Page)
		}
	}
	if !r.OK {
		return fmt.Errorf("%w: %d critical, %d warnings", errFindings, r.Count(doctor.Critical), r.Count(doctor.Warning))
	}
	_, err := fmt.Fprintln(cmd.ErrOrStderr(), "all is well")
	return err
}
