package sdnotify

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// systemd is the socket of a supervisor, and what it gives to a service.
func systemd(t *testing.T, name string, more map[string]string) (*net.UnixConn, func(string) (string, bool)) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, func(key string) (string, bool) {
		if key == "NOTIFY_SOCKET" {
			return name, true
		}
		text, ok := more[key]
		return text, ok
	}
}

func heard(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1024)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// TestNotify: each message arrives as systemd reads it, at a socket with a path and at one of the abstract namespace.
func TestNotify(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "n"), "@recount-sdnotify-" + strconv.Itoa(os.Getpid())} {
		conn, env := systemd(t, name, nil)
		s := New(env)
		for want, send := range map[string]func() error{
			"READY=1\nSTATUS=serving": func() error { return s.Ready("serving") },
			"STATUS=opens again":      func() error { return s.Status("opens again") },
			"STOPPING=1":              s.Stopping,
		} {
			if err := send(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got := heard(t, conn); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
}

// TestNobodyListens: without systemd nothing happens, and a socket that is gone is an error.
func TestNobodyListens(t *testing.T) {
	none := New(func(string) (string, bool) { return "", false })
	if err := errors.Join(none.Ready("x"), none.Stopping()); err != nil {
		t.Error(err)
	}
	none.Watch(t.Context(), nil, nil) // returns
	gone := New(func(key string) (string, bool) { return filepath.Join(t.TempDir(), "gone"), key == "NOTIFY_SOCKET" })
	if err := gone.Ready("x"); err == nil {
		t.Error("a socket that is gone took a message")
	}
}

// TestWatchdog: a service that works says so, one that does not answer says nothing and tells why, and a watchdog of another
// process does not count.
func TestWatchdog(t *testing.T) {
	conn, env := systemd(t, filepath.Join(t.TempDir(), "n"), map[string]string{"WATCHDOG_USEC": "30000"})
	ctx, cancel := context.WithCancel(t.Context())
	stuck, complaints, ended := make(chan struct{}), make(chan error, 100), make(chan struct{})
	go func() {
		defer close(ended)
		New(env).Watch(ctx, func(ctx context.Context) error {
			select {
			case <-stuck:
				<-ctx.Done()
				return ctx.Err()
			default:
				return nil
			}
		}, func(err error) { complaints <- err })
	}()
	for range 3 {
		if got := heard(t, conn); got != "WATCHDOG=1" {
			t.Errorf("%q", got)
		}
	}
	close(stuck)
	if err := <-complaints; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the complaint: %v", err)
	}
	cancel()
	<-ended
	_, env = systemd(t, filepath.Join(t.TempDir(), "o"), map[string]string{"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
	New(env).Watch(t.Context(), nil, nil) // returns
}
