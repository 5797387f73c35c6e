package node

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// capabilities are what this release can fold.
func capabilities() []string {
	var out []string
	for _, k := range verify.Kernels() {
		out = append(out, kernelCapability(k))
	}
	for _, s := range pcs.AllSchemes.Slice() {
		out = append(out, s.String())
	}
	return out
}

func kernelCapability(k int) string { return fmt.Sprintf("kernel-%d", k) }

// needs are the capabilities without which a node cannot fold under a policy: it would stop there. Every release has those of
// the first policy.
func needs(p verify.Policy) (out []string) {
	if p.Kernel > 1 {
		out = append(out, kernelCapability(p.Kernel))
	}
	if p.Signature.Schemes != pcs.AllSchemes {
		for _, s := range p.Signature.Schemes.Slice() {
			out = append(out, s.String())
		}
	}
	return out
}

// everyoneCan refuses a policy that a member of an older release could not fold. A member that does not answer is not waited
// for: it would stop at the policy, say why, and go on where it stopped once it is upgraded.
func (n *Node) everyoneCan(ctx context.Context, p verify.Policy) error {
	need := needs(p)
	if len(need) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, positionTimeout)
	defer cancel()
	said := make([][]string, len(n.cfg.Voters))
	var wg sync.WaitGroup
	for i, v := range n.cfg.Voters {
		wg.Go(func() {
			if at, err := n.placeOf(ctx, v.ID); err == nil {
				said[i] = append([]string{}, at.Capabilities...)
			}
		})
	}
	wg.Wait()
	for i, v := range n.cfg.Voters {
		if lacks := lacking(said[i], need); lacks != "" {
			return wire.NewProblem(wire.CodeStale, fmt.Sprintf("%s runs a release without %s and would stop at this policy; upgrade it first", v.ID, lacks))
		}
	}
	return nil
}

// lacking names the first capability that a member lacks; nil means that it did not say.
func lacking(said, need []string) string {
	if said == nil {
		return ""
	}
	for _, c := range need {
		if !slices.Contains(said, c) {
			return c
		}
	}
	return ""
}
