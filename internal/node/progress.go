package node

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// progressPath is the peer RPC under which a node says how far it is with a generation.
const progressPath = "/v1/generation"

// progressTimeout bounds how long the view of a generation waits for a member.
const progressTimeout = 2 * time.Second

// agreeing reports whether a majority of the voters says the same and none says otherwise; who says nothing is absent.
func agreeing(nodes []wire.NodeProgress, voters int, of func(wire.NodeProgress) string) (agree bool, reporters, absent []string) {
	said := map[string][]string{}
	for _, p := range nodes {
		if text := of(p); text != "" {
			said[text] = append(said[text], p.Node)
			reporters = append(reporters, p.Node)
		} else {
			absent = append(absent, p.Node)
		}
	}
	return len(said) == 1 && len(reporters) > voters/2, reporters, absent
}

// The states of a node in the view of a generation.
const (
	stateUnreachable = "unreachable"
	stateFollowing   = "following"
	stateBuilding    = "building"
	statePaused      = "paused"
	stateFailed      = "failed"
)

// following is how many events a generation may be behind and still count as following the log.
const following = 4096

// progressOf asks every voter; the answers are in the order of the voters.
func (n *Node) progressOf(ctx context.Context, number uint32, position uint64) []wire.NodeProgress {
	ctx, cancel := context.WithTimeout(ctx, progressTimeout)
	defer cancel()
	out := make([]wire.NodeProgress, len(n.cfg.Voters))
	var wg sync.WaitGroup
	for i, v := range n.cfg.Voters {
		out[i] = wire.NodeProgress{Node: v.ID, State: stateUnreachable, ETA: -1}
		wg.Go(func() {
			if v.ID == n.cfg.NodeID {
				out[i] = n.progress(number, position)
				return
			}
			body := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, number), position)
			raw, err := n.cluster.Call(ctx, v.ID, progressPath, body)
			var p wire.NodeProgress
			if err == nil && json.Unmarshal(raw, &p) == nil {
				out[i] = p
			}
		})
	}
	wg.Wait()
	return out
}

func (n *Node) answerProgress(_ context.Context, _ string, body []byte) ([]byte, error) {
	if len(body) != 12 {
		return nil, errors.New("a progress request has 12 bytes")
	}
	return json.Marshal(n.progress(binary.BigEndian.Uint32(body), binary.BigEndian.Uint64(body[4:])))
}

// progress is how far this node is; position 0 asks for no digests.
func (n *Node) progress(number uint32, position uint64) wire.NodeProgress {
	p := wire.NodeProgress{Node: n.cfg.NodeID, State: stateBuilding, Committed: n.derived.Cursor().Seq, ETA: -1, DiskFree: n.disk.Free()}
	r, _ := n.gens.get(number)
	if r == nil {
		return p
	}
	p.Seq, p.Rate, p.DiskBytes = r.Cursor().Seq, r.meter.perSecond(), r.Bytes()
	p.Compared = p.Seq
	c := r.diff.Load()
	active := number == n.active()
	if !active {
		p.Compared = 0
		if c != nil {
			p.Compared = c.Seq()
		}
	}
	switch why := r.paused.Load(); {
	case r.failed.Load() != nil:
		p.State, p.Why = stateFailed, (*r.failed.Load()).Error()
	case why != nil:
		p.State, p.Why = statePaused, *why
	case p.Committed-min(p.Compared, p.Committed) <= following:
		p.State, p.ETA = stateFollowing, 0
	case p.Rate > 0:
		p.ETA = float64(p.Committed-p.Compared) / p.Rate
	}
	if position > 0 && position <= p.Compared {
		n.progressDigests(&p, r, c, active, position)
	}
	return p
}

func (n *Node) progressDigests(p *wire.NodeProgress, r *running, c *fsm.Comparison, active bool, position uint64) {
	if !active {
		if diff, state, err := c.Digest(position); err == nil {
			p.DiffAt, p.StateAt = diffText(position, diff), hex.EncodeToString(state[:])
		}
		return
	}
	view := r.View()
	defer view.Close()
	if state, err := projections.DigestAt(view, position); err == nil {
		p.StateAt = hex.EncodeToString(state[:])
	}
}

// diffText names a comparison: its position in 16 hex digits, then its digest.
func diffText(position uint64, diff [32]byte) string { return fmt.Sprintf("%016x%x", position, diff) }

// parseDiff reads what diffText writes.
func parseDiff(text string) (position uint64, diff [32]byte, ok bool) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 40 {
		return 0, diff, false
	}
	return binary.BigEndian.Uint64(b), [32]byte(b[8:]), true
}
