package cluster

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fromEnv reads a number, or returns def.
func fromEnv(t testing.TB, name string, def uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestMemberHistories plays random histories: nodes are added, promoted, removed, stopped, lost for ever and cut off, and
// leadership is moved, while records are proposed. No acknowledged record is lost, all members hold the same, and no term has
// two leaders. MEMBER_HISTORIES says how many histories, MEMBER_SEED where they begin.
func TestMemberHistories(t *testing.T) {
	first := fromEnv(t, "MEMBER_SEED", 1)
	for seed := first; seed < first+fromEnv(t, "MEMBER_HISTORIES", 2); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { playMembers(t, seed, 24) })
	}
}

// memberHistory is one history. The test's goroutine changes the nodes. Two more propose, and look who leads.
type memberHistory struct {
	*box
	rng  *rand.Rand
	next int             // number of the next node
	lost map[string]bool // for ever
	cut  bool            // something is cut off
	ops  []string

	mu      sync.Mutex
	running map[string]*Cluster
	acked   map[uint64]string
	leaders map[uint64]string // by term
}

func playMembers(t *testing.T, seed uint64, steps int) {
	h := &memberHistory{box: newBox(t, "n1", "n2", "n3"), rng: rand.New(rand.NewPCG(seed, 0)), next: 4, lost: map[string]bool{},
		running: map[string]*Cluster{}, acked: map[uint64]string{}, leaders: map[uint64]string{}}
	for _, id := range []string{"n1", "n2", "n3"} {
		h.restart(id)
	}
	h.leader()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { h.propose(ctx) })
	wg.Go(func() { h.watch(ctx) })
	for range steps {
		h.step()
	}
	h.heal()
	for id, n := range h.nodes {
		if n.c == nil && !h.lost[id] {
			h.restart(id)
		}
	}
	h.moreAcks(20 * time.Second)
	stop()
	wg.Wait()
	h.check()
	if t.Failed() {
		t.Logf("seed %d:\n%s", seed, strings.Join(h.ops, "\n"))
	} else {
		t.Logf("seed %d: %d acknowledged, %d terms, voters %v", seed, len(h.acked), len(h.leaders), h.box.leader().c.Configuration().Voters)
	}
}

func (h *memberHistory) restart(id string) {
	c := h.box.start(id, nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running[id] = c
}

func (h *memberHistory) stop(id string) {
	h.mu.Lock()
	delete(h.running, id)
	h.mu.Unlock()
	h.box.stop(id)
}

func (h *memberHistory) all() map[string]*Cluster {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.running)
}

// propose submits records, one after the other, wherever a node leads.
func (h *memberHistory) propose(ctx context.Context) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		for _, c := range h.all() {
			if _, leads := c.IsLeader(); !leads {
				continue
			}
			text := fmt.Sprintf("%s-%d", c.cfg.NodeID, n)
			try, cancel := context.WithTimeout(ctx, 2*time.Second)
			index, err := c.Propose([]byte(text)).Wait(try)
			cancel()
			if err == nil {
				h.mu.Lock()
				h.acked[index] = text
				h.mu.Unlock()
			}
		}
		<-tick.C
	}
}

// watch looks who leads.
func (h *memberHistory) watch(ctx context.Context) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		for id, c := range h.all() {
			term, leads := c.IsLeader()
			if !leads {
				continue
			}
			h.mu.Lock()
			if other := h.leaders[term]; other != "" && other != id {
				h.t.Errorf("%s and %s lead in term %d", other, id, term)
			}
			h.leaders[term] = id
			h.mu.Unlock()
		}
		<-tick.C
	}
}

// moreAcks waits until more records are acknowledged, at most for some time.
func (h *memberHistory) moreAcks(limit time.Duration) bool {
	count := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.acked)
	}
	before := count()
	ctx, cancel := context.WithTimeout(h.t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for count() < before+5 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// leading returns a node that leads, confirmed by a majority, or nil.
func (h *memberHistory) leading() *Cluster {
	for _, c := range h.all() {
		if _, leads := c.IsLeader(); !leads {
			continue
		}
		ctx, cancel := context.WithTimeout(h.t.Context(), time.Second)
		_, err := c.ReadIndex(ctx)
		cancel()
		if err == nil {
			return c
		}
	}
	return nil
}

// pick returns a random id, in a repeatable order.
func (h *memberHistory) pick(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	slices.Sort(ids)
	return ids[h.rng.IntN(len(ids))]
}

func (h *memberHistory) note(format string, args ...any) {
	h.ops = append(h.ops, fmt.Sprintf(format, args...))
}

func (h *memberHistory) step() {
	actions := []func(){h.addOne, h.addOne, h.promoteOne, h.promoteOne, h.promoteOne, h.removeOne, h.removeOne, h.stopOne, h.stopOne,
		h.startOne, h.startOne, h.startOne, h.cutOne, h.heal, h.heal, h.loseOne, h.transfer}
	actions[h.rng.IntN(len(actions))]()
	h.moreAcks(500 * time.Millisecond)
}

// try runs a change on the leader, if there is one, for a short time.
func (h *memberHistory) try(what string, limit time.Duration, f func(ctx context.Context, c *Cluster) error) {
	c := h.leading()
	if c == nil {
		h.note("%s: nobody leads", what)
		return
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), limit)
	defer cancel()
	h.note("%s by %s: %v", what, c.cfg.NodeID, f(ctx, c))
}

func (h *memberHistory) addOne() {
	if h.next > 12 {
		return
	}
	id := "n" + strconv.Itoa(h.next)
	h.next++
	h.add(id).join = true
	h.restart(id)
	addr := h.nodes[id].c.cfg.addrOf(id)
	h.try("add "+id, time.Second, func(ctx context.Context, c *Cluster) error { return c.AddLearner(ctx, id, addr) })
}

// members returns the voters, or the learners, as the leader knows them.
func (h *memberHistory) members(voters bool) (ids []string) {
	c := h.leading()
	if c == nil {
		return nil
	}
	for _, m := range c.Configuration().Members {
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
	if id := h.pick(slices.Collect(maps.Keys(h.all()))); id != "" {
		h.note("stop %s", id)
		h.stop(id)
	}
}

func (h *memberHistory) startOne() {
	var down []string
	for id, n := range h.nodes {
		if n.c == nil && !h.lost[id] {
			down = append(down, id)
		}
	}
	if id := h.pick(down); id != "" {
		h.note("start %s", id)
		h.restart(id)
	}
}

func (h *memberHistory) cutOne() {
	id := h.pick(slices.Collect(maps.Keys(h.nodes)))
	h.note("cut off %s", id)
	h.isolate(id, true)
	h.cut = true
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

// loseOne loses a member that does not lead, for ever, while a majority of the voters is not lost.
func (h *memberHistory) loseOne() {
	c := h.leading()
	if c == nil || h.cut {
		return
	}
	now := c.Configuration()
	gone := 1
	for _, v := range now.Voters {
		if h.lost[v] {
			gone++
		}
	}
	id := h.pick(slices.DeleteFunc(slices.Clone(now.Voters), func(v string) bool { return v == c.cfg.NodeID || h.lost[v] }))
	if id == "" || 2*gone >= len(now.Voters) {
		return
	}
	h.note("lose %s", id)
	h.stop(id)
	h.lost[id] = true
}

func (h *memberHistory) transfer() {
	h.try("transfer", 2*time.Second, func(ctx context.Context, c *Cluster) error { _, err := c.Transfer(ctx, ""); return err })
}

// check compares what the members hold with what was acknowledged.
func (h *memberHistory) check() {
	h.t.Helper()
	lead := h.box.leader()
	last := h.box.propose(lead, "the last one")
	h.acked[last] = "the last one"
	now := lead.c.Configuration()
	for _, m := range now.Members {
		n := h.nodes[m.ID]
		if h.lost[m.ID] {
			continue
		}
		until(h.t, m.ID+" has everything", func() bool { return n.fsm.at(last) == "the last one" })
		for index, text := range h.acked {
			if got := n.fsm.at(index); got != text {
				h.t.Errorf("%s has %q at %d, acknowledged was %q", m.ID, got, index, text)
			}
		}
		if err := n.c.Standing(); err != nil {
			h.t.Errorf("%s, a member: %v", m.ID, err)
		}
	}
	for id, n := range h.nodes {
		if index := lead.fsm.Removed(id); index != 0 && n.c != nil {
			until(h.t, id+" is told that it was removed", func() bool { return n.c.Standing() != nil })
		}
	}
}
