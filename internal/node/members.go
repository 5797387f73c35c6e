package node

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// positionPath is the peer RPC under which a node reports its position.
const positionPath = "/v1/position"

// positionTimeout bounds how long the cluster view waits for a member.
const positionTimeout = 500 * time.Millisecond

// place holds the position of a node.
type place struct {
	CommittedSeq uint64 `json:"committed_seq"`
	AppliedSeq   uint64 `json:"applied_seq"`
	State        string `json:"state"`
	DiskFree     uint64 `json:"disk_free"` // bytes

	Capabilities []string `json:"capabilities"` // what the release of the node can fold
}

func (n *Node) place() place {
	p := place{
		CommittedSeq: n.derived.Cursor().Seq,
		AppliedSeq:   n.gens.Serving().Cursor().Seq,
		State:        "follower",
		DiskFree:     n.disk.Free(),
		Capabilities: n.releases.own(),
	}
	if _, ok := n.cluster.IsLeader(); ok {
		p.State = "leader"
	}
	if n.doubts.Suspended() != "" {
		p.State = "suspended"
	}
	if n.quarantine.entered() {
		p.State = "quarantined"
	}
	return p
}

// voterIDs returns the ids of the voters now. Before the log is open, they are those of the settings.
func (n *Node) voterIDs() []string {
	if n.cluster == nil {
		return n.cfg.ids()
	}
	return n.cluster.Configuration().Voters
}

// memberIDs returns the ids of the voters and the learners now.
func (n *Node) memberIDs() (out []string) {
	for _, m := range n.cluster.Configuration().Members {
		out = append(out, m.ID)
	}
	return out
}

func (n *Node) answerPosition(context.Context, string, []byte) ([]byte, error) {
	return json.Marshal(n.place())
}

// Cluster asks every member for its position. A member without an answer in time is shown as unreachable.
func (s *status) Cluster(ctx context.Context) (*wire.ClusterAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, positionTimeout)
	defer cancel()
	st := s.members()
	a := &wire.ClusterAnswer{
		ClusterID: s.cfg.ClusterID,
		Leader:    st.Leader,
		Term:      st.Term,
		Members:   make([]wire.Member, len(st.Members)),
	}
	var wg sync.WaitGroup
	for i, m := range st.Members {
		a.Members[i] = wire.Member{
			ID:       m.ID,
			API:      s.cfg.apiOf(m.ID),
			Suffrage: strings.ToLower(m.Suffrage),
			State:    "unreachable",
		}
		wg.Go(func() {
			if p, err := s.place(ctx, m.ID); err == nil {
				lag := p.CommittedSeq - min(p.AppliedSeq, p.CommittedSeq)
				a.Members[i].CommittedSeq, a.Members[i].AppliedSeq, a.Members[i].Lag = &p.CommittedSeq,
					&p.AppliedSeq, &lag
				a.Members[i].State = p.State
			}
		})
	}
	wg.Wait()
	return a, nil
}

func (n *Node) placeOf(ctx context.Context, id string) (place, error) {
	if id == n.cfg.NodeID {
		return n.place(), nil
	}
	var p place
	raw, err := n.cluster.Call(ctx, id, positionPath, nil)
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	return p, err
}
