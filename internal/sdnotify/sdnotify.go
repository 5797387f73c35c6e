// Package sdnotify tells systemd that a service of Type=notify has started, is stopping, and still works.
//
// systemd gives such a service a Unix socket of datagrams in NOTIFY_SOCKET. Each datagram holds lines such as READY=1. A
// name that begins with @ is one of the abstract namespace, whose first byte is zero. With WatchdogSec= it also gives
// WATCHDOG_USEC, and ends the service when no WATCHDOG=1 arrives for so many microseconds.
//
// Without these variables every call does nothing, so a program behaves the same under other supervisors. A socket that
// cannot be reached is an error for the log, never a reason to stop.
package sdnotify

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// Service is the connection of this process with systemd.
type Service struct {
	socket   string
	watchdog time.Duration
}

// New reads what systemd gave to this process. A watchdog that is meant for another process does not count.
func New(env func(string) (string, bool)) Service {
	var s Service
	s.socket, _ = env("NOTIFY_SOCKET")
	if pid, ok := env("WATCHDOG_PID"); ok && pid != strconv.Itoa(os.Getpid()) {
		return s
	}
	text, _ := env("WATCHDOG_USEC")
	if usec, err := strconv.ParseInt(text, 10, 64); err == nil && usec > 0 {
		s.watchdog = time.Duration(usec) * time.Microsecond
	}
	return s
}

// Ready reports that the service has started, with a line for systemctl status.
func (s Service) Ready(status string) error { return s.send("READY=1\nSTATUS=" + status) }

// Status replaces the line for systemctl status.
func (s Service) Status(status string) error { return s.send("STATUS=" + status) }

// Stopping reports that the service has begun to stop.
func (s Service) Stopping() error { return s.send("STOPPING=1") }

// Watch tells systemd three times in each interval of the watchdog that the service works, as long as alive returns nil
// within a third of it, and returns when ctx ends. What alive or the socket had to complain of goes to failed. Without a
// watchdog Watch returns at once.
func (s Service) Watch(ctx context.Context, alive func(context.Context) error, failed func(error)) {
	if s.socket == "" || s.watchdog == 0 {
		return
	}
	every := s.watchdog / 3
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		limited, cancel := context.WithTimeout(ctx, every)
		err := alive(limited)
		cancel()
		if err == nil {
			err = s.send("WATCHDOG=1")
		}
		if err != nil && ctx.Err() == nil {
			failed(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s Service) send(text string) error {
	if s.socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(text)); err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	return nil
}
