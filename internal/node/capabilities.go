package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// capabilities lists the formats that this release can fold, of those that ledgers of cluster version 1 may have
// and some of their nodes lack. Later formats need a later cluster version instead (see event.NewestVersion).
func capabilities() []string {
	var out []string
	for _, k := range verify.Kernels() {
		out = append(out, kernelCapability(k))
	}
	for _, s := range pcs.AllSchemes.Slice() {
		out = append(out, s.String())
	}
	for _, p := range newProfiles.Slice() {
		out = append(out, profileCapability(p))
	}
	for _, k := range event.Kinds() {
		if c := k.Capability(); c != "" {
			out = append(out, c)
		}
	}
	return append(out, lateCapability, versionsCapability)
}

// newProfiles has the profiles that came after the first release. An older release stops at a record, or a
// policy, that names them.
const newProfiles = pcs.ProfileSet(1 << pcs.PyBin)

func profileCapability(p pcs.Profile) string { return "profile-" + p.String() }

// Members of a policy that an older release cannot read.
const (
	lateCapability     = "late_window"
	versionsCapability = "versions"
)

// releases asks which cluster versions and which capabilities the releases of all members have, learners included,
// since all of them fold.
type releases struct {
	members func() []string                                         // returns the ids of the members now
	ask     func(ctx context.Context, member string) (place, error) // returns what a member says of itself
	askAt   func(ctx context.Context, id, addr string) ([]byte, error)
	active  func() uint32 // the cluster version of the ledger

	newest  uint32                 // cluster version that this build knows
	without atomic.Pointer[string] // a capability that this node leaves out, set by tests of mixed releases

	mu    sync.Mutex
	until map[string]time.Time // by capability: how long the answer counts
	lacks map[string]string    // by capability: the voter that lacks it
}

func newReleases(members func() []string, ask func(ctx context.Context, member string) (place, error)) *releases {
	return &releases{
		members: members,
		ask:     ask,
		active:  func() uint32 { return event.FirstVersion },
		newest:  event.NewestVersion,
		until:   map[string]time.Time{},
		lacks:   map[string]string{},
	}
}

// releasesOf asks the members of the cluster of a node.
func releasesOf(n *Node) *releases {
	r := newReleases(n.roll.memberIDs, n.placeOf)
	r.askAt = func(ctx context.Context, id, addr string) ([]byte, error) {
		return cluster.AskAt(ctx, n.cluster, id, addr)
	}
	r.active = func() uint32 { return n.derived.Control().ClusterVersion() }
	r.newest = cmp.Or(n.cfg.clusterVersion, r.newest)
	return r
}

// own returns the capabilities of this release.
func (r *releases) own() []string {
	out := capabilities()
	if without := r.without.Load(); without != nil {
		out = slices.DeleteFunc(out, func(c string) bool { return c == *without })
	}
	return out
}

// An answer about the capabilities of all voters counts this long. Those of a release do not get fewer, but a
// voter that did not answer may be of an older one.
const (
	capableFor = 10 * time.Second
	lacksFor   = time.Second
)

// voterWithout names a voter of a release that lacks a capability, "" when every reachable voter has it. It
// does not wait for the others, which stop at what they do not know.
func (r *releases) voterWithout(ctx context.Context, need string) string {
	if r.certain() {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.until[need]) {
		return r.lacks[need]
	}
	// The answer counts for other requests too, so the end of this one must not cut the question short.
	voter, _, answered := r.whoLacks(context.WithoutCancel(ctx), []string{need})
	if answered < min(2, len(r.members())) {
		return voter // no other voter answered: that says nothing for the next request
	}
	keep := capableFor
	if voter != "" {
		keep = lacksFor
	}
	r.until[need], r.lacks[need] = time.Now().Add(keep), voter
	return voter
}

func kernelCapability(k int) string { return fmt.Sprintf("kernel-%d", k) }

// requiredCapabilities returns the capabilities without which a node cannot fold under a policy: it would stop
// there. Every release has those of the first policy.
func requiredCapabilities(p verify.Policy) (out []string) {
	if p.Kernel > 1 {
		out = append(out, kernelCapability(p.Kernel))
	}
	if p.Signature.Schemes != pcs.AllSchemes {
		for _, s := range p.Signature.Schemes.Slice() {
			out = append(out, s.String())
		}
	}
	for _, f := range (p.Signature.Profiles & newProfiles).Slice() {
		out = append(out, profileCapability(f))
	}
	if p.Epochs.LateWindow != 0 {
		out = append(out, lateCapability)
	}
	if p.OtherVersions() {
		out = append(out, versionsCapability)
	}
	return out
}

// RequireCapabilities refuses a policy that a member of an older release could not fold. It does not wait for a
// member that is not reachable. Such a member would stop at the policy, report the reason, and continue once it is
// upgraded.
func (r *releases) RequireCapabilities(ctx context.Context, p verify.Policy) error {
	need := requiredCapabilities(p)
	if len(need) == 0 || r.certain() {
		return nil
	}
	if voter, lacks, _ := r.whoLacks(ctx, need); voter != "" {
		return wire.NewProblem(wire.CodeStale,
			fmt.Sprintf("%s runs a release without %s and would stop at this policy; upgrade it first", voter, lacks))
	}
	return nil
}

// whoLacks asks every voter for its capabilities, and counts those that answer, this node included.
func (r *releases) whoLacks(ctx context.Context, need []string) (voter, lacks string, answered int) {
	said := r.poll(ctx)
	for _, s := range said {
		if s.place != nil {
			answered++
		}
	}
	for _, s := range said {
		if s.place == nil {
			continue
		}
		if lacks := missing(s.place.Capabilities, need); lacks != "" {
			return s.id, lacks, answered
		}
	}
	return "", "", answered
}

// missing names the first capability that a member lacks.
func missing(said, need []string) string {
	for _, c := range need {
		if !slices.Contains(said, c) {
			return c
		}
	}
	return ""
}
