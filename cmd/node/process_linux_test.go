package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asProgram is a variable that makes the test binary the program itself, for tests that need a process of it.
const asProgram = "TEST_RUNS_THE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program returns the program with arguments as a process that ends with the test.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// TestExitCodes: the process returns 2 for wrong usage with the way to the help, 1 for any other failure, and 0 for
// output. The reason is on stderr and nothing else is.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cluster-id"), []byte("c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "ca.pem"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args         []string
		code         int
		stdout, says string
	}{
		{[]string{"--version"}, 0, "recount-node", ""},
		{[]string{"bogus"}, 2, "", `no command "bogus"; "recount-node --help" lists them`},
		{[]string{"dev"}, 2, "", `"recount-node dev --help" shows`},
		{[]string{"dev", "--dir", dir, "--nodes", "1"}, 1, "", "ca.pem: is a directory"},
	} {
		var stdout, stderr bytes.Buffer
		cmd := program(t, c.args...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(stdout.String(), c.stdout) ||
			!strings.Contains(stderr.String(), c.says) || c.says == "" && stderr.Len() > 0 {
			t.Errorf("%v: exit code %d, want %d, %q, %q", c.args, code, c.code, &stdout, &stderr)
		}
		if c.code != 0 && (stdout.Len() > 0 || !strings.HasPrefix(stderr.String(), "recount-node: ")) {
			t.Errorf("%v: %q, %q", c.args, &stdout, &stderr)
		}
	}
}

// TestNobodyReadsTheLog: a process whose stderr is a pipe that is full and that nobody reads ends all the same, and
// the other users of the pipe keep their blocking end.
func TestNobodyReadsTheLog(t *testing.T) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	_, errSize := unix.FcntlInt(uintptr(ends[1]), unix.F_SETPIPE_SZ, 4096)
	if err := errors.Join(errSize, unix.SetNonblock(ends[1], true)); err != nil {
		t.Fatal(err)
	}
	for full := bytes.Repeat([]byte("x"), 4096); ; {
		if _, err := unix.Write(ends[1], full); errors.Is(err, unix.EAGAIN) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.SetNonblock(ends[1], false); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, "bogus")
	pipe := os.NewFile(uintptr(ends[1]), "pipe")
	defer pipe.Close()
	defer unix.Close(ends[0])
	cmd.Stderr = pipe
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 2 {
		t.Errorf("exit code %d: %v", code, cmd.ProcessState)
	}
	if flags, err := unix.FcntlInt(uintptr(ends[1]), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("the pipe of the others no longer waits: %v", err)
	}
}

// devRun is a cluster of recount-node dev that runs in this process, with its nodes as children.
type devRun struct {
	*testing.T
	d      *devCluster
	stop   context.CancelFunc
	ended  chan error
	stdout *os.File // the end that is read
	mu     sync.Mutex
	stderr bytes.Buffer
	more   chan struct{}
}

// Write takes the words of dev on stderr.
func (r *devRun) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.more)
	r.more = make(chan struct{})
	return r.stderr.Write(p)
}

// await waits until dev has said a text.
func (r *devRun) await(text string) {
	r.Helper()
	late := time.NewTimer(60 * time.Second)
	defer late.Stop()
	for {
		r.mu.Lock()
		said, more := r.stderr.String(), r.more
		r.mu.Unlock()
		if strings.Contains(said, text) {
			return
		}
		select {
		case <-more:
		case err := <-r.ended:
			r.Fatalf("dev ended before it said %q: %v %s", text, err, said)
		case <-late.C:
			r.Fatalf("dev did not say %q: %s", text, said)
		}
	}
}

// runDev starts dev on a directory.
func runDev(t *testing.T, dir string, nodes, basePort int) *devRun {
	t.Helper()
	t.Setenv(asProgram, "1")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r := &devRun{T: t, stop: stop, ended: make(chan error, 1), stdout: read, more: make(chan struct{})}
	r.d = &devCluster{dir: dir, nodes: nodes, basePort: basePort, stdout: write, stderr: r}
	go func() {
		defer write.Close()
		r.ended <- r.d.run(ctx)
	}()
	t.Cleanup(func() { stop(); _ = read.Close() })
	return r
}

// pidOf reads the process id of the first node and checks that this process is not allowed to dump core.
func (r *devRun) pidOf() int {
	r.Helper()
	text, err := os.ReadFile(filepath.Join(r.d.dir, "node-1", "pid"))
	pid, errPid := strconv.Atoi(strings.TrimSpace(string(text)))
	if err := errors.Join(err, errPid); err != nil {
		r.Fatal(err)
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		r.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if f := strings.Fields(line); strings.HasPrefix(line, "Max core file size") && (f[4] != "0" || f[5] != "0") {
			r.Errorf("the node may write its keys to a core file: %s", line)
		}
	}
	return pid
}

// TestDevRunsItsNodes: dev prints one line when the node serves, reports a node that dies with the way to start it
// again, and stops its nodes before it ends. The same directory goes on with the same ledger.
func TestDevRunsItsNodes(t *testing.T) {
	dir, port := t.TempDir(), freePorts(t, 1)
	first := runDev(t, dir, 1, port)
	first.serves()
	pid := first.pidOf()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	first.await(fmt.Sprintf("recount-node: node-1 (pid %d) ended: signal: killed; its log: %s", pid,
		filepath.Join(dir, "node-1", "log")))
	first.await("serve --config " + filepath.Join(dir, "node-1", "config.yaml"))
	first.stop()
	if err := <-first.ended; err != nil {
		t.Errorf("the end of dev: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "node-1", "pid")); err != nil { // nobody did, after SIGKILL
		t.Fatal(err)
	}
	identity, err := os.ReadFile(filepath.Join(dir, "node-1", "data", "node.json"))
	if err != nil {
		t.Fatal(err)
	}

	second := runDev(t, dir, 1, port)
	second.serves()
	pid = second.pidOf()
	second.stop()
	if err := <-second.ended; err != nil {
		t.Errorf("the end of the second run: %v", err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("node-1 still runs after dev: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node-1", "pid")); !os.IsNotExist(err) {
		t.Errorf("node-1 was not stopped in order: %v", err)
	}
	again, err := os.ReadFile(filepath.Join(dir, "node-1", "data", "node.json"))
	if err != nil || !bytes.Equal(again, identity) {
		t.Errorf("another ledger: %v", err)
	}
}

// serves waits for the line of dev on stdout and for the pid file.
func (r *devRun) serves() {
	r.Helper()
	var got ready
	if err := json.NewDecoder(r.stdout).Decode(&got); err != nil || !got.Ready {
		r.stop()
		r.Fatalf("%v %+v, %v, %v", err, got, &r.stderr, <-r.ended)
	}
	tick, late := time.NewTicker(5*time.Millisecond), time.NewTimer(30*time.Second)
	defer tick.Stop()
	defer late.Stop()
	for {
		if text, err := os.ReadFile(filepath.Join(r.d.dir, "node-1", "pid")); err == nil && len(text) > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-late.C:
			r.Fatal("no pid file")
		}
	}
}

// TestDevLostData: where a node has run, one without data has lost it. It is not a new node, dev does not serve, and
// the error has the words of the node.
func TestDevLostData(t *testing.T) {
	dir := t.TempDir()
	d := &devCluster{dir: dir, nodes: 3, basePort: freePorts(t, 3)}
	data := filepath.Join(dir, "node-3", "data")
	if err := errors.Join(d.prepare(), os.Mkdir(data, 0o700),
		os.WriteFile(filepath.Join(data, "node.json"), []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	r := runDev(t, dir, 3, d.basePort)
	err := <-r.ended
	if err == nil || !strings.Contains(err.Error(), "ended at its start: ") {
		t.Errorf("%v", err)
	}
	for _, id := range []string{"node-1", "node-2"} {
		if _, err := os.Stat(filepath.Join(dir, id, "data", "node.json")); !os.IsNotExist(err) {
			t.Errorf("%s made a new ledger: %v", id, err)
		}
		log, err := os.ReadFile(filepath.Join(dir, id, "log"))
		if err != nil || len(log) > 0 && !bytes.Contains(log, []byte("--new-cluster")) {
			t.Errorf("%s: %v %s", id, err, log)
		}
	}
}

// TestDevPorts: ports that do not fit are wrong usage, and nothing is made.
func TestDevPorts(t *testing.T) {
	for _, c := range []struct {
		nodes, port int
		ok          bool
	}{{1, 65525, true}, {1, 65526, false}, {3, 65506, false}, {5, 65486, false}, {1, 0, false}, {1, -1, false}} {
		dir := filepath.Join(t.TempDir(), "new")
		if c.ok { // something in the way, so that nothing starts
			if err := os.MkdirAll(filepath.Join(dir, "node-1"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		d := &devCluster{dir: dir, nodes: c.nodes, basePort: c.port, stderr: &bytes.Buffer{}}
		var usage *usageError
		err := d.run(t.Context())
		if !errors.As(err, &usage) || strings.Contains(err.Error(), "leaves no room") == c.ok {
			t.Errorf("%d nodes from %d: %v", c.nodes, c.port, err)
		}
		if _, err := os.Stat(dir); !c.ok && !os.IsNotExist(err) {
			t.Errorf("%d nodes from %d: something was made", c.nodes, c.port)
		}
	}
}
