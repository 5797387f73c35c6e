//go:build !linux

package main

import "os"

// logFile returns the file for the log of the process.
func logFile() *os.File { return os.Stderr }
