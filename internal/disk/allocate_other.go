//go:build !linux

package disk

import (
	"errors"
	"os"
)

// allocate takes room on the disk for a file of that size, where the system can.
func allocate(*os.File, int64) error { return errors.ErrUnsupported }
