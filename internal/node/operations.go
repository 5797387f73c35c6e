package node

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/wire"
)

// operations put the events of operators into the log.
type operations struct {
	cfg     *Config
	cluster *cluster.Cluster
	derived *fsm.Derived
	packer  *propose.Packer[projections.Result]
	clock   *ledgerClock

	quarantine *atomic.Pointer[string]
	closing    *atomic.Bool
}

// act commits an operator's event and returns its place in the log.
func (ops *operations) act(ctx context.Context, kind event.Kind,
	m proto.Message) (seq uint64, effect projections.Effect, err error) {
	if p := ops.refuseAct(); p != nil {
		return 0, 0, p
	}
	if o, ok := m.(event.OpMessage); ok && ops.derived.Control().CredentialRevoked(o.GetOp().GetCredential()) {
		return 0, 0, wire.NewProblem(wire.CodeUnauthorized,
			"the credential was revoked while the request was on its way")
	}
	ev, err := newEvent(kind, m)
	if err != nil {
		return 0, 0, err
	}
	place, err := ops.packer.SubmitAlone(ctx, ev)
	if err != nil {
		return 0, 0, proposeProblem(err, ops.clock)
	}
	if err := ops.derived.WaitIndex(ctx, place.Index); err != nil {
		return 0, 0, err
	}
	if seq, err = ops.derived.SeqOf(place.Index); err != nil {
		return 0, 0, err
	}
	effect, err = ops.derived.Effect(kind, seq)
	return seq, effect, err
}

// actOnce does the work of act for an act that an op_id makes safe to send again. A repeat gives the place of
// the first one. It refuses an op_id that named another act before, and an act that did not fit the state.
func (ops *operations) actOnce(ctx context.Context, kind event.Kind, m event.OpMessage, refused error) (uint64, error) {
	seq, effect, err := ops.act(ctx, kind, m)
	switch {
	case err != nil:
		return 0, err
	case effect == projections.Repeated:
		return ops.firstOf(kind, m)
	case effect != projections.Applied:
		return 0, refused
	}
	return seq, nil
}

// firstOf finds the event that the op_id of m named first. The event must be equal to m.
func (ops *operations) firstOf(kind event.Kind, m event.OpMessage) (uint64, error) {
	id := m.GetOp().GetOpId()
	seq := ops.derived.Control().OpSeq(id)
	it, err := ops.derived.Item(seq)
	if err != nil {
		return 0, err
	}
	_, first, err := it.Event.Message()
	if err != nil {
		return 0, err
	}
	if it.Kind != kind || !proto.Equal(withoutOp(first), withoutOp(m)) {
		return 0, stale("the op_id %q was used for something else", id)
	}
	return seq, nil
}

func withoutOp(m proto.Message) proto.Message {
	m = proto.Clone(m)
	r := m.ProtoReflect()
	r.Clear(r.Descriptor().Fields().ByName("op"))
	return m
}

// refuseAct returns the reason why this node does no acts at all. Acts need only the control state in derived/.
// They need no generation that can answer, so that a generation which was activated too early can be left
// again.
func (ops *operations) refuseAct() *wire.Problem {
	if ops.closing.Load() {
		return wire.NewProblem(wire.CodeShuttingDown, "").WithRetry(retryAfter)
	}
	if ops.quarantine.Load() != nil {
		return wire.NewProblem(wire.CodeNotReady, "this node is quarantined; ask another one").WithRetry(retryAfter)
	}
	return nil
}

// confirmControl returns when everything acknowledged before the call is folded into the control state.
func (ops *operations) confirmControl(ctx context.Context) error {
	index, err := ops.cluster.ReadIndex(ctx)
	if err != nil {
		return err
	}
	return ops.derived.WaitIndex(ctx, index)
}

// current waits until this node has folded everything that was acknowledged before, such as a policy that
// another node has published.
func (ops *operations) current(ctx context.Context) error {
	if p := ops.refuseAct(); p != nil {
		return p
	}
	if err := ops.confirmControl(ctx); err != nil {
		return wire.NewProblem(wire.CodeNoLeader, "no quorum confirms what this node knows").WithRetry(retryAfter)
	}
	return nil
}

func (ops *operations) op(a wire.Op, meta api.Meta) *event.OpV1 {
	return &event.OpV1{
		OpId:       a.OpID,
		Reason:     a.Reason,
		Ticket:     a.Ticket,
		RequestId:  meta.RequestID,
		Node:       cmp.Or(meta.Via, ops.cfg.NodeID),
		Actor:      meta.Actor,
		Role:       string(meta.Role),
		Credential: meta.Credential,
	}
}

func stale(format string, args ...any) *wire.Problem {
	return wire.NewProblem(wire.CodeStale, fmt.Sprintf(format, args...))
}
