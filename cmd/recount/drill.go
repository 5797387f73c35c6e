package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/drill"
)

// drillCommands implements recount drill.
type drillCommands struct{ *app }

func (a drillCommands) command() *cobra.Command {
	var cfg drill.Config
	cmd := &cobra.Command{
		Use:       "drill key|bypass|tamper",
		Short:     "Exercise an incident on a temporary cluster and print the timings",
		Args:      exactArgs("key|bypass|tamper"),
		ValidArgs: drill.Scenarios(),
		Long: `drill starts its own cluster on this machine, fills it, stages the incident, and handles it with the commands of the
runbook. After every step it checks that all nodes agree. It touches no other ledger.

key     a signing key is compromised: revoke, list, recount with hindsight, activate  (docs/runbooks/key-leak.md)
bypass  the verifier accepts forgeries: canary, freeze, fix, recount, activate, thaw  (docs/runbooks/verifier-bypass.md)
tamper  what the ledger has written is changed: files of a node, a backup, an export, the key, the whole history  (docs/evidence.md)

tamper changes copies and prints who finds each change, and how fast. It ends with exit code 7 if one is not found.

Run it every quarter, and time people, not only machines.`,
		Example: `  recount drill key
  recount drill bypass --submissions 10000 -o json
  recount drill tamper`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg.Scenario = args[0]
			if cfg.Scenario == "tamper" && !cmd.Flags().Changed("submissions") {
				cfg.Submissions = tamperSubmissions
			}
			switch {
			case !slices.Contains(drill.Scenarios(), cfg.Scenario):
				return usagef("unknown drill %q; known are %s", args[0], strings.Join(drill.Scenarios(), ", "))
			case cfg.Submissions < drill.MinSubmissions:
				return usagef("--submissions: at least %d", drill.MinSubmissions)
			case !slices.Contains([]int{1, 3, 5}, cfg.Nodes):
				return usagef("--nodes: 1, 3 or 5, not %d", cfg.Nodes)
			}
			return a.runDrill(cmd.Context(), cfg)
		},
	}
	cmd.Flags().IntVar(&cfg.Submissions, "submissions", 100_000,
		"honest submissions before the incident; for tamper 2000 unless given")
	cmd.Flags().IntVar(&cfg.Nodes, "nodes", 3, "nodes of the temporary cluster: 1, 3 or 5")
	cmd.Flags().StringVar(&cfg.Binary, "node-binary", "", "recount-node (default: beside this tool, else in PATH)")
	cmd.Flags().StringVar(&cfg.Parent, "dir", "",
		"where the directory of the cluster is made (default: the directory for temporary files)")
	cmd.Flags().BoolVar(&cfg.Keep, "keep", false, "keep the directory of the cluster")
	return cmd
}

// tamperSubmissions are as many as tamper needs: every case changes a copy of the ledger.
const tamperSubmissions = 2000

// runDrill plays one scenario. Each of its commands is a new run of this tool, with the same environment.
func (a drillCommands) runDrill(ctx context.Context, cfg drill.Config) error {
	cfg.Progress = a.notef
	cfg.Run = func(ctx context.Context, args []string) (int, []byte, []byte) {
		var stdout, stderr bytes.Buffer
		tool := &app{in: strings.NewReader(""), out: &stdout, err: &stderr, env: a.env}
		exit := tool.run(ctx, args)
		return exit, stdout.Bytes(), stderr.Bytes()
	}
	cfg.Connect = func(dir string) (*client.Client, error) {
		return (&app{devDir: dir, env: a.env, err: io.Discard}).connect()
	}
	report, err := drill.Run(ctx, cfg)
	if report != nil {
		return errors.Join(a.showDrill(report), drillError(err))
	}
	return drillError(err)
}

// drillError adds the exit code and the next step to the failure of a drill.
func drillError(err error) error {
	var start *drill.StartError
	switch {
	case errors.Is(err, drill.ErrFailed):
		return &codedError{exitVerify, err, "Run it again with --keep and look at the logs of the nodes."}
	case errors.As(err, &start):
		return &codedError{exitUnavailable, err, "Its log: " + start.Log}
	case errors.Is(err, drill.ErrNoBinary):
		return usagef("%w; name it with --node-binary", err)
	}
	return err
}

func (a drillCommands) showDrill(r *drill.Report) error {
	if a.format != formatTable {
		return a.printJSON(r)
	}
	if len(r.Cases) > 0 {
		return a.showTampers(r)
	}
	t := a.table(text("STEP", 1, 20), count("SECONDS", 2), text("RESULT", 3, 12))
	for _, s := range r.Steps {
		t.row(s.Step, fmt.Sprintf("%.2f", s.Seconds), s.Result)
	}
	t.row("the responder's commands together", fmt.Sprintf("%.2f", r.Response), "")
	return t.flush()
}

// showTampers prints who found each change.
func (a drillCommands) showTampers(r *drill.Report) error {
	t := a.table(text("CHANGED", 1, 30), text("DETECTED BY", 2, 20), count("SECONDS", 3), text("SAID", 4, 20))
	for _, c := range r.Cases {
		by := c.By
		if !c.Detected {
			by = "NOBODY, not by " + c.By
		}
		t.row(c.Case, by, fmt.Sprintf("%.2f", c.Seconds), c.Said)
	}
	return t.flush()
}
