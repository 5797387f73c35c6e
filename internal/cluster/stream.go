package cluster

import (
	"net"
	"sync/atomic"
)

// stream is a connection of Raft to a directory that says it is member id. A node that was away may open one before it
// has read from which directory that member was added. The stream ends as soon as the ledger names another directory.
type stream struct {
	net.Conn
	id, incarnation string
	roster          *roster
	known           atomic.Bool // the ledger has nothing more to say of it
}

func (s *stream) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if err == nil {
		err = s.check()
	}
	return n, err
}

func (s *stream) Write(b []byte) (int, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	return s.Conn.Write(b)
}

// check closes the stream if the ledger names another directory.
func (s *stream) check() error {
	if s.known.Load() {
		return nil
	}
	known, err := s.roster.judge(s.id, s.incarnation)
	if err != nil {
		_ = s.Close()
		return err
	}
	s.known.Store(known)
	return nil
}

// judge returns errOtherDirectory if the ledger says that member id was added from another directory. known reports
// that nothing which this node has still to read can say so.
func (r *roster) judge(id, incarnation string) (known bool, err error) {
	now := r.members.now()
	joined, index := r.joinedFrom(id)
	if joined != "" && joined != incarnation {
		return true, errOtherDirectory
	}
	_, member := now.member(id)
	return joined == incarnation || member && index >= now.index, nil
}

// unsure reports whether member id is a learner and this node has not written down yet from which directory it was
// added.
func (r *roster) unsure(id string) bool {
	m, member := r.members.now().member(id)
	r.mu.Lock()
	defer r.mu.Unlock()
	return member && !m.Votes() && !r.written[id]
}
