package notary

import "time"

// Counts are for metrics.
type Counts struct {
	Size             uint64        // of the newest checkpoint, 0 for none
	Cosigned         uint64        // size of the newest one that a quorum of witnesses cosigned, 0 for none
	Late             time.Duration // for how long the newest event has no checkpoint
	Behind           time.Duration // for how long the newest checkpoint has no quorum
	Signed, Unsigned uint64        // positions that were signed, and that were not because no majority agreed
	KeyFileFailed    bool          // the last reading of the key file failed
	Contradiction    bool          // the tree does not begin with what was signed before
	Answers          map[string]uint64
}

// Counts returns what has happened so far.
func (n *Notary) Counts() Counts {
	c := Counts{Signed: n.signed.Load(), Unsigned: n.unsigned.Load(), KeyFileFailed: n.filesFailed.Load(),
		Contradiction: n.contradict.Load(), Late: since(n.late.Load())}
	if shown := n.shown.Load(); shown != nil {
		c.Size = shown.Size
	}
	if n.cosigner == nil {
		return c
	}
	c.Answers, c.Behind = n.cosigner.byResult(), since(n.behind.Load())
	if cosigned := n.cosigned.Load(); cosigned != nil {
		c.Cosigned = cosigned.Size
	}
	return c
}

// since returns the time from a moment in Unix nanoseconds until now, 0 for none.
func since(nanos int64) time.Duration {
	if nanos == 0 {
		return 0
	}
	return max(0, time.Since(time.Unix(0, nanos)))
}
