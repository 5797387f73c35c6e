package fsm

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
)

// removedNodes are the nodes that an applied configuration names and a later one does not, each with the entry of
// the first configuration without it. Readers take no lock.
type removedNodes struct {
	at atomic.Pointer[map[string]uint64] // never modified
}

func removedKey(id string) []byte { return append([]byte{spaceRemoved}, id...) }

// setRemoved writes the rows of removed nodes.
func setRemoved(tx *txn, removed map[string]uint64) {
	for _, id := range slices.Sorted(maps.Keys(removed)) {
		tx.Set(removedKey(id), binary.BigEndian.AppendUint64(nil, removed[id]))
	}
}

func (r *removedNodes) load(v *View) error {
	at := map[string]uint64{}
	var bad error
	err := v.Scan([]byte{spaceRemoved}, []byte{spaceRemoved + 1}, false, func(k, v []byte) bool {
		if len(v) != 8 {
			bad = fmt.Errorf("row of a removed node %x: %w", k, projections.ErrCorrupt)
			return false
		}
		at[string(k[1:])] = binary.BigEndian.Uint64(v)
		return true
	})
	if err == nil {
		err = bad
	}
	r.at.Store(&at)
	return err
}

// add publishes more removed nodes.
func (r *removedNodes) add(more map[string]uint64) {
	if len(more) == 0 {
		return
	}
	at := maps.Clone(*r.at.Load())
	maps.Copy(at, more)
	r.at.Store(&at)
}

// Removed returns the entry of the first applied configuration without a node that an earlier one names, or 0.
func (d *Derived) Removed(id string) (index uint64) { return (*d.removed.at.Load())[id] }

// foldConfigurations puts the newest configuration of a batch into m and returns the nodes that it removes.
func (d *Derived) foldConfigurations(b *batch, m *meta) (removed map[string]uint64, err error) {
	for _, e := range b.entries {
		if e.Type != raft.LogConfiguration {
			continue
		}
		before, err := nodesOf(m.conf.data)
		if err != nil {
			return nil, fmt.Errorf("configuration of entry %d: %w", m.conf.index, err)
		}
		after, err := nodesOf(e.Data)
		if err != nil {
			return nil, fmt.Errorf("configuration of entry %d: %w", e.Index, err)
		}
		for id := range before {
			if !after[id] && d.Removed(id) == 0 && removed[id] == 0 {
				if removed == nil {
					removed = map[string]uint64{}
				}
				removed[id] = e.Index
			}
		}
		m.conf = confRow{index: e.Index, data: e.Data}
	}
	return removed, nil
}

// nodesOf returns the ids of an encoded configuration, none for an empty one.
func nodesOf(encoded []byte) (ids map[string]bool, err error) {
	ids = map[string]bool{}
	if len(encoded) == 0 {
		return ids, nil
	}
	defer func() { // the library panics on bad bytes
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", log.ErrCorrupt, p)
		}
	}()
	for _, s := range raft.DecodeConfiguration(encoded).Servers {
		ids[string(s.ID)] = true
	}
	return ids, nil
}
