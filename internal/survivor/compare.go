package survivor

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Ranked is one survivor among others.
type Ranked struct {
	Report
	// Common is the last entry that this log and the one to keep share. If it is the end of this log, this log is a
	// beginning of the other.
	Common uint64 `json:"common"`
	Prefix bool   `json:"prefix"`
}

// Comparison ranks survivors.
type Comparison struct {
	ClusterID string   `json:"cluster_id"`
	Keep      string   `json:"keep"`      // node with the log to keep
	Dir       string   `json:"dir"`       // of it
	Survivors []Ranked `json:"survivors"` // the one to keep first
	Floor     Place    `json:"floor"`     // highest floor of all survivors
	Voters    int      `json:"voters"`    // in the newest configuration of the log to keep
	Alive     int      `json:"alive"`     // of these, survivors
	Majority  bool     `json:"majority"`  // the survivors can elect a leader, so nothing is lost
	Open      uint64   `json:"open"`      // entries behind the floor, which may never have been committed
	Lost      uint64   `json:"lost"`      // committed entries that are certainly on no survivor
}

// Errors of Compare.
var (
	ErrOthers     = errors.New("survivor: these are not nodes of one cluster")
	ErrContradict = errors.New("survivor: two logs contradict each other, so at least one is damaged; keep all " +
		"directories as they are")
)

// Compare ranks survivors of one cluster. The reports may have been made on different machines.
func Compare(reports []Report) (*Comparison, error) {
	if err := check(reports); err != nil {
		return nil, err
	}
	reports = slices.Clone(reports)
	slices.SortStableFunc(reports, func(a, b Report) int {
		return cmp.Or(cmp.Compare(b.Last.Term, a.Last.Term), cmp.Compare(b.Last.Index, a.Last.Index),
			cmp.Compare(b.Floor.Index, a.Floor.Index), cmp.Compare(a.NodeID, b.NodeID))
	})
	best := &reports[0]
	c := &Comparison{ClusterID: best.ClusterID, Keep: best.NodeID, Dir: best.Dir}
	var heard uint64
	for i := range reports {
		r := &reports[i]
		common := shared(best, r)
		if r.Floor.Index > common {
			return nil, fmt.Errorf("%w: %s knew entry %d to be committed, and the log of %s has another one",
				ErrContradict, r.NodeID, r.Floor.Index, best.NodeID)
		}
		c.Survivors = append(c.Survivors, Ranked{Report: *r, Common: common, Prefix: common == r.Last.Index})
		if r.Floor.Index > c.Floor.Index {
			c.Floor = r.Floor
		}
		heard = max(heard, r.Heard)
	}
	c.count(best, reports)
	c.Open = best.Last.Index - c.Floor.Index
	c.Lost = heard - min(heard, best.Last.Index)
	return c, nil
}

// count counts the voters that are left.
func (c *Comparison) count(best *Report, reports []Report) {
	for _, m := range best.Members {
		if !m.Voter {
			continue
		}
		c.Voters++
		if slices.ContainsFunc(reports, func(r Report) bool { return r.NodeID == m.ID }) {
			c.Alive++
		}
	}
	c.Majority = c.Alive > c.Voters/2
}

// check refuses reports that cannot be compared.
func check(reports []Report) error {
	places := map[[2]uint64]Report{}
	nodes := map[string]bool{}
	if len(reports) == 0 {
		return errors.New("survivor: there is nothing to compare")
	}
	for _, r := range reports {
		first := reports[0]
		switch {
		case r.Format != Format:
			return fmt.Errorf("survivor: the report of %q has format %d, this release knows %d", r.NodeID, r.Format,
				Format)
		case len(r.Runs) == 0 || r.Last.Index < r.Runs[len(r.Runs)-1].First || r.Floor.Index > r.Last.Index:
			return fmt.Errorf("survivor: the report of %q is damaged", r.NodeID)
		case r.ClusterID != first.ClusterID:
			return fmt.Errorf("%w: %s is of %q, %s of %q", ErrOthers, first.NodeID, first.ClusterID, r.NodeID,
				r.ClusterID)
		case nodes[r.NodeID]:
			return fmt.Errorf("%w: two reports are of node %q", ErrOthers, r.NodeID)
		}
		nodes[r.NodeID] = true
		for _, p := range []Place{r.Last, r.Floor} {
			at := [2]uint64{p.Index, p.Term}
			if other, ok := places[at]; ok && digestAt(&other, p.Index) != p.Log {
				return fmt.Errorf("%w: entry %d of %s and %s", ErrContradict, p.Index, other.NodeID, r.NodeID)
			}
			places[at] = r
		}
	}
	return nil
}

// digestAt returns the digest of a report at one of its two places.
func digestAt(r *Report, index uint64) string {
	if r.Last.Index == index {
		return r.Last.Log
	}
	return r.Floor.Log
}

// shared returns the last entry that two logs share. Entries of the same term come from the same leader, so the runs of
// a term begin at the same entry unless the logs part before.
func shared(a, b *Report) (last uint64) {
	for i := range a.Runs {
		if i >= len(b.Runs) || a.Runs[i] != b.Runs[i] {
			break
		}
		last = min(a.end(i), b.end(i))
		if a.end(i) != b.end(i) {
			break
		}
	}
	return last
}

// end returns the last entry of run i.
func (r *Report) end(i int) uint64 {
	if i+1 < len(r.Runs) {
		return r.Runs[i+1].First - 1
	}
	return r.Last.Index
}
