package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// operationPath is the peer RPC under which a leader takes the operations of operators that came to another node.
// Their requests travel, with the caller's own token, and not their events. No node can make an operation without
// its operator.
const operationPath = "/v1/operation"

// followFor bounds how long a node that has handed over an operation waits for its own fold before it gives the
// answer.
const followFor = 2 * time.Second

// forwardPause lies between two looks of an operation for the leader.
const forwardPause = 50 * time.Millisecond

// keySourceEnv is the source of the keys in a node's own settings.
const keySourceEnv = "env"

// notForwarded returns nil for the events that a node may hand to the leader: submissions, sums of refusals and
// the keys of its own settings, in its own name and in the form that the folds read. Operations of operators are not
// among them. It also returns the submission, if the event is one.
func notForwarded(e event.Event, from string) (sub event.Sub, err error) {
	var node string
	switch e.Kind {
	case event.Submission:
		if sub, err = event.DecodeSubmission(e.Payload); err != nil {
			return sub, err
		}
		node = sub.Node
	case event.RefusalsDropped, event.KeyAdded:
		_, m, err := e.Message()
		if err != nil {
			return sub, err
		}
		if k, ok := m.(*event.KeyAddedV1); ok &&
			!proto.Equal(k, keyOfSettings(k.KeyId, k.Alg, k.Public, k.Fingerprint, k.Node)) {
			// what an operator adds comes as a request
			return sub, fmt.Errorf("%s with terms or another source: %w", e.Kind, errNotForwarded)
		}
		node = m.(interface{ GetNode() string }).GetNode()
	default:
		return sub, fmt.Errorf("an event of kind %s: %w", e.Kind, errNotForwarded)
	}
	if node != from {
		return sub, fmt.Errorf("%s in the name of %q: %w", e.Kind, node, errNotForwarded)
	}
	return sub, nil
}

var errNotForwarded = errors.New("not taken from another node")

// keyOfSettings returns the event that registers a key of a node's settings. It sets no terms and names no
// operator.
func keyOfSettings(id string, alg uint32, public, fingerprint []byte, node string) *event.KeyAddedV1 {
	return &event.KeyAddedV1{
		KeyId:       id,
		Alg:         alg,
		Public:      public,
		Fingerprint: fingerprint,
		Source:      keySourceEnv,
		Node:        node,
	}
}

// toLeader carries operations to the leader.
type toLeader struct {
	self    string        // the id of this node
	timeout time.Duration // of the search for a leader
	log     *slog.Logger
	peers   peers
	apiOf   func(id string) string // returns the base URL of a node for clients

	leading  func() bool                     // this node leads and may propose now
	stopping func() bool                     // this node takes no more requests
	withheld func() *wire.Problem            // the reason why this node answers no client
	confirm  func(ctx context.Context) error // waits until all that was acknowledged is folded here
}

func (n *Node) newToLeader() *toLeader {
	return &toLeader{
		self:     n.cfg.NodeID,
		timeout:  n.cfg.SubmitTimeout,
		log:      n.log,
		peers:    n.cluster,
		apiOf:    n.roll.apiOf,
		leading:  n.raft.IsLeader,
		stopping: n.closing.Load,
		withheld: n.withheld,
		confirm:  n.confirm,
	}
}

func (l *toLeader) Leading() bool { return l.leading() }

func (l *toLeader) LeaderURL() string {
	id, _ := l.peers.Leader()
	return l.apiOf(id)
}

// ForwardOperation looks for a leader until one answers, this node leads, or the time is up. An operation that was
// sent and got no answer may have been done.
func (l *toLeader) ForwardOperation(ctx context.Context, request []byte) (answer []byte, here bool, err error) {
	if l.stopping() {
		return nil, false, wire.NewProblem(wire.CodeShuttingDown, "").WithRetry(retryAfter)
	}
	if p := l.withheld(); p != nil {
		return nil, false, p
	}
	search, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	for {
		changed := l.peers.Watch()
		if l.leading() {
			return nil, true, nil
		}
		if leader, ok := l.peers.Leader(); ok && leader != l.self {
			answer, err := l.peers.Call(ctx, leader, operationPath, request)
			var remote *cluster.RemoteError
			var network *net.OpError
			switch {
			case err == nil:
				l.follow(ctx)
				return answer, false, nil
			case errors.As(err, &remote) && remote.Code == codeNoLeader:
			case errors.As(err, &network) && network.Op == "dial": // nothing was sent
			case errors.As(err, &remote) && remote.Code == cluster.CodeNoHandler:
				return nil, false, wire.NewProblem(wire.CodeNoLeader,
					"the leader is of a release that takes operations from their callers only: "+
						l.LeaderURL()).WithRetry(retryAfter)
			default:
				l.log.Warn("an operation was sent to the leader and got no answer", "leader", leader, "error", err)
				return nil, false, wire.NewProblem(wire.CodeOutcomeUnknown, "").WithRetry(retryAfter)
			}
		}
		wait := time.NewTimer(forwardPause)
		select {
		case <-changed:
		case <-wait.C:
		case <-search.Done():
		}
		wait.Stop()
		if search.Err() != nil {
			return nil, false, wire.NewProblem(wire.CodeNoLeader, "").WithRetry(retryAfter)
		}
	}
}

// follow waits until the operation of the leader is served here too, so that the caller reads it back at this node.
// The operation is done in any case.
func (l *toLeader) follow(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, followFor)
	defer cancel()
	if err := l.confirm(ctx); err != nil {
		l.log.Debug("an operation of the leader is not folded here yet", "error", err)
	}
}

// acceptOperation does, as the leader, an operation that came to another node. The handler authenticates the caller.
func (n *Node) acceptOperation(ctx context.Context, from string, body []byte) ([]byte, error) {
	handler := n.handler.Load()
	if handler == nil || !n.raft.IsLeader() {
		return nil, &cluster.RemoteError{Code: codeNoLeader, Message: "this node does not lead"}
	}
	answer, err := api.ServeForwarded(ctx, *handler, from, body)
	if err != nil {
		return nil, fmt.Errorf("from %s: %w", from, err)
	}
	return answer, nil
}

// publishHandler makes the handler of the API available to forwarded operations.
func (n *Node) publishHandler(h http.Handler) { n.handler.Store(&h) }
