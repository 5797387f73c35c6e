package main

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
)

// scratch is a cluster of recount-node dev with two keys: that of the honest agents and that which leaks.
type scratch struct {
	nodes        int
	binary       string
	parent, dir  string
	keep         bool
	process      *exec.Cmd
	client       *client.Client
	honest, leak *specimens
}

// The secrets of a drill. They are worth nothing outside of it.
const (
	drillHonestKey = "drill: the key of the honest agents"
	drillLeakedKey = "drill: the key that leaks"
)

// scratchPorts is the number of ports that a cluster of recount-node dev takes, from the first one on.
const scratchPorts = 50

func (s *scratch) prepare() (err error) {
	if s.binary == "" {
		if self, err := os.Executable(); err == nil && exists(filepath.Join(filepath.Dir(self), "recount-node")) {
			s.binary = filepath.Join(filepath.Dir(self), "recount-node")
		} else if s.binary, err = exec.LookPath("recount-node"); err != nil {
			return usagef("recount-node is neither beside this tool nor in PATH; name it with --node-binary")
		}
	}
	if s.honest, err = newSpecimens([]byte(drillHonestKey)); err != nil {
		return err
	}
	if s.leak, err = newSpecimens([]byte(drillLeakedKey)); err != nil {
		return err
	}
	s.dir, err = os.MkdirTemp(s.parent, "recount-drill-")
	return err
}

// start runs the cluster and waits until it says that it serves.
func (s *scratch) start(a *app) error {
	port, err := freePorts()
	if err != nil {
		return err
	}
	s.process = exec.Command(s.binary, "dev", "--dir", s.dir, "--nodes", fmt.Sprint(s.nodes), "--base-port",
		fmt.Sprint(port))
	s.process.Env = append(os.Environ(), "PCS_HMAC_KEYS="+drillHonestKey+","+drillLeakedKey, "PCS_SIGN_ALG=hmac",
		"TOKEN_RATE=0", "PCS_HMAC_KEY=", "PCS_ED25519_PUB_B64=", "PCS_HMAC_KEY_FILE=", "PCS_HMAC_KEYS_FILE=",
		"PCS_ED25519_PUB_B64_FILE=")
	s.process.SysProcAttr = ownGroup()
	log, err := os.Create(filepath.Join(s.dir, "dev.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.process.Stderr = log
	out, err := s.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.process.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.binary, err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var ready struct{ Ready bool }
	if err = errors.Join(err, json.Unmarshal(line, &ready)); err != nil || !ready.Ready {
		return &codedError{exitUnavailable, fmt.Errorf("the scratch cluster did not start: %w", err),
			"Its log: " + log.Name()}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	sub := &app{devDir: s.dir, env: a.env, err: io.Discard}
	s.client, err = sub.connect()
	return err
}

// freePorts finds room for a cluster. Another process may take it before the cluster does. Then the drill says
// so.
func freePorts() (int, error) {
	for base := 19440; base < 60000; base += 1000 {
		free := true
		for port := base; port < base+scratchPorts && free; port++ {
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

func (s *scratch) close() error {
	if s.client != nil {
		s.client.Close()
	}
	if s.process != nil && s.process.Process != nil {
		_ = s.process.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(40*time.Second, func() { _ = s.process.Process.Kill() })
		_ = s.process.Wait()
		kill.Stop()
	}
	if s.keep || s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// loaders is the number of submissions of a drill that are under way at once.
const loaders = 64

// load submits records number 0 to count-1 and counts the answers by status. Records of one shard go one after
// the other, in the order of their numbers.
func (s *scratch) load(ctx context.Context, count int,
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
				status, err := s.submit(ctx, body)
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

// submit returns the status of the answer. Refusals are answers.
func (s *scratch) submit(ctx context.Context, body []byte) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r, err := s.client.Submit(ctx, body)
	var failure *client.Error
	if errors.As(err, &failure) && errors.Is(err, client.ErrRejected) {
		return failure.Status, nil
	}
	if err != nil {
		return 0, err
	}
	return r.Status, nil
}
