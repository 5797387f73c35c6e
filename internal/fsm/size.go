package fsm

// DiskBytes is how many bytes on disk the files of the store take, those that wait for their deletion included.
func (s *Store) DiskBytes() uint64 { return s.db.Metrics().DiskSpaceUsage() }

// DiskBytes is how many bytes on disk the store of the control state takes.
func (d *Derived) DiskBytes() uint64 { return d.store.DiskBytes() }

// DiskBytes is how many bytes on disk the generation takes; 0 when it is closed.
func (g *Generation) DiskBytes() uint64 {
	g.life.RLock()
	defer g.life.RUnlock()
	if g.closed {
		return 0
	}
	return g.store.DiskBytes()
}

// DiskBytes is how many bytes on disk the history takes; 0 when its files cannot be read.
func (h *History) DiskBytes() uint64 {
	if h.store == nil {
		return 0
	}
	return h.store.DiskBytes()
}
