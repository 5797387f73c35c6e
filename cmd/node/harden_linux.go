package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

// hideMemory keeps the secrets in this process's memory out of core dumps and away from other processes of its
// user.
func hideMemory() error {
	return errors.Join(
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}
