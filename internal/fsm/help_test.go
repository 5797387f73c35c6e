package fsm

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// corpus is the published HMAC-signed records as events, and the set of their keys.
type corpus struct {
	keySet *verify.KeySet
	keys   []verify.Key
	events []event.Event
}

var loadCorpus = sync.OnceValues(func() (*corpus, error) {
	dir := filepath.Join("..", "..", "testdata")
	var keys struct {
		HMAC map[string]struct {
			Text    string
			Trusted bool
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "keys.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &keys); err != nil {
		return nil, err
	}
	c := &corpus{}
	for _, name := range []string{"hmac-current", "hmac-previous"} {
		k, err := verify.NewHMACKey([]byte(keys.HMAC[name].Text))
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
	for in.Scan() {
		var line struct{ Body string }
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			return nil, err
		}
		c.events = append(c.events, c.submission(line.Body, len(c.events)))
	}
	return c, in.Err()
})

func (c *corpus) submission(body string, n int) event.Event {
	rec := pcs.Decode([]byte(body))
	var f verify.Facts
	if rec.Signable {
		f = c.keySet.Check(rec, verify.Facts{})
	}
	sub := event.Sub{Salt: [16]byte{byte(n), byte(n >> 8)}, Body: []byte(body), ReceivedAt: start + int64(n), Node: "n1",
		Facts: event.Facts{KeyID: f.KeyID, Alg: uint8(f.Alg), Profile: uint8(f.Profile), Mode: uint8(f.Mode)}}
	return event.Event{Kind: event.Submission, Payload: sub.Payload()}
}

func published(t testing.TB) *corpus {
	t.Helper()
	c, err := loadCorpus()
	if err != nil {
		t.Fatal(err)
	}
	if len(c.events) < 700 {
		t.Fatalf("%d records", len(c.events))
	}
	return c
}

const start = int64(1_767_225_600_000_000_000)

func message(t testing.TB, k event.Kind, m proto.Message) event.Event {
	t.Helper()
	p, err := event.NewPayload([16]byte{byte(k)}, m)
	if err != nil {
		t.Fatal(err)
	}
	return event.Event{Kind: k, Payload: p}
}

// history is a log: genesis, keys, a term, then the published records, at most size events in a pack. All packs have
// the same proposal time, so that log times do not depend on the size of packs. Some entries carry no pack, and terms grow.
func history(t testing.TB, size int) []*raft.Log {
	t.Helper()
	c := published(t)
	policy := verify.DefaultPolicy()
	b := &builder{}
	b.other(raft.LogConfiguration, raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: "n1", Address: "a:1"}}}))
	b.pack(message(t, event.Genesis, &event.GenesisV1{ClusterId: "test", Policy: policy.Canonical(), Kernel: uint32(policy.Kernel)}))
	for _, k := range c.keys {
		b.pack(message(t, event.KeyAdded, &event.KeyAddedV1{KeyId: k.ID, Alg: uint32(k.Alg), Fingerprint: k.Fingerprint[:], Source: "env", Node: "n1"}))
	}
	b.pack(message(t, event.TermStart, &event.TermStartV1{Term: 1, Node: "n1", Software: "test"}))
	for i := 0; i < len(c.events); i += size {
		b.pack(c.events[i:min(i+size, len(c.events))]...)
		if i/size%3 == 0 {
			b.term++
			b.other(raft.LogNoop, nil)
		}
	}
	return b.logs
}

type builder struct {
	logs []*raft.Log
	term uint64
}

func (b *builder) other(k raft.LogType, data []byte) {
	b.logs = append(b.logs, &raft.Log{Index: uint64(len(b.logs) + 1), Term: b.term + 1, Type: k, Data: data})
}

func (b *builder) pack(events ...event.Event) {
	b.other(raft.LogCommand, event.Pack{ProposedAt: start, Events: events}.Append(nil))
}

// machine is a log and the folded state of one node.
type machine struct {
	t       testing.TB
	fs      vfs.FS
	log     *log.Store
	derived *Derived
	gen     *Generation
	obs     Observer
	batch   int
}

func newMachine(t testing.TB, fs vfs.FS, batch int) *machine {
	m := &machine{t: t, fs: fs, batch: batch}
	m.open()
	return m
}

func (m *machine) openLog() {
	m.t.Helper()
	var err error
	m.log, err = log.Open("events", log.Options{FS: m.fs, MemTableBytes: 1 << 20, TailBytes: 100_000,
		Fatal: func(err error) { m.t.Errorf("log: %v", err) }})
	m.must(err)
}

func (m *machine) openFolds() error {
	var err error
	if m.derived, err = OpenDerived(m.fs, "derived", m.log, m.batch, quiet, nil); err != nil {
		return err
	}
	m.gen, err = OpenGeneration(m.fs, "generations/1", 1, m.log, m.derived, published(m.t).held, m.obs, m.batch, quiet)
	if err != nil {
		return errors.Join(err, m.derived.Close())
	}
	return nil
}

func (m *machine) open() {
	m.t.Helper()
	m.openLog()
	m.must(m.openFolds())
}

func (m *machine) close() {
	m.t.Helper()
	m.must(errors.Join(m.gen.Close(), m.derived.Close(), m.log.Close()))
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// store appends entries that the log does not have yet.
func (m *machine) store(logs []*raft.Log) {
	m.t.Helper()
	last, err := m.log.LastIndex()
	m.must(err)
	if last < uint64(len(logs)) {
		m.must(m.log.StoreLogs(logs[last:]))
	}
}

// run folds what is committed with both loops at once and stops them at index to.
func (m *machine) run(to uint64) {
	m.t.Helper()
	m.log.CommittedTo(to)
	ctx, cancel := context.WithCancel(m.t.Context())
	errs := make(chan error, 2)
	go func() { errs <- m.derived.Run(ctx) }()
	go func() { errs <- m.gen.Run(ctx) }()
	waited := make(chan error, 1)
	go func() { waited <- m.gen.WaitIndex(ctx, to) }()
	n := 2
	select {
	case err := <-waited:
		m.must(err)
	case err := <-errs:
		m.t.Errorf("a fold ended: %v", err)
		n--
	}
	cancel()
	for range n {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			m.t.Errorf("a fold ended: %v", err)
		}
	}
}

// state is everything that must be equal.
type state struct {
	Seq                  uint64
	LogTime              int64
	State, Root, Control [32]byte
}

func (m *machine) state() state {
	m.t.Helper()
	cur := m.gen.Cursor()
	return m.stateAt(cur.Seq, cur.LogTime)
}

func (m *machine) stateAt(seq uint64, logTime int64) state {
	m.t.Helper()
	s := state{Seq: seq, LogTime: logTime}
	var err error
	s.Root, err = m.derived.Root(s.Seq)
	m.must(err)
	s.Control, err = m.derived.ControlDigest(s.Seq)
	m.must(err)
	v := m.gen.View()
	defer v.Close()
	s.State, err = projections.DigestAt(v, s.Seq)
	m.must(err)
	return s
}

// foldAll folds a whole history on a new file system.
func foldAll(t testing.TB, logs []*raft.Log, batch int) state {
	t.Helper()
	m := newMachine(t, vfs.NewMem(), batch)
	defer m.close()
	m.store(logs)
	m.run(uint64(len(logs)))
	return m.state()
}

func processors(t *testing.T, n int) {
	before := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

func has(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

// held gives the key set as a generation wants it.
func (c *corpus) held() *verify.KeySet { return c.keySet }
