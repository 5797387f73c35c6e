// Package pty opens pseudo terminals for tests of what a program prints on a screen of some width.
package pty

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Open returns the side of a new pseudo terminal that a program writes to, and a function that closes it and returns everything
// that was written, with line feeds as line ends. columns is the width that the terminal reports.
func Open(t *testing.T, columns int) (screen *os.File, shown func() string) {
	t.Helper()
	main, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = main.Close() })
	control := func(do func(fd int) error) {
		t.Helper()
		raw, err := main.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if outer := raw.Control(func(fd uintptr) { err = do(int(fd)) }); outer != nil || err != nil {
			t.Fatal(outer, err)
		}
	}
	number := 0
	control(func(fd int) error { return unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0) })
	control(func(fd int) (err error) { number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN); return err })
	control(func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(columns)})
	})
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	text := make(chan string, 1)
	go func() { // until the last writer has closed, when Linux answers EIO
		var all strings.Builder
		for b := make([]byte, 4096); ; {
			n, err := main.Read(b)
			all.Write(b[:n])
			if err != nil {
				text <- strings.ReplaceAll(all.String(), "\r\n", "\n")
				return
			}
		}
	}()
	return screen, func() string {
		_ = screen.Close()
		return <-text
	}
}
