package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/recount-ledger/recount/test/harness"
)

var versionFaults = []fault{
	{name: "previous build", inject: previousBuild, usable: func(n *nemesis) error { return n.buildPrevious() }},
}

// folding lists what two builds must have in common to form one cluster, as no release with a promise of formats exists yet.
var folding = []string{"docs/formats.md", "docs/formats-projections.md",
	"internal/event", "internal/pcs", "internal/projections", "internal/verify", "internal/fsm", "internal/log", "internal/cluster"}

// buildPrevious builds the nodes of an earlier commit, when its formats and folds are those of this tree.
func (n *nemesis) buildPrevious() error {
	changed, err := harness.Git(n.root, append([]string{"diff", "--name-only", n.previous, "--"}, folding...)...)
	if err != nil {
		return fmt.Errorf("there is no commit %s here: %w", n.previous, err)
	}
	for _, name := range strings.Fields(changed) {
		if !strings.HasSuffix(name, "_test.go") {
			return fmt.Errorf("%s has another %s", n.previous, name)
		}
	}
	n.previousBin = filepath.Join(n.Dir, "recount-node-previous")
	return harness.BuildCommit(n.root, n.previous, n.previousBin, "./cmd/node", "-tags", "faultclock")
}

// previousBuild lets a node run the earlier build for a while, as in a rolling upgrade, and lead now and then.
func previousBuild(ctx context.Context, n *nemesis) error {
	i := n.any()
	own := n.node[i].bin
	n.stop(ctx, i)
	n.node[i].bin = n.previousBin
	err := n.restart(i)
	n.node[i].bin = own
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, recoverLimit)
	defer cancel()
	if err := n.recover(limit, n.probe); err != nil {
		return err
	}
	n.hit(ctx)
	if other := n.lead(ctx); other != i { // one chance in two that the earlier build leads next
		if err := n.paused(ctx, other); err != nil {
			return err
		}
	}
	n.stop(ctx, i)
	return n.restart(i)
}
