package repair

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/seed"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scene is a cluster of three whose node broken is stopped, and has tables. More was committed since.
type scene struct {
	*nodetest.Cluster
	t       *testing.T
	records *nodetest.Records
	sent    int64
	broken  int
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{Cluster: nodetest.Start(t, 3), t: t, records: nodetest.NewRecords(t)}
	s.submit(100)
	s.broken = (s.Leader() + 1) % 3
	s.Stop(s.broken)
	s.Restart(s.broken) // what was in the write-ahead log is in a table now
	s.AwaitReady(s.broken)
	s.submitAt(s.At(s.broken), 10) // it answers when it has stored and folded them
	s.Stop(s.broken)
	s.submit(20)
	return s
}

func (s *scene) submit(n int) {
	s.t.Helper()
	s.submitAt(s.Client, n)
}

func (s *scene) submitAt(at *client.Client, n int) {
	s.t.Helper()
	for range n {
		s.sent++
		_, err := s.Submit(s.t.Context(), at, s.records.Sign(nodetest.Record{Shard: "s", Epoch: s.sent, Root: "r"}))
		must(s.t, err)
	}
}

// copyOf returns settings of the broken node with a copy of its directory. No node starts on it.
func (s *scene) copyOf() node.Config {
	s.t.Helper()
	cfg := s.Config(s.broken)
	cfg.Dir = filepath.Join(s.t.TempDir(), "node")
	must(s.t, os.CopyFS(cfg.Dir, os.DirFS(s.Dir(s.broken))))
	return cfg
}

func repaired(t *testing.T, cfg *node.Config, step func(string) error) (Report, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return Repair(ctx, Options{Config: *cfg, Logger: slog.New(slog.DiscardHandler), step: step})
}

// one returns the largest file of a directory whose name fits a pattern.
func one(t *testing.T, dir, pattern string) (largest string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	must(t, err)
	size := int64(-1)
	for _, name := range found {
		st, err := os.Stat(name)
		must(t, err)
		if st.Size() > size {
			largest, size = name, st.Size()
		}
	}
	if largest == "" {
		t.Fatalf("no %s in %s", pattern, dir)
	}
	return largest
}

// tree lists every file below dir with its content.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "LOCK" {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(&all, "%s %x\n", path, b)
		return err
	}))
	return all.String()
}

// TestDamage flips a bit in a file of each kind, and removes files. A log is repaired whatever happened to it. A
// node whose promises are not whole is refused and nothing changes.
func TestDamage(t *testing.T) {
	s := newScene(t)
	flip := func(dir, pattern string, parts ...float64) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			for _, part := range parts {
				s.FlipBit(one(t, filepath.Join(root, dir), pattern), part)
			}
		}
	}
	remove := func(dir, pattern string) func(*testing.T, string) {
		return func(t *testing.T, root string) { must(t, os.RemoveAll(one(t, filepath.Join(root, dir), pattern))) }
	}
	lost := remove("events", "*.sst")
	for name, c := range map[string]struct {
		damage func(*testing.T, string)
		want   error
		part   bool // some of its own entries can be compared
	}{
		"none":             {func(*testing.T, string) {}, ErrWhole, false},
		"table":            {flip("events", "*.sst", 0.3), nil, true},
		"lost table":       {remove("events", "*.sst"), nil, false},
		"WAL":              {flip("events", "*.log", 0.01), nil, false},
		"MANIFEST":         {flip("events", "MANIFEST-*", 0.1), nil, false},
		"lost MANIFEST":    {remove("events", "MANIFEST-*"), nil, false},
		"pointer":          {remove("events", "marker.manifest.*"), nil, false},
		"end":              {flip("events", "end", 0.01, 0.95), nil, true},
		"no log":           {remove(".", "events"), nil, false},
		"quarantine":       {quarantined, nil, true},
		"node.json":        {flip(".", "node.json", 0.5), ErrRefused, false},
		"no node.json":     {remove(".", "node.json"), ErrRefused, false},
		"members.json":     {both(flip(".", "members.json", 0.5), remove("events", "*.sst")), ErrRefused, false},
		"votes, one copy":  {both(flip("stable", "votes", 0.1), remove("events", "*.sst")), nil, false},
		"votes":            {both(flip("stable", "votes", 0.1, 0.6), remove("events", "*.sst")), ErrRefused, false},
		"no votes":         {both(remove("stable", "votes"), remove("events", "*.sst")), ErrRefused, false},
		"no stable":        {both(remove(".", "stable"), remove("events", "*.sst")), ErrRefused, false},
		"raft.db":          {both(flip("stable", "raft.db", 0.001, 0.126), lost), ErrRefused, false},
		"table, and a WAL": {both(flip("events", "*.sst", 0.3), flip("events", "*.log", 0.01)), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := s.copyOf()
			c.damage(t, cfg.Dir)
			before := tree(t, cfg.Dir)
			r, err := repaired(t, &cfg, nil)
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if c.want != nil {
				if after := tree(t, cfg.Dir); after != before {
					t.Errorf("something changed")
				}
				return
			}
			s.checkRepaired(t, &cfg, &r)
			if c.part && r.Same < 5 {
				t.Errorf("compared %d entries", r.Same)
			}
		})
	}
}

func both(a, b func(*testing.T, string)) func(*testing.T, string) {
	return func(t *testing.T, root string) { a(t, root); b(t, root) }
}

func quarantined(t *testing.T, root string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(root, "quarantine"), []byte("the event log cannot be read: x"), 0o600))
}

// checkRepaired compares the log with that of a member, and looks at what is left in the directory.
func (s *scene) checkRepaired(t *testing.T, cfg *node.Config, r *Report) {
	t.Helper()
	last, err := log.Examine(t.Context(), filepath.Join(cfg.Dir, "events"), filepath.Join(cfg.Dir, "looked"), nil)
	must(t, err)
	must(t, os.RemoveAll(filepath.Join(cfg.Dir, "looked")))
	if last < r.Fence || last != r.Index || r.Fence < 100 || r.Found == "" || r.Member == "" || r.Seq < 130 {
		t.Errorf("the log ends at %d: %+v", last, r)
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, r.Damaged)); err != nil || r.Damaged == "" {
		t.Errorf("the damaged log was not kept: %v", err)
	}
	for _, name := range []string{"events.repair", "derived", "generations", "quarantine"} {
		if _, err := os.Stat(filepath.Join(cfg.Dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	if _, err := repaired(t, cfg, nil); !errors.Is(err, ErrWhole) {
		t.Errorf("a second repair: %v", err)
	}
}

// TestKilled ends the repair at each of its steps, and again in the next one. The node does not start while the
// new log is put in place. In the end the node comes back under its id with the ledger of the others.
func TestKilled(t *testing.T) {
	s := newScene(t)
	s.FlipBit(s.LargestTable(s.broken, "events"), 0.3)
	var steps []string
	cfg := s.copyOf()
	_, err := repaired(t, &cfg, func(name string) error { steps = append(steps, name); return nil })
	must(t, err)
	if len(steps) < 9 {
		t.Fatalf("steps: %q", steps)
	}
	killed := errors.New("killed")
	cfg = s.Config(s.broken)
	switching := false
	for _, at := range steps {
		_, err := repaired(t, &cfg, func(name string) error {
			if name == at {
				return killed
			}
			return nil
		})
		if !errors.Is(err, killed) {
			t.Fatalf("at %q: %v", at, err)
		}
		switching = switching || strings.HasPrefix(at, "dropped")
		s.startRefused(&cfg, at, switching)
		s.submit(1)
	}
	_, err = repaired(t, &cfg, nil)
	must(t, err)
	s.Restart(s.broken)
	s.AwaitReady(s.broken)
	s.submit(5)
	s.Check()
	if kept, err := filepath.Glob(filepath.Join(cfg.Dir, "events.damaged-*")); err != nil || len(kept) != 1 {
		t.Errorf("kept: %q, %v", kept, err)
	}
}

// startRefused tries to start the node in a copy of its directory, with ports of its own, since it must not run.
func (s *scene) startRefused(cfg *node.Config, at string, switching bool) {
	s.t.Helper()
	err := seed.CheckSwitch(cfg.Dir)
	if got := errors.Is(err, seed.ErrSwitching); got != switching {
		s.t.Errorf("after %q: %v", at, err)
	}
	if !switching {
		return
	}
	n, err := node.Open(s.t.Context(), *cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		must(s.t, n.Close(s.t.Context()))
	}
	if !errors.Is(err, seed.ErrSwitching) || !node.Refused(err) {
		s.t.Errorf("after %q the node starts: %v", at, err)
	}
}

// TestNoFence: a node that runs is not repaired, nor one that knows a later term than the leader, nor any without
// a majority.
func TestNoFence(t *testing.T) {
	s := newScene(t)
	cfg := s.Config(s.Leader())
	if _, err := repaired(t, &cfg, nil); err == nil || !strings.Contains(err.Error(), "stop the node first") {
		t.Errorf("a node that runs: %v", err)
	}
	cfg = s.copyOf()
	s.FlipBit(one(t, cfg.Dir, "events/*.sst"), 0.3)
	must(t, cluster.RaiseTerm(cfg.Dir, 99))
	_, err := repaired(t, &cfg, nil)
	if !errors.Is(err, ErrNoFence) || !strings.Contains(err.Error(), "knows term 99") {
		t.Errorf("a leader of an earlier term than that of the node: %v", err)
	}
	cfg = s.Config(s.broken)
	s.FlipBit(s.LargestTable(s.broken, "events"), 0.3)
	s.Stop(s.Leader())
	if _, err := repaired(t, &cfg, nil); !errors.Is(err, ErrNoFence) {
		t.Errorf("without a majority: %v", err)
	}
}

// TestLiar: a member whose log has another entry, with all checksums right, cannot give it to a node that still
// has its own. If the own entry cannot be read, the node finds out when it folds the copy, and does not become
// ready.
func TestLiar(t *testing.T) {
	s := newScene(t)
	s.Stop(s.Leader()) // the other two of three do not run: one after the other they change their logs
	for i := range s.Size() {
		s.Stop(i)
	}
	liar := (s.broken + 1) % 3
	for i := range s.Size() {
		if i != s.broken {
			s.forge(i, 20)
		}
	}
	for i := range s.Size() {
		if i != s.broken {
			s.Restart(i)
		}
	}
	s.AwaitReady(liar)
	cfg := s.copyOf()
	s.FlipBit(filepath.Join(cfg.Dir, "events", "end"), 0.01)
	s.FlipBit(filepath.Join(cfg.Dir, "events", "end"), 0.95)
	before := tree(t, filepath.Join(cfg.Dir, "events"))
	if _, err := repaired(t, &cfg, nil); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "entry 20") {
		t.Errorf("a copy of another history: %v", err)
	}
	if tree(t, filepath.Join(cfg.Dir, "events")) != before {
		t.Error("the log has changed")
	}
}

// forge changes an entry in the log of the stopped node i.
func (s *scene) forge(i int, index uint64) {
	s.t.Helper()
	store, err := log.Open(filepath.Join(s.Dir(i), "events"), log.Options{})
	must(s.t, err)
	store.CommittedTo(store.Floor())
	e, err := store.Entry(index)
	must(s.t, errors.Join(err, store.Close()))
	at := bytes.LastIndexByte(e.Data, '"')
	if at < 0 {
		s.t.Fatalf("entry %d has no record", index)
	}
	key := append([]byte{'e'}, 0, 0, 0, 0, 0, 0, 0, byte(index))
	value := s.Row(i, "events", key)
	value[len(value)-len(e.Data)+at] ^= 1
	s.ChangeRow(i, "events", key, value)
}
