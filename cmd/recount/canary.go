package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/sign"
	"github.com/recount-ledger/recount/wire"
)

// canaryShard is the shard of all canaries. Register it with recount known-shards.
const canaryShard = "recount-canary"

// canaryTimeout bounds one canary at one node.
const canaryTimeout = 5 * time.Second

// canary is a submission that no sound verifier accepts.
type canary struct {
	name string
	make func(epoch int64) ([]byte, error)
}

// canaryLine holds the answer of one node to one canary.
type canaryLine struct {
	Node    string `json:"node"`
	Canary  string `json:"canary"`
	Logged  bool   `json:"logged"` // it was submitted, and may be an event
	Status  int    `json:"status"` // 0 without an answer
	Code    string `json:"code"`
	Verdict string `json:"verdict"` // refused, let_through, frozen (a freeze alone stopped it), no_answer
}

// canaryReport sums up one round. -o json prints it.
type canaryReport struct {
	At         string       `json:"at"`
	Sent       int          `json:"sent"`
	Refused    int          `json:"refused"`
	LetThrough int          `json:"let_through"`
	Frozen     int          `json:"frozen"`
	NoAnswer   int          `json:"no_answer"`
	Lines      []canaryLine `json:"lines"`
}

func (a *app) canaryCommand() *cobra.Command {
	var every time.Duration
	var textfile string
	var submit bool
	cmd := &cobra.Command{
		Use: "canary", Short: "Check that every node refuses known-bad records", Args: exactly(),
		Long: `A verifier that accepts forgeries looks healthy: it counts no signature errors, because it finds none. canary asks every
node how it would answer records that must be refused - forged, unsigned, changed after signing, cut signatures, wrong
ids - in the shard ` + canaryShard + `. Each node runs the code that judges a submission, and logs nothing: a canary does not
make the ledger grow. It needs a token of any role; metrics is enough.

Exit code 7 when one is let through, or stopped by nothing but a freeze: freeze the ledger then,
docs/runbooks/verifier-bypass.md. 5 when a node does not answer.

--submit sends the records as submissions, without a token. That proves the way through the log as well, and every refusal
becomes an event: use it by hand, or for nodes of a release that has no POST /v1/pcs/check.

Run it every minute and alert on both of (deploy/prometheus/alerts.yaml):
  recount_canary_let_through > 0, of --textfile for node_exporter
  no increase of flk_signature_errors while canaries run`,
		Example: `  recount canary --dev /tmp/recount
  recount canary --token-file metrics.token --every 1m --textfile /var/lib/node_exporter/recount_canary.prom
  recount canary --submit`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for {
				report, err := a.sendCanaries(cmd.Context(), submit)
				if err != nil {
					return err
				}
				if err := errors.Join(a.showCanaries(report), report.writeTextfile(textfile)); err != nil {
					return err
				}
				if every <= 0 {
					return report.verdict()
				}
				if err := sleep(cmd.Context(), every); err != nil {
					return report.verdict()
				}
			}
		},
	}
	cli.Span(cmd.Flags(), &every, "every", 0, "repeat with this pause. The exit code is that of the last round")
	cmd.Flags().BoolVar(&submit, "submit", false,
		"submit the records instead of asking about them: refusals become events")
	cmd.Flags().StringVar(&textfile, "textfile", "",
		"file for the text collector of node_exporter, replaced as a whole")
	return cmd
}

// sleep waits for d or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// canaries are made with a key that is thrown away.
func canaries() ([]canary, error) {
	s, err := newSpecimens(nil)
	if err != nil {
		return nil, err
	}
	signed := func(change func(o *sign.Object) error) func(int64) ([]byte, error) {
		return func(epoch int64) ([]byte, error) {
			body, err := s.make(canaryShard, epoch)
			if err != nil {
				return nil, err
			}
			o, err := sign.ParseObject(body)
			if err != nil {
				return nil, err
			}
			if err := change(o); err != nil {
				return nil, err
			}
			return o.Text(), nil
		}
	}
	with := func(name, value string) func(int64) ([]byte, error) {
		return signed(func(o *sign.Object) error { return o.SetString(name, value) })
	}
	return []canary{
		{"forged", signed(func(*sign.Object) error { return nil })},
		{"forged pcs/2", with("sig_scheme", sign.PCS2)},
		{"unsigned", func(epoch int64) ([]byte, error) { return s.bare(canaryShard, epoch) }},
		{"changed after signing", signed(func(o *sign.Object) error { return o.Set("r", []byte("0.5")) })},
		{"signature of another algorithm's length", with("sig", strings.Repeat("A", 86)+"==")},
		{"empty hmac", with("sig", strings.Repeat("A", 43)+"=")},
		{"signature not base64", with("sig", "!")},
		{"id of another record", with("pcs_id", strings.Repeat("0", 64))},
	}, nil
}

// sendCanaries sends every canary to every node. Each is a record of its own, so that nothing is answered as a
// replay.
func (a *app) sendCanaries(ctx context.Context, submit bool) (*canaryReport, error) {
	birds, err := canaries()
	if err != nil {
		return nil, err
	}
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	now := time.Now()
	report := &canaryReport{At: now.UTC().Format(time.RFC3339), Lines: []canaryLine{}}
	for i, endpoint := range c.Endpoints() {
		send := c.At(i).Check
		if submit {
			send = c.At(i).Submit
		}
		bodies, lines := make([][]byte, len(birds)), make([]canaryLine, len(birds))
		for k, bird := range birds {
			if bodies[k], err = bird.make(now.UnixMicro() + int64(report.Sent+k)); err != nil {
				return nil, err
			}
		}
		var all sync.WaitGroup // all at once: a node that does not answer is waited for once
		for k, body := range bodies {
			all.Go(func() { lines[k] = sendCanary(ctx, send, body) })
		}
		all.Wait()
		for k, line := range lines {
			line.Node, line.Canary, line.Logged = endpoint, birds[k].name, submit
			report.add(line)
		}
		a.talk("%s: %d of %d canaries sent", endpoint, report.Sent, len(birds)*len(c.Endpoints()))
	}
	return report, ctx.Err()
}

func (r *canaryReport) add(line canaryLine) {
	r.Sent++
	switch line.Verdict {
	case "refused":
		r.Refused++
	case "let_through":
		r.LetThrough++
	case "frozen":
		r.Frozen++
	default:
		r.NoAnswer++
	}
	r.Lines = append(r.Lines, line)
}

// refusals are the codes by which a verifier refuses a canary.
var refusals = []string{string(wire.CodeBadSignature), string(wire.CodeIDMismatch), string(wire.CodeSchema),
	string(wire.CodeMalformed)}

func sendCanary(ctx context.Context, send func(context.Context, []byte) (*client.Result, error),
	body []byte) canaryLine {
	ctx, cancel := context.WithTimeout(ctx, canaryTimeout)
	defer cancel()
	answer, err := send(ctx, body)
	if err == nil {
		return canaryLine{Status: answer.Status, Code: answer.ReasonCode, Verdict: "let_through"}
	}
	line := canaryLine{Verdict: "no_answer"}
	var failure *client.Error
	if errors.As(err, &failure) {
		line.Status = failure.Status
		if failure.Problem != nil {
			line.Code = string(failure.Problem.Code)
		}
	}
	switch {
	case errors.Is(err, client.ErrRejected) && slices.Contains(refusals, line.Code):
		// by the verifier, and not by something in between
		line.Verdict = "refused"
	case line.Code == string(wire.CodeFrozen): // a forgery that is refused is refused before any freeze
		line.Verdict = "frozen"
	}
	return line
}

func (a *app) showCanaries(r *canaryReport) error {
	if a.format != formatTable {
		return a.document(r)
	}
	t := a.table(text("NODE", 1, 10), text("CANARY", 2, 12), count("STATUS", 5), text("CODE", 4, 12),
		word("VERDICT", 3))
	for _, l := range r.Lines {
		t.row(l.Node, l.Canary, l.Status, dash(l.Code), strings.ReplaceAll(l.Verdict, "_", " "))
	}
	return t.flush()
}

func (r *canaryReport) verdict() error {
	switch {
	case r.LetThrough > 0:
		return &codedError{exitVerify, fmt.Errorf("%d of %d canaries were let through", r.LetThrough, r.Sent),
			"The verifier accepts forgeries. Freeze now: recount freeze --reason \"canary accepted\". Then " +
				"follow docs/runbooks/verifier-bypass.md."}
	case r.Frozen > 0:
		return &codedError{exitVerify, fmt.Errorf("%d of %d canaries were stopped only by a freeze", r.Frozen, r.Sent),
			"The verifier accepts them. Do not thaw before it is fixed: docs/runbooks/verifier-bypass.md."}
	case r.turnedAway() > 0:
		return &codedError{exitUnavailable,
			fmt.Errorf("%d of %d canaries were turned away before any verifier saw them", r.turnedAway(), r.Sent),
			"Give a token of any role with --token-file, or --submit to send the records as submissions."}
	case r.NoAnswer > 0:
		return &codedError{exitUnavailable, fmt.Errorf("%d of %d canaries got no answer", r.NoAnswer, r.Sent),
			"\"recount cluster status\" shows which node is away. A refusal without the problem document of a " +
				"node is no answer: something in between gave it."}
	}
	return nil
}

// awayCodes are the answers to who may not ask, or asks a node that has no such question.
var awayCodes = []string{string(wire.CodeUnauthorized), string(wire.CodeForbidden), string(wire.CodeNotFound),
	string(wire.CodeMethod)}

// turnedAway counts canaries that a node refused to look at, for want of a credential or of a route.
func (r *canaryReport) turnedAway() (n int) {
	for _, l := range r.Lines {
		if l.Verdict == "no_answer" && slices.Contains(awayCodes, l.Code) {
			n++
		}
	}
	return n
}

// writeTextfile replaces a file of the text exposition format. The name of the file must not end in .tmp.
func (r *canaryReport) writeTextfile(path string) error {
	if path == "" {
		return nil
	}
	at, err := wire.ParseTime(r.At)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, m := range []struct {
		name, help string
		value      int64
	}{
		{"recount_canary_sent", "Known-bad submissions sent in the last round.", int64(r.Sent)},
		{"recount_canary_let_through",
			"Known-bad submissions that were accepted in the last round. More than 0 is an incident.",
			int64(r.LetThrough)},
		{"recount_canary_frozen", "Known-bad submissions that only a freeze stopped in the last round.",
			int64(r.Frozen)},
		{"recount_canary_no_answer", "Known-bad submissions without an answer in the last round.", int64(r.NoAnswer)},
		{"recount_canary_last_run_timestamp_seconds", "When the last round began.", at.Unix()},
	} {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n%s %d\n", m.name, m.help, m.name, m.name, m.value)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", []byte(b.String()), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
