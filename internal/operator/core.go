package operator

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/wire"
)

// retryAfter is the time that a client is told to wait when this node cannot carry out an operation now.
const retryAfter = time.Second

// core puts the events of operators into the log. All parts share it.
type core struct{ Options }

func (c *core) control() *projections.Control { return c.State.Control() }

// head returns the last event that the control state has folded.
func (c *core) head() uint64 { return c.State.Cursor().Seq }

// at returns the event as of which a read is, 0 for now.
func (c *core) at(asOf uint64) uint64 { return cmp.Or(asOf, c.head()) }

// commit commits an operator's event and returns its place in the log.
func (c *core) commit(ctx context.Context, kind event.Kind,
	m proto.Message) (seq uint64, effect projections.Effect, err error) {
	if p := c.refuse(); p != nil {
		return 0, 0, p
	}
	if c.credentialRevoked(m) {
		return 0, 0, errRevoked()
	}
	if !c.control().Admits(kind) {
		return 0, 0, stale("%s needs a later cluster version than %d; \"recount cluster upgrade\" raises it, once every "+
			"member runs a build that knows it", kind, c.control().ClusterVersion())
	}
	ev, err := propose.NewEvent(kind, m)
	if err != nil {
		return 0, 0, err
	}
	place, err := c.Log.SubmitLocal(ctx, ev)
	if err != nil {
		return 0, 0, c.Problem(err)
	}
	if err := c.State.WaitIndex(ctx, place.Index); err != nil {
		return 0, 0, err
	}
	if seq, err = c.State.SeqOf(place.Index); err != nil {
		return 0, 0, err
	}
	if effect, err = c.State.Effect(kind, seq); err == nil && effect == projections.Ignored && c.credentialRevoked(m) {
		return 0, 0, errRevoked() // the revocation overtook the operation in the log
	}
	return seq, effect, err
}

func (c *core) credentialRevoked(m proto.Message) bool {
	o, ok := m.(event.OpMessage)
	return ok && c.control().CredentialRevoked(o.GetOp().GetCredential())
}

func errRevoked() *wire.Problem {
	return wire.NewProblem(wire.CodeUnauthorized, "the credential was revoked while the request was on its way")
}

// commitOnce is commit for an operation with an op_id. A repetition returns the event of the first request. An
// op_id that named another operation before is an error, and so is an operation that did not fit the state: refused.
func (c *core) commitOnce(ctx context.Context, kind event.Kind, m event.OpMessage, refused error) (uint64, error) {
	seq, effect, err := c.commit(ctx, kind, m)
	switch {
	case err != nil:
		return 0, err
	case effect == projections.Repeated:
		return c.firstEvent(kind, m)
	case effect != projections.Applied:
		return 0, refused
	}
	return seq, nil
}

// firstEvent finds the event that the op_id of m named first. The event must be equal to m.
func (c *core) firstEvent(kind event.Kind, m event.OpMessage) (uint64, error) {
	id := m.GetOp().GetOpId()
	seq := c.control().OpSeq(id)
	it, err := c.State.Item(seq)
	if err != nil {
		return 0, err
	}
	_, first, err := it.Event.Message()
	if err != nil {
		return 0, err
	}
	if it.Kind != kind || !proto.Equal(withoutOp(first), withoutOp(m)) {
		return 0, opIDReused(id)
	}
	return seq, nil
}

func withoutOp(m proto.Message) proto.Message {
	m = proto.Clone(m)
	r := m.ProtoReflect()
	r.Clear(r.Descriptor().Fields().ByName("op"))
	return m
}

// refuse returns the reason why this node does no operations at all. Operations need only the control state in
// derived/, and no generation that can serve reads. So a rollback is possible even before the generation that was
// activated can serve.
func (c *core) refuse() *wire.Problem {
	if c.Stopping() {
		return wire.NewProblem(wire.CodeShuttingDown, "").WithRetry(retryAfter)
	}
	if c.Quarantined() {
		return wire.NewProblem(wire.CodeNotReady, "this node is quarantined; ask another one").WithRetry(retryAfter)
	}
	return nil
}

// confirm returns when everything acknowledged before the call is folded into the control state.
func (c *core) confirm(ctx context.Context) error {
	index, err := c.Quorum.ReadIndex(ctx)
	if err != nil {
		return err
	}
	return c.State.WaitIndex(ctx, index)
}

// current waits until this node has folded everything that was acknowledged before, such as a policy that
// another node has published.
func (c *core) current(ctx context.Context) error {
	if p := c.refuse(); p != nil {
		return p
	}
	if err := c.confirm(ctx); err != nil {
		return wire.NewProblem(wire.CodeNoLeader, "no quorum confirms what this node knows").WithRetry(retryAfter)
	}
	return nil
}

// op describes who asked for an operation, and why.
func (c *core) op(a wire.Op, meta api.Meta) *event.OpV1 {
	return &event.OpV1{
		OpId:       a.OpID,
		Reason:     a.Reason,
		Ticket:     a.Ticket,
		RequestId:  meta.RequestID,
		Node:       cmp.Or(meta.Via, c.NodeID),
		Actor:      meta.Actor,
		Role:       string(meta.Role),
		Credential: meta.Credential,
	}
}

// stale refuses an operation that the present state does not allow.
func stale(format string, args ...any) *wire.Problem {
	return wire.NewProblem(wire.CodeStale, fmt.Sprintf(format, args...))
}

// opIDReused refuses an operation whose op_id names another one in the log.
func opIDReused(id string) *wire.Problem {
	return wire.NewProblem(wire.CodeOpIDReused, fmt.Sprintf("the op_id %q was used for something else", id))
}

// knownKey waits for everything that other nodes have acknowledged and looks for a key.
func (c *core) knownKey(ctx context.Context, id string) (projections.KeyRow, error) {
	if err := c.current(ctx); err != nil {
		return projections.KeyRow{}, err
	}
	k, ok := c.control().Key(id, c.head())
	if !ok {
		return k, api.ErrNotFound
	}
	return k, nil
}

// published returns the policy with an id in hex.
func (c *core) published(id string) (projections.PublishedRow, bool) {
	b, err := hex.DecodeString(id)
	if err != nil || len(b) != 32 {
		return projections.PublishedRow{}, false
	}
	return c.control().Published([32]byte(b))
}
