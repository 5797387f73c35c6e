//go:build unix

package osfile

import (
	"errors"
	"os"
	"syscall"
)

// Lock locks a file until it is closed, or the process ends. A lock that is taken is ErrLocked.
func Lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}
