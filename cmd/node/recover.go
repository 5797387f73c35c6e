package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/survivor"
	"github.com/recount-ledger/recount/internal/term"
)

// recoverFlags are those of recover.
type recoverFlags struct {
	dirs    []string
	compare bool
	output  string
	keep    keepFlags
}

func recoverCommand() *cobra.Command {
	var f recoverFlags
	cmd := &cobra.Command{
		Use:   "recover (--dir DIR... | --compare FILE... | --dir DIR --keep --into NEWDIR ...)",
		Short: "Say what is left after the disks of a majority were lost, and go on with it",
		Long: `Examine the directories of nodes that do not run, after the disks of a majority of the voters were lost for good. For
each one: the end of its log, the last entry that the node knew to be committed, the digests there, and the members. Then which log to
keep, and what may be lost. Nothing in the directories changes. Every table of the logs is read, on copies of hard links.

If the survivors are on several machines, make a report with -o json on each one, and compare the files with --compare.

As long as a majority of the disks is whole there is nothing to recover: start those nodes.

With --keep, found a new cluster with the log of one survivor, up to its last entry. The node in the new directory is the only member,
and others are added later. As after "backup restore", the cluster needs an id of its own and the node an id that the ledger never had, so
that the nodes of the old cluster and of the new one refuse each other, whichever of them come back. The first new event, "restored",
says where the ledger comes from, what is certain, who decided and why. The old directory stays as it is, with a file "recovered" that keeps
it from being recovered twice.

Recover one survivor only. This command cannot see whether another one was recovered, or whether a majority still runs somewhere:
either would be a second history of the same ledger. docs/runbooks/lost-majority.md goes through all steps.

Exit codes: 0 examined or recovered, 1 two logs contradict each other, or nothing was done, 2 wrong usage, 70 a log is damaged.`,
		Args: cobra.ArbitraryArgs,
		Example: `  recount-node recover --dir /var/lib/recount
  recount-node recover --dir /var/lib/recount -o json > node-3.json
  recount-node recover --compare node-3.json node-5.json
  recount-node recover --dir /var/lib/recount-old --keep --into /var/lib/recount --cluster-id prod-b --node-id prod-b-1 \
    --peer-address 10.0.0.1:9441 --reason "two of three disks burned" --ticket INC-9`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(args); err != nil {
				return wrong(err)
			}
			if f.keep.keep {
				return f.run(cmd)
			}
			reports, err := f.reports(cmd.Context(), cmd.ErrOrStderr(), args)
			if err != nil {
				return err
			}
			return f.show(cmd.OutOrStdout(), reports)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.dirs, "dir", nil, "data directory of a survivor (setting dir); may be given several times")
	flags.BoolVar(&f.compare, "compare", false, "compare reports in files, made with -o json")
	flags.StringVarP(&f.output, "output", "o", "table", "table (text for people) or json")
	f.keep.add(flags)
	cli.Closed(cmd, "output", "table", "json")
	return cmd
}

func (f *recoverFlags) check(args []string) error {
	switch {
	case f.compare && (len(f.dirs) > 0 || len(args) == 0):
		return errors.New("--compare takes the files with the reports, and no --dir")
	case !f.compare && len(args) > 0:
		return fmt.Errorf("%q: give directories with --dir, or reports with --compare", args[0])
	case !f.compare && len(f.dirs) == 0:
		return errors.New("give the directory of a survivor with --dir")
	case f.keep.keep && (f.compare || len(f.dirs) > 1):
		return errors.New("--keep takes one --dir: the one that the comparison names")
	}
	return f.keep.check(time.Now())
}

// reports examines the directories or reads the files.
func (f *recoverFlags) reports(ctx context.Context, progress io.Writer,
	files []string) (out []survivor.Report, err error) {
	for _, name := range files {
		r, err := readReport(name)
		if err != nil {
			return nil, wrong(err)
		}
		out = append(out, *r)
	}
	for _, dir := range f.dirs {
		r, err := survivor.Look(ctx, dir, survivor.Progress(tell(progress)))
		if errors.Is(err, survivor.ErrNoNode) {
			return nil, wrong(err)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		out = append(out, *r)
	}
	return out, nil
}

func readReport(name string) (*survivor.Report, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	r := &survivor.Report{}
	if err := dec.Decode(r); err != nil {
		return nil, fmt.Errorf("%s is no report of one directory, made with -o json: %w", name, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s is no report: something follows its end", name)
	}
	return r, nil
}

// show prints a report of one directory, or a comparison of several.
func (f *recoverFlags) show(out io.Writer, reports []survivor.Report) error {
	c, err := survivor.Compare(reports)
	if err != nil {
		return err
	}
	if f.output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if len(reports) == 1 && !f.compare {
			return enc.Encode(reports[0])
		}
		return enc.Encode(c)
	}
	for _, r := range c.Survivors {
		if err := showSurvivor(out, &r.Report); err != nil {
			return err
		}
	}
	for _, line := range c.Words() {
		if _, err := fmt.Fprintln(out, term.Visible(line)); err != nil {
			return err
		}
	}
	return nil
}

// showSurvivor prints one report as names and values.
func showSurvivor(out io.Writer, r *survivor.Report) error {
	members := ""
	for _, m := range r.Members {
		kind := "learner"
		if m.Voter {
			kind = "voter"
		}
		members += fmt.Sprintf(", %s (%s, %s)", m.ID, kind, m.Peer)
	}
	place := func(p survivor.Place) string {
		return fmt.Sprintf("%d of term %d, event %d, %s", p.Index, p.Term, p.Seq, p.LogTime)
	}
	heard := "-"
	if r.HeardFrom != "" {
		heard = fmt.Sprintf("%d from %s", r.Heard, r.HeardFrom)
	}
	rows := []string{
		"node", r.NodeID, "directory", r.Dir, "cluster", r.ClusterID, "formerly", strings.Join(r.Formerly, ", "),
		"term", strconv.FormatUint(r.Term, 10),
		"last entry", place(r.Last), "log digest", r.Last.Log,
		"committed up to", place(r.Floor), "log digest there", r.Floor.Log,
		"heard of commits", heard, "members", strings.TrimPrefix(members, ", "),
		"quarantine", r.Quarantine, "recovered", r.Recovered,
	}
	if err := showPairs(out, rows...); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out)
	return err
}

// showPairs prints names and values, and leaves out names without a value.
func showPairs(out io.Writer, rows ...string) error {
	for i := 0; i < len(rows); i += 2 {
		if rows[i+1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(out, "%-16s  %s\n", rows[i], term.Visible(rows[i+1])); err != nil {
			return err
		}
	}
	return nil
}
