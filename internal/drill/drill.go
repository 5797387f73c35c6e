// Package drill exercises an incident on a temporary cluster and measures how long the response takes.
//
// A drill has three parts. A Cluster starts recount-node as a child process, several nodes on ports of this machine, in
// a directory of its own, with two HMAC keys: one of honest agents and one that leaks. The scenario fills the cluster
// with honest records, then stages the attack. At last it responds with the commands that an operator would type, and
// checks after each that the ledger is as the runbook says:
//
//	key     revoke, list, recount with hindsight, activate    docs/runbooks/key-leak.md
//	bypass  canary, freeze, recount, activate, thaw           docs/runbooks/verifier-bypass.md
//
// A third scenario, tamper, changes copies of the files of a ledger, as an intruder or a hostile operator could, and
// looks who finds out.
//
// The package does not import the command-line tool. The caller passes a Runner, which executes one command line and
// returns its exit code and output, so the tool runs its own commands and a test can answer for them:
//
//	report, err := drill.Run(ctx, drill.Config{
//		Scenario: "key", Submissions: 100_000, Nodes: 3,
//		Run:     func(ctx context.Context, args []string) (exit int, stdout, stderr []byte) { ... },
//		Connect: func(dir string) (*client.Client, error) { ... },
//	})
//
// Every step has a line in the Report with its duration. Only the commands of the responder count as response time:
// filling the cluster and staging the attack do not. A drill never touches another cluster, and removes its directory
// unless it is told to keep it.
package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/recount-ledger/recount/client"
)

// MinSubmissions is the least number of honest records with which every attack of a scenario has an effect.
const MinSubmissions = 100

// Errors of Run, besides those of the context and of the client.
var (
	ErrFailed   = errors.New("the drill failed")                    // the ledger was not as it must be after a step
	ErrStart    = errors.New("the temporary cluster did not start") // as a *StartError
	ErrNoBinary = errors.New("recount-node is neither beside this tool nor in PATH")
)

// StartError means that recount-node dev ended, or printed something else than that it serves. It is ErrStart.
type StartError struct {
	Log string // file
	err error
}

// Error returns one line without the name of the log.
func (e *StartError) Error() string { return fmt.Sprintf("%v: %v", ErrStart, e.err) }

// Unwrap returns ErrStart and the cause.
func (e *StartError) Unwrap() []error { return []error{ErrStart, e.err} }

// The exit codes of recount that the scenarios expect. "recount --help" lists them.
const (
	exitOK     = 0
	exitVerify = 7 // verification failed: a canary was accepted
)

// Runner executes one command line of recount, without the program's name, and returns its exit code and output.
type Runner func(ctx context.Context, args []string) (exit int, stdout, stderr []byte)

// Config selects a scenario and the size of the cluster.
type Config struct {
	Scenario    string // one of Scenarios
	Submissions int    // honest records before the attack, at least MinSubmissions
	Nodes       int    // 1, 3 or 5
	Binary      string // recount-node; empty: beside this program, else in PATH
	Parent      string // where the directory of the cluster is made; empty: the directory for temporary files
	Keep        bool   // keep that directory

	Run      Runner
	Connect  func(dir string) (*client.Client, error) // returns a client for the cluster of recount-node dev in dir
	Progress func(format string, args ...any)         // takes notes for people; nil for none
}

// Step is one line of a Report.
type Step struct {
	Step    string  `json:"step"`
	Command string  `json:"command,omitempty"` // command line, empty if the drill itself did it
	Seconds float64 `json:"seconds"`
	Result  string  `json:"result"`
}

// Report holds the steps of a drill in their order.
type Report struct {
	Drill       string  `json:"drill"`
	Submissions int     `json:"submissions"`
	Nodes       int     `json:"nodes"`
	Steps       []Step  `json:"steps"`
	Cases       []Case  `json:"cases,omitempty"`  // of tamper
	Response    float64 `json:"response_seconds"` // the commands of the responder together
	Agree       bool    `json:"agree"`            // every step succeeded, the comparison of all digests too
}

// drill is one run of a scenario.
type drill struct {
	cfg     Config
	cluster *cluster
	bundles string // directory of the bundles that "recount incident" writes
	steps   []Step
	cases   []Case
}

// scenarios are the incidents that can be exercised.
var scenarios = map[string]func(*drill, context.Context) error{
	"key":    (*drill).leakedKey,
	"bypass": (*drill).bypass,
	"tamper": (*drill).tamper,
}

// Scenarios returns the names of the scenarios.
func Scenarios() []string { return []string{"key", "bypass", "tamper"} }

// Run starts a cluster, plays a scenario on it, and stops it. The report is nil if the cluster did not start. After a
// step that failed the report ends with this step.
func Run(ctx context.Context, cfg Config) (r *Report, err error) {
	if cfg.Progress == nil {
		cfg.Progress = func(string, ...any) {}
	}
	scenario := scenarios[cfg.Scenario]
	if scenario == nil {
		return nil, fmt.Errorf("unknown drill %q; known are %s", cfg.Scenario, strings.Join(Scenarios(), ", "))
	}
	c, err := newCluster(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	cfg.Progress("starting %d nodes below %s", c.nodes, c.dir)
	if err := c.start(cfg.Connect); err != nil {
		return nil, err
	}
	d := &drill{cfg: cfg, cluster: c, bundles: filepath.Join(c.dir, "bundles")}
	err = scenario(d, ctx)
	return d.report(err == nil), err
}

func failf(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrFailed, fmt.Errorf(format, args...))
}

// step measures f and records its result.
func (d *drill) step(name string, f func() (string, error)) error {
	return d.timed(Step{Step: name}, f)
}

func (d *drill) timed(s Step, f func() (string, error)) error {
	d.cfg.Progress("%s ...", s.Step)
	began := time.Now()
	result, err := f()
	s.Seconds, s.Result = time.Since(began).Seconds(), result
	if err != nil {
		s.Result = err.Error()
	}
	d.steps = append(d.steps, s)
	return err
}

// command runs one command of a responder against the cluster and decodes its JSON into v, if v is not nil.
func (d *drill) command(ctx context.Context, name string, want int, v any, args ...string) error {
	line := "recount " + strings.Join(args, " ")
	return d.timed(Step{Step: name, Command: line}, func() (string, error) {
		exit, stdout, stderr := d.cfg.Run(ctx, append(args, "--dev", d.cluster.dir, "-o", "json", "-q"))
		if exit != want {
			return "", failf("%s: exit code %d, want %d: %s", line, exit, want, strings.TrimSpace(string(stderr)))
		}
		if v == nil {
			return "done", nil
		}
		return "done", json.Unmarshal(stdout, v)
	})
}

// setResult replaces the result of the last step by one with more detail.
func (d *drill) setResult(format string, args ...any) {
	d.steps[len(d.steps)-1].Result = fmt.Sprintf(format, args...)
}

func (d *drill) report(agree bool) *Report {
	r := &Report{
		Drill:       d.cfg.Scenario,
		Submissions: d.cfg.Submissions,
		Nodes:       d.cluster.nodes,
		Steps:       d.steps,
		Cases:       d.cases,
		Agree:       agree,
	}
	for _, s := range d.steps {
		if s.Command != "" {
			r.Response += s.Seconds
		}
	}
	return r
}

// sameEverywhere compares the digests of all nodes.
func (d *drill) sameEverywhere(ctx context.Context) error {
	return d.command(ctx, "all nodes agree", exitOK, nil, "digest")
}
