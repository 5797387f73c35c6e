package cluster

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// Member is one server of a configuration. Suffrage is "Voter", or "Nonvoter" for a learner.
type Member struct{ ID, PeerAddr, Suffrage string }

// Votes reports whether the member is a voter.
func (m Member) Votes() bool { return m.Suffrage == raft.Voter.String() }

// configuration is one configuration of the Raft log: it says who belongs to the cluster from its entry on. It is
// never modified, so that readers share it without a lock.
type configuration struct {
	index   uint64 // its entry, 0 before there is one
	members []Member
	voters  []string // ids, sorted
}

func newConfiguration(index uint64, servers []raft.Server) *configuration {
	c := &configuration{index: index}
	for _, s := range servers {
		m := Member{ID: string(s.ID), PeerAddr: string(s.Address), Suffrage: s.Suffrage.String()}
		c.members = append(c.members, m)
		if m.Votes() {
			c.voters = append(c.voters, m.ID)
		}
	}
	slices.Sort(c.voters)
	return c
}

// member returns the member with this id.
func (c *configuration) member(id string) (m Member, ok bool) {
	i := slices.IndexFunc(c.members, func(m Member) bool { return m.ID == id })
	if i < 0 {
		return Member{}, false
	}
	return c.members[i], true
}

func (c *configuration) votes(id string) bool { return slices.Contains(c.voters, id) }

// majority returns how many voters are more than half of all.
func (c *configuration) majority() int { return len(c.voters)/2 + 1 }

// foundingUnknown stands for the digest of the founding members at a node whose log is empty.
var foundingUnknown = strings.Repeat("0", 32)

// membership publishes the newest configuration of the log, committed or not, which is the one that Raft uses.
// Raft's main goroutine stores it. All others read it without a lock.
type membership struct {
	newest   atomic.Pointer[configuration]
	founding atomic.Pointer[string] // digest of the ids of the first configuration, constant from the first entry on
	changed  chan struct{}          // has a signal after every change
	removed  func(id string) (index uint64)
}

// newMembership has no configuration yet. removed is MetaSource.Removed.
func newMembership(removed func(id string) (index uint64)) *membership {
	m := &membership{changed: make(chan struct{}, 1), removed: removed}
	m.newest.Store(&configuration{})
	m.founding.Store(&foundingUnknown)
	return m
}

func (m *membership) now() *configuration { return m.newest.Load() }

func (m *membership) set(c *configuration) {
	m.newest.Store(c)
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// setFounding remembers the ids of the first configuration.
func (m *membership) setFounding(ids []string) {
	digest := idsDigest(ids)
	m.founding.Store(&digest)
}

// configLog is the log that Raft writes. It publishes the configurations among the entries. Raft changes the log
// from one goroutine.
type configLog struct {
	LogStore
	meta    MetaSource
	members *membership
}

// StoreLog appends one entry.
func (l *configLog) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

// StoreLogs appends entries. It refuses a configuration that cannot be read, before anything is stored.
func (l *configLog) StoreLogs(entries []*raft.Log) error {
	var newest *configuration
	for _, e := range entries {
		if e.Type != raft.LogConfiguration {
			continue
		}
		c, err := configurationOf(e)
		if err != nil {
			return err
		}
		newest = c
	}
	if err := l.LogStore.StoreLogs(entries); err != nil || newest == nil {
		return err
	}
	if entries[0].Index == 1 {
		if err := l.loadFounding(); err != nil {
			return err
		}
	}
	l.members.set(newest)
	return nil
}

// DeleteRange deletes entries. If the newest configuration is among them, the one before it counts again.
func (l *configLog) DeleteRange(lo, hi uint64) error {
	if err := l.LogStore.DeleteRange(lo, hi); err != nil || lo > l.members.now().index {
		return err
	}
	return l.load()
}

// load finds the newest configuration: the last one above the applied position, else the applied one.
func (l *configLog) load() error {
	last, err := l.LastIndex()
	if err != nil {
		return fmt.Errorf("cluster: last log index: %w", err)
	}
	applied, _, encoded, index := l.meta.Meta()
	newest := &configuration{}
	if applied > 0 {
		config, err := decodeConfiguration(encoded)
		if err != nil {
			return err
		}
		newest = newConfiguration(index, config.Servers)
	}
	for i := applied + 1; i <= last; i++ {
		var e raft.Log
		if err := l.GetLog(i, &e); err != nil {
			return fmt.Errorf("cluster: entry %d: %w", i, err)
		}
		if e.Type == raft.LogConfiguration {
			if newest, err = configurationOf(&e); err != nil {
				return err
			}
		}
	}
	if last > 0 {
		if err := l.loadFounding(); err != nil {
			return err
		}
	}
	l.members.set(newest)
	return nil
}

// loadFounding reads the founding members from the first entry.
func (l *configLog) loadFounding() error {
	var e raft.Log
	if err := l.GetLog(1, &e); err != nil {
		return fmt.Errorf("cluster: entry 1: %w", err)
	}
	if e.Type != raft.LogConfiguration {
		return inconsistent("entry 1 of the log has no configuration")
	}
	first, err := configurationOf(&e)
	if err != nil {
		return err
	}
	var ids []string
	for _, m := range first.members {
		ids = append(ids, m.ID)
	}
	l.members.setFounding(ids)
	return nil
}

func configurationOf(e *raft.Log) (*configuration, error) {
	config, err := decodeConfiguration(e.Data)
	if err != nil {
		return nil, fmt.Errorf("cluster: entry %d: %w", e.Index, err)
	}
	return newConfiguration(e.Index, config.Servers), nil
}

// Configuration is a copy of the newest configuration of the log, for callers outside of this package.
type Configuration struct {
	Index   uint64 // its entry, 0 before there is one
	Members []Member
	Voters  []string // their ids, sorted
}

// Configuration returns the newest configuration of the log, committed or not. It takes no lock.
func (c *Cluster) Configuration() Configuration {
	now := c.members.now()
	return Configuration{Index: now.index, Members: slices.Clone(now.members), Voters: slices.Clone(now.voters)}
}
