package seed

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/copies"
	"github.com/recount-ledger/recount/wire"
)

// Codes of a source. They reach the receiver in a cluster.RemoteError.
const (
	codeNoCopy = "no_copy" // it has no such copy, or makes none now
	codeBad    = "bad_request"
	codeBusy   = "busy" // the caller asks for too much at once
)

// What a source does for one member. A receiver reads one part after the other, and asks for a new copy only after one was
// damaged or too old.
const (
	maxReads   = 4  // parts that it reads for a member at the same time
	maxMakes   = 20 // copies that it makes for a member within makeWithin
	makeWithin = 10 * time.Minute
)

// State is the part of the state of a node that its source tells.
type State struct {
	Bytes uint64 // of the log on the disk
	Seq   uint64 // last event folded
	Leads bool
}

// Source gives copies of the log to nodes that join. Its methods are handlers of calls from nodes that the cluster
// knows as members. It is safe for concurrent use.
type Source struct {
	keep  *copies.Manager // nil for a node that keeps no copies
	state func() State
	sent  atomic.Uint64

	making sync.Mutex // held while a copy is made, before mu

	mu      sync.Mutex
	ids     map[string]string      // by node, its copy; at most one for each member
	reading map[string]int         // by node, reads under way
	made    map[string][]time.Time // by node, when its last copies were made, oldest first
}

// NewSource returns a source of the copies that keep makes. A nil keep makes none. state must not block.
func NewSource(keep *copies.Manager, state func() State) *Source {
	return &Source{keep: keep, state: state, ids: map[string]string{}, reading: map[string]int{},
		made: map[string][]time.Time{}}
}

// Sent returns the bytes of files that were sent.
func (s *Source) Sent() uint64 { return s.sent.Load() }

// Offer answers OfferPath.
func (s *Source) Offer(context.Context, string, []byte) ([]byte, error) {
	at := s.state()
	return json.Marshal(offer{Bytes: at.Bytes, Seq: at.Seq, Leads: at.Leads, Can: s.keep != nil})
}

// Make answers MakePath with the copy of the caller.
func (s *Source) Make(ctx context.Context, from string, _ []byte) ([]byte, error) {
	if s.keep == nil {
		return nil, &cluster.RemoteError{Code: codeNoCopy, Message: "this node keeps no copies"}
	}
	s.making.Lock()
	defer s.making.Unlock()
	if a, err := s.keep.Copy(s.idOf(from)); err == nil && a.State != wire.CopyFailed {
		return json.Marshal(a)
	}
	if !s.mayMake(from, time.Now()) {
		return nil, &cluster.RemoteError{Code: codeBusy, Message: "too many copies were made for the caller; it has to wait"}
	}
	a, err := s.keep.Create(ctx)
	if err != nil {
		return nil, remote(err)
	}
	s.mu.Lock()
	old := s.ids[from]
	s.ids[from] = a.ID
	s.mu.Unlock()
	if old != "" {
		_ = s.keep.Remove(old) // one that failed, if it is still there
	}
	return json.Marshal(a)
}

// mayMake counts a copy for a node, unless there were too many lately.
func (s *Source) mayMake(node string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	recent := slices.DeleteFunc(s.made[node], func(at time.Time) bool { return now.Sub(at) > makeWithin })
	may := len(recent) < maxMakes
	if may {
		recent = append(recent, now)
	}
	s.made[node] = recent
	return may
}

// beginRead counts a read for a node, unless too many are under way. The returned function ends it.
func (s *Source) beginRead(node string) (end func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading[node] >= maxReads {
		return nil, false
	}
	s.reading[node]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.reading[node]--; s.reading[node] == 0 {
			delete(s.reading, node)
		}
	}, true
}

func (s *Source) idOf(node string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[node]
}

// own reads a request about the copy of the caller.
func (s *Source) own(from string, body []byte) (p part, err error) {
	if err := parse(body, &p); err != nil || p.Offset < 0 || p.Bytes < 0 || p.Bytes > maxPart {
		return p, &cluster.RemoteError{Code: codeBad, Message: "no request for a part of a file"}
	}
	if s.keep == nil || p.ID == "" || p.ID != s.idOf(from) {
		return p, &cluster.RemoteError{Code: codeNoCopy, Message: "the caller has no such copy here"}
	}
	return p, nil
}

// Read answers ReadPath with as many bytes of a file as asked for, or those up to its end.
func (s *Source) Read(ctx context.Context, from string, body []byte) ([]byte, error) {
	p, err := s.own(from, body)
	if err != nil {
		return nil, err
	}
	end, ok := s.beginRead(from)
	if !ok {
		return nil, &cluster.RemoteError{Code: codeBusy, Message: "the caller reads too many parts at once"}
	}
	defer end()
	f, err := s.keep.Open(ctx, p.ID, p.Name)
	if err != nil {
		return nil, remote(err)
	}
	out, err := readPart(f, p)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	s.sent.Add(uint64(len(out)))
	return out, nil
}

func readPart(f io.ReadSeeker, p part) ([]byte, error) {
	if _, err := f.Seek(p.Offset, io.SeekStart); err != nil {
		return nil, err
	}
	out := make([]byte, p.Bytes)
	n, err := io.ReadFull(f, out)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return out[:n], err
}

// Done answers DonePath.
func (s *Source) Done(_ context.Context, from string, body []byte) ([]byte, error) {
	p, err := s.own(from, body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	delete(s.ids, from)
	s.mu.Unlock()
	return nil, remote(s.keep.Remove(p.ID))
}

// remote gives an error that the receiver may meet a code.
func remote(err error) error {
	for _, known := range []error{copies.ErrNotFound, copies.ErrNotReady, copies.ErrTooMany, copies.ErrDisk} {
		if errors.Is(err, known) {
			return &cluster.RemoteError{Code: codeNoCopy, Message: err.Error()}
		}
	}
	return err
}
