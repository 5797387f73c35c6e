package drill

import "syscall"

// ownGroup gives a process a group of its own, so that Ctrl-C at the terminal does not reach it.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
