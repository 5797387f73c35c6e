package seed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/wire"
)

// entries is the length of the logs of these tests: some tables, and a write-ahead log.
const entries = 500

// TestSeed: the whole log comes from the follower, and the member is told that its copy is needed no more.
func TestSeed(t *testing.T) {
	lead, f := newMember(t, "n1", entries), newMember(t, "n2", entries)
	lead.leads = true
	j := newJoiner(t, lead, f)
	out, r := j.run()
	if s := r.Status(); out != Copied || s.Phase != Ready || s.Member != "n2" || s.Have != s.Bytes || s.Bytes == 0 ||
		s.Received != uint64(s.Bytes) || f.source.Sent() != s.Received {
		t.Errorf("%d %+v, sent %d", out, s, f.source.Sent())
	}
	if lead.called(MakePath) != 0 || len(f.keep.Copies()) != 0 {
		t.Errorf("the leader made %d copies, the follower keeps %d", lead.called(MakePath), len(f.keep.Copies()))
	}
	j.check(f)
}

// TestReplicates: Raft replicates a small log, and any log that no member can copy.
func TestReplicates(t *testing.T) {
	small := newMember(t, "n1", 100)
	small.bytes = DefaultFrom - 1
	old := newMember(t, "n1", 100)
	old.disturb(func(string, []byte, error) ([]byte, error) {
		return nil, &cluster.RemoteError{Code: cluster.CodeNoHandler}
	})
	none := newMember(t, "n1", 100)
	none.source = NewSource(nil, none.source.state)
	for name, m := range map[string]*member{"small": small, "an earlier release": old, "no copies": none} {
		j := newJoiner(t, m)
		if out, r := j.run(); out != Replicate || r.Status().Phase != Replicating {
			t.Errorf("%s: %d %+v", name, out, r.Status())
		}
	}
}

// TestWaits: a node that no member knows asks on, and copies once it is added.
func TestWaits(t *testing.T) {
	m := newMember(t, "n1", 100)
	asked := 0
	m.disturb(func(path string, answer []byte, err error) ([]byte, error) {
		if asked++; asked < 3 {
			return nil, &cluster.RemoteError{Code: cluster.CodeNoMember}
		}
		return answer, err
	})
	j := newJoiner(t, m)
	if out, r := j.run(); out != Copied || r.Status().Failures != 0 {
		t.Errorf("%d %+v", out, r.Status())
	}
	j.check(m)
}

// TestAddedByStrangers: a leader adds the node, and no node of its settings is a member. Raft replicates the log.
func TestAddedByStrangers(t *testing.T) {
	m := newMember(t, "n1", 100)
	m.disturb(func(string, []byte, error) ([]byte, error) {
		return nil, &cluster.RemoteError{Code: cluster.CodeNoMember}
	})
	j := newJoiner(t, m)
	j.added <- struct{}{}
	if out, r := j.run(); out != Replicate {
		t.Errorf("%d %+v", out, r.Status())
	}
}

// TestSourceThatDies: the rest comes from another member, or from the same one when it is back, and what is here of the
// same content does not come again.
func TestSourceThatDies(t *testing.T) {
	for name, members := range map[string]int{"another member": 2, "the same member": 1} {
		t.Run(name, func(t *testing.T) {
			all := []*member{newMember(t, "n1", entries), newMember(t, "n2", entries)}[:members]
			reads := 0
			all[0].disturb(func(path string, answer []byte, err error) ([]byte, error) {
				if path == ReadPath {
					reads++
				}
				if reads > 4 && (members == 2 || reads < 7) {
					reads++
					return nil, errAway
				}
				return answer, err
			})
			j := newJoiner(t, all...)
			out, r := j.run()
			s := r.Status()
			if out != Copied || s.Member != all[len(all)-1].id {
				t.Errorf("%d %+v", out, s)
			}
			if members == 1 && s.Received != uint64(s.Bytes) {
				t.Errorf("%d bytes came for a copy of %d", s.Received, s.Bytes)
			}
			j.check(all[0])
		})
	}
}

// TestFlippedBit: one bit that flips on the way is found by the hash of the file. Then another member gives the copy.
func TestFlippedBit(t *testing.T) {
	bad, good := newMember(t, "n1", entries), newMember(t, "n2", entries)
	reads := 0
	bad.disturb(func(path string, answer []byte, err error) ([]byte, error) {
		if path == ReadPath && err == nil && len(answer) > 10 {
			if reads++; reads == 3 {
				answer[len(answer)/2] ^= 4
			}
		}
		return answer, err
	})
	j := newJoiner(t, bad, good)
	out, r := j.run()
	if s := r.Status(); out != Copied || s.Member != "n2" {
		t.Errorf("%d %+v", out, s)
	}
	if len(bad.keep.Copies()) != 0 {
		t.Error("the damaged copy is kept")
	}
	j.check(good)
}

// TestDamagedSource: a table that was damaged before the member hashed it has the right hash. The check of the whole
// log finds it.
func TestDamagedSource(t *testing.T) {
	bad, good := newMember(t, "n1", entries), newMember(t, "n2", entries)
	must(t, flipTable(filepath.Join(bad.dir, eventsName)))
	j := newJoiner(t, bad, good)
	out, r := j.run()
	if s := r.Status(); out != Copied || s.Member != "n2" || bad.called(MakePath) == 0 {
		t.Errorf("%d %+v", out, s)
	}
	j.check(good)
}

// flipTable flips a bit in the middle of the largest table of a log.
func flipTable(dir string) error {
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	var largest []byte
	name := ""
	for _, table := range tables {
		raw, readErr := os.ReadFile(table)
		err = errors.Join(err, readErr)
		if len(raw) > len(largest) {
			largest, name = raw, table
		}
	}
	if len(largest) == 0 {
		return errors.Join(err, errors.New("no table"))
	}
	largest[len(largest)/2] ^= 1
	return errors.Join(err, os.WriteFile(name, largest, 0o600))
}

// TestHostileAnswers: a member whose answers contradict themselves, or name files elsewhere, gets nothing written and
// another one gives the copy.
func TestHostileAnswers(t *testing.T) {
	good := newMember(t, "n2", 100)
	for name, change := range map[string]func(*wire.CopyAnswer){
		"parent":            func(a *wire.CopyAnswer) { a.Files[0].Name = "../escaped" },
		"absolute":          func(a *wire.CopyAnswer) { a.Files[0].Name = "/tmp/escaped" },
		"hidden":            func(a *wire.CopyAnswer) { a.Files[0].Name = ".." },
		"backslash":         func(a *wire.CopyAnswer) { a.Files[0].Name = `..\escaped` },
		"empty name":        func(a *wire.CopyAnswer) { a.Files[0].Name = "" },
		"long name":         func(a *wire.CopyAnswer) { a.Files[0].Name = strings.Repeat("a", 101) },
		"lock":              func(a *wire.CopyAnswer) { a.Files[0].Name = "LOCK" },
		"twice":             func(a *wire.CopyAnswer) { a.Files[0].Name = a.Files[1].Name },
		"negative size":     func(a *wire.CopyAnswer) { a.Files[0].Size = -1 },
		"other sum of size": func(a *wire.CopyAnswer) { a.Files[0].Size++ },
		"overflow":          func(a *wire.CopyAnswer) { a.Files[0].Size, a.Files[1].Size = 1<<62, 1<<62 },
		"no hash":           func(a *wire.CopyAnswer) { a.Files[0].SHA256 = "" },
		"no files":          func(a *wire.CopyAnswer) { a.Files = nil },
		"no position":       func(a *wire.CopyAnswer) { a.Position.Index = 0 },
		"another node":      func(a *wire.CopyAnswer) { a.Node = "n2" },
		"another cluster":   func(a *wire.CopyAnswer) { a.ClusterID = "d" },
		"odd id":            func(a *wire.CopyAnswer) { a.ID = "../x" },
		"state":             func(a *wire.CopyAnswer) { a.State = "done" },
		"another end":       func(a *wire.CopyAnswer) { a.Position.Index++ },
		"another term":      func(a *wire.CopyAnswer) { a.Position.Term++ },
	} {
		t.Run(name, func(t *testing.T) {
			bad := newMember(t, "n1", 100)
			bad.disturb(func(path string, answer []byte, err error) ([]byte, error) {
				var a wire.CopyAnswer
				if path != MakePath || err != nil || json.Unmarshal(answer, &a) != nil || a.State != wire.CopyReady {
					return answer, err
				}
				change(&a)
				return json.Marshal(a)
			})
			j := newJoiner(t, bad, good)
			if out, r := j.run(); out != Copied || r.Status().Member != "n2" {
				t.Errorf("%d %+v", out, r.Status())
			}
			j.check(good)
			for _, escaped := range []string{"/tmp/escaped", filepath.Join(j.dir, "escaped"), filepath.Join(j.dir, seedName, "escaped")} {
				if _, err := os.Lstat(escaped); err == nil {
					t.Errorf("%s was written", escaped)
				}
			}
		})
	}
}

// TestShortAndLongParts: a part that has another size than what was asked for is no part of the file.
func TestShortAndLongParts(t *testing.T) {
	for name, cut := range map[string]func([]byte) []byte{
		"short": func(b []byte) []byte { return b[:len(b)-1] },
		"long":  func(b []byte) []byte { return append(b, 0) },
		"none":  func([]byte) []byte { return nil },
	} {
		bad, good := newMember(t, "n1", 100), newMember(t, "n2", 100)
		bad.disturb(func(path string, answer []byte, err error) ([]byte, error) {
			if path == ReadPath && err == nil {
				answer = cut(answer)
			}
			return answer, err
		})
		j := newJoiner(t, bad, good)
		if out, r := j.run(); out != Copied || r.Status().Member != "n2" {
			t.Errorf("%s: %d %+v", name, out, r.Status())
		}
		j.check(good)
	}
}

// TestNoRoom: a full disk ends no process and gives nothing up. The copy goes on when there is room.
func TestNoRoom(t *testing.T) {
	m := newMember(t, "n1", entries)
	j := newJoiner(t, m)
	j.room = 1000
	tries := 0
	m.disturb(func(path string, answer []byte, err error) ([]byte, error) {
		if path == OfferPath {
			if tries++; tries == 3 {
				j.room = 1 << 40
			}
		}
		return answer, err
	})
	out, r := j.run()
	if s := r.Status(); out != Copied || s.Failures != 2 || !errors.Is(s.Last, errNoRoom) {
		t.Errorf("%d %+v", out, s)
	}
	j.check(m)
}

// TestOwnCopyOnly: a node reads and removes no copy of another one, and a path is no name of a file.
func TestOwnCopyOnly(t *testing.T) {
	m := newMember(t, "n1", 100)
	made := ready(t, m, "a")
	for _, bad := range []struct{ from, body string }{
		{"b", fmt.Sprintf(`{"id":%q,"name":"end","bytes":10}`, made.ID)},
		{"a", fmt.Sprintf(`{"id":%q,"name":"../../node.json","bytes":10}`, made.ID)},
		{"a", fmt.Sprintf(`{"id":%q,"name":"end","bytes":%d}`, made.ID, maxPart+1)},
		{"a", fmt.Sprintf(`{"id":%q,"name":"end","bytes":-1}`, made.ID)},
		{"a", fmt.Sprintf(`{"id":%q,"name":"end","offset":-1,"bytes":1}`, made.ID)},
		{"a", `{"id":"","name":"end","bytes":10}`},
		{"a", `{`},
	} {
		var refused *cluster.RemoteError
		if _, err := m.source.Read(t.Context(), bad.from, []byte(bad.body)); !errors.As(err, &refused) {
			t.Errorf("%s reads %s: %v", bad.from, bad.body, err)
		}
	}
	if _, err := m.source.Done(t.Context(), "b", fmt.Appendf(nil, `{"id":%q}`, made.ID)); err == nil || len(m.keep.Copies()) != 1 {
		t.Errorf("b removed the copy of a: %v", err)
	}
	if again := ready(t, m, "a"); again.ID != made.ID {
		t.Error("a second copy for the same node")
	}
	if other := ready(t, m, "b"); other.ID == made.ID {
		t.Error("two nodes share a copy")
	}
}

func ready(t *testing.T, m *member, from string) (a wire.CopyAnswer) {
	t.Helper()
	for a.State != wire.CopyReady {
		raw, err := m.source.Make(t.Context(), from, nil)
		must(t, err)
		must(t, json.Unmarshal(raw, &a))
	}
	return a
}

// TestInstallKeepsALog: a log that has an entry is never replaced.
func TestInstallKeepsALog(t *testing.T) {
	m := newMember(t, "n1", 100)
	j := newJoiner(t, m)
	j.run()
	s, err := log.Open(filepath.Join(j.dir, eventsName), logOptions(t))
	must(t, err)
	must(t, errors.Join(s.StoreLogs([]*raft.Log{{Index: 1, Term: 1, Data: []byte("own")}}), s.Close()))
	if done, err := Install(j.dir, slog.New(slog.DiscardHandler)); err == nil || done {
		t.Errorf("installed %v, %v", done, err)
	}
	s, err = log.Open(filepath.Join(j.dir, eventsName), logOptions(t))
	must(t, err)
	if last, _ := s.LastIndex(); last != 1 {
		t.Errorf("the own log ends at %d", last)
	}
	must(t, s.Close())
}

// TestFetchReaches: a copy that ends before the entry that a repair needs is given back, and the member is asked for a newer
// one. One that reaches it is taken, and takes the place of the damaged log, which stays.
func TestFetchReaches(t *testing.T) {
	m := newMember(t, "n1", entries)
	j := newJoiner(t, m)
	fetch := func(ctx context.Context, reach uint64) (*Receiver, error) {
		r := j.receiver()
		r.o.Repair, r.o.AtLeast, r.o.From, r.o.Added = true, reach, 0, nil
		return r, r.Fetch(ctx)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	given := 0
	m.disturb(func(path string, answer []byte, err error) ([]byte, error) {
		if path == DonePath {
			if given++; given == 2 {
				cancel()
			}
		}
		return answer, err
	})
	r, err := fetch(ctx, entries+1)
	if !errors.Is(err, context.Canceled) || !errors.Is(r.Status().Last, errBehind) || r.Status().Received > 0 {
		t.Errorf("a copy that is too short: %v, status %+v", err, r.Status())
	}
	m.disturb(nil)
	if _, err := fetch(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	damaged, err := Switch(j.dir, func(string) error { return nil })
	must(t, errors.Join(err, mustNotStart(j.dir), EndRepair(j.dir), CheckSwitch(j.dir)))
	if _, err := os.Stat(filepath.Join(j.dir, damaged, "end")); err != nil || damaged != "events.damaged-1" {
		t.Errorf("%q was not kept: %v", damaged, err)
	}
	j.same(m)
}

// mustNotStart returns an error unless the directory is one that must not start.
func mustNotStart(dir string) error {
	if err := CheckSwitch(dir); !errors.Is(err, ErrSwitching) {
		return fmt.Errorf("%w: the node would start", err)
	}
	return nil
}
