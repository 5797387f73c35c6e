package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/node"
)

// logLines collects the messages of a log and wakes those who wait for one.
type logLines struct {
	mu    sync.Mutex
	lines []string
	more  chan struct{}
}

func newLogLines() *logLines { return &logLines{more: make(chan struct{})} }

func (l *logLines) Write(line []byte) (int, error) {
	var got struct{ Msg, Port string }
	if err := json.Unmarshal(line, &got); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, strings.TrimSpace(got.Msg+" "+got.Port))
	close(l.more)
	l.more = make(chan struct{})
	return len(line), nil
}

// await waits until the log has so many lines with this text.
func (l *logLines) await(t *testing.T, text string, n int) {
	t.Helper()
	late := time.NewTimer(30 * time.Second)
	defer late.Stop()
	for {
		l.mu.Lock()
		more, lines := l.more, append([]string(nil), l.lines...)
		l.mu.Unlock()
		if found := strings.Count(strings.Join(lines, "\n"), text); found >= n {
			return
		}
		select {
		case <-more:
		case <-late.C:
			t.Fatalf("the log has not %d of %q:\n%s", n, text, strings.Join(lines, "\n"))
		}
	}
}

// awaitFile waits until a file has this text. The node writes its pid file after it has said that it serves.
func awaitFile(t *testing.T, path, want string) {
	t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.NewTimer(30*time.Second)
	defer tick.Stop()
	defer late.Stop()
	for {
		text, err := os.ReadFile(path)
		if err == nil && string(text) == want {
			return
		}
		select {
		case <-tick.C:
		case <-late.C:
			t.Fatalf("%s: %q, %v; want %q", path, text, err, want)
		}
	}
}

// TestRunOneNode runs a real node: it says that it serves, keeps its pid file while it runs, reads its certificates again
// after SIGHUP, and ends when it is told to.
func TestRunOneNode(t *testing.T) {
	m := newMachine(t)
	m.settings = strings.ReplaceAll(m.settings, "auth: {tokens_file: tokens}",
		"auth: {required: false}\nelection_timeout: 100ms\nnew_cluster: true\nballast: 0\n")
	m.write("config.yaml", m.settings, 0o600)
	v, c, err := loadConfig(filepath.Join(m.dir, "config.yaml"), flags(t), environment(nil))
	m.must(err)
	pid := v.text["pid_file"]
	lines := newLogLines()
	log := slog.New(slog.NewJSONHandler(lines, nil))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	hangups, ended := make(chan os.Signal, 1), make(chan error, 1)
	late := func() *time.Timer { return time.AfterFunc(time.Hour, func() {}) }
	go func() { ended <- run(ctx, c, pid, newSupervised(log), hangups, late) }()
	lines.await(t, "serving", 1)
	awaitFile(t, pid, strconv.Itoa(os.Getpid())+"\n")
	hangups <- syscall.SIGHUP
	lines.await(t, "certificate files loaded, new connections use them api", 1)
	lines.await(t, "certificate files loaded, new connections use them peer", 1)

	second := c
	second.NewCluster = false
	if err := run(ctx, second, pid, newSupervised(log), hangups, late); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second node on one directory: %v", err)
	}
	if _, err := os.Stat(pid); err != nil {
		t.Errorf("the second start took the pid file of the first: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("an orderly stop: %v", err)
	}
	if _, err := os.Stat(pid); !os.IsNotExist(err) {
		t.Errorf("the pid file stays: %v", err)
	}
}

// TestRunWithoutPidFile: a pid file that cannot be written ends the node before it serves anybody.
func TestRunWithoutPidFile(t *testing.T) {
	m := newMachine(t)
	m.settings = strings.ReplaceAll(m.settings, "auth: {tokens_file: tokens}",
		"auth: {required: false}\nelection_timeout: 100ms\nnew_cluster: true\nballast: 0\n")
	m.write("config.yaml", m.settings, 0o600)
	_, c, err := loadConfig(filepath.Join(m.dir, "config.yaml"), flags(t), environment(nil))
	m.must(err)
	late := func() *time.Timer { return time.AfterFunc(time.Hour, func() {}) }
	told := newSupervised(slog.New(slog.DiscardHandler))
	err = run(t.Context(), c, filepath.Join(m.dir, "nowhere", "pid"), told, nil, late)
	if err == nil || !strings.Contains(err.Error(), "pid_file: ") {
		t.Errorf("%v", err)
	}
}

// TestOnHangup: every signal calls once, and none does after the end.
func TestOnHangup(t *testing.T) {
	hangups, calls := make(chan os.Signal), make(chan struct{})
	stop := onHangup(hangups, func() { calls <- struct{}{} })
	for range 3 {
		hangups <- syscall.SIGHUP
		<-calls
	}
	stop()
	select {
	case hangups <- syscall.SIGHUP: // the goroutine may take one that was sent before it saw the end
		<-calls
	default:
	}
}

// TestEndOfAgain: a node that is told to stop is not opened again, whatever it ended with.
func TestEndOfAgain(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	err := again(ctx, time.Hour, slog.New(slog.DiscardHandler), func() error {
		runs++
		cancel()
		return fmt.Errorf("damaged: %w", node.ErrRebuild)
	})
	if runs != 1 || err == nil {
		t.Errorf("%d runs, %v", runs, err)
	}
}

// TestDevFacts: what dev prints, writes down and takes from its environment.
func TestDevFacts(t *testing.T) {
	var out bytes.Buffer
	d := &devCluster{dir: t.TempDir(), nodes: 3, basePort: 21000, stdout: &out}
	if fresh, err := d.isFresh(); err != nil || !fresh {
		t.Errorf("an empty directory: %v, %v", fresh, err)
	}
	if err := d.announce(); err != nil {
		t.Fatal(err)
	}
	var got ready
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || !got.Ready || len(got.API) != 3 ||
		got.API[2] != "https://127.0.0.1:21020" || got.Dir != d.dir || got.CA != filepath.Join(d.dir, "ca.pem") {
		t.Errorf("%v: %+v", err, got)
	}
	if text, err := os.ReadFile(filepath.Join(d.dir, "endpoints.json")); err != nil || string(text) != out.String() {
		t.Errorf("endpoints.json: %v %q", err, text)
	}
	at := filepath.Join(d.nodeDir(1), "data")
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(at, "node.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if fresh, err := d.isFresh(); err != nil || fresh {
		t.Errorf("a node has run here: %v, %v", fresh, err)
	}
	t.Setenv("RECOUNT_NODE_ID", "mine")
	t.Setenv("PCS_HMAC_KEY_FILE", "mine")
	t.Setenv("TOKEN_RATE", "5")
	t.Setenv("RECOUNT_MAX_BODY", "2048")
	env := strings.Join(childEnv(), "\n")
	for name, kept := range map[string]bool{"RECOUNT_NODE_ID": false, "PCS_HMAC_KEY_FILE": false, "TOKEN_RATE": false,
		"RECOUNT_MAX_BODY": true, "PATH": true} {
		if strings.Contains("\n"+env, "\n"+name+"=") != kept {
			t.Errorf("%s: kept %v, want %v", name, !kept, kept)
		}
	}
}

// TestDevWritesTheEnvironment: what dev takes from its environment is in the settings file of each node, and the node reads
// it back; without it, the defaults of a node are there.
func TestDevWritesTheEnvironment(t *testing.T) {
	read := func() (string, values) {
		d := &devCluster{dir: t.TempDir(), nodes: 1, basePort: 21100}
		text := d.settingsFile(0, "c", nil)
		v, err := load(write(t, "config.yaml", text), flags(t), environment(nil))
		if err != nil {
			t.Fatal(err)
		}
		return text, v
	}
	_, v := read()
	for key, want := range map[string]string{"auth.failures": settingOf("auth.failures").def(), "auth.required": "true",
		"auth.two_person": "false", "token_rate": "0", "ballast": "0"} {
		if v.text[key] != want {
			t.Errorf("%s: %q, want %q", key, v.text[key], want)
		}
	}
	t.Setenv("RECOUNT_AUTH_FAILURES", "7")
	t.Setenv("RECOUNT_AUTH_TWO_PERSON", "true")
	t.Setenv("TOKEN_RATE", "9")
	_, v = read()
	for key, want := range map[string]string{"auth.failures": "7", "auth.two_person": "true", "token_rate": "9"} {
		if v.text[key] != want {
			t.Errorf("%s: %q, want %q", key, v.text[key], want)
		}
	}
}
