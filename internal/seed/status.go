package seed

import (
	"errors"
	"fmt"
	"time"
)

// Phase names the work that a receiver is at.
type Phase string

// Phases of a receiver.
const (
	Waiting     Phase = "waiting"     // the cluster has not added this node yet
	Preparing   Phase = "preparing"   // a member makes a copy
	Copying     Phase = "copying"     // files come from a member
	Checking    Phase = "checking"    // the copy is read from its beginning to its end
	Ready       Phase = "ready"       // the copy is complete
	Replicating Phase = "replicating" // Raft replicates the log
)

// Phases lists all phases.
func Phases() []Phase { return []Phase{Waiting, Preparing, Copying, Checking, Ready, Replicating} }

// Status is a snapshot of a receiver.
type Status struct {
	Phase    Phase
	Member   string // that gives the copy, "" in other phases
	Bytes    int64  // of the copy, 0 until they are known
	Have     int64  // bytes of the copy that are here, of files whose hash agrees or that are under way
	Received uint64 // bytes that came from members since the start of the process
	Failures uint64 // attempts that ended without a copy
	Last     error  // why the last of them did

	began time.Time // of the copying
	have  int64     // at that time
}

// Status returns what the receiver does.
func (r *Receiver) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

func (r *Receiver) change(f func(*Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.status)
}

func (r *Receiver) enter(p Phase, member string) {
	r.change(func(s *Status) { s.Phase, s.Member = p, member })
}

func (r *Receiver) fail(err error) {
	r.o.Logger.Warn("no copy of the log yet; trying again", "error", err)
	r.change(func(s *Status) {
		s.Failures++
		s.Last = err
	})
}

// Reason says in a sentence why the node is not ready.
func (s Status) Reason() string {
	text := ""
	switch s.Phase {
	case Waiting:
		return "the node waits until the cluster adds it"
	case Preparing:
		text = fmt.Sprintf("%s makes a copy of the log", s.Member)
	case Copying:
		text = fmt.Sprintf("copying the log from %s: %d of %d bytes", s.Member, s.Have, s.Bytes)
		if left, rate := s.left(); rate > 0 {
			text += fmt.Sprintf(", %.1f MB/s, %s left", rate/1e6, left)
		}
	case Checking:
		text = "the copy of the log is being checked"
	case Ready:
		text = "the copy of the log is ready and the node opens it"
	case Replicating:
		return "Raft replicates the log"
	}
	switch {
	case errors.Is(s.Last, errNoRoom):
		text += "; an attempt ended because the disk has too little space"
	case s.Last != nil:
		text += fmt.Sprintf("; attempts that failed: %d, the log of this node has the reasons", s.Failures)
	}
	return text
}

// left returns the time that the rest takes, and the rate in bytes per second, zero while it is unknown.
func (s Status) left() (time.Duration, float64) {
	took := time.Since(s.began).Seconds()
	rate := float64(s.Have-s.have) / took
	if took < 0.1 || rate <= 0 {
		return 0, 0
	}
	return time.Duration(float64(s.Bytes-s.Have) / rate * float64(time.Second)).Round(time.Second), rate
}
