package recount

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/test/crashfs"
)

func TestMain(m *testing.M) {
	reconcileEvery = 5 * time.Millisecond
	os.Exit(m.Run())
}

var quiet = slog.New(slog.DiscardHandler)

// corpus is published records as submissions, and the keys that they are signed with.
type corpus struct {
	keys   []verify.Key
	keySet *verify.KeySet
	subs   []event.Sub
}

// corpusSize is the number of records that the tests fold. Some of them have another outcome under tight.
const corpusSize = 300

var published = sync.OnceValues(func() (*corpus, error) {
	dir := filepath.Join("..", "..", "testdata")
	var file struct {
		HMAC map[string]struct{ Text string }
	}
	raw, err := os.ReadFile(filepath.Join(dir, "keys.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, err
	}
	c := &corpus{}
	for _, name := range []string{"hmac-current", "hmac-previous"} {
		k, err := verify.NewHMACKey([]byte(file.HMAC[name].Text))
		if err != nil {
			return nil, err
		}
		c.keys = append(c.keys, k)
	}
	c.keySet = verify.NewKeySet(c.keys)
	raw, err = os.ReadFile(filepath.Join(dir, "good-hmac.ndjson"))
	if err != nil {
		return nil, err
	}
	in := bufio.NewScanner(bytes.NewReader(raw))
	in.Buffer(nil, 1<<20)
	for n := 0; n < corpusSize && in.Scan(); n++ {
		var line struct{ Body string }
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			return nil, err
		}
		f := c.keySet.Check(pcs.Decode([]byte(line.Body)), verify.Facts{})
		c.subs = append(c.subs, event.Sub{Salt: [16]byte{byte(n), byte(n >> 8)}, Body: []byte(line.Body),
			ReceivedAt: int64(n), Node: "n1", Facts: event.Facts{
				KeyID:   f.KeyID,
				Alg:     uint8(f.Alg),
				Profile: uint8(f.Profile),
				Mode:    uint8(f.Mode),
			}})
	}
	return c, in.Err()
})

// tight is the default policy with a tolerance of a hundredth: some records that it accepts are escalated.
func tight() verify.Policy {
	p := verify.DefaultPolicy()
	p.Params.TolD = 10_000_000
	return p
}

// host is a node that keeps what the manager reports.
type host struct {
	keySet *verify.KeySet

	mu          sync.Mutex
	failed      []error
	unwritten   []error
	quarantined []string
	mismatches  map[uint32][]uint64
	digests     map[uint64]bool // by the event that carries the digest: whether it agrees
	folded      []projections.Result
}

func (h *host) Verifiers() *verify.KeySet { return h.keySet }

func (h *host) Fail(err error) { h.note(func() { h.failed = append(h.failed, err) }) }

func (h *host) Unwritten(err error) {
	if errors.Is(err, fsm.ErrUnwritten) { // anything else it leaves to the manager
		h.note(func() { h.unwritten = append(h.unwritten, err) })
	}
}

func (h *host) Quarantine(why string) { h.note(func() { h.quarantined = append(h.quarantined, why) }) }

func (h *host) FactsMismatch(number uint32, seq uint64) {
	h.note(func() { h.mismatches[number] = append(h.mismatches[number], seq) })
}

func (h *host) DigestFolded(logged projections.DigestRow, agrees bool) {
	h.note(func() { h.digests[logged.Seq] = agrees })
}

func (h *host) Folded(r projections.Result) { h.note(func() { h.folded = append(h.folded, r) }) }

func (h *host) note(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// bad returns what no test expects to hear, "" for nothing.
func (h *host) bad() string {
	return get(h, func() string {
		if len(h.failed)+len(h.unwritten)+len(h.quarantined) == 0 {
			return ""
		}
		return fmt.Sprintf("failed %v, unwritten %v, quarantined %q", h.failed, h.unwritten, h.quarantined)
	})
}

// get reads a field under the lock.
func get[T any](h *host, f func() T) (out T) {
	h.note(func() { out = f() })
	return out
}

// testNode is one node's log, control state and manager on a disk that forgets at a crash what was not synced. The
// log itself is always whole: after a crash its end comes from the leader again.
type testNode struct {
	t       *testing.T
	ctx     context.Context
	disk    crashfs.FS
	fs      vfs.FS // what the node gets; disk unless a test wraps it
	entries []*raft.Log
	seq     uint64 // of the last event
	host    *host
	space   *space
	peers   Peers

	store   *log.Store
	derived *fsm.Derived
	m       *Manager
	cancel  context.CancelFunc
	done    sync.WaitGroup
	ended   error // of the manager's Run, once over is closed
	over    chan struct{}
}

// newTestNode is a node, not started, whose log has the published records under generation 1.
func newTestNode(t *testing.T, records int) *testNode {
	t.Helper()
	c, err := published()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	r := &testNode{t: t, ctx: ctx, disk: crashfs.New(), space: &space{free: 1 << 40}, peers: Peers{Self: "n1", IDs: func() []string { return []string{"n1"} }}}
	r.fs = r.disk
	policy := verify.DefaultPolicy()
	r.add(event.Genesis, &event.GenesisV1{ClusterId: "c", Policy: policy.Canonical(), Kernel: uint32(policy.Kernel)})
	for _, k := range c.keys {
		r.add(event.KeyAdded, &event.KeyAddedV1{KeyId: k.ID, Alg: uint32(k.Alg), Fingerprint: k.Fingerprint[:],
			Source: "env", Node: "n1"})
	}
	p := tight()
	r.add(event.PolicyPublished, &event.PolicyPublishedV1{Policy: p.Canonical(), Source: []byte("x")})
	r.submit(c.subs[:records]...)
	return r
}

func (r *testNode) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// pack appends an entry to the log and lets a node that runs see it committed.
func (r *testNode) pack(events ...event.Event) {
	r.t.Helper()
	index := uint64(len(r.entries) + 1)
	data := event.Pack{ProposedAt: int64(index), Events: events}.Append(nil)
	r.entries = append(r.entries, &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: data})
	r.seq += uint64(len(events))
	if r.store != nil {
		r.must(r.store.StoreLogs(r.entries[index-1:]))
		r.store.CommittedTo(index)
	}
}

// add appends one operator's event and returns its number.
func (r *testNode) add(kind event.Kind, m proto.Message) uint64 {
	r.t.Helper()
	payload, err := event.NewPayload([event.SaltSize]byte{}, m)
	r.must(err)
	r.pack(event.Event{Kind: kind, Payload: payload})
	return r.seq
}

// submit appends submissions, at most twenty in an entry.
func (r *testNode) submit(subs ...event.Sub) {
	r.t.Helper()
	for some := range slices.Chunk(subs, 20) {
		events := make([]event.Event, len(some))
		for i, s := range some {
			events[i] = event.Event{Kind: event.Submission, Payload: s.Payload()}
		}
		r.pack(events...)
	}
}

// generation starts the next generation under a policy.
func (r *testNode) generation(p verify.Policy) uint64 {
	r.t.Helper()
	id := p.ID()
	return r.add(event.GenerationStarted, &event.GenerationStartedV1{Policy: id[:]})
}

// pad is an event that changes no outcome.
func (r *testNode) pad() event.Event {
	r.t.Helper()
	payload, err := event.NewPayload([event.SaltSize]byte{}, &event.RefusalsDroppedV1{Node: "n", Count: 1})
	r.must(err)
	return event.Event{Kind: event.RefusalsDropped, Payload: payload}
}

// activate makes a generation active in the place of another one.
func (r *testNode) activate(number, from uint32) uint64 {
	r.t.Helper()
	return r.add(event.GenerationActivated, &event.GenerationActivatedV1{
		Generation: number,
		From:       from,
		Position:   1,
		Diff:       make([]byte, 32),
	})
}

func (r *testNode) dropped(number uint32) uint64 {
	r.t.Helper()
	return r.add(event.GenerationDropped, &event.GenerationDroppedV1{Generation: number})
}

// open opens the stores and the manager, without its loops.
func (r *testNode) open() error {
	c, err := published()
	r.must(err)
	r.host = &host{keySet: c.keySet, mismatches: map[uint32][]uint64{}, digests: map[uint64]bool{}}
	r.store, err = log.Open("events", log.Options{FS: r.fs, Logger: quiet})
	r.must(err)
	last, err := r.store.LastIndex()
	r.must(err)
	if last < uint64(len(r.entries)) {
		r.must(r.store.StoreLogs(r.entries[last:]))
	}
	r.store.CommittedTo(uint64(len(r.entries)))
	r.derived, err = fsm.OpenDerived(r.fs, "n/derived", r.store, 1<<20, quiet, nil)
	r.must(err)
	r.must(r.derived.CatchUp(r.ctx))
	ctx, cancel := context.WithCancel(r.ctx)
	r.cancel = cancel
	r.m, err = Open(ctx, Options{Dir: "n", FS: r.fs, Batch: 1 << 16, Log: r.store, Control: r.derived, Host: r.host,
		Disk: r.space, Peers: r.peers, Logger: quiet})
	if err != nil {
		cancel()
		return errors.Join(err, r.derived.Close(), r.store.Close())
	}
	return nil
}

// start opens everything and runs it. The node stops with the test.
func (r *testNode) start() {
	r.t.Helper()
	r.must(r.open())
	r.run()
	r.t.Cleanup(r.stop)
}

func (r *testNode) run() {
	ctx, cancel := context.WithCancel(r.ctx)
	before := r.cancel
	r.cancel = func() { cancel(); before() }
	r.done.Go(func() { _ = r.derived.Run(ctx) })
	r.over = make(chan struct{})
	r.done.Go(func() { defer close(r.over); r.ended = r.m.Run(ctx) })
}

// stop ends the node in order. Stopping a stopped node does nothing.
func (r *testNode) stop() {
	r.t.Helper()
	if r.m == nil {
		return
	}
	r.cancel()
	r.done.Wait()
	r.must(errors.Join(r.m.Close(), r.derived.Close(), r.store.Close()))
	r.m, r.derived, r.store = nil, nil, nil
}

// crash ends the node and leaves on the disk what a power loss leaves, with all, half or nothing of what was
// not synced.
func (r *testNode) crash(cfg vfs.CrashCloneCfg) {
	r.t.Helper()
	after := r.disk.Cut(cfg)
	r.stop()
	r.disk, r.fs = after, after
}

// until waits for a condition that the loops of the manager bring about.
func (r *testNode) until(what string, cond func() bool) {
	r.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			r.t.Fatalf("in vain: %s", what)
		}
	}
}

// settled waits until this node has done everything that its log says: folded, served, compared, recorded, dropped.
func (r *testNode) settled() {
	r.t.Helper()
	r.must(r.derived.WaitSeq(r.ctx, r.seq))
	r.must(r.m.AwaitServing(r.ctx))
	control := r.derived.Control()
	var open []uint32
	for _, row := range control.Generations() {
		if row.Dropped == 0 {
			open = append(open, row.Number)
		}
	}
	for _, a := range control.Activations() {
		r.until("what changed is recorded", func() bool {
			_, ok, err := r.m.Change(a.Seq)
			return ok || err != nil
		})
	}
	r.until("the open generations", func() bool {
		return slices.Equal(slices.Sorted(maps.Keys(r.m.numbers())), open)
	})
	for _, number := range open {
		r.until("generation at the end of the log", func() bool {
			g, _ := r.m.Get(number)
			if g == nil || g.Cursor().Seq < r.seq {
				return false
			}
			c := g.Comparison()
			return number == r.m.Active() || c != nil && c.Old() == r.m.Active() && c.Seq() >= r.seq
		})
	}
	r.until("the directories of these alone", func() bool { return slices.Equal(r.dirs(), names(open)) })
}

func names(numbers []uint32) (out []string) {
	for _, n := range numbers {
		out = append(out, string('0'+rune(n)))
	}
	return out
}
