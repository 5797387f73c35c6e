package fsm

// DiskBytes returns the size of the store's files on disk, including files that wait for deletion.
func (s *Store) DiskBytes() uint64 { return s.db.Metrics().DiskSpaceUsage() }

// DiskBytes returns the size of derived/ on disk.
func (d *Derived) DiskBytes() uint64 { return d.store.DiskBytes() }

// DiskBytes returns the size of the generation on disk, or 0 if it is closed.
func (g *Generation) DiskBytes() uint64 {
	g.life.RLock()
	defer g.life.RUnlock()
	if g.closed {
		return 0
	}
	return g.store.DiskBytes()
}

// DiskBytes returns the size of the history on disk, or 0 if its files cannot be read.
func (h *History) DiskBytes() uint64 {
	if h.store == nil {
		return 0
	}
	return h.store.DiskBytes()
}
