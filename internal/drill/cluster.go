package drill

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/sample"
)

// cluster is a cluster of recount-node dev with two keys: one of the honest agents and one that leaks.
type cluster struct {
	nodes          int
	binary, dir    string
	keep           bool
	process        *exec.Cmd
	client         *client.Client
	honest, leaked *sample.Records
	patience       time.Duration // bounds each call of client
	port           int           // first one, 0 before the first start
}

// callTimeout bounds one call to the cluster. A client repeats what a node cannot answer yet until its time ends.
const callTimeout = time.Minute

// The secrets of a drill. Nothing outside of it trusts them.
const (
	honestSecret = "drill: the key of the honest agents"
	leakedSecret = "drill: the key that leaks"
)

// portRange is the number of ports that a cluster of recount-node dev takes, from the first one on.
const portRange = 50

// newCluster finds the program and makes the directory.
func newCluster(cfg Config) (c *cluster, err error) {
	c = &cluster{nodes: cfg.Nodes, binary: cfg.Binary, keep: cfg.Keep, patience: callTimeout}
	if c.binary, err = FindBinary(c.binary); err != nil {
		return nil, err
	}
	if c.honest, err = sample.New([]byte(honestSecret)); err != nil {
		return nil, err
	}
	if c.leaked, err = sample.New([]byte(leakedSecret)); err != nil {
		return nil, err
	}
	c.dir, err = os.MkdirTemp(cfg.Parent, "recount-drill-")
	return c, err
}

// FindBinary returns the program that was named, or else recount-node beside this program, or in PATH. The error is
// ErrNoBinary.
func FindBinary(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "recount-node")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath("recount-node")
	if err != nil {
		return "", ErrNoBinary
	}
	return path, nil
}

// start runs the cluster and waits until it prints that it serves.
func (c *cluster) start(connect func(dir string) (*client.Client, error)) (err error) {
	if c.port == 0 {
		if c.port, err = freePorts(); err != nil {
			return err
		}
	}
	c.process = exec.Command(c.binary, "dev", "--dir", c.dir, "--nodes", fmt.Sprint(c.nodes), "--base-port",
		fmt.Sprint(c.port))
	c.process.Env = append(os.Environ(), "PCS_HMAC_KEYS="+honestSecret+","+leakedSecret, "PCS_SIGN_ALG=hmac",
		"TOKEN_RATE=0", "PCS_HMAC_KEY=", "PCS_ED25519_PUB_B64=", "PCS_HMAC_KEY_FILE=", "PCS_HMAC_KEYS_FILE=",
		"PCS_ED25519_PUB_B64_FILE=")
	c.process.SysProcAttr = ownGroup()
	log, err := os.Create(filepath.Join(c.dir, "dev.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	c.process.Stderr = log
	out, err := c.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.process.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.binary, err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var ready struct{ Ready bool }
	if err = errors.Join(err, json.Unmarshal(line, &ready)); err != nil || !ready.Ready {
		return &StartError{Log: log.Name(), err: err}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	c.client, err = connect(c.dir)
	return err
}

// freePorts finds a range of free ports. If another process takes one before the cluster does, the start fails. Two
// drills that start at once try different ranges first.
func freePorts() (int, error) {
	for base := 19440 + os.Getpid()%10*portRange; base < 60000; base += 1000 {
		free := true
		for port := base; port < base+portRange && free; port++ {
			ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if free = err == nil; free {
				free = ln.Close() == nil
			}
		}
		if free {
			return base, nil
		}
	}
	return 0, errors.New("no range of free ports below 60000")
}

func (c *cluster) close() error {
	c.stop()
	if c.keep || c.dir == "" {
		return nil
	}
	return os.RemoveAll(c.dir)
}

// stop ends the nodes. The cluster can be started again.
func (c *cluster) stop() {
	if c.client != nil {
		c.client.Close()
	}
	if c.process != nil && c.process.Process != nil {
		_ = c.process.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(40*time.Second, func() { _ = c.process.Process.Kill() })
		_ = c.process.Wait()
		kill.Stop()
	}
	c.client, c.process = nil, nil
}

// loaders is the number of submissions under way at once.
const loaders = 64

// load submits the records number 0 to count-1 and counts the responses by status. Loader w sends the numbers w,
// w+loaders and so on, one after the other, so the records of a shard keep their order if one loader has them all.
func (c *cluster) load(ctx context.Context, count int,
	record func(i int) (body []byte, err error)) (map[int]int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	statuses := map[int]int{}
	var done atomic.Int64
	var wg sync.WaitGroup
	for w := range loaders {
		wg.Go(func() {
			for i := w; i < count && ctx.Err() == nil; i += loaders {
				body, err := record(i)
				if err != nil {
					cancel(err)
					return
				}
				status, err := c.submit(ctx, c.client, body)
				if err != nil {
					cancel(err)
					return
				}
				done.Add(1)
				mu.Lock()
				statuses[status]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if int(done.Load()) == count {
		return statuses, nil
	}
	return statuses, context.Cause(ctx)
}

// submit returns the status of the response, also of a refusal.
func (c *cluster) submit(ctx context.Context, to *client.Client, body []byte) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	r, err := to.Submit(ctx, body)
	var failure *client.Error
	if errors.As(err, &failure) && errors.Is(err, client.ErrRejected) {
		return failure.Status, nil
	}
	if err != nil {
		return 0, err
	}
	return r.Status, nil
}

// repeated reports whether a node answers a record as a repetition.
func (c *cluster) repeated(ctx context.Context, to *client.Client, body []byte) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	r, err := to.Submit(ctx, body)
	return err == nil && r.Replayed, err
}
