package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/recount-ledger/recount/internal/cluster/certs"
)

// TestMain looks for goroutines that nobody has ended. A log that has failed leaves Pebble open, as does the process that
// ends with it.
func TestMain(m *testing.M) {
	const pebble = "github.com/cockroachdb/pebble/v2"
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(pebble+"/internal/genericcache.(*shard[...]).releaseLoop"),
		goleak.IgnoreAnyFunction(pebble+".(*cleanupManager).mainLoop"),
		goleak.IgnoreAnyFunction(pebble+"/record.(*LogWriter).flushLoop"))
}

const testCluster = "testcluster"

// until polls cond on a ticker and fails the test when it stays false.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("gave up waiting: %s", what)
		}
	}
}

// memFSM remembers what was applied; it is the MetaSource too.
type memFSM struct {
	mu                       sync.Mutex
	got                      map[uint64]string
	index, term, configIndex uint64
	config                   []byte
	removed                  map[string]uint64
}

func newMemFSM() *memFSM { return &memFSM{got: map[uint64]string{}, removed: map[string]uint64{}} }

func (f *memFSM) ApplyBatch(logs []*raft.Log) []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range logs {
		if l.Index <= f.index {
			continue
		}
		f.index, f.term = l.Index, l.Term
		if l.Type == raft.LogConfiguration {
			f.forget(l)
			f.config, f.configIndex = append([]byte(nil), l.Data...), l.Index
			continue
		}
		f.got[l.Index] = string(l.Data)
	}
	return make([]any, len(logs))
}

// forget notes the nodes that a configuration does not name any more. f.mu must be held.
func (f *memFSM) forget(l *raft.Log) {
	if f.config == nil {
		return
	}
	now := newConfiguration(l.Index, raft.DecodeConfiguration(l.Data).Servers)
	for _, s := range raft.DecodeConfiguration(f.config).Servers {
		if _, ok := now.member(string(s.ID)); !ok && f.removed[string(s.ID)] == 0 {
			f.removed[string(s.ID)] = l.Index
		}
	}
}

func (f *memFSM) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

func (f *memFSM) Snapshot() (raft.FSMSnapshot, error) { return nopSnapshot{}, nil }
func (f *memFSM) Restore(io.ReadCloser) error         { return errors.New("not supported") }

type nopSnapshot struct{}

func (nopSnapshot) Persist(sink raft.SnapshotSink) error { return sink.Close() }
func (nopSnapshot) Release()                             {}

func (f *memFSM) Meta() (uint64, uint64, []byte, uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.index, f.term, f.config, f.configIndex
}

func (f *memFSM) Removed(id string) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.removed[id]
}

// founded is a membership of these founding members, in which nothing has changed yet.
func founded(voters []Voter) *membership {
	m := newMembership(func(string) uint64 { return 0 })
	var servers []raft.Server
	var ids []string
	for _, v := range voters {
		servers = append(servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(v.ID), Address: raft.ServerAddress(v.PeerAddr)})
		ids = append(ids, v.ID)
	}
	m.setFounding(ids)
	m.set(newConfiguration(1, servers))
	return m
}

func digestOf(voters []Voter) string { return *founded(voters).founding.Load() }

func (f *memFSM) at(index uint64) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.got[index]
}

func (f *memFSM) values() map[string]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]bool{}
	for _, v := range f.got {
		out[v] = true
	}
	return out
}

// box is a whole test cluster: certificates, addresses and the stores of every node, which survive restarts.
type box struct {
	t      testing.TB
	ca     *certs.CA
	dir    string
	host   string // loopback address of its nodes
	ports  int    // that it has used
	net    *fakeNet
	voters []Voter // of the settings
	nodes  map[string]*node
	passed atomic.Int64 // nanoseconds by which all clocks are ahead
}

type node struct {
	id     string
	dir    string
	logs   *memLog
	fsm    *memFSM
	join   bool
	ln     net.Listener // bound for the next start
	c      *Cluster
	fatals chan error
}

func newBox(t testing.TB, ids ...string) *box {
	t.Helper()
	ca, err := certs.NewCA("test CA")
	if err != nil {
		t.Fatal(err)
	}
	b := &box{t: t, host: ownHost(), ca: ca, dir: t.TempDir(), net: newFakeNet(), nodes: map[string]*node{}}
	if err := ca.Save(b.dir, "ca"); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		b.add(id)
	}
	t.Cleanup(b.closeAll)
	return b
}

// boxes counts the boxes of this process.
var boxes atomic.Uint32

// listen takes the next address of a box. A box has a loopback address of its own and never uses a port twice. An
// address that the system chooses can be given to somebody else while its node is stopped.
func (b *box) listen() net.Listener {
	b.t.Helper()
	b.ports++
	ln, err := net.Listen("tcp", fmt.Sprintf("%s:%d", b.host, 7000+b.ports))
	if err != nil {
		b.t.Fatal(err)
	}
	return ln
}

// ownHost returns a loopback address that no other box of this process has, nor one of a process beside it.
func ownHost() string {
	at := uint32(os.Getpid())<<10 | boxes.Add(1)&0x3ff
	return fmt.Sprintf("127.%d.%d.%d", 1+at>>16&0x7f, at>>8&0xff, at&0xff)
}

// add makes one more node, with an address and a certificate.
func (b *box) add(id string) *node {
	b.t.Helper()
	ln := b.listen()
	b.voters = append(b.voters, Voter{ID: id, PeerAddr: ln.Addr().String()})
	n := &node{id: id, dir: filepath.Join(b.dir, id), logs: newMemLog(), fsm: newMemFSM(), ln: ln, fatals: make(chan error, 8)}
	b.nodes[id] = n
	b.issue(b.ca, filepath.Join(b.dir, "tls"), id, certs.Request{CommonName: id, URIs: []string{NodeURI(testCluster, id)}, Client: true, Server: true})
	return n
}

// joins makes one more node and starts it, so that it waits to be added.
func (b *box) joins(id string) *node {
	b.t.Helper()
	n := b.add(id)
	n.join = true
	b.start(id, nil)
	return n
}

func (b *box) issue(ca *certs.CA, dir, base string, r certs.Request) {
	b.t.Helper()
	crt, key, err := ca.Issue(r)
	if err == nil {
		err = certs.WritePair(dir, base, crt, key)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) config(id string) Config {
	n := b.nodes[id]
	tlsBase := filepath.Join(b.dir, "tls", id)
	level := slog.LevelError + 4
	if testing.Verbose() && os.Getenv("CLUSTER_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("node", id)
	return Config{
		NodeID: id, ClusterID: testCluster, Dir: n.dir, Voters: b.voters, NewCluster: !n.join, Join: n.join,
		Clock:   func() time.Time { return time.Now().Add(time.Duration(b.passed.Load())) },
		Elapsed: func() time.Duration { return sinceBoot() + time.Duration(b.passed.Load()) },
		TLS:     TLSFiles{CA: filepath.Join(b.dir, "ca.crt"), Cert: tlsBase + ".crt", Key: tlsBase + ".key"},
		Timings: Timings{Heartbeat: 400 * time.Millisecond}, Logger: logger,
		Fatal: func(err error) { n.fatals <- err }, listener: n.ln, dial: b.net.dialer(id), rpcDeadline: 2 * time.Second, askLimit: 100 * time.Millisecond,
	}
}

func (b *box) open(id string, change func(*Config)) (*Cluster, error) {
	n := b.nodes[id]
	cfg := b.config(id)
	if n.ln == nil {
		cfg.PeerBind = cfg.addrOf(id)
	}
	if change != nil {
		change(&cfg)
	}
	c, err := Open(cfg, n.logs, n.fsm, n.fsm)
	if err == nil {
		n.ln, n.c = nil, c
	}
	return c, err
}

func (b *box) start(id string, change func(*Config)) *Cluster {
	b.t.Helper()
	c, err := b.open(id, change)
	if err != nil {
		b.t.Fatalf("open %s: %v", id, err)
	}
	c.Handle("/echo", func(_ context.Context, from string, body []byte) ([]byte, error) {
		return append([]byte(from+":"), body...), nil
	})
	if err := c.Start(); err != nil {
		b.t.Fatalf("start %s: %v", id, err)
	}
	return c
}

func (b *box) startAll() *box {
	b.t.Helper()
	for _, v := range b.voters {
		b.start(v.ID, nil)
	}
	return b
}

func (b *box) stop(id string) {
	b.t.Helper()
	n := b.nodes[id]
	if n.c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.c.Close(ctx); err != nil {
		b.t.Errorf("close %s: %v", id, err)
	}
	n.c = nil
}

func (b *box) closeAll() {
	for id, n := range b.nodes {
		b.stop(id)
		if n.ln != nil {
			_ = n.ln.Close()
		}
	}
}

func (b *box) isolate(id string, cut bool) {
	for _, v := range b.voters {
		if v.ID != id {
			b.net.set(id, v.ID, cut)
		}
	}
}

// leader waits until a running node outside of not can commit.
func (b *box) leader(not ...string) *node {
	b.t.Helper()
	var found *node
	until(b.t, "a leader", func() bool {
		for _, n := range b.nodes {
			if n.c == nil || slices.Contains(not, n.id) {
				continue
			}
			if _, ok := n.c.IsLeader(); ok {
				found = n
				return true
			}
		}
		return false
	})
	return found
}

func (b *box) followers(leader *node) (out []*node) {
	for _, v := range b.voters {
		if n := b.nodes[v.ID]; n != leader && n.c != nil {
			out = append(out, n)
		}
	}
	return out
}

func (b *box) propose(n *node, data string) uint64 {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	index, err := n.c.Propose([]byte(data)).Wait(ctx)
	if err != nil {
		b.t.Fatalf("propose %q on %s: %v", data, n.id, err)
	}
	return index
}

func short(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
