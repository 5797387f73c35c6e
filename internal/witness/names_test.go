package witness

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// oldNames gives the files of a directory the names of a witness before this one, and returns those of now.
func (r *rig) oldNames() (now []string) {
	r.t.Helper()
	sum := sha256.Sum256([]byte(origin))
	long, short := hex.EncodeToString(sum[:]), hex.EncodeToString(sum[:8])
	for _, d := range []string{ledgersDir, forksDir} {
		entries, err := os.ReadDir(filepath.Join(r.o.Dir, d))
		must(r.t, err)
		for _, e := range entries {
			rest, found := strings.CutPrefix(e.Name(), long)
			if !found {
				r.t.Errorf("%s has not the whole hash of the origin in its name", e.Name())
			}
			path := filepath.Join(r.o.Dir, d, e.Name())
			now = append(now, path)
			must(r.t, os.Rename(path, filepath.Join(r.o.Dir, d, short+rest)))
		}
	}
	return now
}

// TestOldNames: files with half as many digits in their names are found, also while no witness has renamed them yet.
func TestOldNames(t *testing.T) {
	r := newRig(t)
	tr := tree(20, 20, "")
	for _, req := range []Request{r.request(tr, 0, 5), r.request(tr, 5, 9), r.request(tree(9, 3, "other"), 9, 9)} {
		if _, err := r.w.Add(req); err != nil && !errors.Is(err, ErrFork) {
			t.Fatal(err)
		}
	}
	must(t, r.w.Close())
	now := r.oldNames()
	if len(now) != 2 {
		t.Fatalf("%q", now)
	}
	before, err := List(r.o.Dir)
	if err != nil || len(before) != 1 || before[0].Size != 9 || before[0].Forks != 1 {
		t.Errorf("%+v, %v", before, err)
	}
	r.open()
	for _, path := range now {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	var conflict *ConflictError
	if _, err := r.w.Add(r.request(tr, 0, 5)); !errors.As(err, &conflict) || conflict.Size != 9 {
		t.Errorf("what was cosigned is forgotten: %v", err)
	}
	if _, err := r.w.Add(r.request(tree(9, 3, "other"), 9, 9)); !errors.Is(err, ErrFork) {
		t.Error(err)
	}
	if after, err := List(r.o.Dir); err != nil || len(after) != 1 || after[0].Forks != 1 {
		t.Errorf("%+v, %v", after, err)
	}
	must(t, r.w.Close())
	text, err := os.ReadFile(now[0])
	must(t, err)
	r.oldNames()
	must(t, os.WriteFile(now[0], text, 0o600))
	if _, err := Open(r.o); !errors.Is(err, ErrDamaged) {
		t.Errorf("one ledger in two files: %v", err)
	}
}

// TestOtherNames: a witness does not start beside a checkpoint whose file has another name.
func TestOtherNames(t *testing.T) {
	r := newRig(t)
	_, err := r.w.Add(r.request(tree(9, 9, ""), 0, 9))
	must(t, err)
	must(t, r.w.Close())
	path := filepath.Join(r.o.Dir, ledgersDir, idOf(origin)+noteSuffix)
	must(t, os.WriteFile(path+".new", []byte("rec"), 0o600))
	r.open()
	must(t, r.w.Close())
	for _, name := range []string{path + ".bak",
		filepath.Join(filepath.Dir(path), "a.note"), strings.TrimSuffix(path, noteSuffix)} {
		must(t, os.Rename(path, name))
		if _, err := Open(r.o); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "its name back") {
			t.Errorf("%s: %v", name, err)
		}
		must(t, os.Rename(name, path))
	}
	r.open()
}
