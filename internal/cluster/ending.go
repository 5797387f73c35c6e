package cluster

// endingStable is the stable store of a running node. A write that fails ends the node: Raft would log it and go on
// with a store of which nobody knows what the disk has.
type endingStable struct {
	*stableStore
	fatal func(error)
}

// Set implements raft.StableStore.
func (s endingStable) Set(key, val []byte) error { return s.check(s.stableStore.Set(key, val)) }

// SetUint64 implements raft.StableStore.
func (s endingStable) SetUint64(key []byte, val uint64) error {
	return s.check(s.stableStore.SetUint64(key, val))
}

func (s endingStable) check(err error) error {
	if err != nil {
		s.fatal(err)
	}
	return err
}
