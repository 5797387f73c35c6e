// Package harness runs clusters of the built binaries for end-to-end tests and benchmarks. It knows the command line and
// the HTTP contract and refuses to know anything of the inside.
package harness

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/recount-ledger/recount/internal/freeport"
)

// Keys are the environment settings that trust the keys of the test data.
var Keys = []string{
	"PCS_SIGN_ALG=hmac,ed25519",
	"PCS_HMAC_KEYS=TRi84rjRdeJ4EasHWrOxVf6pckZqFBd+quSuUAPsTq0=,previous-shared-key",
	"PCS_ED25519_PUB_B64=+CpgkgeQRd0qAM1WygfHS4iIs5ceeUpNz+A69X/KbpY=",
}

// Cluster is a running `recount-node dev`.
type Cluster struct {
	API  []string
	Dir  string
	bin  string
	cmd  *exec.Cmd
	pool *x509.CertPool

	token string            // of an operator
	hand  map[int]*exec.Cmd // nodes started by hand after a kill
}

// Root is the top of the repository.
func Root() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// FreePort finds a base port with room for n nodes: ten ports for each.
func FreePort(n int) (int, error) { return freeport.Range(10 * n) }

// Start runs a dev cluster of the binary in dir until Stop; env is added to the environment.
func Start(ctx context.Context, bin, dir string, nodes, port int, env ...string) (*Cluster, error) {
	cmd := exec.Command(bin, "dev", "--all-profiles", "--dir", dir, "--nodes", strconv.Itoa(nodes), "--base-port", strconv.Itoa(port))
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &Cluster{bin: bin, cmd: cmd, hand: map[int]*exec.Cmd{}}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("dev printed no ready line: %w", err), cmd.Wait())
	}
	var ready struct {
		API []string
		CA  string
		Dir string
	}
	if err := json.Unmarshal(line, &ready); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	pem, err := os.ReadFile(ready.CA)
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	c.API, c.Dir, c.pool = ready.API, ready.Dir, x509.NewCertPool()
	c.pool.AppendCertsFromPEM(pem)
	token, err := os.ReadFile(filepath.Join(c.Dir, "tokens", "operator.token"))
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	c.token = strings.TrimSpace(string(token))
	return c, nil
}

// Stop ends every node and waits.
func (c *Cluster) Stop() error {
	for _, n := range c.hand {
		_ = n.Process.Signal(syscall.SIGTERM)
		_ = n.Wait()
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	return c.cmd.Wait()
}

// HTTP is a client that trusts the cluster and acts as an operator, with HTTP/1.1 connections up to conns per node.
func (c *Cluster) HTTP(conns int) *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: asOperator{c.token, &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: c.pool, MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost: conns, MaxConnsPerHost: conns, IdleConnTimeout: time.Minute,
	}}}
}

// asOperator adds a token to requests that have no credentials.
type asOperator struct {
	token string
	*http.Transport
}

// RoundTrip implements http.RoundTripper.
func (o asOperator) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+o.token)
	}
	return o.Transport.RoundTrip(r)
}

// PID is the process of node i, counted from 0.
func (c *Cluster) PID(i int) (int, error) {
	b, err := os.ReadFile(filepath.Join(c.NodeDir(i), "pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// NodeDir is the directory of node i.
func (c *Cluster) NodeDir(i int) string {
	return filepath.Join(c.Dir, "node-"+strconv.Itoa(i+1))
}

// Kill sends SIGKILL to node i and returns when the process is gone.
func (c *Cluster) Kill(i int) error {
	pid, err := c.PID(i)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	if n := c.hand[i]; n != nil {
		_ = n.Wait()
		delete(c.hand, i)
		return nil
	}
	return waitGone(pid)
}

// AwaitStopped waits until node i, which was sent a signal, is gone.
func (c *Cluster) AwaitStopped(i int) error {
	if n := c.hand[i]; n != nil {
		_ = n.Wait()
		delete(c.hand, i)
		return nil
	}
	pid, err := c.PID(i)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return waitGone(pid)
}

// waitGone returns when the process has been reaped by its parent.
func waitGone(pid int) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for syscall.Kill(pid, 0) == nil {
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("process %d does not end", pid)
		}
	}
	return nil
}

// Restart starts node i by hand, as the manual says.
func (c *Cluster) Restart(i int, env ...string) error { return c.RestartAs(i, []string{c.bin}, env...) }

// RestartAs starts node i by hand with another program: another build, or an emulator and a build.
func (c *Cluster) RestartAs(i int, program []string, env ...string) error {
	out, err := os.OpenFile(filepath.Join(c.NodeDir(i), "log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer out.Close()
	args := append(program[1:len(program):len(program)], "serve", "--config", filepath.Join(c.NodeDir(i), "config.yaml"))
	cmd := exec.Command(program[0], args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.hand[i] = cmd
	return nil
}

// AwaitEnd waits until node i, started by hand, has ended by itself, and returns its exit code.
func (c *Cluster) AwaitEnd(ctx context.Context, i int) (int, error) {
	n := c.hand[i]
	if n == nil {
		return 0, fmt.Errorf("node %d was not started by hand", i+1)
	}
	stop := context.AfterFunc(ctx, func() { _ = n.Process.Kill() })
	_ = n.Wait()
	delete(c.hand, i)
	if !stop() {
		return 0, fmt.Errorf("node %d does not end: %w", i+1, ctx.Err())
	}
	return n.ProcessState.ExitCode(), nil
}

// AwaitReady polls until the given nodes serve.
func (c *Cluster) AwaitReady(ctx context.Context, nodes ...int) error {
	client := c.HTTP(1)
	defer client.CloseIdleConnections()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for _, i := range nodes {
		for !ready(ctx, client, c.API[i]) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("node %d does not get ready: %w", i+1, ctx.Err())
			}
		}
	}
	return nil
}

func ready(ctx context.Context, client *http.Client, api string) bool {
	var body struct{}
	status, _ := GetJSON(ctx, client, api+"/readyz", &body)
	return status == http.StatusOK
}

// GetJSON reads a document; a body that is not JSON leaves into as it is.
func GetJSON(ctx context.Context, client *http.Client, url string, into any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, json.NewDecoder(resp.Body).Decode(into)
}

// Signal sends a signal to node i, such as SIGSTOP and SIGCONT, which cut it off and bring it back.
func (c *Cluster) Signal(i int, s syscall.Signal) error {
	pid, err := c.PID(i)
	if err != nil {
		return err
	}
	return syscall.Kill(pid, s)
}
