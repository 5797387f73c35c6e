package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/agreement"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/internal/version"
	"github.com/recount-ledger/recount/wire"
)

// digestEvery counts the events between two logged digests.
const digestEvery = 4096

// loopPause lies between two attempts of a background loop.
const loopPause = 200 * time.Millisecond

// termWait bounds how long a new leader waits for its folds before it looks again whether it leads and may.
const termWait = 30 * time.Second

// leader does the work of a leader while this node leads.
type leader struct {
	cfg      *Config
	log      *slog.Logger
	cluster  *cluster.Cluster
	derived  *fsm.Derived
	gens     *recount.Manager
	clock    *ledgerClock
	doubts   *agreement.Doubts
	voters   *agreement.Voters
	releases *releases

	quarantine *quarantine
	withheld   func() *wire.Problem // the reason why this node answers no client
	mayPropose func() error         // the reason why this node, as a leader, takes no proposals

	term         atomic.Uint64 // newest term whose TermStart this node folded as leader
	digested     digested
	askedHistory map[uint64]bool // activations about which the voters were asked
}

// run does the work of a leader: Genesis in an empty ledger, TermStart in every term, digests, and log
// time.
func (ld *leader) run(ctx context.Context) error {
	for ctx.Err() == nil {
		changed := ld.cluster.Watch()
		term, ok := ld.cluster.IsLeader()
		if why := ld.quarantine.check(); ok && why != nil {
			return fmt.Errorf("%w: %w", errQuarantinedLeader, why)
		}
		if ok && ld.term.Load() != term && ld.clock.check() == nil && !ld.cluster.Yielding() {
			if err := ld.startTerm(ctx, term); err != nil {
				ld.log.Warn("could not open the term for writes; trying again", "term", term, "error", err)
			}
		}
		if ok && ld.term.Load() == term {
			if err := ld.logDigest(ctx); err != nil {
				ld.log.Warn("could not log a digest; trying again", "error", err)
			}
		}
		if ok && ld.term.Load() == term {
			if err := ld.clock.stepWhenQuiet(ctx, ld.mayPropose); err != nil {
				ld.log.Warn("could not move log time; trying again", "error", err)
			}
		}
		if err := ld.checkHistory(ctx, ok && ld.term.Load() == term); err != nil {
			ld.log.Warn("could not log what changed at an activation; trying again", "error", err)
		}
		t := time.NewTimer(loopPause)
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
	return ctx.Err()
}

// startTerm opens the ledger for writes in a new term. When the serving fold has reached TermStart, everything
// that any earlier leader acknowledged is folded here.
func (ld *leader) startTerm(ctx context.Context, term uint64) error {
	if !ld.hasGenesis() {
		policy := verify.DefaultPolicy()
		policy.Signature.Profiles = ld.cfg.Profiles
		if err := ld.releases.RequireCapabilities(ctx, policy); err != nil {
			return fmt.Errorf("genesis: %w", err)
		}
		g := &event.GenesisV1{ClusterId: ld.cfg.ClusterID, Policy: policy.Canonical(), Kernel: uint32(policy.Kernel)}
		if v := ld.releases.founding(ctx); v > event.FirstVersion { // else an earlier build reads the event, too
			g.ClusterVersion = v
		}
		if _, err := ld.proposeNow(ctx, event.Genesis, g); err != nil {
			return fmt.Errorf("genesis: %w", err)
		}
	}
	start := &event.TermStartV1{
		Term:         term,
		Node:         ld.cfg.NodeID,
		Software:     version.Name(),
		Capabilities: ld.releases.own(),
	}
	index, err := ld.proposeNow(ctx, event.TermStart, start)
	if err != nil {
		return fmt.Errorf("term start: %w", err)
	}
	if err := ld.waitTerm(ctx, index); err != nil {
		return err
	}
	if err := ld.clock.check(); err != nil { // again: log time may be newer than before the fold
		return err
	}
	if err := ld.clock.step(ctx); err != nil {
		return err
	}
	ld.clock.hold()
	ld.term.Store(term)
	ld.log.Info("leading", "term", term, "index", index)
	return nil
}

// leads reports whether this node leads and has opened its term for writes.
func (ld *leader) leads() bool {
	term, ok := ld.cluster.IsLeader()
	return ok && term == ld.term.Load()
}

func (ld *leader) hasGenesis() bool {
	_, ok := ld.derived.Control().Genesis(ld.derived.Cursor().Seq)
	return ok
}

// proposeNow commits an event of the leader's own. Of the checks for the events of others, only that of the
// clock applies.
func (ld *leader) proposeNow(ctx context.Context, kind event.Kind, m proto.Message) (uint64, error) {
	if err := ld.clock.check(); err != nil {
		return 0, err
	}
	if !ld.derived.Control().Admits(kind) {
		return 0, fmt.Errorf("events %s need a later cluster version", kind)
	}
	ev, err := propose.NewEvent(kind, m)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, ld.cfg.SubmitTimeout)
	defer cancel()
	if kind != event.Genesis && kind != event.TermStart { // those come before this node has folded everything
		if err := ld.clock.step(ctx); err != nil {
			return 0, err
		}
	}
	pack := event.Pack{ProposedAt: ld.clock.Now().UnixNano(), Events: []event.Event{ev}}
	pack.Mark()
	return ld.cluster.Propose(pack.Append(nil)).Wait(ctx)
}

// commit proposes an event of the leader's own and returns when this node has folded it.
func (ld *leader) commit(ctx context.Context, kind event.Kind, m proto.Message) error {
	index, err := ld.proposeNow(ctx, kind, m)
	if err != nil {
		return err
	}
	return ld.derived.WaitIndex(ctx, index)
}

// digested has the time at which this leader logged a digest last, and the event that carries it.
type digested struct {
	at  time.Time
	seq uint64
}

// logDigest logs the digests of this node when enough events have passed since the last ones, or enough time in
// which anything was folded.
func (ld *leader) logDigest(ctx context.Context) error {
	serving := ld.gens.Serving()
	head := serving.Cursor().Seq
	if ld.gens.Switching() || ld.withheld() != nil {
		return nil
	}
	seq := head / digestEvery * digestEvery
	timely := ld.cfg.DigestInterval > 0 && time.Since(ld.digested.at) >= ld.cfg.DigestInterval && head > ld.digested.seq
	if timely {
		seq = head
	}
	if seq == 0 {
		return nil
	}
	// The one for seq, if it is there, came after seq. Digests are logged in order and after the events that
	// they cover.
	logged, err := ld.derived.LoggedDigests(seq, 1)
	if err != nil || len(logged) > 0 {
		return err
	}
	d, err := ld.derived.DigestsAt(serving.Generation, seq)
	if err != nil {
		return err
	}
	index, err := ld.proposeNow(ctx, event.StateDigest, &event.StateDigestV1{
		Seq: seq, Log: d.Log[:], State: d.State[:], Control: d.Control[:], Generation: serving.Number()})
	if err == nil {
		err = ld.derived.WaitIndex(ctx, index)
	}
	if err != nil {
		return err
	}
	ld.digested.at = time.Now()
	ld.digested.seq, err = ld.derived.SeqOf(index)
	return err
}

// registerKeys puts the keys of this node's settings into the ledger, once per fingerprint.
func (n *Node) registerKeys(ctx context.Context) error {
	for ctx.Err() == nil {
		missing := n.keys.unregistered()
		if len(missing) == 0 {
			select {
			case <-n.keys.changed:
			case <-ctx.Done():
			}
			continue
		}
		if err := n.registerKey(ctx, missing[0]); err != nil {
			n.log.Debug("key registration waits", "key", missing[0].ID, "error", err)
			if err := pause.For(ctx, loopPause); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func (n *Node) registerKey(ctx context.Context, k verify.Key) error {
	if err := n.confirm(ctx); err != nil {
		return err
	}
	control := n.derived.Control()
	if !n.lead.hasGenesis() {
		return errors.New("no genesis yet")
	}
	if _, ok := control.KeyByFingerprint(k.Fingerprint); ok {
		return nil
	}
	ev, err := propose.NewEvent(event.KeyAdded,
		keyOfSettings(k.ID, uint32(k.Alg), k.Public, k.Fingerprint[:], n.cfg.NodeID))
	if err != nil {
		return err
	}
	place, err := n.packer.SubmitAlone(ctx, ev)
	if err != nil {
		return err
	}
	n.log.Info("key registered", "key", k.ID, "alg", k.Alg.String(), "index", place.Index)
	return n.gens.WaitIndex(ctx, place.Index)
}

// confirm returns when the active generation has folded everything that was acknowledged before the call.
func (n *Node) confirm(ctx context.Context) error {
	index, err := n.cluster.ReadIndex(ctx)
	if err != nil {
		return err
	}
	return n.gens.WaitIndex(ctx, index)
}

// waitTerm returns when a new leader knows everything that was acknowledged before its term. While the active
// generation can answer on no node, it waits for derived/ only. Otherwise no node could lead the way back to
// the generation before.
func (ld *leader) waitTerm(ctx context.Context, index uint64) error {
	ctx, cancel := context.WithTimeout(ctx, termWait)
	defer cancel()
	if err := ld.derived.WaitIndex(ctx, index); err != nil || ld.gens.Switching() {
		return err
	}
	return ld.gens.WaitIndex(ctx, index)
}

// catchUp opens this node for submissions once it has folded everything that was committed when it asked. A
// node that comes back may get the entries it missed seconds after it found the leader. A submission that it
// forwarded in the meantime would be committed and yet remain without an answer.
func (n *Node) catchUp(ctx context.Context) error {
	var since time.Time // when this node had folded everything and asked the voters first
	for {
		try, cancel := context.WithTimeout(ctx, n.cfg.SubmitTimeout)
		err := n.confirm(try)
		cancel()
		if err == nil {
			if since.IsZero() {
				since = time.Now()
			}
			err = n.doubts.AgreeFirst(ctx, since)
		}
		if err == nil {
			n.clock.hold()
			n.caughtUp.Store(true)
			<-ctx.Done()
			return ctx.Err()
		}
		if err := pause.For(ctx, loopPause); err != nil {
			return err
		}
	}
}
