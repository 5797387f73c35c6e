package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// crash returns the disk as it is after a power loss.
func crash(m *vfs.MemFS) *vfs.MemFS { return m.CrashClone(vfs.CrashCloneCfg{}) }

// TestNamesSurviveACrash: a new directory is there after a power loss, with all the parents that it lacked.
func TestNamesSurviveACrash(t *testing.T) {
	for _, before := range []string{"", "a", "a/b"} {
		disk := vfs.NewCrashableMem()
		if before != "" {
			if err := MkdirAll(disk, before, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := disk.MkdirAll("lost", 0o755); err != nil {
			t.Fatal(err)
		}
		after := crash(disk)
		if _, err := after.Stat("lost"); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("this disk forgets nothing: %v", err)
		}
		if err := MkdirAll(disk, "a/b/c", 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := crash(disk).Stat("a/b/c"); err != nil {
			t.Errorf("beside %q: %v", before, err)
		}
	}
}

// TestRemovedNamesStayAway: a removal is durable once its directory is synced.
func TestRemovedNamesStayAway(t *testing.T) {
	disk := vfs.NewCrashableMem()
	if err := MkdirAll(disk, "a/b", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := disk.RemoveAll("a/b"); err != nil {
		t.Fatal(err)
	}
	if _, err := crash(disk).Stat("a/b"); err != nil {
		t.Fatalf("gone before the directory was synced: %v", err)
	}
	if err := SyncDir(disk, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := crash(disk).Stat("a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it came back: %v", err)
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.json")
	if err := os.WriteFile(path+".new", []byte(strings.Repeat("half of an earlier one", 9)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", "a longer second one", ""} {
		if err := WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("read %q, %v; want %q", got, err, want)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the other name is still there: %v", err)
	}
	if err := WriteFile(filepath.Join(path, "below"), nil, 0o600); err == nil {
		t.Error("wrote below a file")
	}
	if err := SyncDir(nil, filepath.Join(path, "no")); err == nil {
		t.Error("synced what is no directory")
	}
}
