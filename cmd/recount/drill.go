package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// drill is one exercise on a scratch cluster. Its steps are the commands that a responder would type.
type drill struct {
	a       *app
	cluster *scratch
	count   int // honest submissions
	out     string
	steps   []drillStep
}

// drillStep is one line of the report.
type drillStep struct {
	Step    string  `json:"step"`
	Command string  `json:"command,omitempty"`
	Seconds float64 `json:"seconds"`
	Result  string  `json:"result"`
}

// drillReport is the document that -o json prints.
type drillReport struct {
	Drill       string      `json:"drill"`
	Submissions int         `json:"submissions"`
	Nodes       int         `json:"nodes"`
	Steps       []drillStep `json:"steps"`
	Response    float64     `json:"response_seconds"` // from the first command of the responder to the last
	Agree       bool        `json:"agree"`
}

// errDrill means that something was not as it must be after a step.
var errDrill = errors.New("the drill failed")

func failf(format string, args ...any) error {
	return &codedError{exitVerify, fmt.Errorf("%w: %w", errDrill, fmt.Errorf(format, args...)),
		"Run it again with --keep and look at the logs of the nodes."}
}

func (a *app) drillCommand() *cobra.Command {
	var d scratch
	var count int
	cmd := &cobra.Command{
		Use:       "drill key|bypass",
		Short:     "Exercise an incident on a scratch cluster and print the timings",
		Args:      exactly("key|bypass"),
		ValidArgs: []string{"key", "bypass"},
		Long: `drill starts its own cluster on this machine, fills it, stages the incident, and handles it with the commands of the
runbook. After every step it checks that all nodes agree. It touches no other ledger.

key     a signing key is compromised: revoke, list, recount with hindsight, activate  (docs/runbooks/key-leak.md)
bypass  the verifier accepts forgeries: canary, freeze, fix, recount, activate, thaw  (docs/runbooks/verifier-bypass.md)

Run it every quarter, and time people, not only machines.`,
		Example: `  recount drill key
  recount drill bypass --submissions 10000 -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			play := map[string]func(*drill, context.Context) error{
				"key":    (*drill).key,
				"bypass": (*drill).bypass,
			}[args[0]]
			switch {
			case play == nil:
				return usagef("unknown drill %q; known are key and bypass", args[0])
			case count < 100:
				return usagef("--submissions: at least 100")
			case !slices.Contains([]int{1, 3, 5}, d.nodes):
				return usagef("--nodes: 1, 3 or 5, not %d", d.nodes)
			}
			return a.runDrill(cmd.Context(), args[0], &d, count, play)
		},
	}
	cmd.Flags().IntVar(&count, "submissions", 100_000, "honest submissions before the incident")
	cmd.Flags().IntVar(&d.nodes, "nodes", 3, "nodes of the scratch cluster: 1, 3 or 5")
	cmd.Flags().StringVar(&d.binary, "node-binary", "", "recount-node (default: beside this tool, else in PATH)")
	cmd.Flags().StringVar(&d.parent, "dir", "",
		"where the scratch directory is made (default: the directory for temporary files)")
	cmd.Flags().BoolVar(&d.keep, "keep", false, "keep the scratch directory")
	return cmd
}

func (a *app) runDrill(ctx context.Context, name string, s *scratch, count int,
	play func(*drill, context.Context) error) (err error) {
	if err := s.prepare(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	a.talk("starting %d nodes below %s", s.nodes, s.dir)
	if err := s.start(a); err != nil {
		return err
	}
	d := &drill{a: a, cluster: s, count: count, out: filepath.Join(s.dir, "bundles")}
	if err := play(d, ctx); err != nil {
		return errors.Join(d.report(name, false), err)
	}
	return d.report(name, true)
}

// step times f and says what came of it.
func (d *drill) step(name string, f func() (string, error)) error {
	return d.timed(drillStep{Step: name}, f)
}

func (d *drill) timed(s drillStep, f func() (string, error)) error {
	d.a.talk("%s ...", s.Step)
	began := time.Now()
	result, err := f()
	s.Seconds, s.Result = time.Since(began).Seconds(), result
	if err != nil {
		s.Result = err.Error()
	}
	d.steps = append(d.steps, s)
	return err
}

// command runs one command of this tool against the scratch cluster, as a responder would, and reads its JSON.
func (d *drill) command(ctx context.Context, name string, want int, v any, args ...string) error {
	return d.timed(drillStep{Step: name, Command: "recount " + strings.Join(args, " ")}, func() (string, error) {
		var out, talk bytes.Buffer
		sub := &app{in: strings.NewReader(""), out: &out, err: &talk, env: d.a.env}
		code := sub.run(ctx, append(args, "--dev", d.cluster.dir, "-o", "json", "-q"))
		if code != want {
			return "", failf("recount %s: exit code %d, want %d: %s", strings.Join(args, " "), code, want,
				strings.TrimSpace(talk.String()))
		}
		if v == nil {
			return "done", nil
		}
		return "done", json.Unmarshal(out.Bytes(), v)
	})
}

// tell replaces the result of the last step by something that says more.
func (d *drill) tell(format string, args ...any) {
	d.steps[len(d.steps)-1].Result = fmt.Sprintf(format, args...)
}

func (d *drill) report(name string, agree bool) error {
	r := drillReport{Drill: name, Submissions: d.count, Nodes: d.cluster.nodes, Steps: d.steps, Agree: agree}
	for _, s := range d.steps {
		if s.Command != "" {
			r.Response += s.Seconds
		}
	}
	if d.a.format != formatTable {
		return d.a.document(r)
	}
	t := d.a.table(text("STEP", 1, 20), count("SECONDS", 2), text("RESULT", 3, 12))
	for _, s := range r.Steps {
		t.row(s.Step, fmt.Sprintf("%.2f", s.Seconds), s.Result)
	}
	t.row("the responder's commands together", fmt.Sprintf("%.2f", r.Response), "")
	return t.flush()
}

// sameEverywhere compares the digests of all nodes.
func (d *drill) sameEverywhere(ctx context.Context) error {
	return d.command(ctx, "all nodes agree", exitOK, nil, "digest")
}
