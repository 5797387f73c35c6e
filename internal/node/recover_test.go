package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/restore"
	"github.com/recount-ledger/recount/internal/survivor"
)

// gates stand before the peer ports of a cluster. When they shut, all nodes are alone at once: nothing that was not
// replicated by then is ever replicated, as after a loss of power.
type gates struct {
	mu    sync.Mutex
	shut  bool
	conns map[net.Conn]bool
	at    map[string]string // by peer address, the address of its gate
}

// stand opens the gate before a peer address, once, and returns its address.
func (g *gates) stand(t *testing.T, peer string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.at[peer] == "" {
		ln, err := net.Listen("tcp", nodetest.FreePort(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ln.Close() })
		g.at[peer] = ln.Addr().String()
		go g.serve(ln, peer)
	}
	return g.at[peer]
}

func (g *gates) serve(ln net.Listener, peer string) {
	for {
		in, err := ln.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", peer)
		if err != nil || !g.keep(in, out) {
			_ = in.Close()
			continue
		}
		for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
			go func() {
				_, _ = io.Copy(way[0], way[1])
				_, _ = way[0].Close(), way[1].Close()
			}()
		}
	}
}

// keep reports whether two connections may be used.
func (g *gates) keep(in, out net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		_ = out.Close()
		return false
	}
	g.conns[in], g.conns[out] = true, true
	return true
}

func (g *gates) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	for c := range g.conns {
		_ = c.Close()
	}
}

// guarded starts a cluster of n nodes whose peers meet at gates.
func guarded(t *testing.T, n int) (*nodetest.Cluster, *gates) {
	g := &gates{conns: map[net.Conn]bool{}, at: map[string]string{}}
	return nodetest.Start(t, n, func(cfg *node.Config) {
		if cfg.ClusterID != "nodetest" {
			return
		}
		voters := append([]node.Voter(nil), cfg.Voters...)
		for i := range voters {
			voters[i].Peer = g.stand(t, voters[i].Peer)
		}
		cfg.Voters = voters
	}), g
}

// TestRecover plays random schedules. RECOVER_SEED repeats one, RECOVER_SCHEDULES says how many to play.
func TestRecover(t *testing.T) {
	seed, count := uint64(time.Now().UnixNano()), 4
	if text := os.Getenv("RECOVER_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("RECOVER_SCHEDULES"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("RECOVER_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 55))
	for i := range count {
		s := schedule{nodes: 3 + 2*rng.IntN(2), before: 20 + rng.IntN(200), rng: rand.New(rand.NewPCG(seed, uint64(i)))}
		t.Run(fmt.Sprintf("%d of %d nodes", i, s.nodes), s.play)
	}
}

// schedule is one loss of a majority under load.
type schedule struct {
	nodes, before int // records before anything happens
	rng           *rand.Rand
}

// acked is a record with its answer.
type acked struct {
	body []byte
	id   string
	seq  uint64
}

// submitters send new records until the cluster is lost.
type submitters struct {
	mu     sync.Mutex
	acked  []acked
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func startSubmitters(t *testing.T, c *nodetest.Cluster, f *nodetest.Records, n int) *submitters {
	ctx, cancel := context.WithCancel(t.Context())
	s := &submitters{cancel: cancel}
	for agent := range n {
		s.done.Go(func() {
			for i := int64(1); ctx.Err() == nil; i++ {
				r := nodetest.Record{Shard: fmt.Sprintf("agent-%d", agent), Epoch: i, Root: "r"}
				body := f.Sign(r)
				got, err := c.Client.Submit(ctx, body)
				if err == nil {
					s.mu.Lock()
					s.acked = append(s.acked, acked{body, r.ID(), got.Seq})
					s.mu.Unlock()
				}
			}
		})
	}
	t.Cleanup(s.end)
	return s
}

func (s *submitters) end() {
	s.cancel()
	s.done.Wait()
}

// await waits for n more acknowledged records.
func (s *submitters) await(c *nodetest.Cluster, n int) {
	s.mu.Lock()
	n += len(s.acked)
	s.mu.Unlock()
	c.Await("more records", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.acked) < n {
			return fmt.Errorf("%d of %d", len(s.acked), n)
		}
		return nil
	})
}

// play loses a majority, recovers the best survivor, compares what is lost with what was said, and goes on with three
// nodes.
func (s schedule) play(t *testing.T) {
	c, g := guarded(t, s.nodes)
	f := nodetest.NewRecords(t)
	load := startSubmitters(t, c, f, 4)
	load.await(c, s.before)
	order := s.rng.Perm(s.nodes)
	alive, gone := order[:s.nodes/2], order[s.nodes/2:]
	for _, i := range alive { // some of them were away already
		if s.rng.IntN(2) == 0 {
			c.Stop(i)
			load.await(c, 1+s.rng.IntN(50))
		}
	}
	load.await(c, s.rng.IntN(100))
	g.close()
	load.end()
	var stops sync.WaitGroup
	for i := range s.nodes {
		c.MayEnd(i)
		stops.Go(func() { c.Stop(i) })
	}
	stops.Wait()
	for _, i := range gone {
		if err := os.RemoveAll(c.Dir(i)); err != nil {
			t.Fatal(err)
		}
	}
	said := survey(t, c, alive)
	k, err := restore.Keep(t.Context(), restore.KeepOptions{Dir: said.Dir, Into: filepath.Join(t.TempDir(), "data"),
		ClusterID: "second", NodeID: "second-1", PeerAddr: nodetest.FreePort(t), Actor: "alice", Reason: "a test", At: time.Now(),
		Tell: func(string, uint64, uint64) {}, Confirm: func(*survivor.Comparison) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	next := c.Take(k.Dir, k.ClusterID, k.NodeID, k.PeerAddr)
	compareLoss(t, next, said, &k, load.acked)
	goOn(t, next, f)
}

// survey examines the survivors.
func survey(t *testing.T, c *nodetest.Cluster, alive []int) *survivor.Comparison {
	t.Helper()
	var reports []survivor.Report
	for _, i := range alive {
		r, err := survivor.Look(t.Context(), c.Dir(i), func(string, uint64, uint64) {})
		if err != nil {
			t.Fatal(err)
		}
		reports = append(reports, *r)
	}
	said, err := survivor.Compare(reports)
	if err != nil {
		t.Fatal(err)
	}
	if said.Majority {
		t.Fatalf("%+v", said)
	}
	return said
}

// compareLoss asks for every acknowledged record. Those up to the floor are there, at the same event. Those behind the
// end are not. Nothing else is missing, unless it lies in between.
func compareLoss(t *testing.T, c *nodetest.Cluster, said *survivor.Comparison, k *restore.Kept, all []acked) {
	t.Helper()
	lost, open := 0, 0
	for _, a := range all {
		got, err := c.Client.Get(t.Context(), a.id, client.Read{})
		there := err == nil && got.Seq == a.seq
		switch {
		case err != nil && !errors.Is(err, client.ErrNotFound):
			t.Fatal(err)
		case a.seq <= said.Floor.Seq && !there:
			t.Errorf("record %s of event %d is lost, and everything up to %d is certain: %v", a.id, a.seq, said.Floor.Seq, err)
		case a.seq > k.Position.Seq && err == nil && there:
			t.Errorf("record %s has event %d, and the log ended at %d", a.id, a.seq, k.Position.Seq)
		case !there:
			lost++
			sendAgain(t, c, a, err == nil)
		case a.seq > said.Floor.Seq:
			open++
			sendAgain(t, c, a, true)
		}
	}
	if words := strings.Join(said.Words(), "\n"); lost > 0 && !strings.Contains(words, "May be lost") {
		t.Errorf("%d of %d records are lost, and it said:\n%s", lost, len(all), words)
	}
	t.Logf("%d records acknowledged, certain up to event %d, end %d: %d behind the floor are there, %d are lost, of which %d entries "+
		"were proved", len(all), said.Floor.Seq, k.Position.Seq, open, lost, said.Lost)
}

// sendAgain sends a record as an agent would to find out whether it is lost. What is there keeps its outcome.
func sendAgain(t *testing.T, c *nodetest.Cluster, a acked, there bool) {
	t.Helper()
	got, err := c.Submit(t.Context(), c.Client, a.body)
	if err != nil || got.Submit == nil || got.Submit.Replayed != there {
		t.Errorf("record %s of event %d, there: %v, sent again: %+v %v", a.id, a.seq, there, got.Submit, err)
	}
}

// goOn adds two nodes and stops the first one.
func goOn(t *testing.T, c *nodetest.Cluster, f *nodetest.Records) {
	t.Helper()
	submit := func(shard string) {
		for i := range int64(10) {
			if _, err := c.Submit(t.Context(), c.Client, f.Sign(nodetest.Record{Shard: shard, Epoch: i + 1, Root: "r"})); err != nil {
				t.Fatal(err)
			}
		}
	}
	submit("alone")
	slept := join(t, c, "second-2", 0)
	join(t, c, "second-3", slept)
	submit("three")
	c.Stop(0)
	submit("two")
	c.Restart(0)
	for i := range c.Size() {
		c.AwaitReady(i)
	}
	c.Check()
}

// join adds a node and makes it a voter. The machines of the others have slept for so long. It returns how long all of
// them have slept then.
func join(t *testing.T, c *nodetest.Cluster, id string, slept time.Duration) time.Duration {
	t.Helper()
	change := func(what string, f func(m *cluster.Cluster) error) {
		c.Await(what, func() error { return f(c.Node(c.Leader()).Cluster()) })
	}
	i := c.Grow(id)
	c.Sleep(i, slept)
	_, peer := c.Place(i)
	change("the new node", func(m *cluster.Cluster) error { return m.AddLearner(t.Context(), id, peer) })
	c.AwaitReady(i)
	tries := 0
	change("the promotion", func(m *cluster.Cluster) error {
		err := m.Promote(t.Context(), id)
		if tries++; errors.Is(err, cluster.ErrNotCaughtUp) && tries%20 == 0 {
			slept += 11 * time.Second // they pass at once
			for i := range c.Size() {
				c.Sleep(i, slept)
			}
		}
		return err
	})
	return slept
}
