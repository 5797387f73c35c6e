package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// The rows of the table of goroutines that wait, in its order.
const (
	waitLock     = "anything, for a lock"
	waitOutcome  = "a submission, for its outcome"
	waitForward  = "a pack of a follower, for its place"
	waitCommit   = "a pack, for its commit"
	waitFold     = "a pack, for the fold"
	waitSync     = "Raft, for a sync of the log"
	waitDerived  = "a fold, for derived/"
	waitCheckers = "a fold, for its own helpers"
)

var waitOrder = []string{waitOutcome, waitForward, waitCommit, waitSync, waitFold, waitDerived, waitCheckers, waitLock}

// waitRules give a stack to a row if one of its functions begins with in and ends with end. They are tried in order. A stack
// without a rule is a loop that has nothing to do.
var waitRules = []struct{ row, in, end string }{
	{waitLock, "sync.(*Mutex).Lock", ""},
	{waitLock, "sync.(*RWMutex).", "Lock"},
	{waitForward, internal + "propose.(*Packer", ").Accept"},
	{waitOutcome, internal + "propose.(*Packer", ").enqueue"},
	{waitCommit, internal + "propose.(*Packer", ").attempt"},
	{waitFold, internal + "propose.(*Packer", ").answer"},
	{waitSync, internal + "log.(*Store).StoreLogs", ""},
	{waitCheckers, internal + "fsm.checkAll", ""},
	{waitDerived, internal + "fsm.(*Generation).prepare", ""},
}

// waitOf returns the row of a stack, "" for none.
func waitOf(stack []string) string {
	for _, r := range waitRules {
		for _, f := range stack {
			if strings.HasPrefix(f, r.in) && strings.HasSuffix(f, r.end) {
				return r.row
			}
		}
	}
	return ""
}

// waitsOf sums what goroutines waited, by row, in nanoseconds.
func waitsOf(samples []cpuSample) map[string]int64 {
	out := map[string]int64{}
	for _, s := range samples {
		if row := waitOf(s.stack); row != "" {
			out[row] += s.nanos
		}
	}
	return out
}

// waiting holds what answers and goroutines waited for on some connections.
type waiting struct {
	conns           int
	sent            []sample
	leader, follows []lapped

	records float64 // while the goroutines were profiled
	blocked [3]map[string]int64
	held    [3]stageTimes // by stage of the holder
	queued  [3]histogram  // waits for a processor
	appends [3]float64    // of the log
}

// waitsAt measures some connections: first the answers alone, then the goroutines, which makes answers slower.
func (r *stagesRun) waitsAt(ctx context.Context, conns int) (*waiting, error) {
	w := &waiting{conns: conns}
	for range r.rounds {
		at := *r.nodesAt
		at.laps = true
		requests, err := r.src.Requests(conns, int(float64(r.most)*r.span.Seconds())/conns)
		if err != nil {
			return nil, err
		}
		s, err := at.cell(ctx, requests, r.span, nil)
		if err != nil {
			return nil, err
		}
		w.sent = append(w.sent, s)
		for i, of := range s.lapped {
			if i == r.leader {
				w.leader = append(w.leader, of...)
			} else {
				w.follows = append(w.follows, of...)
			}
		}
	}
	return w, r.goroutines(ctx, w)
}

// goroutines profiles what goroutines wait for.
func (r *stagesRun) goroutines(ctx context.Context, w *waiting) error {
	requests, err := r.src.Requests(w.conns, int(float64(r.most)*r.span.Seconds())/w.conns)
	if err != nil {
		return err
	}
	pids, err := r.pids()
	if err != nil {
		return err
	}
	var blocked, held *recording
	s, err := r.nodesAt.cell(ctx, requests, r.span, func() error {
		blocked = r.record(ctx, pids, "/block", r.span+time.Second)
		held = r.record(ctx, pids, "/mutex", r.span+time.Second)
		return r.counts(ctx, w, -1)
	})
	if err != nil {
		return err
	}
	w.records = float64(s.records)
	waits, err := blocked.wait()
	if err != nil {
		return err
	}
	locks, err := held.wait()
	if err != nil {
		return err
	}
	for i := range pids {
		w.blocked[i], w.held[i] = waitsOf(waits[i]), stageTimes{}
		w.held[i].add(locks[i])
	}
	return r.counts(ctx, w, 1)
}

// counts adds what each node has counted since its start, times sign: -1 before the load and 1 after it.
func (r *stagesRun) counts(ctx context.Context, w *waiting, sign float64) error {
	pids, err := r.pids()
	if err != nil {
		return err
	}
	for i, pid := range pids {
		now, err := r.profiler.waits(ctx, pid)
		if err != nil {
			return err
		}
		m, err := r.cluster.Metrics(ctx, r.client, i)
		if err != nil {
			return err
		}
		w.appends[i] += sign * m["flk_log_appends_total"]
		if sign > 0 {
			now = now.minus(w.queued[i])
		}
		w.queued[i] = now
	}
	return nil
}

// pids returns the processes of the nodes.
func (r *stagesRun) pids() (out []int, err error) {
	for i := range r.nodes {
		pid, err := r.cluster.PID(i)
		if err != nil {
			return nil, err
		}
		out = append(out, pid)
	}
	return out, nil
}

// report prints the tables.
func (w *waiting) report(to io.Writer, leader int) {
	fmt.Fprintf(to, "\n%d connections, %.0f/s, p50 %.1f ms, p99 %.1f ms\n", w.conns, median(w.sent, sample.rate),
		median(w.sent, func(s sample) float64 { return s.p50 }), median(w.sent, func(s sample) float64 { return s.p99 }))
	lapTable(to, w.leader, w.follows)
	fmt.Fprintf(to, "\n%-44s  %8s  %8s  %8s\n", "microseconds of waiting per record", "leader", "follower", "follower")
	row := func(name string, of func(node int) float64) {
		fmt.Fprintf(to, "%-44s", name)
		for i := range 3 {
			fmt.Fprintf(to, "  %8.1f", of((leader+i)%3)/w.records)
		}
		fmt.Fprintln(to)
	}
	for _, name := range waitOrder {
		row(name, func(i int) float64 { return float64(w.blocked[i][name]) / 1e3 })
	}
	row("anything, for a processor", func(i int) float64 { return w.queued[i].sum() * 1e6 })
	for _, stage := range stageOrder {
		if w.holds(stage) {
			row("lock of: "+stage, func(i int) float64 { return float64(w.held[i][stage]) / 1e3 })
		}
	}
	row("sync of one append, milliseconds", func(i int) float64 {
		return w.records * float64(w.blocked[i][waitSync]) / 1e6 / max(1, w.appends[i])
	})
	row("records in an append", func(i int) float64 { return w.records * w.records / max(1, w.appends[i]) })
}

// holds reports whether a stage held locks for which others waited a microsecond or more for a record, on any node.
func (w *waiting) holds(stage string) bool {
	for i := range w.held {
		if float64(w.held[i][stage])/1e3/w.records >= 1 {
			return true
		}
	}
	return false
}
