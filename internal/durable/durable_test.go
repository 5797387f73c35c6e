package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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

// files are the names of all files on a disk below dir.
func files(t *testing.T, disk vfs.FS, dir string) (out []string) {
	t.Helper()
	names, err := disk.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, name := range names {
		path := filepath.Join(dir, name)
		if st, err := disk.Stat(path); err != nil {
			t.Fatal(err)
		} else if st.IsDir() {
			out = append(out, files(t, disk, path)...)
		} else {
			out = append(out, path)
		}
	}
	return out
}

// twoFiles is a directory with two files, all of it on the disk.
func twoFiles(t *testing.T, disk vfs.FS, dir string) {
	t.Helper()
	if err := MkdirAll(disk, dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		f, err := disk.Create(filepath.Join(dir, name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := SyncDir(disk, dir); err != nil {
		t.Fatal(err)
	}
}

// cutter keeps what a power loss would leave before every change of a name.
type cutter struct {
	*vfs.MemFS
	cuts *[]*vfs.MemFS
}

func (c cutter) Rename(from, to string) error {
	*c.cuts = append(*c.cuts, crash(c.MemFS))
	return c.MemFS.Rename(from, to)
}

func (c cutter) RemoveAll(name string) error {
	*c.cuts = append(*c.cuts, crash(c.MemFS))
	return c.MemFS.RemoveAll(name)
}

// TestRemoveDir: after a power loss at any moment of a removal there is all of the directory under its name or
// nothing, and what lies aside goes with RemovePrefixed. Once it has returned, nothing comes back.
func TestRemoveDir(t *testing.T) {
	disk := cutter{vfs.NewCrashableMem(), new([]*vfs.MemFS)}
	twoFiles(t, disk, "g/7")
	twoFiles(t, disk, "g/8")
	twoFiles(t, disk, "g/.gone-7") // of an earlier crash
	if err := RemoveDir(disk, "g/7", "g/.gone-7"); err != nil {
		t.Fatal(err)
	}
	*disk.cuts = append(*disk.cuts, crash(disk.MemFS))
	if len(*disk.cuts) != 4 {
		t.Fatalf("%d moments", len(*disk.cuts))
	}
	kept, all := []string{"g/8/one", "g/8/two"}, []string{"g/7/one", "g/7/two", "g/8/one", "g/8/two"}
	for i, after := range *disk.cuts {
		if _, err := RemovePrefixed(after, "g", ".gone-"); err != nil {
			t.Errorf("moment %d: %v", i, err)
		}
		got := files(t, after, "g")
		if !slices.Equal(got, all) && !slices.Equal(got, kept) || i == 0 && len(got) != 4 || i == 3 && len(got) != 2 {
			t.Errorf("moment %d: %v", i, got)
		}
	}
	for _, dir := range []string{"g/7", "g/no", "nowhere/at/all"} {
		if err := RemoveDir(disk, dir, filepath.Join(filepath.Dir(dir), ".gone")); err != nil {
			t.Errorf("%s is not there, which is no error: %v", dir, err)
		}
	}
}

// broken fails to rename, or to remove what has this name.
type broken struct {
	vfs.FS
	rename bool
	remove string
}

var errBroken = errors.New("broken disk")

func (b broken) Rename(from, to string) error {
	if b.rename {
		return errBroken
	}
	return b.FS.Rename(from, to)
}

func (b broken) RemoveAll(name string) error {
	if b.remove == name {
		return errBroken
	}
	return b.FS.RemoveAll(name)
}

func (b broken) List(name string) ([]string, error) {
	if b.remove == "list" {
		return nil, errBroken
	}
	return b.FS.List(name)
}

// TestErrorsOfTheDisk: what the disk refuses is an error, and nothing is taken for removed.
func TestErrorsOfTheDisk(t *testing.T) {
	disk := vfs.NewCrashableMem()
	twoFiles(t, disk, "g/7")
	for _, b := range []broken{{disk, true, ""}, {disk, false, "g/aside"}} {
		if err := RemoveDir(b, "g/7", "g/aside"); !errors.Is(err, errBroken) {
			t.Errorf("%+v: %v", b, err)
		}
		if got := files(t, disk, "g/7"); len(got) != 2 {
			t.Errorf("%+v: %v are left", b, got)
		}
	}
	twoFiles(t, disk, "g/.gone-1")
	twoFiles(t, disk, "g/.gone-2")
	removed, err := RemovePrefixed(broken{disk, false, "g/.gone-1"}, "g", ".gone-")
	slices.Sort(removed) // a disk lists its files in any order
	if !errors.Is(err, errBroken) || !slices.Equal(removed, []string{".gone-1", ".gone-2"}) {
		t.Errorf("%v %v", removed, err)
	}
	if got := files(t, disk, "g/.gone-2"); len(got) > 0 {
		t.Errorf("one that could not be removed keeps the next one: %v", got)
	}
	if _, err := RemovePrefixed(broken{disk, false, "list"}, "g", ".gone-"); !errors.Is(err, errBroken) {
		t.Errorf("a directory that cannot be read: %v", err)
	}
	if removed, err := RemovePrefixed(disk, "nowhere", "."); err != nil || removed != nil {
		t.Errorf("a directory that is not there: %v %v", removed, err)
	}
}

// TestOrdinaryDisk: a nil file system is the disk of the operating system.
func TestOrdinaryDisk(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "a", "b")
	if err := MkdirAll(nil, dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := MkdirAll(nil, dir, 0o700); err != nil {
		t.Errorf("it is there: %v", err)
	}
	if err := WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := MkdirAll(nil, filepath.Join(dir, "f", "below"), 0o700); err == nil {
		t.Error("created a directory below a file")
	}
	if err := RemoveDir(nil, dir, filepath.Join(top, "a", ".gone")); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(top, "a")); err != nil || len(left) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}
	if err := os.WriteFile(filepath.Join(top, "a", ".gone-9"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if removed, err := RemovePrefixed(nil, filepath.Join(top, "a"), ".gone-"); err != nil || len(removed) != 1 {
		t.Errorf("%v %v", removed, err)
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
