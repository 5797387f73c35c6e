package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/recount-ledger/recount/test/harness"
)

// piped is a node whose stderr is a pipe of the smallest size.
type piped struct {
	c      *harness.Cluster
	ctx    context.Context
	client *http.Client
	cmd    *exec.Cmd
	reader *os.File
	ended  chan error
}

// startPiped replaces the node of a cluster of one.
func startPiped(t *testing.T) *piped {
	t.Helper()
	c, ctx := start(t, 1)
	if err := c.Kill(0); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	t.Cleanup(func() { r.Close() })
	const setPipeSize = 1031
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, w.Fd(), setPipeSize, 4096); errno != 0 {
		t.Fatal(errno)
	}
	p := &piped{c: c, ctx: ctx, client: c.HTTP(1), reader: r, ended: make(chan error, 1)}
	t.Cleanup(p.client.CloseIdleConnections)
	p.cmd = exec.Command(nodeBin, "serve", "--config", filepath.Join(c.NodeDir(0), "config.yaml"))
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), harness.Keys...), w
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	if err := c.AwaitReady(ctx, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

// hangup makes the node read its certificates again, which it logs, and returns when it has.
func (p *piped) hangup(t *testing.T) map[string]float64 {
	t.Helper()
	const reloads = `flk_tls_reloads_total{certificate="peer",result="loaded"}`
	before, err := p.c.Metrics(p.ctx, p.client, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		if now, err := p.c.Metrics(p.ctx, p.client, 0); err == nil && now[reloads] > before[reloads] {
			return now
		}
	}
	t.Fatal("the node does not do what a signal asks for any more: it waits for the reader of its log")
	return nil
}

// stop asks the node to end.
func (p *piped) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.ended:
		if err != nil {
			t.Errorf("an orderly stop: %v", err)
		}
	case <-time.After(25 * time.Second):
		t.Fatal("SIGTERM does not end the node")
	}
}

// inPipe returns the number of bytes that wait for the reader.
func (p *piped) inPipe(t *testing.T) int {
	t.Helper()
	var n int32
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, p.reader.Fd(), syscall.TIOCINQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
		t.Fatal(errno)
	}
	return int(n)
}

// TestLogThatNobodyReads: a node whose log goes to a full pipe serves on, does what it is asked and stops when it is told to.
func TestLogThatNobodyReads(t *testing.T) {
	p := startPiped(t)
	for full := 4096 - 600; p.inPipe(t) < full; {
		p.hangup(t)
	}
	for range 8 { // more than the room that is left
		p.hangup(t)
	}
	submitOne(t, p)
	p.stop(t)
}

// TestCrashOnAFullPipe: a crash ends the process although nobody reads its reason. A signal of the runtime takes the way of a panic.
func TestCrashOnAFullPipe(t *testing.T) {
	p := startPiped(t)
	for full := 4096 - 600; p.inPipe(t) < full; {
		p.hangup(t)
	}
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.ended:
		if err == nil {
			t.Error("a crash ended with code 0")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the process hangs in its crash: it writes the reason to a pipe that nobody reads")
	}
}

// TestCrashIsTold: the reason of a crash arrives when the pipe has room.
func TestCrashIsTold(t *testing.T) {
	p := startPiped(t)
	told := make(chan []byte, 1)
	go func() {
		text, _ := io.ReadAll(p.reader)
		told <- text
	}()
	p.hangup(t)
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if text := <-told; !bytes.Contains(text, []byte("SIGQUIT")) || !bytes.Contains(text, []byte(`"msg"`)) {
		t.Errorf("the log does not hold the reason: %.2000s", text)
	}
}

// TestLogReaderThatDied: a node whose log reader is gone lives on, and counts the lines that it could not write.
func TestLogReaderThatDied(t *testing.T) {
	p := startPiped(t)
	if err := p.reader.Close(); err != nil {
		t.Fatal(err)
	}
	p.hangup(t)
	if now := p.hangup(t); now["flk_log_lines_dropped_total"] == 0 {
		t.Error("no line is counted as dropped")
	}
	submitOne(t, p)
	p.stop(t)
}

// submitOne sends a record of the test data.
func submitOne(t *testing.T, p *piped) {
	t.Helper()
	cases, _ := corpora(t, "good-hmac")
	body, err := cases[0].Bytes()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.client.Post(p.c.API[0]+"/v1/pcs/submit", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		t.Errorf("a good record: status %d", resp.StatusCode)
	}
}

// TestStopWithSlowClients: clients that have sent half a body, or do not read their answer, hold up no stop.
func TestStopWithSlowClients(t *testing.T) {
	p := startPiped(t)
	go func() { _, _ = io.Copy(io.Discard, p.reader) }()
	for _, head := range []string{
		"POST /v1/pcs/submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"pcs_id\":",
		"POST /v1/pcs/submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":",
		"PUT /v1/policy HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n{", // refused, with the body to come
		"GET /v1/pcs/x HTTP/1.1\r\nHost: loc",
	} {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(p.c.API[0], "https://"), p.c.TLS())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, head); err != nil {
			t.Fatal(err)
		}
	}
	submitOne(t, p) // what was sent before is read by now
	began := time.Now()
	p.stop(t)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the stop took %s", took)
	}
}
