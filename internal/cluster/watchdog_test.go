package cluster

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func TestWatchdogSeesAnEndlessTransfer(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	lead := b.leader()
	b.propose(lead, "x")
	w, limit := lead.c.watchdog, 5*lead.c.cfg.Timings.Election
	if err := lead.c.proposalError(raft.ErrLeadershipTransferInProgress); !errors.Is(err, ErrNotLeader) {
		t.Errorf("transfer in progress maps to %v", err)
	}
	if err := w.check(time.Now()); err != nil {
		t.Errorf("too early: %v", err)
	}
	if err := w.check(time.Now().Add(limit + time.Second)); err == nil || !strings.Contains(err.Error(), "transfer") {
		t.Errorf("check: %v", err)
	}
	w.onProposal(nil)
	if err := w.check(time.Now().Add(limit + time.Second)); err != nil && strings.Contains(err.Error(), "transfer") {
		t.Errorf("a success must clear the suspicion: %v", err)
	}
	f := b.followers(lead)[0]
	f.c.watchdog.onProposal(raft.ErrLeadershipTransferInProgress)
	if err := f.c.watchdog.check(time.Now().Add(limit + time.Second)); err != nil {
		t.Errorf("a follower is not suspect: %v", err)
	}
}

func TestWatchdogSeesReplicationStandStill(t *testing.T) {
	b := newBox(t, "only").startAll()
	lead := b.leader()
	b.propose(lead, "x")
	term, _ := lead.c.IsLeader()
	w := lead.c.watchdog
	lead.c.members.set(newConfiguration(1, []raft.Server{{ID: "only"}, {ID: "n2", Suffrage: raft.Nonvoter}}))
	heartbeat := &raft.AppendEntriesRequest{Term: term}
	entry := &raft.AppendEntriesRequest{Term: term, PrevLogEntry: 1, Entries: make([]*raft.Log, 1)}
	w.onAppend("n2", heartbeat, true, nil)
	w.onAppend("n2", entry, false, errors.New("down"))
	later := time.Now().Add(time.Minute)
	if err := w.check(later); err != nil {
		t.Errorf("a peer without heartbeats is down, not stuck: %v", err)
	}
	w.mu.Lock()
	w.peers["n2"].heartbeat = later
	w.mu.Unlock()
	if err := w.check(later); err == nil || !strings.Contains(err.Error(), "replication to n2") {
		t.Errorf("check: %v", err)
	}
	entry.PrevLogEntry = lead.c.raft.Load().LastIndex()
	w.onAppend("n2", entry, true, nil)
	w.mu.Lock()
	w.peers["n2"].heartbeat, w.peers["n2"].attempt = later, time.Now()
	w.mu.Unlock()
	if err := w.check(later); err != nil {
		t.Errorf("a peer that has everything is not stuck: %v", err)
	}
	w.onAppend("n2", &raft.AppendEntriesRequest{Term: term + 1}, true, nil)
	if w.peers["n2"].match != 0 {
		t.Error("progress of an earlier term was kept")
	}
}

// TestRefusedEntriesAreNotHeld: a learner that answers and takes no entry, because it lacks the ones before, has not kept up,
// however short the log is.
func TestRefusedEntriesAreNotHeld(t *testing.T) {
	b := newBox(t, "only").startAll()
	lead := b.leader()
	last := b.propose(lead, "x")
	term, _ := lead.c.IsLeader()
	lead.c.members.set(newConfiguration(1, []raft.Server{{ID: "only"}, {ID: "n2", Suffrage: raft.Nonvoter}}))
	says := func(held bool) error {
		t.Helper()
		w, err := lead.c.watchdog, error(nil)
		for range 2 {
			w.onAppend("n2", &raft.AppendEntriesRequest{Term: term, PrevLogEntry: last}, held, nil)
			w.onAppend("n2", &raft.AppendEntriesRequest{Term: term}, true, nil)
			err = lead.c.learners.keptUp("n2")
			b.passed.Add(int64(keptUpFor))
		}
		return err
	}
	if err := says(false); !errors.Is(err, ErrNotCaughtUp) || !strings.Contains(err.Error(), "has 0 of") {
		t.Errorf("a learner that takes no entry: %v", err)
	}
	if err := says(true); err != nil {
		t.Errorf("a learner that takes them: %v", err)
	}
}

func TestFatalIsCalledOnce(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	c := b.start("n1", nil)
	c.fatal(errors.New("first"))
	c.fatal(errors.New("second"))
	if n := len(b.nodes["n1"].fatals); n != 1 {
		t.Errorf("Fatal was called %d times", n)
	}
}

func TestProposalErrors(t *testing.T) {
	c := &Cluster{}
	c.watchdog = newWatchdog(c)
	for in, want := range map[error]error{
		raft.ErrNotLeader: ErrNotLeader, raft.ErrLeadershipLost: ErrLeadershipLost, raft.ErrRaftShutdown: ErrShutdown,
		raft.ErrEnqueueTimeout: ErrBusy, errors.New("disk"): ErrLeadershipLost, nil: nil,
	} {
		if got := c.proposalError(in); !errors.Is(got, want) {
			t.Errorf("%v maps to %v", in, got)
		}
	}
}

func TestRaftLogsToSlog(t *testing.T) {
	var buf bytes.Buffer
	l := newHCLog(slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelInfo})))
	l.Debug("hidden")
	l.Info("hello", "n", 3, "f", hclog.Fmt("<%d>", 7))
	l.Named("net").Named("tcp").With("peer", "n2").Warn("careful")
	l.Error("bad")
	got := buf.String()
	for _, want := range []string{`level=INFO msg="raft: hello" n=3 f=<7>`, "peer=n2", "level=WARN", "level=ERROR", "careful"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if strings.Contains(got, "hidden") || l.IsDebug() || l.IsTrace() || !l.IsInfo() || !l.IsWarn() || !l.IsError() {
		t.Error("levels are not those of slog")
	}
	if n := l.Named("a").Named("b"); n.Name() != "a.b" || len(n.With("k", 1).ImpliedArgs()) != 2 {
		t.Error("names or arguments are lost")
	}
}
