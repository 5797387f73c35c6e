package backup_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

func (l *ledger) submit(n int) {
	l.t.Helper()
	for range n {
		l.epoch++
		_, err := l.Client.Submit(l.t.Context(), l.records.Sign(nodetest.Record{Shard: "a", Epoch: l.epoch, Root: "r"}))
		must(l.t, err)
	}
}

// restart leaves the entries so far in a table.
func (l *ledger) restart() {
	l.Stop(0)
	l.Restart(0)
	l.AwaitReady(0)
}

func (l *ledger) options() backup.Options {
	return backup.Options{Target: l.target, Source: client.CopiesOf(l.Client, 0), Key: key, Tool: "test", At: time.Now()}
}

func (l *ledger) backup() *backup.Manifest {
	l.t.Helper()
	m, err := backup.Create(l.t.Context(), l.options())
	must(l.t, err)
	if page, err := client.CopiesOf(l.Client, 0).List(l.t.Context()); err != nil || len(page.Items) != 0 {
		l.t.Errorf("the copy stays on the node: %+v %v", page, err)
	}
	return m
}

// objects lists the files of the target.
func (l *ledger) objects() (names []string) {
	l.t.Helper()
	names, err := l.target.List(l.t.Context(), "files/")
	must(l.t, err)
	return names
}

// TestBackups makes backups while a ledger grows. A later one sends no table again. Old ones can be removed, and what is
// left needs nothing of them.
func TestBackups(t *testing.T) { eachPlace(t, backups) }

func backups(t *testing.T, l *ledger) {
	ctx := t.Context()
	l.submit(200)
	l.restart()
	first := l.backup()
	l.submit(5)
	second := l.backup()
	l.submit(5)
	third := l.backup()
	if first.NewBytes != first.Bytes || second.NewBytes > second.Bytes/2 || second.Previous != first.ID ||
		third.Position.Seq <= second.Position.Seq || third.ClusterID != "nodetest" || third.Node != "node-1" {
		t.Errorf("first %d of %d bytes, second %d of %d, %+v", first.NewBytes, first.Bytes, second.NewBytes, second.Bytes, third)
	}
	all, err := backup.List(ctx, l.target, public)
	must(t, err)
	if len(all) != 3 || all[0].ID != first.ID || all[2].ID != third.ID {
		t.Errorf("listed %d", len(all))
	}
	before := l.objects()
	dry, err := backup.Prune(ctx, l.target, 2, true)
	must(t, err)
	if !slices.Equal(before, l.objects()) || dry.Files == 0 {
		t.Errorf("a dry run: %+v", dry)
	}
	done, err := backup.Prune(ctx, l.target, 2, false)
	must(t, err)
	if !slices.Equal(done.Removed, []string{first.ID}) || done.Files != dry.Files || len(l.objects()) != len(before)-done.Files {
		t.Errorf("%+v", done)
	}
	for _, m := range []*backup.Manifest{second, third} {
		if err := backup.Check(ctx, l.target, m, nil); err != nil {
			t.Errorf("after the removal of another one: %v", err)
		}
	}
	if _, _, err := backup.Read(ctx, l.target, first.ID, public); !errors.Is(err, backup.ErrAbsent) {
		t.Errorf("a removed backup: %v", err)
	}
	if newest, _, err := backup.Read(ctx, l.target, "", public); err != nil || newest.ID != third.ID {
		t.Errorf("the newest: %v", err)
	}
}

// TestInterruptedBackup cuts a backup at every file. There is no manifest then, and the next one goes on.
func TestInterruptedBackup(t *testing.T) { eachPlace(t, interruptedBackup) }

func interruptedBackup(t *testing.T, l *ledger) {
	l.submit(50)
	for cut := range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		o, calls := l.options(), 0
		o.Progress = func(stage string, _, _ uint64) {
			if stage == "send" {
				if calls++; calls > cut {
					cancel()
				}
			}
		}
		if _, err := backup.Create(ctx, o); err == nil {
			t.Errorf("cut at %d: a backup", cut)
		}
		cancel()
		if all, err := backup.List(t.Context(), l.target, public); err != nil || len(all) != 0 {
			t.Fatalf("cut at %d: %d backups, %v", cut, len(all), err)
		}
	}
	l.leave(t)
	m := l.backup()
	must(t, backup.Check(t.Context(), l.target, m, nil))
	if left := l.left(t); len(left) != 0 {
		t.Errorf("an interrupted backup has left %q", left)
	}
}

// TestTwoAtOnce: while one works on a target, others are refused.
func TestTwoAtOnce(t *testing.T) { eachPlace(t, twoAtOnce) }

func twoAtOnce(t *testing.T, l *ledger) {
	unlock, err := l.target.Lock(t.Context())
	must(t, err)
	if _, err := backup.Create(t.Context(), l.options()); !errors.Is(err, backup.ErrLocked) {
		t.Errorf("a second backup: %v", err)
	}
	if _, err := backup.Prune(t.Context(), l.target, 1, false); !errors.Is(err, backup.ErrLocked) {
		t.Errorf("a removal: %v", err)
	}
	must(t, unlock())
	l.backup()
}

// flip changes one bit of a file, or adds a byte to an empty one.
func flip(t *testing.T, path string, bit int) (undo func()) {
	t.Helper()
	whole, err := os.ReadFile(path)
	must(t, err)
	b := slices.Clone(whole)
	if len(b) == 0 { // the name of such a file is all that it says
		b = []byte{0}
	}
	b[bit/8%len(b)] ^= 1 << (bit % 8)
	must(t, os.WriteFile(path, b, 0o600))
	return func() { must(t, os.WriteFile(path, whole, 0o600)) }
}

// TestDamagedBackup: a flipped bit in any file, and a file that is missing, are found and named. A removed one is sent again.
func TestDamagedBackup(t *testing.T) { eachPlace(t, damagedBackup) }

func damagedBackup(t *testing.T, l *ledger) {
	ctx := t.Context()
	l.submit(50)
	l.restart()
	m := l.backup()
	for i, f := range m.Files {
		path := l.file("files/" + f.SHA256[:2] + "/" + f.SHA256)
		undo := flip(t, path, 8*int(f.Size)*i/len(m.Files))
		err := backup.Check(ctx, l.target, m, nil)
		if !errors.Is(err, backup.ErrDamaged) || !strings.Contains(err.Error(), f.Name) || !strings.Contains(err.Error(), f.SHA256) {
			t.Errorf("%s with a flipped bit: %v", f.Name, err)
		}
		if err := backup.Fetch(ctx, l.target, m, t.TempDir(), nil); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%s fetched with a flipped bit: %v", f.Name, err)
		}
		undo()
	}
	table := m.Files[slices.IndexFunc(m.Files, func(f wire.CopyFile) bool { return strings.HasSuffix(f.Name, ".sst") })]
	must(t, os.Remove(l.file("files/"+table.SHA256[:2]+"/"+table.SHA256)))
	if err := backup.Check(ctx, l.target, m, nil); !errors.Is(err, backup.ErrDamaged) || !strings.Contains(err.Error(), table.Name) {
		t.Errorf("a missing table: %v", err)
	}
	l.backup()
	must(t, backup.Check(ctx, l.target, m, nil))
}

// TestForgedManifest: whichever bit of a manifest flips, it is refused, and so is one that another key signed.
func TestForgedManifest(t *testing.T) { eachPlace(t, forgedManifest) }

func forgedManifest(t *testing.T, l *ledger) {
	ctx := t.Context()
	m := l.backup()
	path := l.file("manifests/" + m.ID + ".manifest")
	info, err := os.Stat(path)
	must(t, err)
	for bit := 0; bit < 8*int(info.Size()); bit += 5 {
		undo := flip(t, path, bit)
		if _, _, err := backup.Read(ctx, l.target, m.ID, public); !errors.Is(err, backup.ErrManifest) && !errors.Is(err, backup.ErrSignature) {
			t.Errorf("bit %d: %v", bit, err)
		}
		undo()
	}
	other := ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", 32))).Public().(ed25519.PublicKey)
	if _, _, err := backup.Read(ctx, l.target, m.ID, other); !errors.Is(err, backup.ErrSignature) {
		t.Errorf("another trusted key: %v", err)
	}
	renamed := l.file("manifests/29991231T000000000Z-aaaaaaaa.manifest")
	must(t, os.Rename(path, renamed))
	if _, _, err := backup.Read(ctx, l.target, "", public); !errors.Is(err, backup.ErrManifest) {
		t.Errorf("a manifest under another name: %v", err)
	}
	before := l.objects()
	if _, err := backup.Prune(ctx, l.target, 1, false); err == nil || !slices.Equal(before, l.objects()) {
		t.Errorf("removal beside a manifest that cannot be read: %v", err)
	}
}

// TestWrongTarget: a directory with other things in it, and one without backups, are no target.
func TestWrongTarget(t *testing.T) {
	dir := t.TempDir()
	if _, err := backup.OpenDir(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty directory: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "letters"), nil, 0o600))
	if _, err := backup.CreateDir(dir); err == nil || !strings.Contains(err.Error(), "letters") {
		t.Errorf("a directory with files of others: %v", err)
	}
	for _, id := range []string{"", "x", "../../etc/passwd", fmt.Sprint(time.Now())} {
		if backup.CheckID(id) == nil {
			t.Errorf("%q is an id", id)
		}
	}
}
