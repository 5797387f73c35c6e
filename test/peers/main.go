// Command peers runs other systems with three replicas on this machine, and sends records to them, so that test/bench can
// measure them in turn with Recount. It is a module of its own: nothing of it is linked into Recount.
//
//	peers etcd DIR       three members, TLS for clients and peers
//	peers nats DIR       three servers, JetStream with three replicas, each message synced, no TLS
//	peers postgres DIR   a primary and two standbys, of which one must have synced each commit, no TLS
//
// It prints one line of JSON when the system is up. Then each line of its input, connections and milliseconds, is answered
// with one line of JSON. It stops the system and ends with its input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// system is three replicas that acknowledge a record when a majority has synced it.
type system interface {
	// pids are the processes of the replicas. A process that starts others counts with them.
	pids() []int
	// connect opens a connection and returns the function that stores one record over it.
	connect(ctx context.Context, number int) (store func(context.Context, []byte) error, done func(), err error)
	stop() error
}

var starters = map[string]func(ctx context.Context, dir string) (system, error){
	"etcd":     startEtcd,
	"nats":     startNATS,
	"postgres": startPostgres,
}

// ready is the first line of output. Skipped tells why there is nothing to measure.
type ready struct {
	PIDs    []int  `json:"pids"`
	Version string `json:"version"`
	Skipped string `json:"skipped,omitempty"`
}

// errMissing means that a program is not installed.
var errMissing = errors.New("not installed")

func main() {
	if err := dispatch(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func dispatch(args []string) error {
	if len(args) == 4 && args[0] == "node" {
		return serveNode(args[1], args[2], args[3])
	}
	if len(args) != 2 || starters[args[0]] == nil {
		return errors.New("usage: peers etcd|nats|postgres DIR")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := starters[args[0]](ctx, args[1])
	if errors.Is(err, errMissing) {
		return answer(ready{Skipped: err.Error()})
	}
	if err != nil {
		return err
	}
	err = serve(s, ready{PIDs: s.pids(), Version: version(args[0])})
	return errors.Join(err, s.stop())
}

// serve answers orders until the end of the input.
func serve(s system, up ready) error {
	if err := answer(up); err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var conns, millis int
		if _, err := fmt.Sscan(in.Text(), &conns, &millis); err != nil || conns < 1 || millis < 1 {
			return fmt.Errorf("order %q: connections and milliseconds, please", in.Text())
		}
		f, err := run(s, conns, time.Duration(millis)*time.Millisecond)
		if err != nil {
			return err
		}
		if err := answer(f); err != nil {
			return err
		}
	}
	return in.Err()
}

func answer(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }

// processes are the servers that were started from this binary.
type processes []*exec.Cmd

// start runs this binary again as a server.
func (p *processes) start(kind, number, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "node", kind, number, dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	*p = append(*p, cmd)
	return nil
}

func (p processes) pids() (all []int) {
	for _, cmd := range p {
		all = append(all, cmd.Process.Pid)
	}
	return all
}

// stop kills the servers, whose directories are removed anyway.
func (p processes) stop() error {
	for _, cmd := range p {
		_ = cmd.Process.Kill()
	}
	for _, cmd := range p {
		_ = cmd.Wait()
	}
	return nil
}

// serveNode is one server, until it is killed.
func serveNode(kind, number, dir string) error {
	switch kind {
	case "etcd":
		return serveEtcd(number, dir)
	case "nats":
		return serveNATS(number, dir)
	}
	return fmt.Errorf("no server %q", kind)
}
