//go:build !linux

package main

import "os"

// logFile is where the log of the process goes.
func logFile() *os.File { return os.Stderr }
