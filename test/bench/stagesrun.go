package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// stagesConns is the number of connections while profiles are taken.
const stagesConns = 256

// runStages sends records on many connections while all nodes are profiled, and prints the processor time of each stage.
func runStages(ctx context.Context, o options) (err error) {
	o.tags = "profiling"
	b, err := newBench(ctx, o, "recount-stages-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	p, err := newProfiler(b.tmp)
	if err != nil {
		return err
	}
	b.subject, err = newSubject(ctx, "three nodes", b.bin, filepath.Join(b.tmp, "cluster"), p.env())
	if err != nil {
		return err
	}
	leader, err := b.leader(ctx)
	if err != nil {
		return err
	}
	run := &stagesRun{profiler: p, bench: b, leader: leader}
	waits, err := run.all(ctx)
	if err != nil {
		return err
	}
	if now, err := b.leader(ctx); err != nil || now != leader {
		return errors.Join(err, errors.New("another node leads now, so the columns are mixed: measure again"))
	}
	run.report(os.Stdout)
	for _, w := range waits {
		w.report(os.Stdout, leader)
	}
	return nil
}

// all measures processor time in all rounds, and then waits on some and on many connections.
func (r *stagesRun) all(ctx context.Context) (waits []*waiting, err error) {
	for i := range r.nodes {
		r.nodes[i].times = stageTimes{}
	}
	if err := r.round(ctx, false); err != nil { // warm
		return nil, err
	}
	for range r.rounds {
		if err := r.round(ctx, true); err != nil {
			return nil, err
		}
	}
	for _, conns := range connections {
		w, err := r.waitsAt(ctx, conns)
		if err != nil {
			return nil, err
		}
		waits = append(waits, w)
	}
	return waits, nil
}

// stagesRun holds what the nodes did in all rounds.
type stagesRun struct {
	*profiler
	*bench
	leader  int
	records float64
	sent    []sample
	nodes   [3]nodeStages
}

// nodeStages is the part of one node.
type nodeStages struct {
	times stageTimes
	at    nodeState // before a round
	used  nodeState // in all rounds
}

// nodeState counts the resources that a node has used since its start, and how long its work waited.
type nodeState struct {
	cpu           float64   // seconds, by the kernel
	allocs, bytes float64   // allocated
	submit        histogram // submissions, from the header to the outcome
	waits         histogram // of goroutines for a processor
}

// state reads a node.
func (r *stagesRun) state(ctx context.Context, i int) (n nodeState, err error) {
	pid, err := r.cluster.PID(i)
	if err != nil {
		return n, err
	}
	if n.cpu, err = cpuSeconds(pid); err != nil {
		return n, err
	}
	m, err := r.cluster.Metrics(ctx, r.client, i)
	if err != nil {
		return n, err
	}
	n.allocs, n.bytes = m["go_memstats_mallocs_total"], m["go_memstats_alloc_bytes_total"]
	n.submit = histogramOf(m, "flk_submit_duration_seconds")
	n.waits, err = r.profiler.waits(ctx, pid)
	return n, err
}

// since adds what was used after a state.
func (n *nodeStages) since(now nodeState) {
	n.used.cpu += now.cpu - n.at.cpu
	n.used.allocs += now.allocs - n.at.allocs
	n.used.bytes += now.bytes - n.at.bytes
	n.used.submit = now.submit.minus(n.at.submit).plus(n.used.submit)
	n.used.waits = now.waits.minus(n.at.waits).plus(n.used.waits)
}

// round sends once and profiles meanwhile. The profile lasts a second longer than the load, so that it holds the folds
// of the last records.
func (r *stagesRun) round(ctx context.Context, counts bool) error {
	requests, err := r.src.Requests(stagesConns, int(float64(r.most)*r.span.Seconds())/stagesConns)
	if err != nil {
		return err
	}
	pids, err := r.pids()
	if err != nil {
		return err
	}
	var rec *recording
	got, err := r.nodesAt.cell(ctx, requests, r.span, func() (err error) {
		for i := range r.nodes {
			if r.nodes[i].at, err = r.state(ctx, i); err != nil {
				return err
			}
		}
		rec = r.record(ctx, pids, "/profile", r.span+time.Second)
		return nil
	})
	if err != nil {
		return err
	}
	samples, err := rec.wait()
	if err != nil || !counts {
		return err
	}
	r.records += float64(got.records)
	r.sent = append(r.sent, got)
	for i := range r.nodes {
		now, err := r.state(ctx, i)
		if err != nil {
			return err
		}
		r.nodes[i].times.add(samples[i])
		r.nodes[i].since(now)
	}
	return nil
}

// columns are the nodes in the order of the table: the leader first.
func (r *stagesRun) columns() [3]*nodeStages {
	return [3]*nodeStages{&r.nodes[r.leader], &r.nodes[(r.leader+1)%3], &r.nodes[(r.leader+2)%3]}
}

// report prints the tables.
func (r *stagesRun) report(w io.Writer) {
	row := func(name, format string, of func(n *nodeStages) float64) {
		fmt.Fprintf(w, "%-34s", name)
		sum := 0.0
		for _, n := range r.columns() {
			v := of(n)
			sum += v
			fmt.Fprintf(w, "  "+format, v)
		}
		fmt.Fprintf(w, "  "+format+"\n", sum)
	}
	perRecord := func(nanos int64) float64 { return float64(nanos) / 1e3 / r.records }
	fmt.Fprintf(w, "\n%d connections, %.0f records in %d rounds, %.0f/s\n", stagesConns, r.records, len(r.sent), median(r.sent, sample.rate))
	fmt.Fprintf(w, "%-34s  %8s  %8s  %8s  %8s\n", "microseconds of CPU per record", "leader", "follower", "follower", "sum")
	for _, stage := range stageOrder {
		row(stage, "%8.1f", func(n *nodeStages) float64 { return perRecord(n.times[stage]) })
	}
	row("sum of the profiles", "%8.1f", func(n *nodeStages) float64 { return perRecord(n.times.sum()) })
	row("measured by the kernel", "%8.1f", func(n *nodeStages) float64 { return n.used.cpu * 1e6 / r.records })
	row("allocations per record", "%8.1f", func(n *nodeStages) float64 { return n.used.allocs / r.records })
	row("bytes allocated per record", "%8.0f", func(n *nodeStages) float64 { return n.used.bytes / r.records })
	r.reportWaits(w)
}

// reportWaits prints where the time of slow answers goes: in the client and the connection, in the node, and in goroutines
// that wait for a processor.
func (r *stagesRun) reportWaits(w io.Writer) {
	fmt.Fprintf(w, "\n%-34s  %8s  %8s  %8s\n", "milliseconds", "leader", "follower", "follower")
	for _, c := range []struct {
		name string
		q    float64
		of   func(n *nodeStages) histogram
	}{
		{"in the node, p50", 0.5, func(n *nodeStages) histogram { return n.used.submit }},
		{"in the node, p99", 0.99, func(n *nodeStages) histogram { return n.used.submit }},
		{"one wait for a processor, p50", 0.5, func(n *nodeStages) histogram { return n.used.waits }},
		{"one wait for a processor, p99", 0.99, func(n *nodeStages) histogram { return n.used.waits }},
		{"one wait for a processor, p99.9", 0.999, func(n *nodeStages) histogram { return n.used.waits }},
	} {
		fmt.Fprintf(w, "%-34s", c.name)
		for _, n := range r.columns() {
			fmt.Fprintf(w, "  %8.2f", c.of(n).quantile(c.q)*1e3)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "seen by the clients: p50 %.1f ms, p99 %.1f ms\n", r.p50(r.sent), r.p99(r.sent))
}
