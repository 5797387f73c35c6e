package disk

import (
	"os"
	"syscall"
)

// allocate takes room on the disk for a file of that size.
func allocate(f *os.File, size int64) error { return syscall.Fallocate(int(f.Fd()), 0, 0, size) }
