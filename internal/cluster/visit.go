package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/frames"
	"github.com/recount-ledger/recount/internal/pause"
)

// pathFence is the call by which a stopped node asks the leader how far a copy of the log has to go.
const pathFence = "/cluster/fence"

// visitPrefix begins the hello of a node that does not run and only reads: the incarnation of its directory
// follows. It says nothing about its log, because that is damaged.
const visitPrefix = "visit "

// Fence is an entry that the leader of a term had, and had committed, when it was asked.
type Fence struct{ Index, Term uint64 }

// Visit is the way of a stopped node to the members of its settings. It opens no port and takes no part in the
// cluster. Members let it read what they have opened to visits, and refuse the directory of a node that was
// removed, or that is not the one they know.
type Visit struct {
	port    *peerPort
	known   map[string]memberRow
	hello   string
	callers map[string]*frames.Caller
}

// NewVisit prepares a visit with the identity in the directory. The errors are those of Open about directory and
// certificate. Close it.
func NewVisit(cfg Config) (*Visit, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	id, found, err := readIdentity(cfg.Dir, cfg.ClusterID, cfg.NodeID)
	if err == nil && !found {
		err = fmt.Errorf("%w: %s", ErrEmptyDirectory, cfg.Dir)
	}
	if err != nil {
		return nil, err
	}
	v := &Visit{hello: visitPrefix + id.Incarnation, callers: map[string]*frames.Caller{}}
	if v.known, err = readMembers(filepath.Join(cfg.Dir, membersName)); err != nil {
		return nil, err
	}
	if v.port, err = newPeerPort(&cfg, nil); err != nil {
		return nil, err
	}
	for _, m := range cfg.Voters {
		if m.ID != cfg.NodeID {
			v.callers[m.ID] = frames.NewCaller(func(ctx context.Context) (net.Conn, error) {
				return v.port.dialTLS(ctx, m, alpnRPC)
			})
		}
	}
	return v, nil
}

// Close ends all calls.
func (v *Visit) Close() {
	for _, c := range v.callers {
		c.Close()
	}
}

// Call calls a node of the settings, as Cluster.Call does.
func (v *Visit) Call(ctx context.Context, id, path string, body []byte) ([]byte, error) {
	caller := v.callers[id]
	if caller == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownNode, id)
	}
	resp, err := caller.Call(ctx, frames.Request{Path: path, Hello: v.hello, Body: body})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %s%s: %w", ErrUnreachable, id, path, err)
	case resp.Code != "":
		return nil, &RemoteError{resp.Code, string(resp.Body)}
	}
	theirs, err := parseHello(resp.Hello)
	if row, met := v.known[id]; err == nil && met && row.Incarnation != theirs.incarnation {
		err = fmt.Errorf("it was seen with incarnation %.8s and answers with %.8s: its directory was lost or exchanged",
			row.Incarnation, theirs.incarnation)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errRefused, id, err)
	}
	return resp.Body, nil
}

// Fence asks the nodes of the settings until one that leads answers. A copy of the log of a member that reaches
// the entry has every entry that this node had acknowledged to a leader before the call, if two things hold: this
// node does not run, and its own term is not above the one of the fence. For each leader that the node ever heard
// has a term up to its own, the entries of an earlier leader that were committed are in the log of the later one,
// and entries of this leader are not behind its end. The error says what each member answered.
func (v *Visit) Fence(ctx context.Context) (Fence, error) {
	var errs []error
	for id := range v.callers {
		one, cancel := context.WithTimeout(ctx, v.port.cfg.rpcDeadline)
		out, err := v.Call(one, id, pathFence, nil)
		cancel()
		switch {
		case err == nil && len(out) == positionSize:
			return Fence{binary.BigEndian.Uint64(out), binary.BigEndian.Uint64(out[8:])}, nil
		case err == nil:
			err = fmt.Errorf("it answers with %d bytes", len(out))
		}
		errs = append(errs, fmt.Errorf("%s: %w", id, err))
	}
	return Fence{}, fmt.Errorf("%w: %w", ErrNoLeader, errors.Join(errs...))
}

// OpenToVisits lets members that do not run call these paths of a node. Call it before Start.
func OpenToVisits(c *Cluster, paths ...string) {
	c.rpc.mu.Lock()
	defer c.rpc.mu.Unlock()
	for _, path := range paths {
		c.rpc.visits[path] = true
	}
}

// answerVisit answers a call of a node that does not run.
func (s *rpcServer) answerVisit(ctx context.Context, from, incarnation string, req frames.Request) frames.Response {
	s.mu.RLock()
	open := s.visits[req.Path]
	s.mu.RUnlock()
	roster := s.c.peer.roster
	out, err := []byte(nil), roster.admitVisit(from, incarnation)
	switch {
	case errors.Is(err, errRemoved):
		err = &RemoteError{CodeRemoved, err.Error()}
	case err != nil:
		err = &RemoteError{codeRefused, err.Error()}
	case !s.c.peer.knows(from):
		err = noMember(from)
	case !open:
		err = &RemoteError{codeRefused, req.Path + " is not for nodes that do not run"}
	default:
		out, err = s.dispatch(ctx, from, req.Path, req.Body)
	}
	return respond(roster, out, err)
}

// admitVisit refuses the visit of a node that was removed, or of another directory than the one that the ledger names
// or that was seen.
func (r *roster) admitVisit(id, incarnation string) error {
	removed := r.members.removed(id)
	joined, _ := r.joinedFrom(id)
	r.mu.Lock()
	row, met := r.known[id]
	r.mu.Unlock()
	switch {
	case !isIncarnation(incarnation):
		return fmt.Errorf("%w: %s visits without an incarnation", errRefused, id)
	case removed != 0:
		return fmt.Errorf("%w %d", errRemoved, removed)
	case joined != "" && joined != incarnation:
		return fmt.Errorf("%w: %s: %w", errRefused, id, errOtherDirectory)
	case met && row.Incarnation != incarnation && joined != incarnation:
		return fmt.Errorf("%w: %s was seen with incarnation %.8s and visits with %.8s: its directory was lost or "+
			"exchanged", errRefused, id, row.Incarnation, incarnation)
	}
	return nil
}

// visitor returns the incarnation in the hello of a node that does not run.
func visitor(hello string) (incarnation string, ok bool) {
	return strings.CutPrefix(hello, visitPrefix)
}

// serveFence answers with the end of the log of this leader, once all of it is committed in the leader's own term
// and a majority has confirmed that it still leads. An entry is in this log before it is sent to anybody.
func (l *readLoop) serveFence(ctx context.Context, _ string, _ []byte) ([]byte, error) {
	c := l.c
	term, leads := c.IsLeader()
	if !leads {
		return nil, &RemoteError{codeNotLeader, ErrNotLeader.Error()}
	}
	last, err := c.logs.LastIndex()
	if err != nil {
		return nil, err
	}
	for {
		if _, err := l.request(ctx); err != nil {
			return nil, &RemoteError{codeNoQuorum, err.Error()}
		}
		if c.CommitIndex() >= last {
			break
		}
		if err := pause.For(ctx, 20*time.Millisecond); err != nil {
			return nil, &RemoteError{codeNoQuorum, fmt.Sprintf("entry %d is not committed yet", last)}
		}
	}
	if now, leads := c.IsLeader(); !leads || now != term {
		return nil, &RemoteError{codeNotLeader, ErrNotLeader.Error()}
	}
	return position{last, term}.append(nil), nil
}
