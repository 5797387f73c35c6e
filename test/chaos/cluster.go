package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

const nodes = 3

// node is one process and its directory.
type node struct {
	dir, bin string
	env      []string // beside that of the bed

	mu   sync.Mutex
	cmd  *exec.Cmd
	gone chan struct{} // closed when the process has ended
	code int           // how it ended
}

// bed is the cluster, its network and what watches it.
type bed struct {
	*harness.Cluster
	net   network
	node  [nodes]*node
	log   func(format string, args ...any)
	wants wanted

	mounted error // nil: the data of the node smallDisk is on a small file system

	mu    sync.Mutex
	ended []string // processes that ended by themselves when nothing gave them a reason
}

// newBed makes a cluster in dir and starts it with a proxy on every link.
func newBed(ctx context.Context, bin, dir string, log func(string, ...any)) (*bed, error) {
	port, err := harness.FreePort(nodes)
	if err != nil {
		return nil, err
	}
	c, err := harness.Start(ctx, bin, dir, nodes, port, harness.Keys...)
	if err != nil {
		return nil, err
	}
	if err := c.Stop(); err != nil {
		return nil, fmt.Errorf("stop the new cluster: %w", err)
	}
	b := &bed{Cluster: c, log: log}
	var peers []string
	for i := range nodes {
		peers = append(peers, fmt.Sprintf("127.0.0.1:%d", port+10*i+1))
		b.node[i] = &node{dir: c.NodeDir(i), bin: bin}
	}
	if b.net, err = newNetwork(peers); err != nil {
		return nil, err
	}
	b.mountDisk()
	for i := range nodes {
		if err := b.throughProxies(i, peers); err != nil {
			return nil, err
		}
		if err := b.clock(i, 0); err != nil {
			return nil, err
		}
		if err := b.start(i); err != nil {
			return nil, err
		}
	}
	return b, c.AwaitReady(ctx, 0, 1, 2)
}

// throughProxies makes the settings of a node name the proxies in place of the other nodes.
func (b *bed) throughProxies(i int, peers []string) error {
	path := filepath.Join(b.node[i].dir, "config.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	out := string(text)
	for j := range peers {
		if j == i {
			continue
		}
		own, proxy := fmt.Sprintf("peer: %q", peers[j]), fmt.Sprintf("peer: %q", b.net[[2]int{i, j}].addr())
		if !strings.Contains(out, own) {
			return fmt.Errorf("%s does not name %s", path, peers[j])
		}
		out = strings.ReplaceAll(out, own, proxy)
	}
	return os.WriteFile(path, []byte(out), 0o600)
}

// clock sets how far the clock of a node is off.
func (b *bed) clock(i int, off time.Duration) error {
	path := b.clockFile(i)
	if err := os.WriteFile(path+".new", []byte(off.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (b *bed) clockFile(i int) string { return filepath.Join(b.node[i].dir, "clock") }

// start runs a node.
func (b *bed) start(i int) error {
	n := b.node[i]
	out, err := os.OpenFile(filepath.Join(n.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	cmd := exec.Command(n.bin, "serve", "--config", filepath.Join(n.dir, "config.yaml"))
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(append(os.Environ(), "RECOUNT_FAULT_CLOCK="+b.clockFile(i)), n.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	n.cmd, n.gone = cmd, make(chan struct{})
	go func(gone chan struct{}) {
		err := cmd.Wait()
		n.mu.Lock()
		n.code = cmd.ProcessState.ExitCode()
		n.mu.Unlock()
		b.noteEnd(i, err)
		close(gone)
	}(n.gone)
	return nil
}

// running gives the channel that is closed when the process of a node has ended.
func (b *bed) running(i int) <-chan struct{} {
	n := b.node[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gone
}

func (b *bed) isRunning(i int) bool {
	select {
	case <-b.running(i):
		return false
	default:
		return true
	}
}

func (b *bed) exitCode(i int) int {
	b.node[i].mu.Lock()
	defer b.node[i].mu.Unlock()
	return b.node[i].code
}

// signal sends a signal to a node that runs.
func (b *bed) signal(i int, s syscall.Signal) {
	n := b.node[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	_ = n.cmd.Process.Signal(s)
}

// kill ends a node with SIGKILL and waits for its end.
func (b *bed) kill(i int) {
	b.wants.end(i)
	b.signal(i, syscall.SIGKILL)
	<-b.running(i)
}

// stop ends a node in order, or with SIGKILL when it takes too long.
func (b *bed) stop(ctx context.Context, i int) {
	b.wants.end(i)
	b.signal(i, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	select {
	case <-b.running(i):
	case <-ctx.Done():
		b.kill(i)
	}
}

// restart starts a node that is down and expects it to stay up.
func (b *bed) restart(i int) error {
	b.wants.up(i)
	return b.start(i)
}

// wanted holds the nodes that ought to be up, and whether one may end by itself at the moment.
type wanted struct {
	mu   sync.Mutex
	down [nodes]bool
	free bool // nodes may end by themselves
}

func (w *wanted) end(i int) { w.set(i, true) }
func (w *wanted) up(i int)  { w.set(i, false) }

func (w *wanted) set(i int, down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[i] = down
}

func (w *wanted) allowEnds(free bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free = free
}

func (w *wanted) expected(i int) (down, free bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.down[i], w.free
}

// noteEnd is called when a process has ended. One that ended by itself is started again by the recovery, as a supervisor does.
func (b *bed) noteEnd(i int, err error) {
	down, free := b.wants.expected(i)
	if down {
		return
	}
	text := fmt.Sprintf("node-%d ended by itself: %v: %s", i+1, err, b.lastLine(i))
	b.log("%s", text)
	if code := b.exitCode(i); !free || code == 2 { // 2: a panic, or settings that are wrong
		b.mu.Lock()
		b.ended = append(b.ended, text)
		b.mu.Unlock()
	}
}

// lastLine is the last line of a node's log.
func (b *bed) lastLine(i int) string {
	text, err := os.ReadFile(filepath.Join(b.node[i].dir, "log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// leader is the number of the node that leads, as most recently known by any; -1 without one.
func (b *bed) leader(ctx context.Context, client *http.Client) int {
	var newest wire.ClusterAnswer
	for i, api := range b.API {
		var a wire.ClusterAnswer
		if !b.isRunning(i) {
			continue
		}
		status, err := harness.GetJSON(ctx, client, api+"/v1/cluster", &a)
		if err == nil && status == http.StatusOK && a.Leader != "" && a.Term >= newest.Term {
			newest = a
		}
	}
	for i := range nodes {
		if newest.Leader == fmt.Sprintf("node-%d", i+1) {
			return i
		}
	}
	return -1
}

// recover starts what is down and waits until every node serves and takes a record.
func (b *bed) recover(ctx context.Context, probe *caller) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := range nodes {
		for !b.serves(ctx, probe, i) {
			if !b.isRunning(i) {
				if err := b.restart(i); err != nil {
					return err
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("node-%d does not serve again: %w: %s", i+1, ctx.Err(), b.lastLine(i))
			}
		}
	}
	return nil
}

// serves: the node says that it is ready, and takes a record.
func (b *bed) serves(ctx context.Context, probe *caller, i int) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var body struct{}
	if !b.isRunning(i) {
		return false
	}
	if status, _ := harness.GetJSON(ctx, probe.http, b.API[i]+"/readyz", &body); status != http.StatusOK {
		return false
	}
	return probe.submit(ctx, i, int32(probe.h.ids.Load())+hot, false)
}

// close ends everything.
func (b *bed) close() error {
	for i := range nodes {
		if n := b.node[i]; n != nil && n.cmd != nil {
			b.wants.end(i)
			b.signal(i, syscall.SIGCONT)
			b.stop(context.Background(), i)
		}
	}
	return errors.Join(b.net.close(), b.unmountDisk())
}
