package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/recount-ledger/recount/internal/cluster/certs"
)

// child is this binary run again with a sub-command. It reads orders from its standard input, one line each, answers each
// with one JSON line, and ends with the input.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func spawn(args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return spawnProgram(self, args...)
}

// spawnProgram is spawn for another program that takes orders in the same way.
func spawnProgram(program string, args ...string) (c *child, err error) {
	c = &child{cmd: exec.Command(program, args...)}
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewScanner(out)
	return c, c.cmd.Start()
}

// hear reads one answer.
func (c *child) hear(into any) error {
	if !c.out.Scan() {
		return errors.Join(errors.New("the child process ended"), c.out.Err())
	}
	return json.Unmarshal(c.out.Bytes(), into)
}

func (c *child) tell(order string) error {
	_, err := fmt.Fprintln(c.in, order)
	return err
}

func (c *child) stop() {
	_ = c.in.Close()
	_ = c.cmd.Wait()
}

// say answers the parent.
func say(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }

// issue writes base.pem and base-key.pem.
func issue(ca *certs.CA, base string, r certs.Request) error {
	cert, key, err := ca.Issue(r)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(base+".pem", cert, 0o600), os.WriteFile(base+"-key.pem", key, 0o600))
}

// makeCA makes dir with a fresh authority in ca.pem.
func makeCA(dir string) (*certs.CA, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ca, err := certs.NewCA("Recount bench CA")
	if err != nil {
		return nil, err
	}
	return ca, os.WriteFile(filepath.Join(dir, "ca.pem"), ca.CertPEM(), 0o600)
}
