package canary

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/wire"
)

// sendTimeout bounds one canary at one node.
const sendTimeout = 5 * time.Second

// Node is one node that is tested.
type Node struct {
	Endpoint string
	Send     func(ctx context.Context, record []byte) (*client.Result, error)
}

// Nodes returns the endpoints of c. Records are checked there, or submitted if submit is set.
func Nodes(c *client.Client, submit bool) []Node {
	nodes := make([]Node, len(c.Endpoints()))
	for i, endpoint := range c.Endpoints() {
		nodes[i] = Node{endpoint, c.At(i).Check}
		if submit {
			nodes[i].Send = c.At(i).Submit
		}
	}
	return nodes
}

// Round sends every canary to every node.
type Round struct {
	Nodes    []Node
	Logged   bool                                  // Nodes submit, so a refusal may become an event
	Progress func(endpoint string, sent, want int) // called after each node, nil for nobody
}

// Run sends the canaries, one node after the other. A node gets all its canaries at once, so one that does not respond
// delays a round by 5 s at most. The error is that of ctx, together with the report so far, or one that made no record.
func (r *Round) Run(ctx context.Context) (*Report, error) {
	canaries, err := All()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	report := &Report{At: now.UTC().Format(time.RFC3339), Lines: []Line{}}
	for _, node := range r.Nodes {
		records := make([][]byte, len(canaries))
		for k, canary := range canaries {
			if records[k], err = canary.Record(now.UnixMicro() + int64(report.Sent+k)); err != nil {
				return nil, err
			}
		}
		lines := make([]Line, len(canaries))
		var all sync.WaitGroup
		for k, record := range records {
			all.Go(func() { lines[k] = sendOne(ctx, node.Send, record) })
		}
		all.Wait()
		for k, line := range lines {
			line.Node, line.Canary, line.Logged = node.Endpoint, canaries[k].Name, r.Logged
			report.add(line)
		}
		if r.Progress != nil {
			r.Progress(node.Endpoint, report.Sent, len(canaries)*len(r.Nodes))
		}
	}
	return report, ctx.Err()
}

// Repeat runs a round, passes its report to each, and goes on after the time between until ctx ends or something
// fails. It returns the last report. A time of 0 means one round. The end of ctx between two rounds is no error.
func (r *Round) Repeat(ctx context.Context, between time.Duration, each func(*Report) error) (*Report, error) {
	for {
		report, err := r.Run(ctx)
		if err != nil {
			return report, err
		}
		if err := each(report); err != nil || between <= 0 {
			return report, err
		}
		if pause.For(ctx, between) != nil {
			return report, nil
		}
	}
}

// refusals are the codes by which a verifier refuses a canary.
var refusals = []wire.Code{wire.CodeBadSignature, wire.CodeIDMismatch, wire.CodeSchema, wire.CodeMalformed}

// sendOne sends one record. Another refusal than that of a verifier is no answer: something in between gave it.
func sendOne(ctx context.Context, send func(context.Context, []byte) (*client.Result, error), record []byte) Line {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	result, err := send(ctx, record)
	if err == nil {
		return Line{Status: result.Status, Code: result.ReasonCode, Verdict: LetThrough}
	}
	line := Line{Verdict: NoAnswer}
	var failure *client.Error
	if errors.As(err, &failure) {
		line.Status = failure.Status
		if failure.Problem != nil {
			line.Code = string(failure.Problem.Code)
		}
	}
	switch {
	case errors.Is(err, client.ErrRejected) && slices.Contains(refusals, wire.Code(line.Code)):
		line.Verdict = Refused
	case line.Code == string(wire.CodeFrozen): // a node checks the signature before it looks for freezes
		line.Verdict = Frozen
	}
	return line
}
