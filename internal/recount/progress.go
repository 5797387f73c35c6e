package recount

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

// ProgressPath is the peer RPC under which a node says how far it is with a generation.
const ProgressPath = "/v1/generation"

// progressTimeout bounds how long the view of a generation waits for a member.
const progressTimeout = 2 * time.Second

// The states of a node in the view of a generation.
const (
	StateUnreachable = "unreachable"
	StateFollowing   = "following"
	StateBuilding    = "building"
	StatePaused      = "paused"
	StateFailed      = "failed"
)

// Following bounds the events by which a generation may be behind and still count as following the log.
const Following = 4096

// Progress asks every voter how far it is with a generation, and for its digests at position, 0 for none. The
// answers are in the order of the voters.
func (m *Manager) Progress(ctx context.Context, number uint32, position uint64) []wire.NodeProgress {
	ctx, cancel := context.WithTimeout(ctx, progressTimeout)
	defer cancel()
	ids := m.o.Peers.IDs()
	out := make([]wire.NodeProgress, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		out[i] = wire.NodeProgress{Node: id, State: StateUnreachable, ETA: -1}
		wg.Go(func() {
			if id == m.o.Peers.Self {
				out[i] = m.progress(number, position)
				return
			}
			body := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, number), position)
			raw, err := m.o.Peers.Call(ctx, id, ProgressPath, body)
			var p wire.NodeProgress
			if err == nil && json.Unmarshal(raw, &p) == nil {
				out[i] = p
			}
		})
	}
	wg.Wait()
	return out
}

// AnswerProgress answers ProgressPath.
func (m *Manager) AnswerProgress(_ context.Context, _ string, body []byte) ([]byte, error) {
	if len(body) != 12 {
		return nil, errors.New("a progress request has 12 bytes")
	}
	return json.Marshal(m.progress(binary.BigEndian.Uint32(body), binary.BigEndian.Uint64(body[4:])))
}

// progress returns the progress of this node. Position 0 asks for no digests.
func (m *Manager) progress(number uint32, position uint64) wire.NodeProgress {
	p := wire.NodeProgress{
		Node:      m.o.Peers.Self,
		State:     StateBuilding,
		Committed: m.ctrl.Cursor().Seq,
		ETA:       -1,
		DiskFree:  m.o.Disk.Free(),
	}
	r, _ := m.Get(number)
	if r == nil {
		return p
	}
	p.Seq, p.Rate, p.DiskBytes = r.Cursor().Seq, r.meter.perSecond(), r.Bytes()
	p.Compared = p.Seq
	c := r.Comparison()
	active := number == m.Active()
	if !active {
		p.Compared = 0
		if c != nil {
			p.Compared = c.Seq()
		}
	}
	switch why := r.paused.Load(); {
	case r.failed.Load() != nil:
		p.State, p.Why = StateFailed, (*r.failed.Load()).Error()
	case why != nil:
		p.State, p.Why = StatePaused, *why
	case p.Committed-min(p.Compared, p.Committed) <= Following:
		p.State, p.ETA = StateFollowing, 0
	case p.Rate > 0:
		p.ETA = float64(p.Committed-p.Compared) / p.Rate
	}
	if position > 0 && position <= p.Compared {
		r.addDigests(&p, c, active, position)
	}
	return p
}

// Inactive has the progress of this node with its newest inactive generation. Without one all is zero.
type Inactive struct {
	Generation       uint32
	Folded, Compared uint64 // number of the last event
	Flips            uint64 // outcomes that differ from those of the generation that was active when it began
	Paused, Failed   bool
}

// NewestInactive returns the progress of the newest inactive generation, which a recount has made or left behind.
func NewestInactive(m *Manager) (s Inactive) {
	var newest *Running
	serving := m.Serving().Number()
	m.each(func(r *Running) {
		if r.Number() != serving && (newest == nil || r.Number() > newest.Number()) {
			newest = r
		}
	})
	if newest == nil {
		return s
	}
	s = Inactive{Generation: newest.Number(), Folded: newest.Cursor().Seq,
		Paused: newest.paused.Load() != nil, Failed: newest.failed.Load() != nil}
	if c := newest.Comparison(); c != nil {
		s.Compared, s.Flips = c.Seq(), c.Flips()
	}
	return s
}

func (r *Running) addDigests(p *wire.NodeProgress, c *fsm.Comparison, active bool, position uint64) {
	if !active {
		if diff, state, err := c.Digest(position); err == nil {
			p.DiffAt, p.StateAt = DiffText(position, diff), hex.EncodeToString(state[:])
		}
		return
	}
	view := r.View()
	defer view.Close()
	if state, err := projections.DigestAt(view, position); err == nil {
		p.StateAt = hex.EncodeToString(state[:])
	}
}

// Agree reports whether a majority of the voters says the same and none says otherwise. A node for which of
// returns "" is absent. The others are reporters.
func Agree(nodes []wire.NodeProgress, voters int,
	of func(wire.NodeProgress) string) (agree bool, reporters, absent []string) {
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

// Follows reports whether a node is close to the end of the log, also while its disk makes it wait.
func Follows(p wire.NodeProgress) bool {
	return p.State == StateFollowing || p.State == StatePaused && p.Committed-min(p.Compared, p.Committed) <= Following
}

// DiffText names a comparison: its position in 16 hex digits, then its digest in 64.
func DiffText(position uint64, diff [32]byte) string { return fmt.Sprintf("%016x%x", position, diff) }

// ParseDiff reads what DiffText writes.
func ParseDiff(text string) (position uint64, diff [32]byte, ok bool) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 40 {
		return 0, diff, false
	}
	return binary.BigEndian.Uint64(b), [32]byte(b[8:]), true
}
