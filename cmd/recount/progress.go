package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/wire"
)

// lookEvery is the pause between two looks at a generation that is being built.
const lookEvery = 500 * time.Millisecond

// longestWait bounds --wait unless a time is given.
const longestWait = 24 * time.Hour

// sayEvery is the least time between two lines about a node that only goes on.
const sayEvery = 10 * time.Second

func (a generationCommands) statusCommand() *cobra.Command {
	var which generationArg
	var wait bool
	var limit time.Duration
	cmd := &cobra.Command{
		Use: "status N|--latest", Short: "Show how far every node is with a generation", Args: which.args,
		Long: `status shows for every node how far it has folded a generation and compared it with the active one, and the digest of
the comparison at the last event that all of them have compared. With --wait it returns when every reachable node has
compared everything that was committed when the command began.`,
		Example: `  recount generation status 2
  recount generation status 2 --wait && recount generation diff 2`,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.number(cmd.Context(), &which, args)
			if err != nil {
				return err
			}
			if !wait {
				g, err := call(cmd.Context(), a.app,
					func(ctx context.Context, c *client.Client) (*wire.GenerationAnswer, error) {
						return c.Generation(ctx, n)
					})
				if err != nil {
					return err
				}
				return a.showStatus(g)
			}
			g, err := a.awaitGeneration(cmd.Context(), n, limit)
			if err != nil {
				return err
			}
			return a.showStatus(g)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "return when every node has compared it")
	cli.Span(cmd.Flags(), &limit, "wait-timeout", longestWait, "how long --wait waits")
	which.add(cmd)
	return cmd
}

func (a generationCommands) showStatus(g *wire.GenerationAnswer) error {
	if a.format != formatTable {
		return a.printJSON(g)
	}
	if err := a.printFields(g, "generation", g.Generation, "state", g.State, "policy", g.Policy,
		"compared by all up to",
		g.Position, "agree", g.Agree); err != nil || len(g.Nodes) == 0 {
		return err
	}
	fmt.Fprintln(a.out)
	t := a.table(text("NODE", 1, 8), word("STATE", 2), count("APPLIED", 9), count("COMPARED", 3), count("OF", 4),
		count("PER SECOND", 8), text("TO GO", 5, 5), hexID("DIGEST", 6), text("WHY", 7, 10))
	for _, p := range g.Nodes {
		t.row(p.Node, p.State, p.Seq, p.Compared, p.Committed, fmt.Sprintf("%.0f", p.Rate), eta(p),
			dash(digestOf(p.DiffAt)), dash(p.Why))
	}
	return t.flush()
}

// digestOf leaves out the position, with which the digest of a diff begins: it is the same for all nodes.
func digestOf(diff string) string {
	if len(diff) <= 16 {
		return ""
	}
	return diff[16:]
}

func eta(p wire.NodeProgress) string {
	if p.ETA < 0 {
		return "-"
	}
	return time.Duration(p.ETA * float64(time.Second)).Round(time.Second).String()
}

// reported reports whether every node that answers has compared up to head, and a majority answers.
func reported(g *wire.GenerationAnswer, head uint64) bool {
	there := 0
	for _, p := range g.Nodes {
		switch {
		case p.State == "unreachable":
		case p.State == "failed":
			return true
		case p.Compared < head:
			return false
		default:
			there++
		}
	}
	return there > len(g.Nodes)/2
}

func failedNodes(g *wire.GenerationAnswer) error {
	for _, p := range g.Nodes {
		if p.State == "failed" {
			return &codedError{exitVerify, fmt.Errorf("%s could not build it: %s", p.Node, p.Why),
				"Do not activate it; look at the log of the node."}
		}
	}
	return nil
}

// bars shows one bar per node on a terminal and lines elsewhere, both on stderr.
type bars struct {
	a    *app
	all  *mpb.Progress // nil without a terminal
	node map[string]*nodeBar
}

// nodeBar holds the progress of one node as it was shown last.
type nodeBar struct {
	bar  *mpb.Bar
	said time.Time // of the last line

	mu  sync.Mutex // the bar is drawn on a goroutine of its own
	now wire.NodeProgress
}

func newBars(a *app, terminal bool) *bars {
	b := &bars{a: a, node: map[string]*nodeBar{}}
	if terminal && !a.quiet {
		b.all = mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(40))
	}
	return b
}

func (b *bars) show(g *wire.GenerationAnswer) {
	for _, p := range g.Nodes {
		n := b.node[p.Node]
		if n == nil {
			n = &nodeBar{}
			b.node[p.Node] = n
			if b.all != nil {
				n.bar = b.all.AddBar(int64(max(p.Committed, 1)),
					mpb.PrependDecorators(decor.Name(p.Node+" "), decor.CountersNoUnit("%d / %d ")),
					mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + n.text() })))
			}
		}
		before := n.set(p)
		switch {
		case n.bar != nil:
			n.bar.SetTotal(int64(max(p.Committed, 1)), false)
			n.bar.SetCurrent(int64(p.Compared))
		case p.State != before.State || p.Compared != before.Compared && time.Since(n.said) >= sayEvery:
			n.said = time.Now()
			b.a.notef("%s: compared %d of %d, %s", plain(p.Node), p.Compared, p.Committed, n.text())
		}
	}
}

func (n *nodeBar) set(p wire.NodeProgress) (before wire.NodeProgress) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before, n.now = n.now, p
	return before
}

// text is the state of a node, its rate and the time to go as the node gives them.
func (n *nodeBar) text() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	text := fmt.Sprintf("%s, %.0f/s, %s to go", n.now.State, n.now.Rate, eta(n.now))
	if n.now.Why != "" {
		text += ", " + n.now.Why
	}
	return plain(text)
}

func (b *bars) end() {
	if b.all == nil {
		return
	}
	for _, n := range b.node {
		n.bar.Abort(false)
	}
	b.all.Wait()
}
