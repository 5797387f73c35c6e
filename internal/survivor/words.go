package survivor

import (
	"fmt"
	"slices"
)

// Words says in sentences what a comparison means: which log to keep, what is certainly there, and what may be lost.
func (c *Comparison) Words() []string {
	best := &c.Survivors[0]
	if c.Majority {
		return []string{
			fmt.Sprintf("%d of %d voters are left, a majority. Nothing acknowledged is lost.", c.Alive, c.Voters),
			"Do not recover: start these nodes. They elect a leader and go on.",
		}
	}
	out := []string{
		fmt.Sprintf("%d of %d voters are left. The majority is gone, or not here.", c.Alive, c.Voters),
		fmt.Sprintf("Keep the log of %s in %s: no survivor here has a newer one.", c.Keep, c.Dir),
	}
	for _, r := range c.Survivors[1:] {
		if r.Prefix {
			out = append(out, fmt.Sprintf("The log of %s is a beginning of it.", r.NodeID))
			continue
		}
		out = append(out, fmt.Sprintf("The log of %s has %d other entries behind entry %d. They were never committed.",
			r.NodeID, r.Last.Index-r.Common, r.Common))
	}
	out = append(out, fmt.Sprintf("Certain: every event up to %d (entry %d, %s) is there.", c.Floor.Seq, c.Floor.Index,
		c.Floor.LogTime))
	if c.Open > 0 {
		out = append(out, fmt.Sprintf("Kept: %d more entries, up to event %d. Some of them may never have been "+
			"committed, and a node that is gone may have acknowledged others in their place.", c.Open, best.Last.Seq))
	}
	if c.Lost > 0 {
		heard := best.Last.Index + c.Lost
		i := slices.IndexFunc(c.Survivors, func(r Ranked) bool { return r.Heard == heard })
		out = append(out, fmt.Sprintf("Lost: at least %d committed entries. %s told that it had %d, and this log ends "+
			"at %d.", c.Lost, c.Survivors[i].HeardFrom, heard, best.Last.Index))
	}
	return append(out,
		fmt.Sprintf("May be lost: what was acknowledged with an event above %d. Only the nodes that are gone would know.",
			c.Floor.Seq),
		"To find it: let the agents send again what they sent since "+c.Floor.LogTime+". What is there keeps its "+
			"outcome, and what is lost is judged anew.")
}
