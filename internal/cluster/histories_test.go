package cluster

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
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

// TestMemberHistories plays random histories: nodes are added, promoted, removed, stopped, lost for ever and cut off,
// leadership is moved, the power goes at any write, also during a start, and disks run full, while records are proposed.
// No acknowledged record is lost, all members hold the same, no term has two leaders, no node forgets a term or a vote,
// and a node that was removed or has lost its disk does not vote. MEMBER_HISTORIES says how many histories, MEMBER_SEED
// where they begin.
func TestMemberHistories(t *testing.T) {
	var sum historySum
	first := fromEnv(t, "MEMBER_SEED", 1)
	count := fromEnv(t, "MEMBER_HISTORIES", 2)
	t.Run("seed", func(t *testing.T) {
		for seed := first; seed < first+count; seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				playMembers(t, seed, 24, &sum)
			})
		}
	})
	t.Logf("%d histories: %s", count, &sum)
}

// historySum counts what happened in histories.
type historySum struct {
	mu                                               sync.Mutex
	ends                                             map[string]int // of lives, by reason
	acked, lost, leaders, twice, cuts, done, refused int
}

func (s *historySum) crashed(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ends == nil {
		s.ends = map[string]int{}
	}
	s.ends[why]++
}

// add adds to one of the numbers.
func (s *historySum) add(to *int, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*to += n
}

func (s *historySum) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%d acknowledged, %d lost, %d leaders, %d terms with two; ends of nodes %v, %d partitions; "+
		"%d changes done, %d refused", s.acked, s.lost, s.leaders, s.twice, s.ends, s.cuts, s.done, s.refused)
}

// acked is an acknowledged record. Its leader had this term.
type ack struct {
	text string
	term uint64
}

// promises were told to others. A node must never forget them.
type promises struct{ term, voted uint64 }

// memberHistory is one history. The test's goroutine changes the nodes. Others propose, and look who leads.
type memberHistory struct {
	*box
	rng   *rand.Rand
	next  int             // number of the next node
	lost  map[string]bool // for ever
	cut   bool            // something is cut off
	lives map[string]*life
	sum   *historySum

	mu      sync.Mutex
	fate    *rand.Rand // what a power cut leaves
	ops     []string
	running map[string]*life
	acked   map[uint64]ack
	leaders map[uint64]string // by term
	told    map[string]promises
	left    map[string]uint64 // term of the last vote of a node when it knew its removal
}

func playMembers(t *testing.T, seed uint64, steps int, sum *historySum) {
	h := &memberHistory{box: newBox(t, "n1", "n2", "n3"), sum: sum, next: 4,
		rng: rand.New(rand.NewPCG(seed, 0)), fate: rand.New(rand.NewPCG(seed, 1)),
		lost: map[string]bool{}, lives: map[string]*life{}, running: map[string]*life{}, acked: map[uint64]ack{},
		leaders: map[uint64]string{}, told: map[string]promises{}, left: map[string]uint64{}}
	for _, id := range []string{"n1", "n2", "n3"} { // on a busy machine the others may answer too late to a new node
		until(t, "the first start of "+id, func() bool { return h.run(id, never, nil) == nil })
	}
	h.leader(10 * time.Second)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for name := range 3 {
		wg.Go(func() { h.propose(ctx, name) })
	}
	wg.Go(func() { h.watch(ctx) })
	defer func() {
		stop()
		wg.Wait()
		h.end()
	}()
	for range steps {
		h.step()
	}
	h.settle()
	h.moreAcks(20 * time.Second)
	h.check()
}

// end stops all nodes and reports.
func (h *memberHistory) end() {
	for _, l := range h.lives {
		h.stop(l)
		<-l.ended
	}
	h.sum.add(&h.sum.acked, len(h.acked))
	h.sum.add(&h.sum.leaders, len(h.leaders))
	if h.t.Failed() {
		h.t.Logf("%s:\n%s", h.t.Name(), strings.Join(h.ops, "\n"))
	} else {
		h.t.Logf("%d acknowledged, %d terms", len(h.acked), len(h.leaders))
	}
}

// restart starts a node, which must succeed. The power goes after some writes.
func (h *memberHistory) restart(id string, after int64) {
	if err := h.run(id, after, nil); err != nil {
		h.t.Errorf("start %s: %v", id, err)
	}
}

func (h *memberHistory) all() map[string]*life {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.running)
}

// settle heals everything: no more faults, and every node runs that is not lost.
func (h *memberHistory) settle() {
	h.heal()
	for _, l := range h.all() {
		l.writes.Store(never)
		l.room.Store(never)
	}
	for id := range h.nodes {
		if h.all()[id] == nil && !h.lost[id] {
			h.restart(id, never)
		}
	}
}

// propose submits records, one after the other, wherever a node leads.
func (h *memberHistory) propose(ctx context.Context, name int) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		for _, l := range h.all() {
			if _, leads := l.c.IsLeader(); !leads {
				continue
			}
			text := fmt.Sprintf("%s-%d-%d", l.id, name, n)
			try, cancel := context.WithTimeout(ctx, 2*time.Second)
			index, err := l.c.Propose([]byte(text)).Wait(try)
			cancel()
			if err == nil {
				h.acknowledge(l, index, text)
			}
		}
		<-tick.C
	}
}

// acknowledge notes a record if its leader still has power: else nobody would have got the answer.
func (h *memberHistory) acknowledge(l *life, index uint64, text string) {
	var e raft.Log
	err := l.store.GetLog(index, &e)
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.dead {
		return
	}
	if err != nil {
		h.t.Errorf("%s acknowledged entry %d: %v", l.id, index, err)
	}
	h.acked[index] = ack{text, e.Term}
}

// watch looks who leads, and at terms and votes.
func (h *memberHistory) watch(ctx context.Context) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		for _, l := range h.all() {
			h.watchVotes(l)
			if term, leads := l.c.IsLeader(); leads {
				h.watchLeader(l, term)
			}
		}
		<-tick.C
	}
}

// watchLeader: a term has one leader, which has all that was acknowledged in terms before.
func (h *memberHistory) watchLeader(l *life, term uint64) {
	h.mu.Lock()
	other := h.leaders[term]
	known := l.dead || other == l.id
	before := maps.Clone(h.acked)
	if !known && other != "" {
		h.sum.add(&h.sum.twice, 1)
		h.t.Errorf("%s and %s lead in term %d", other, l.id, term)
	}
	if !known {
		h.leaders[term] = l.id
	}
	h.mu.Unlock()
	if known {
		return
	}
	maps.DeleteFunc(before, func(_ uint64, a ack) bool { return a.term >= term })
	h.compare(l, before)
}

// compare looks for acknowledged records in the log of a node.
func (h *memberHistory) compare(l *life, acked map[uint64]ack) {
	for index, want := range acked {
		var e raft.Log
		err := l.store.GetLog(index, &e)
		h.mu.Lock()
		dead := l.dead
		h.mu.Unlock()
		if dead {
			return
		}
		if err != nil || string(e.Data) != want.text || e.Term != want.term {
			h.sum.add(&h.sum.lost, 1)
			h.t.Errorf("%s has %q of term %d at %d (%v), acknowledged was %+v", l.id, e.Data, e.Term, index, err, want)
		}
	}
}

// watchVotes: a node forgets no term and no vote. One that knows its removal, or that lost its disk, does not vote.
func (h *memberHistory) watchVotes(l *life) {
	removed := l.fsm.Removed(l.id) != 0
	term, _ := l.c.stable.GetUint64(keyTerm)
	voted, _ := l.c.stable.GetUint64(keyVoteTerm)
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.dead {
		return
	}
	if l.wiped {
		if voted != 0 {
			h.t.Errorf("%s lost its disk and voted in term %d", l.id, voted)
		}
		return
	}
	if told := h.told[l.id]; term < told.term || voted < told.voted {
		h.t.Errorf("%s is in term %d and voted in %d, before it was %+v", l.id, term, voted, told)
	}
	h.told[l.id] = promises{term, voted}
	if last, ok := h.left[l.id]; removed && ok && voted > last {
		h.t.Errorf("%s was removed and voted in term %d", l.id, voted)
	} else if removed && !ok {
		h.left[l.id] = voted
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
