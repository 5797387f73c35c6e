//go:build unix

package drill

import "syscall"

// ownGroup gives a process a group of its own, so that Ctrl-C at the terminal does not reach it.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
