package main

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// logFile returns the file for the log of the process. The runtime writes the reason of a crash to descriptor 2
// itself, and would wait permanently if that is a pipe that nobody reads. After the first call, descriptor 2
// fails instead of waiting, and the returned file waits in the runtime's poller, like a network connection.
var logFile = sync.OnceValue(func() *os.File { return patient(unix.Stderr) })

func patient(fd int) *os.File {
	var is unix.Stat_t
	if err := unix.Fstat(fd, &is); err != nil {
		return os.Stderr
	}
	switch is.Mode & unix.S_IFMT {
	case unix.S_IFIFO: // reopened, it has its own flags, so that other users of the pipe are not affected
		own, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Dup3(own, fd, 0)
			_ = unix.Close(own)
		}
		if err != nil && unix.SetNonblock(fd, true) != nil {
			return os.Stderr
		}
	case unix.S_IFSOCK:
		if unix.SetNonblock(fd, true) != nil {
			return os.Stderr
		}
	default: // a file or a terminal
		return os.Stderr
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return os.Stderr
	}
	return os.NewFile(uintptr(own), "/dev/stderr")
}
