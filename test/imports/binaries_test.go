package imports

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestNoBinaries: what is built is not kept.
func TestNoBinaries(t *testing.T) {
	list := exec.Command("git", "ls-files", "-z")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Skipf("nothing is tracked here, as in an unpacked archive: %v", err)
	}
	names := bytes.Split(bytes.TrimRight(out, "\x00"), []byte{0})
	if len(names) < 100 {
		t.Fatalf("only %d files", len(names))
	}
	for _, name := range names {
		f, err := os.Open(filepath.Join("../..", string(name)))
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 4)
		_, _ = io.ReadFull(f, head)
		_ = f.Close()
		if string(head) == "\x7fELF" {
			t.Errorf("%s is a program", name)
		}
	}
}
