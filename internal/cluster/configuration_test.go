package cluster

import (
	"errors"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
)

// configEntry is an entry with a configuration of these voters.
func configEntry(index uint64, ids ...string) *raft.Log {
	var servers []raft.Server
	for _, id := range ids {
		servers = append(servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id + ":1")})
	}
	return &raft.Log{Index: index, Term: 1, Type: raft.LogConfiguration,
		Data: raft.EncodeConfiguration(raft.Configuration{Servers: servers})}
}

// TestConfigurationOfTheLog: the newest configuration entry counts as soon as it is stored, and the one before it when it is
// deleted, also when that one is applied and not in the part of the log that is read.
func TestConfigurationOfTheLog(t *testing.T) {
	fsm := newMemFSM()
	open := func(store LogStore) *configLog {
		l := &configLog{LogStore: store, meta: fsm, members: newMembership(fsm.Removed)}
		if err := l.load(); err != nil {
			t.Fatal(err)
		}
		return l
	}
	log := newMemLog()
	l := open(log)
	expect := func(index uint64, voters ...string) {
		t.Helper()
		for _, l := range []*configLog{l, open(log)} { // now, and after a restart
			if now := l.members.now(); now.index != index || !slices.Equal(now.voters, voters) {
				t.Errorf("entry %d: %v, want %d: %v", now.index, now.voters, index, voters)
			}
		}
	}
	store := func(entries ...*raft.Log) {
		t.Helper()
		if err := l.StoreLogs(entries); err != nil {
			t.Fatal(err)
		}
	}
	expect(0)
	store(configEntry(1, "b", "a"), &raft.Log{Index: 2, Term: 1}, configEntry(3, "a", "b", "c"), &raft.Log{Index: 4, Term: 1})
	expect(3, "a", "b", "c")
	store(configEntry(5, "a", "c"))
	expect(5, "a", "c")
	for index := uint64(1); index <= 3; index++ {
		var e raft.Log
		if err := log.GetLog(index, &e); err != nil {
			t.Fatal(err)
		}
		fsm.ApplyBatch([]*raft.Log{&e})
	}
	if err := l.DeleteRange(5, 5); err != nil {
		t.Fatal(err)
	}
	expect(3, "a", "b", "c")
	if err := l.DeleteRange(4, 4); err != nil {
		t.Fatal(err)
	}
	expect(3, "a", "b", "c")
	if digest := *l.members.founding.Load(); digest != idsDigest([]string{"a", "b"}) {
		t.Errorf("founded with %s", digest)
	}
	bad := &raft.Log{Index: 4, Term: 1, Type: raft.LogConfiguration, Data: []byte{0xff}}
	if err := l.StoreLogs([]*raft.Log{bad}); !errors.Is(err, ErrInconsistent) {
		t.Errorf("a configuration that cannot be read: %v", err)
	}
	if last, _ := l.LastIndex(); last != 3 {
		t.Errorf("the log ends at %d", last)
	}
}

// TestAddresses: a member is looked for where it was last, where the log says and where the settings say.
func TestAddresses(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	b.leader()
	b.stop("n2")
	lead := b.leader()
	moved := func(c *Config) {
		c.Voters = append([]Voter(nil), c.Voters...)
		for i, v := range c.Voters {
			if v.ID == "n2" {
				c.Voters[i].PeerAddr = "127.0.0.1:1" // nobody is there: the settings are wrong
			}
		}
	}
	id := lead.id
	b.stop(id)
	c := b.start(id, moved)
	b.start("n2", nil)
	until(t, "n2 is reached where the log says", func() bool {
		_, err := c.Call(short(t, handshakeTimeout), "n2", "/echo", nil)
		return err == nil
	})
}
