package main

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSystemdHearsOfANode: a node that serves says so once, keeps the watchdog quiet, and says that it stops.
func TestSystemdHearsOfANode(t *testing.T) {
	m := newMachine(t)
	m.settings = strings.ReplaceAll(m.settings, "auth: {tokens_file: tokens}",
		"auth: {required: false}\nelection_timeout: 100ms\nnew_cluster: true\nballast: 0\n")
	m.write("config.yaml", m.settings, 0o600)
	_, c, err := loadConfig(filepath.Join(m.dir, "config.yaml"), flags(t), environment(nil))
	m.must(err)
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	m.must(err)
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_USEC", "3000000")
	m.must(conn.SetReadDeadline(time.Now().Add(time.Minute)))
	hears := func(want string) {
		t.Helper()
		b := make([]byte, 1024)
		for {
			n, err := conn.Read(b)
			if err != nil {
				t.Fatalf("systemd does not hear %q: %v", want, err)
			}
			if string(b[:n]) == want {
				return
			}
			if got := string(b[:n]); got != "WATCHDOG=1" {
				t.Fatalf("systemd hears %q before %q", got, want)
			}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	told, ended := newSupervised(slog.New(slog.DiscardHandler)), make(chan error, 1)
	late := func() *time.Timer { return time.AfterFunc(time.Hour, func() {}) }
	go told.watch(ctx)
	go func() { ended <- run(ctx, c, "", told, nil, late) }()
	hears("READY=1\nSTATUS=serving at " + c.API.Listen)
	hears("WATCHDOG=1")
	stop()
	hears("STOPPING=1")
	m.must(<-ended)
	if told.open.Load() != nil {
		t.Error("a node that is closed is still asked")
	}
}
