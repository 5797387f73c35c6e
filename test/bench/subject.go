package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// idleSpan is the time for which a cluster without requests is watched.
const idleSpan = 3 * time.Second

// subject is one cluster of three nodes and what was measured of it.
type subject struct {
	name    string
	cluster *harness.Cluster
	port    int      // the first one of its nodes
	env     []string // of its nodes
	client  *http.Client
	nodesAt *target
	nodes   map[int][]sample    // by connections
	used    map[int]usage       // by connections, over all rounds
	lone    map[string][]sample // one client alone, by the kind of node that it asks
	idle    []float64           // processors that the nodes use together without requests
}

// startCluster starts three nodes of a binary.
func (b *bench) startCluster(ctx context.Context, bin, dir string) error {
	s, err := newSubject(ctx, "three nodes", bin, dir)
	b.subject = s
	return err
}

// newSubject starts three nodes. env is added to their environment.
func newSubject(ctx context.Context, name, bin, dir string, env ...string) (*subject, error) {
	s := &subject{name: name, nodes: map[int][]sample{}, used: map[int]usage{}, lone: map[string][]sample{}}
	port, err := harness.FreePort(3)
	if err != nil {
		return s, err
	}
	env = append([]string{"PCS_SIGN_ALG=hmac", "PCS_HMAC_KEY=" + harness.BenchKey}, env...)
	s.env, s.port = env, port
	if s.cluster, err = harness.Start(ctx, bin, dir, 3, port, env...); err != nil {
		return s, err
	}
	s.client = s.cluster.HTTP(1)
	s.nodesAt = s.target(0, 1, 2)
	return s, nil
}

// target sends to some of the nodes.
func (s *subject) target(nodes ...int) *target {
	t := &target{tls: s.cluster.TLS(), want: []byte(`"outcome":"accepted"`)}
	for _, i := range nodes {
		t.addrs = append(t.addrs, strings.TrimPrefix(s.cluster.API[i], "https://"))
	}
	return t
}

func (s *subject) stop() {
	if s == nil {
		return
	}
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
	if s.cluster != nil {
		_ = s.cluster.Stop()
	}
}

// measure sends on some connections and adds what the nodes used meanwhile.
func (s *subject) measure(ctx context.Context, number, conns int, requests [][][]byte, span time.Duration) error {
	var before usage
	got, err := s.nodesAt.cell(ctx, requests, span, func() (err error) {
		before, err = settle(ctx, s.cluster, s.client)
		return err
	})
	if err != nil {
		return err
	}
	after, err := settle(ctx, s.cluster, s.client)
	if err != nil {
		return err
	}
	s.nodes[conns] = append(s.nodes[conns], got)
	s.used[conns] = s.used[conns].plus(after.minus(before))
	printSample(number, s.name, conns, got)
	return nil
}

// alone measures one client on the leader and one on a follower, and the nodes without any.
func (s *subject) alone(ctx context.Context, number int, src *harness.Source, span time.Duration) error {
	leader, err := s.leader(ctx)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		kind string
		node int
	}{{"leader", leader}, {"follower", (leader + 1) % 3}} {
		requests, err := src.Requests(1, int(4000*span.Seconds()))
		if err != nil {
			return err
		}
		got, err := s.target(c.node).cell(ctx, requests, span, nil)
		if err != nil {
			return err
		}
		s.lone[c.kind] = append(s.lone[c.kind], got)
		printSample(number, s.name+", "+c.kind, 1, got)
	}
	return s.watchIdle(ctx)
}

func (s *subject) watchIdle(ctx context.Context) error {
	before, err := settle(ctx, s.cluster, s.client)
	if err != nil {
		return err
	}
	timer := time.NewTimer(idleSpan)
	defer timer.Stop()
	start := time.Now()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	took := time.Since(start)
	after, err := measure(ctx, s.cluster, s.client)
	if err != nil {
		return err
	}
	s.idle = append(s.idle, (after.cpu-before.cpu)/took.Seconds())
	return nil
}

func (s *subject) leader(ctx context.Context) (int, error) {
	for i := range s.cluster.API {
		m, err := s.cluster.Metrics(ctx, s.client, i)
		if err != nil {
			return 0, err
		}
		if m["flk_leader"] == 1 {
			return i, nil
		}
	}
	return 0, errors.New("no node leads")
}

// records returns how many records a number of connections sent in all rounds.
func (s *subject) records(conns int) (n float64) {
	for _, c := range s.nodes[conns] {
		n += float64(c.records)
	}
	return n
}

// report prints the medians for a number of connections.
func (s *subject) report(conns int, bare []sample) {
	u, n, of := s.used[conns], s.records(conns), s.nodes[conns]
	fmt.Printf("%d connections, %s: %.0f/s, %.2f of the bare handler, p50 %.1f ms, p99 %.1f ms\n", conns, s.name,
		median(of, sample.rate), median(of, sample.rate)/median(bare, sample.rate), s.p50(of), s.p99(of))
	fmt.Printf("  over all nodes: %.2f CPU s per 10,000 records, %.0f bytes written, %.4f fsyncs and %.4f appends per record, "+
		"%.1f records per append\n", u.cpu/n*1e4, u.written/n, u.syncs/n, u.appends/n, 3*n/u.appends)
}

func (s *subject) reportAlone() {
	for _, kind := range []string{"leader", "follower"} {
		of := s.lone[kind]
		fmt.Printf("one client alone on the %s, %s: %.0f/s, p50 %.2f ms, p99 %.1f ms\n", kind, s.name,
			median(of, sample.rate), s.p50(of), s.p99(of))
	}
	fmt.Printf("without requests, %s: %.1f %% of one processor\n", s.name,
		100*medianOf(s.idle, func(f float64) float64 { return f }))
}

func (s *subject) p50(of []sample) float64 {
	return median(of, func(s sample) float64 { return s.p50 })
}

func (s *subject) p99(of []sample) float64 {
	return median(of, func(s sample) float64 { return s.p99 })
}

// startBase starts the cluster to compare with, if one was named.
func (b *bench) startBase(ctx context.Context) (err error) {
	if b.baseBin == "" {
		return nil
	}
	b.base, err = newSubject(ctx, "base", b.baseBin, filepath.Join(b.tmp, "base"))
	return err
}

// subjects returns the clusters in the order of a round. They take turns to be first, because a machine gets slower
// or faster during a round.
func (b *bench) subjects(round int) []*subject {
	switch {
	case b.base == nil:
		return []*subject{b.subject}
	case round%2 == 0:
		return []*subject{b.subject, b.base}
	}
	return []*subject{b.base, b.subject}
}
