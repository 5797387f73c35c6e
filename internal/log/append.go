package log

import "github.com/hashicorp/raft"

// Append appends an entry for each data and returns when they are durable and committed. It is for a log that has no
// Raft: one that an auditor makes of the events of another. The entries have the next numbers, and the term 1. The
// store retains the data. Errors are those of StoreLogs.
func (s *Store) Append(data ...[]byte) error {
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	logs := make([]*raft.Log, len(data))
	for i, d := range data {
		last++
		logs[i] = &raft.Log{Index: last, Term: 1, Type: raft.LogCommand, Data: d}
	}
	if err := s.StoreLogs(logs); err != nil {
		return err
	}
	s.CommittedTo(last)
	return nil
}
