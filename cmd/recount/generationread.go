package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/internal/term"
	"github.com/recount-ledger/recount/wire"
)

// What generation and incident bypass read and show of a generation.

// awaitGeneration looks again and again, with one bar per node, until every node that answers has compared
// generation n.
func (a *app) awaitGeneration(ctx context.Context, n uint32,
	limit time.Duration) (*wire.GenerationAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	bars := newBars(a, term.IsTerminal(a.err))
	defer bars.end()
	head := uint64(0)
	for {
		g, err := a.askGeneration(ctx, c, n)
		if err != nil {
			return nil, err
		}
		if g.State == wire.GenerationDropped {
			return nil, &codedError{exitRejected, fmt.Errorf("generation %d was dropped", n),
				"\"recount generation list\" shows what there is."}
		}
		if head == 0 {
			for _, p := range g.Nodes {
				head = max(head, p.Committed)
			}
		}
		bars.show(g)
		if reported(g, head) {
			return g, failedNodes(g)
		}
		if pause.For(ctx, lookEvery) != nil {
			return nil, &codedError{exitUnavailable,
				errors.New("not every node has compared the generation in time"),
				fmt.Sprintf("The nodes go on; ask again with \"recount generation status %d --wait\".", n)}
		}
	}
}

func (a *app) askGeneration(ctx context.Context, c *client.Client, n uint32) (*wire.GenerationAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return c.Generation(ctx, n)
}

// diffTable shows a diff, with its flips counted by outcome, reason, shard or key.
func (a *app) diffTable(d *wire.DiffAnswer, by string) error {
	counts, ok := map[string]map[string]int{
		"outcome": d.ByOutcome,
		"reason":  d.ByReason,
		"shard":   d.ByShard,
		"key":     d.ByKey,
	}[by]
	if !ok {
		return usagef("--by %q: must be outcome, reason, shard or key", by)
	}
	pairs := []any{"generation", fmt.Sprintf("%d against %d", d.Generation, d.Against)}
	if d.ActivatedSeq != 0 {
		pairs = append(pairs, "activated by seq", d.ActivatedSeq)
	}
	err := a.printFields(d, append(pairs, "compared up to seq", d.Position, "submissions", d.Events, "flips", d.Flips,
		"direct", d.Direct, "indirect", d.Indirect, "first at seq", d.First, "last at seq", d.Last, "digest",
		d.Digest)...)
	if err != nil || len(counts) == 0 {
		return err
	}
	t := a.table(text(strings.ToUpper(by), 1, 20), count("FLIPS", 2))
	for _, k := range slices.SortedFunc(maps.Keys(counts), func(x, y string) int {
		if counts[x] != counts[y] {
			return counts[y] - counts[x]
		}
		return strings.Compare(x, y)
	}) {
		t.row(dash(k), counts[k])
	}
	return t.flush()
}

// eachFlip calls fn with every flip of a diff. --timeout bounds each page of them.
func (a *app) eachFlip(ctx context.Context, d *wire.DiffAnswer, fn func(wire.Flip) error) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	q := client.FlipsQuery{Generation: d.Generation, Position: d.Position, PageTimeout: a.timeout}
	for flip, err := range c.Flips(ctx, q) {
		if err == nil {
			err = fn(flip)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// activateLine returns the command that activates a generation whose diff has a digest.
func (a *app) activateLine(g *wire.GenerationAnswer, digest string) string {
	return a.commandLine(fmt.Sprintf("recount generation activate %d", g.Generation),
		"--diff", digest, "--reason", g.Reason, "--ticket", g.Ticket)
}
