package seed

import (
	"errors"
	"syscall"
	"testing"
)

// TestFullDisk: the file system of the joining node is full although it seemed to have room. The copy goes on when it
// has grown, and what was written stays.
func TestFullDisk(t *testing.T) {
	m := newMember(t, "n1", entries)
	j := newJoiner(t, m)
	j.dir = t.TempDir()
	if err := syscall.Mount("tmpfs", j.dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no right to mount: %v", err)
	}
	defer func() { must(t, syscall.Unmount(j.dir, syscall.MNT_DETACH)) }()
	tries := 0
	m.disturb(func(path string, answer []byte, err error) ([]byte, error) {
		if path == OfferPath {
			if tries++; tries == 3 {
				must(t, syscall.Mount("tmpfs", j.dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"))
			}
		}
		return answer, err
	})
	out, r := j.run()
	s := r.Status()
	if out != Copied || s.Failures != 2 || !errors.Is(s.Last, syscall.ENOSPC) || !errors.Is(s.Last, errWrite) {
		t.Errorf("%d %+v", out, s)
	}
	if s.Received > uint64(s.Bytes)+2*maxPart {
		t.Errorf("%d bytes came for a copy of %d", s.Received, s.Bytes)
	}
	j.check(m)
}
