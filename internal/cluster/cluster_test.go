package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestThreeNodesCommitAndRead(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	lead := b.leader()
	var last uint64
	for i := range 50 {
		last = b.propose(lead, fmt.Sprint("entry ", i))
	}
	for _, n := range b.nodes {
		until(t, n.id+" applied", func() bool { return n.fsm.at(last) == "entry 49" })
		index, err := n.c.ReadIndex(short(t, 5*time.Second))
		if err != nil || index != last {
			t.Errorf("%s: ReadIndex = %d, %v; want %d", n.id, index, err, last)
		}
		until(t, n.id+" knows clocks", func() bool { _, ok := n.c.ClockOK(); return ok })
		st := n.c.Status()
		if st.Leader != lead.id || len(st.Members) != 3 || st.Members[0].Suffrage != "Voter" || st.LastIndex < last {
			t.Errorf("%s: status %+v", n.id, st)
		}
	}
	f := b.followers(lead)[0]
	if _, err := f.c.Propose([]byte("x")).Wait(t.Context()); !errors.Is(err, ErrNotLeader) {
		t.Errorf("propose on a follower: %v", err)
	}
	if f.c.LastContact().IsZero() {
		t.Error("follower has no contact")
	}
}

func TestReadIndexCoalesces(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	lead := b.leader()
	want := b.propose(lead, "x")
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if index, err := lead.c.ReadIndex(t.Context()); err != nil || index < want {
				t.Errorf("ReadIndex = %d, %v", index, err)
			}
		})
	}
	wg.Wait()
	var rounds, reads uint64
	for _, n := range b.nodes {
		rounds, reads = rounds+n.c.Counts().ReadRounds, reads+n.c.Counts().Reads
	}
	if reads < 200 || rounds >= reads {
		t.Errorf("%d reads in %d rounds: not coalesced", reads, rounds)
	}
}

func TestLeaderDiesAndComesBack(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	old := b.leader()
	for i := range 20 {
		b.propose(old, fmt.Sprint("before ", i))
	}
	watch := b.followers(old)[0].c.Watch()
	b.stop(old.id)
	select {
	case <-watch:
	case <-time.After(10 * time.Second):
		t.Fatal("Watch did not fire")
	}
	lead := b.leader(old.id)
	last := b.propose(lead, "while away")
	old.logs.mu.Lock()
	old.logs.reads = 0
	old.logs.mu.Unlock()
	c, err := b.open(old.id, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	old.logs.mu.Lock()
	reads := old.logs.reads
	old.logs.mu.Unlock()
	if reads > 12 {
		t.Errorf("a restart read %d entries; the synthetic snapshot should spare that", reads)
	}
	until(t, "the restarted node catches up", func() bool { return old.fsm.at(last) == "while away" })
	last = b.propose(b.leader(), "after")
	until(t, "the restarted node follows", func() bool { return old.fsm.at(last) == "after" })
}

func TestStaleLeaderConfirmsNoRead(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	old := b.leader()
	b.propose(old, "one")
	if _, err := old.c.ReadIndex(short(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	b.isolate(old.id, true)
	committed := make(chan struct{})
	results := make(chan error, 1)
	go func() { // reads all through lease, election and the first commit of the new leader
		defer close(results)
		for done := false; !done; {
			select {
			case <-committed:
				done = true
			default:
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			index, err := old.c.ReadIndex(ctx)
			cancel()
			if err == nil {
				select {
				case results <- fmt.Errorf("stale leader confirmed index %d", index):
				default:
				}
			}
		}
	}()
	lead := b.leader(old.id)
	last := b.propose(lead, "two")
	close(committed)
	for err := range results {
		t.Error(err)
	}
	if index, err := lead.c.ReadIndex(short(t, 5*time.Second)); err != nil || index != last {
		t.Errorf("new leader: %d, %v", index, err)
	}
	b.isolate(old.id, false)
	until(t, "healed", func() bool { index, err := old.c.ReadIndex(short(t, time.Second)); return err == nil && index >= last })
}

func TestUncommittedProposalsOfAnIsolatedLeaderVanish(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	old := b.leader()
	b.propose(old, "kept")
	b.isolate(old.id, true)
	lost := old.c.Propose([]byte("never committed"))
	if _, err := lost.Wait(short(t, 10*time.Second)); !errors.Is(err, ErrLeadershipLost) {
		t.Errorf("want ErrLeadershipLost, got %v", err)
	}
	lead := b.leader(old.id)
	last := b.propose(lead, "instead")
	b.isolate(old.id, false)
	until(t, "the old leader follows", func() bool { return old.fsm.at(last) == "instead" })
	for _, n := range b.nodes {
		if n.fsm.values()["never committed"] {
			t.Errorf("%s applied an entry that was never committed", n.id)
		}
	}
}

func TestFutureHasItsOwnDeadline(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	lead := b.leader()
	release := lead.logs.hang()
	defer release()
	f := lead.c.Propose([]byte("slow"))
	if _, err := f.Wait(short(t, 30*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("want the deadline, got %v", err)
	}
	release()
	<-f.Done()
}

func TestStuckDiskLosesLeadershipAndStopsTheNode(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	for _, v := range b.voters {
		b.start(v.ID, func(c *Config) { c.stuckLimit = 1500 * time.Millisecond })
	}
	old := b.leader()
	b.propose(old, "fine")
	release := old.logs.hang()
	defer release()
	old.c.Propose([]byte("stuck"))
	lead := b.leader(old.id)
	b.propose(lead, "the others go on")
	select {
	case err := <-old.fatals:
		if !strings.Contains(err.Error(), "disk is stuck") {
			t.Errorf("fatal: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the node with the stuck disk did not stop")
	}
	if len(lead.fatals) != 0 {
		t.Errorf("a healthy node stopped: %v", <-lead.fatals)
	}
}

func TestTransferAndClose(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	old := b.leader()
	b.propose(old, "x")
	if err := old.c.TransferAndClose(short(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	old.c = nil
	b.propose(b.leader(old.id), "y")
}

func TestSingleNode(t *testing.T) {
	b := newBox(t, "only").startAll()
	lead := b.leader()
	last := b.propose(lead, "x")
	if index, err := lead.c.ReadIndex(short(t, 5*time.Second)); err != nil || index != last {
		t.Errorf("ReadIndex = %d, %v", index, err)
	}
	if offset, ok := lead.c.ClockOK(); !ok || offset != 0 {
		t.Errorf("ClockOK = %v, %v", offset, ok)
	}
}

func TestClockSkewIsSeen(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	for _, v := range b.voters {
		b.start(v.ID, func(c *Config) {
			if c.NodeID == "n2" {
				c.Clock = func() time.Time { return time.Now().Add(time.Minute) }
			}
		})
	}
	off := b.nodes["n2"].c
	until(t, "n2 sees that it is off", func() bool { d, ok := off.ClockOK(); return !ok && d > 50*time.Second && d < 70*time.Second })
	until(t, "n1 is near the median", func() bool { d, ok := b.nodes["n1"].c.ClockOK(); return ok && d.Abs() < time.Second })
}

func TestBeforeStartNothingIsKnown(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	c, err := b.open("n1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Leader(); ok || c.CommitIndex() != 0 || c.Term() != 0 || !c.LastContact().IsZero() || c.Status().State != "Stopped" {
		t.Error("a cluster that was not started knows something")
	}
	if _, err := c.Propose(nil).Wait(t.Context()); !errors.Is(err, ErrNotLeader) {
		t.Errorf("propose: %v", err)
	}
	if _, err := c.ReadIndex(t.Context()); !errors.Is(err, ErrNoLeader) {
		t.Errorf("read: %v", err)
	}
}

// TestUnexpiredLeaseConfirmsNoRead elects a second leader while the first one, cut off, still holds its lease: a hand-over
// does not wait for leases.
func TestUnexpiredLeaseConfirmsNoRead(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	for _, v := range b.voters {
		b.start(v.ID, func(c *Config) { c.Timings = Timings{Heartbeat: 2 * time.Second} })
	}
	old := b.leader()
	b.propose(old, "one")
	f := b.followers(old)
	b.isolate(old.id, true)
	req := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte(f[0].id), Addr: []byte(f[0].c.cfg.PeerAdvertise)}}
	target := raft.ServerAddress(f[1].c.cfg.PeerAdvertise)
	if err := f[0].c.trans.TimeoutNow(raft.ServerID(f[1].id), target, req, &raft.TimeoutNowResponse{}); err != nil {
		t.Fatal(err)
	}
	lead := b.leader(old.id)
	b.propose(lead, "two")
	if _, still := old.c.IsLeader(); !still {
		t.Log("the old leader had stepped down already; the refusal below is then trivial")
	}
	index, err := old.c.ReadIndex(short(t, time.Second))
	if !errors.Is(err, ErrNotConfirmed) && !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrNoLeader) {
		t.Errorf("ReadIndex of the old leader: %d, %v", index, err)
	}
}

func TestFollowerWithoutLeaderConfirmsNoRead(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	lead := b.leader()
	b.propose(lead, "x")
	f := b.followers(lead)[0]
	b.isolate(f.id, true)
	if _, err := f.c.ReadIndex(short(t, time.Second)); !errors.Is(err, ErrUnreachable) && !errors.Is(err, ErrNoLeader) {
		t.Errorf("cut off: %v", err)
	}
	until(t, "the follower knows no leader", func() bool { _, ok := f.c.Leader(); return !ok })
	if _, err := f.c.ReadIndex(short(t, time.Second)); !errors.Is(err, ErrNoLeader) {
		t.Errorf("no leader: %v", err)
	}
}

func TestCloseDoesNotWaitForAStuckDisk(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	lead := b.leader()
	b.propose(lead, "x")
	release := lead.logs.hang()
	defer release()
	stuck := lead.c.Propose([]byte("stuck"))
	until(t, "the store hangs", func() bool { _, busy := lead.logs.StoreStarted(); return busy })
	watch := lead.c.Watch()
	err := lead.c.Close(short(t, 300*time.Millisecond))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	<-watch
	if again := lead.c.Close(t.Context()); !errors.Is(again, context.DeadlineExceeded) {
		t.Errorf("second Close: %v", again)
	}
	release()
	<-stuck.Done()
	lead.c = nil
}

func TestStartTwiceFails(t *testing.T) {
	b := newBox(t, "only").startAll()
	if b.nodes["only"].c.Start() == nil {
		t.Error("started twice")
	}
}
