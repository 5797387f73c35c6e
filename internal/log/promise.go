package log

// promise states that the entry at index with this term is committed. The leader says so ahead of Raft.
// The zero promise is none.
type promise struct{ index, term uint64 }

// CommittedAt records that the leader has committed the entry at index, which has this term. If this node holds
// that very entry, readers see it at once, and everything before it. By the log matching property (Ongaro and
// Ousterhout, section 5.3) the two logs are the same up to an entry with the same index and term.
//
// If the entry is not here yet, the latest such statement is remembered until the entry arrives. If another
// entry arrives at the index, the statement is dropped, and this node learns the commit index from Raft as ever.
// Nothing is ever published because of an index alone.
func (s *Store) CommittedAt(index, term uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case index <= s.last:
		s.publishOwn(promise{index, term})
	case index > s.promised.index:
		s.promised = promise{index, term}
	}
}

// keepPromise publishes what was promised if the entry has come, and drops the promise if another one has. s.mu
// must be held.
func (s *Store) keepPromise() {
	if s.promised.index > s.last {
		return
	}
	s.publishOwn(s.promised)
	s.promised = promise{}
}

// publishOwn publishes a stored index if the entry there is the promised one. If it is another one, Raft will
// replace it. If it is no longer in memory, this node learns the commit index from Raft. s.mu must be held.
func (s *Store) publishOwn(p promise) {
	if rs := s.tail.from(p.index); rs != nil && rs[0].Term == p.term {
		s.advance(p.index)
	}
}
