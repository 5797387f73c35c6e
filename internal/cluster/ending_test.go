package cluster

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// errDisk is the error of a broken disk.
var errDisk = errors.New("input/output error")

// brokenVotes is a file of the votes that takes no further vote when broken is set.
type brokenVotes struct {
	votesFile
	broken *atomic.Bool
	last   *[8]byte // term of the last vote that was written
}

func (f brokenVotes) WriteAt(b []byte, at int64) (int, error) {
	term := [8]byte(b[20:28])
	if term != *f.last && f.broken.Load() {
		return 0, errDisk
	}
	*f.last = term
	return f.votesFile.WriteAt(b, at)
}

// TestVoteThatCannotBeWritten: a node whose disk refuses a vote stops. Raft alone would log the error, and try again with
// the next vote.
func TestVoteThatCannotBeWritten(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	var broken atomic.Bool
	for _, v := range b.voters {
		b.start(v.ID, func(c *Config) {
			var last [8]byte
			c.votes = func(path string, flags int) (votesFile, error) {
				f, err := votesOnDisk(path, flags)
				return brokenVotes{f, &broken, &last}, err
			}
		})
	}
	lead := b.leader()
	b.propose(lead, "x")
	broken.Store(true)
	b.stop(lead.id)
	// The first of them that votes for itself ends. The other one may wait for it, since no process ends here.
	left := b.followers(lead)
	select {
	case err := <-left[0].fatals:
		isDisk(t, err)
	case err := <-left[1].fatals:
		isDisk(t, err)
	case <-time.After(30 * time.Second):
		t.Error("both go on with a vote that is not on their disks")
	}
}

func isDisk(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, errDisk) {
		t.Errorf("a node stops with %v", err)
	}
}
