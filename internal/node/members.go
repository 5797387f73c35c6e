package node

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/recount-ledger/recount/internal/cluster"
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
	API          string `json:"api"`       // base URL at which clients reach the node

	// of the learners, on the leader
	Learners map[string]*wire.LearnerProgress `json:"learners,omitempty"`

	ClusterVersion uint32   `json:"cluster_version"` // newest that the build of the node knows
	Capabilities   []string `json:"capabilities"`    // what the release of the node can fold
}

func (n *Node) place() place {
	p := place{
		CommittedSeq:   n.derived.Cursor().Seq,
		AppliedSeq:     n.gens.Serving().Cursor().Seq,
		State:          "follower",
		DiskFree:       n.disk.Free(),
		API:            n.cfg.self().API,
		ClusterVersion: n.releases.newest,
		Capabilities:   n.releases.own(),
	}
	if _, ok := n.cluster.IsLeader(); ok {
		p.State = "leader"
	}
	for id, l := range cluster.LearnersOf(n.cluster) {
		if p.Learners == nil {
			p.Learners = map[string]*wire.LearnerProgress{}
		}
		p.Learners[id] = learnerProgress(l)
	}
	if n.doubts.Suspended() != "" {
		p.State = "suspended"
	}
	if n.quarantine.entered() {
		p.State = "quarantined"
	}
	return p
}

func learnerProgress(l cluster.Learner) *wire.LearnerProgress {
	p := &wire.LearnerProgress{Lacks: l.Lacks, Promotable: l.Why == nil, StalledS: uint64(l.Stalled / time.Second)}
	if l.Why != nil {
		p.Why = strings.TrimPrefix(l.Why.Error(), "cluster: ")
	}
	return p
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
		ClusterID:      s.cfg.ClusterID,
		ClusterVersion: s.version(),
		Leader:         st.Leader,
		Term:           st.Term,
		Members:        make([]wire.Member, len(st.Members)),
	}
	var wg sync.WaitGroup
	var learners map[string]*wire.LearnerProgress // as the leader says
	for i, m := range st.Members {
		a.Members[i] = wire.Member{
			ID:       m.ID,
			API:      s.apiOf(m.ID),
			Suffrage: strings.ToLower(m.Suffrage),
			State:    "unreachable",
		}
		wg.Go(func() {
			if p, err := s.place(ctx, m.ID); err == nil {
				lag := p.CommittedSeq - min(p.AppliedSeq, p.CommittedSeq)
				a.Members[i].CommittedSeq, a.Members[i].AppliedSeq, a.Members[i].Lag = &p.CommittedSeq,
					&p.AppliedSeq, &lag
				a.Members[i].State = p.State
				newest := newestOf(&p)
				a.Members[i].KnowsVersion = &newest
				if m.ID == st.Leader {
					learners = p.Learners
				}
				if p.API != "" { // the settings of this node may be older
					a.Members[i].API = p.API
				}
			}
		})
	}
	wg.Wait()
	for i, m := range a.Members {
		a.Members[i].Learner = learners[m.ID]
	}
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
	if err == nil && p.API != "" {
		n.roll.apis.Store(id, p.API)
	}
	return p, err
}
