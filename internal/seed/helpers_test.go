package seed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/copies"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/wire"
)

const testCluster = "c"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func logOptions(t testing.TB) log.Options {
	return log.Options{MemTableBytes: 256 << 10, CacheBytes: 1 << 20, Fatal: func(err error) { t.Error(err) }}
}

// member is a source over a real log and real copies of it. change, if set, may change the answers to calls.
type member struct {
	id     string
	dir    string
	leads  bool
	bytes  uint64
	store  *log.Store
	keep   *copies.Manager
	source *Source

	mu     sync.Mutex
	change func(path string, answer []byte, err error) ([]byte, error)
	calls  map[string]int // by path
}

// newMember makes a member whose log has n entries.
func newMember(t testing.TB, id string, n int) *member {
	t.Helper()
	m := &member{id: id, dir: t.TempDir(), bytes: DefaultFrom, calls: map[string]int{}}
	var err error
	m.store, err = log.Open(filepath.Join(m.dir, eventsName), logOptions(t))
	must(t, err)
	t.Cleanup(func() { must(t, m.store.Close()) })
	for i := 1; i <= n; i += 100 {
		batch := make([]*raft.Log, 0, 100)
		for k := i; k < i+100; k++ {
			data := make([]byte, 4000)
			_, _ = rand.NewChaCha8([32]byte{byte(k), byte(k >> 8)}).Read(data) // never fails
			batch = append(batch, &raft.Log{Index: uint64(k), Term: 3, Type: raft.LogCommand, Data: data})
		}
		must(t, m.store.StoreLogs(batch))
	}
	m.store.CommittedTo(uint64(n))
	m.keep, err = copies.New(copies.Options{Dir: filepath.Join(m.dir, "copies"), Node: id, ClusterID: testCluster,
		Life: time.Hour, Short: func() bool { return false }, Logger: slog.New(slog.DiscardHandler),
		Make: func(ctx context.Context, dir string) (copies.At, error) {
			err := m.store.Checkpoint(ctx, dir, uint64(n))
			if err == nil {
				err = log.Trim(dir, uint64(n), logOptions(t))
			}
			return copies.At{Position: wire.CopyPosition{Index: uint64(n), Term: 3, Seq: uint64(n)}}, err
		}})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = m.keep.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	for probe, err := m.keep.Create(ctx); ; probe, err = m.keep.Create(ctx) {
		if err == nil { // it runs
			must(t, m.keep.Remove(probe.ID))
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	m.source = NewSource(m.keep, func() State { return State{Bytes: m.bytes, Seq: uint64(n), Leads: m.leads} })
	return m
}

func (m *member) call(ctx context.Context, from, path string, body []byte) ([]byte, error) {
	handlers := map[string]func(context.Context, string, []byte) ([]byte, error){OfferPath: m.source.Offer,
		MakePath: m.source.Make, ReadPath: m.source.Read, DonePath: m.source.Done}
	out, err := handlers[path](ctx, from, body)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls[path]++
	if m.change != nil {
		return m.change(path, out, err)
	}
	return out, err
}

func (m *member) disturb(f func(path string, answer []byte, err error) ([]byte, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.change = f
}

func (m *member) called(path string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[path]
}

// errAway ends a call to a member that is gone.
var errAway = fmt.Errorf("%w: gone", cluster.ErrUnreachable)

// joiner is a directory that joins, with an empty log.
type joiner struct {
	t       *testing.T
	dir     string
	members []*member
	room    uint64
	added   chan struct{}
	step    func(string) error
}

func newJoiner(t *testing.T, members ...*member) *joiner {
	j := &joiner{t: t, dir: t.TempDir(), members: members, room: math.MaxUint64, added: make(chan struct{}, 1)}
	j.lastIndex()
	return j
}

// lastIndex opens and closes the log, as every start of a node does.
func (j *joiner) lastIndex() uint64 {
	j.t.Helper()
	s, err := log.Open(filepath.Join(j.dir, eventsName), logOptions(j.t))
	must(j.t, err)
	last, err := s.LastIndex()
	must(j.t, errors.Join(err, s.Close()))
	return last
}

func (j *joiner) receiver() *Receiver {
	return NewReceiver(Options{Dir: j.dir, Node: "new", ClusterID: testCluster, From: DefaultFrom,
		Members: func() (ids []string) {
			for _, m := range j.members {
				ids = append(ids, m.id)
			}
			return ids
		},
		Call: func(ctx context.Context, id, path string, body []byte) ([]byte, error) {
			for _, m := range j.members {
				if m.id == id {
					return m.call(ctx, "new", path, body)
				}
			}
			return nil, errAway
		},
		Room: func() uint64 { return j.room }, Added: j.added, Logger: slog.New(slog.DiscardHandler), step: j.step})
}

// run runs a receiver until it has an outcome.
func (j *joiner) run() (Outcome, *Receiver) {
	j.t.Helper()
	ctx, cancel := context.WithTimeout(j.t.Context(), time.Minute)
	defer cancel()
	r := j.receiver()
	out, err := r.Run(ctx)
	if err != nil {
		j.t.Fatalf("%v, status %+v", err, r.Status())
	}
	return out, r
}

// check installs the copy and compares each entry with that of a member.
func (j *joiner) check(m *member) {
	j.t.Helper()
	done, err := Install(j.dir, slog.New(slog.DiscardHandler))
	if err != nil || !done {
		j.t.Fatalf("installed %v, %v", done, err)
	}
	j.same(m)
}

// same compares the installed log with that of a member, and makes sure that nothing else is left.
func (j *joiner) same(m *member) {
	j.t.Helper()
	s, err := log.Open(filepath.Join(j.dir, eventsName), logOptions(j.t))
	must(j.t, err)
	defer func() { must(j.t, s.Close()) }()
	last, _ := s.LastIndex()
	if want, _ := m.store.LastIndex(); last != want {
		j.t.Fatalf("the log ends at %d, want %d", last, want)
	}
	for i := uint64(1); i <= last; i++ {
		var a, b raft.Log
		must(j.t, errors.Join(s.GetLog(i, &a), m.store.GetLog(i, &b)))
		if a.Term != b.Term || string(a.Data) != string(b.Data) {
			j.t.Fatalf("entry %d differs", i)
		}
	}
	if _, err := os.Stat(filepath.Join(j.dir, seedName)); !errors.Is(err, fs.ErrNotExist) {
		j.t.Errorf("something is left: %v", err)
	}
}
