package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/raft"
)

// leading returns a node that leads, confirmed by a majority, or nil.
func (h *memberHistory) leading() *life {
	for _, l := range h.all() {
		if _, leads := l.c.IsLeader(); !leads {
			continue
		}
		ctx, cancel := context.WithTimeout(h.t.Context(), time.Second)
		_, err := l.c.ReadIndex(ctx)
		cancel()
		if err == nil {
			return l
		}
	}
	return nil
}

// leader waits for a node that leads, at most for some time.
func (h *memberHistory) leader(limit time.Duration) *life {
	ctx, cancel := context.WithTimeout(h.t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if l := h.leading(); l != nil {
			return l
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// pick returns a random id, in a repeatable order.
func (h *memberHistory) pick(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	slices.Sort(ids)
	return ids[h.rng.IntN(len(ids))]
}

func (h *memberHistory) pickRunning() *life {
	running := h.all()
	return running[h.pick(slices.Collect(maps.Keys(running)))]
}

func (h *memberHistory) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, fmt.Sprintf(format, args...))
}

func (h *memberHistory) step() {
	change := []func(){h.addOne, h.addOne, h.addOne, h.promoteOne, h.promoteOne, h.promoteOne, h.removeOne, h.removeOne, h.transfer}
	fault := []func(){h.stopOne, h.killOne, h.killOne, h.killOne, h.fillOne, h.fillOne, h.cutOne, h.loseOne, h.comeBack}
	mend := []func(){h.startOne, h.startOne, h.startOne, h.heal}
	of := change
	switch n := h.rng.IntN(12); { // what is broken is mended soon, so that most changes find a leader
	case n < 4:
		of = fault
	case n < 8 && (h.cut || len(h.down()) > 0):
		of = mend
	}
	of[h.rng.IntN(len(of))]()
	h.moreAcks(300 * time.Millisecond)
}

// down returns the nodes that do not run and are not lost.
func (h *memberHistory) down() (ids []string) {
	running := h.all()
	for id := range h.nodes {
		if running[id] == nil && !h.lost[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// try runs a change on the leader, if there is one, for a short time.
func (h *memberHistory) try(what string, limit time.Duration, f func(ctx context.Context, c *Cluster) error) {
	l := h.leader(2 * time.Second)
	if l == nil {
		h.note("%s: nobody leads", what)
		h.sum.add(&h.sum.refused, 1)
		return
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), limit)
	defer cancel()
	err := f(ctx, l.c)
	h.note("%s by %s: %v", what, l.id, err)
	if err == nil {
		h.sum.add(&h.sum.done, 1)
	} else {
		h.sum.add(&h.sum.refused, 1)
	}
}

func (h *memberHistory) addOne() {
	if h.next > 12 {
		return
	}
	id := "n" + strconv.Itoa(h.next)
	h.next++
	h.add(id).join = true
	addr := h.voters[len(h.voters)-1].PeerAddr
	h.restart(id, never)
	h.try("add "+id, time.Second, func(ctx context.Context, c *Cluster) error { return c.AddLearner(ctx, id, addr) })
}

// members returns the voters, or the learners, as the leader knows them.
func (h *memberHistory) members(voters bool) (ids []string) {
	l := h.leader(2 * time.Second)
	if l == nil {
		return nil
	}
	for _, m := range l.c.Configuration().Members {
		if m.Votes() == voters {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

func (h *memberHistory) promoteOne() {
	id := h.pick(h.members(false))
	if id == "" {
		return
	}
	h.try("promote "+id, 2*time.Second, func(ctx context.Context, c *Cluster) (err error) {
		for i := 0; ; i++ {
			if err = c.Promote(ctx, id); err == nil || i == 2 {
				return err
			}
			_ = c.await(ctx, func() bool { // it is seen to keep up, then the time passes
				c.learners.mu.Lock()
				defer c.learners.mu.Unlock()
				_, ok := c.learners.since[id]
				return ok
			})
			h.passed.Add(int64(keptUpFor))
		}
	})
}

func (h *memberHistory) removeOne() {
	id := h.pick(append(h.members(true), h.members(false)...))
	if id == "" {
		return
	}
	h.try("remove "+id, time.Second, func(ctx context.Context, c *Cluster) error { return c.Remove(ctx, id) })
}

func (h *memberHistory) stopOne() {
	if l := h.pickRunning(); l != nil {
		h.note("stop %s", l.id)
		h.stop(l)
	}
}

// killOne takes the power of a node, at once or before one of its next writes.
func (h *memberHistory) killOne() {
	l := h.pickRunning()
	if l == nil {
		return
	}
	after := int64(h.rng.IntN(12))
	h.note("kill %s after %d writes", l.id, after)
	if after == 0 {
		h.crash(l, "power")
		return
	}
	l.writes.Store(after)
}

// fillOne fills the disk of a node, after some more writes.
func (h *memberHistory) fillOne() {
	if l := h.pickRunning(); l != nil {
		h.note("the disk of %s fills up", l.id)
		l.room.Store(int64(h.rng.IntN(4)))
	}
}

// startOne starts a node. The power may go during the start, or soon after.
func (h *memberHistory) startOne() {
	id := h.pick(h.down())
	if id == "" {
		return
	}
	after := int64(never)
	if h.lives[id].holds() && h.rng.IntN(3) == 0 {
		after = 1 + int64(h.rng.IntN(60))
	}
	h.note("start %s", id)
	h.restart(id, after)
}

// holds reports whether the node has a log.
func (l *life) holds() bool {
	<-l.ended
	last, err := l.store.LastIndex()
	return err == nil && last > 0
}

func (h *memberHistory) cutOne() {
	id := h.pick(slices.Collect(maps.Keys(h.nodes)))
	h.note("cut off %s", id)
	h.isolate(id, true)
	h.cut = true
	h.sum.add(&h.sum.cuts, 1)
}

func (h *memberHistory) heal() {
	h.note("heal")
	for a := range h.nodes {
		for b := range h.nodes {
			if a < b {
				h.net.set(a, b, false)
			}
		}
	}
	h.cut = false
}

// loseOne loses the disk of a member that does not lead, while a majority of the voters has not lost theirs.
func (h *memberHistory) loseOne() {
	l := h.leading()
	if l == nil || h.cut {
		return
	}
	now := l.c.Configuration()
	gone := 1
	for _, v := range now.Voters {
		if h.lost[v] {
			gone++
		}
	}
	id := h.pick(slices.DeleteFunc(slices.Clone(now.Voters), func(v string) bool { return v == l.id || h.lost[v] }))
	if id == "" || 2*gone >= len(now.Voters) {
		return
	}
	h.note("lose %s", id)
	h.lost[id] = true
	h.wipe(id)
	until(h.t, "the leader misses "+id, func() bool { _, alive := l.c.watchdog.progress(id); return !alive })
}

// comeBack starts a node with an empty disk under its old id, as one that joins or as one that founds. It may be refused.
func (h *memberHistory) comeBack() {
	var down []string
	for id := range h.lost {
		if h.all()[id] == nil {
			down = append(down, id)
		}
	}
	id := h.pick(down)
	if id == "" {
		return
	}
	h.wipe(id)
	joins := h.rng.IntN(2) == 0
	err := h.run(id, never, func(c *Config) {
		if c.Join, c.NewCluster = joins, !joins; !joins {
			c.Voters = h.voters[:max(3, slices.IndexFunc(h.voters, func(v Voter) bool { return v.ID == id })+1)]
		}
	})
	h.note("%s comes back without its disk, joins %v: %v", id, joins, err)
	h.sum.crashed("came back wiped")
}

func (h *memberHistory) transfer() {
	h.try("transfer", 2*time.Second, func(ctx context.Context, c *Cluster) error {
		_, err := c.Transfer(ctx, "")
		return err
	})
}

// check compares what the members hold with what was acknowledged, and with each other.
func (h *memberHistory) check() {
	h.t.Helper()
	var lead *life
	var last uint64
	until(h.t, "the last record", func() (done bool) {
		if lead = h.leader(5 * time.Second); lead != nil {
			var err error
			last, err = lead.c.Propose([]byte("the last one")).Wait(short(h.t, 5*time.Second))
			return err == nil
		}
		return false
	})
	h.acknowledge(lead, last, "the last one")
	h.mu.Lock()
	acked := maps.Clone(h.acked)
	h.mu.Unlock()
	now := lead.c.Configuration()
	chain := lead.chain(last)
	for _, m := range now.Members {
		if h.lost[m.ID] {
			continue
		}
		l := h.all()[m.ID]
		if l == nil {
			h.t.Errorf("%s, a member, does not run", m.ID)
			continue
		}
		until(h.t, m.ID+" has everything", func() bool { return l.fsm.at(last) == "the last one" })
		h.compare(l, acked)
		if got := l.chain(last); got != chain {
			h.t.Errorf("the log of %s is another one than that of %s", l.id, lead.id)
		}
		if got := l.c.Configuration(); fmt.Sprint(got) != fmt.Sprint(now) {
			h.t.Errorf("%s has configuration %v, the leader %v", l.id, got, now)
		}
		if err := l.c.Standing(); err != nil {
			h.t.Errorf("%s, a member: %v", m.ID, err)
		}
	}
	for id, l := range h.all() {
		if lead.fsm.Removed(id) != 0 && !h.lost[id] {
			until(h.t, id+" is told that it was removed", func() bool { return l.c.Standing() != nil })
			h.note("%s knows its removal", id)
		}
	}
}

// chain hashes the log up to an entry.
func (l *life) chain(last uint64) (sum [sha256.Size]byte) {
	for i := uint64(1); i <= last; i++ {
		var e raft.Log
		if err := l.store.GetLog(i, &e); err != nil {
			l.h.t.Errorf("%s, entry %d: %v", l.id, i, err)
			return sum
		}
		head := append(binary.BigEndian.AppendUint64(sum[:], e.Term), byte(e.Type))
		sum = sha256.Sum256(append(head, e.Data...))
	}
	return sum
}
