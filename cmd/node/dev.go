package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/logqueue"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/term"
)

// readyTimeout bounds the time until all nodes of a new or resumed cluster serve.
const readyTimeout = 90 * time.Second

func devCommand() *cobra.Command {
	var d devCluster
	cmd := &cobra.Command{
		Use: "dev --dir DIR", Short: "Run a whole TLS cluster on this machine",
		Long: `Run a cluster of 1, 3 or 5 nodes on the loopback interface, each in its own process. The first start makes
certificate authorities, certificates, settings and, when no key setting is given in the environment, a demo HMAC key
below DIR; the same DIR resumes the same cluster. When all nodes serve, it prints the next commands on a terminal, and one JSON
line in a pipe, which is in DIR/endpoints.json too. It reports a node that dies, but does not restart it. Start it again with
recount-node serve --config DIR/node-N/config.yaml.

--sample trusts the keys of the sample records in testdata as well. They are published test keys (testdata/keys.json). Everybody
can sign with them, so use them only for trials.

RECOUNT_METRICS_LISTEN and RECOUNT_DEBUG_LISTEN are for the first node. The others follow in steps of 10.
RECOUNT_AUDIT_LOG_FILE gets the name of the node appended. RECOUNT_TRACING_ENDPOINT and its neighbours are for all nodes.`,
		Example: `  recount-node dev --dir /tmp/recount --sample
  PCS_HMAC_KEYS=new,old recount-node dev --dir /tmp/recount --nodes 5 --base-port 9700`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signal.Ignore(syscall.SIGPIPE) // the reader of the output may exit, and the cluster stays
			lines := logqueue.New(cmd.ErrOrStderr(), logqueue.DefaultBytes)
			defer lines.Flush(flushLimit)
			d.stdout, d.stderr = cmd.OutOrStdout(), lines
			d.terminal = term.IsTerminal(os.Stdout)
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&d.dir, "dir", "", "directory of the cluster (required)")
	cmd.Flags().IntVar(&d.nodes, "nodes", 3, "number of nodes: 1, 3 or 5")
	cmd.Flags().IntVar(&d.basePort, "base-port", 9440,
		"API port of the first node; the others follow in steps of 10, peers on +1")
	cmd.Flags().BoolVar(&d.sample, "sample", false,
		"trust the worthless test keys of the sample records (testdata/keys.json)")
	cmd.Flags().BoolVar(&d.allProfiles, "all-profiles", false,
		"take every canonical profile, not only those that a node takes by default; PCS_PROFILES goes before it")
	if err := cmd.MarkFlagRequired("dir"); err != nil {
		panic(err)
	}
	return cmd
}

// devCluster is a cluster of child processes.
type devCluster struct {
	dir            string
	nodes          int
	basePort       int
	allProfiles    bool
	terminal       bool         // stdout is a terminal
	sample         bool         // trust the keys of the sample records
	serving        *atomic.Bool // all nodes have served; from then on the exit of one is reported
	fresh          bool         // no node has ever run in dir
	stdout, stderr io.Writer
}

// ready is printed on stdout as one line and kept in DIR/endpoints.json.
type ready struct {
	Ready bool     `json:"ready"`
	API   []string `json:"api"`
	CA    string   `json:"ca"`
	Dir   string   `json:"dir"`
}

func (d *devCluster) run(ctx context.Context) error {
	if d.nodes != 1 && d.nodes != 3 && d.nodes != 5 {
		return &usageError{fmt.Errorf("--nodes: 1, 3 or 5, not %d", d.nodes)}
	}
	if d.basePort < 1 || d.basePort+10*d.nodes > 65535 {
		return &usageError{fmt.Errorf("--base-port: %d leaves no room for %d nodes below 65536", d.basePort, d.nodes)}
	}
	abs, err := filepath.Abs(d.dir)
	if err != nil {
		return err
	}
	d.dir, d.serving = abs, new(atomic.Bool)
	for _, w := range unread() {
		fmt.Fprintf(d.stderr, "recount-node: warning: %s\n", w)
	}
	if err := d.prepare(); err != nil {
		return err
	}
	warnUnused(d.stderr)
	if d.fresh, err = d.isFresh(); err != nil {
		return err
	}
	exited := make(chan error, d.nodes)
	var children []child
	defer func() { stopAll(children) }()
	for i := range d.nodes {
		child, err := d.start(i, exited)
		if err != nil {
			return err
		}
		children = append(children, child)
	}
	if err := d.awaitReady(ctx, exited); err != nil {
		return err
	}
	d.serving.Store(true)
	if err := d.announce(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// announce reports that all nodes serve. On a terminal it prints a banner, otherwise one JSON line. It also
// saves the line.
func (d *devCluster) announce() error {
	line, err := json.Marshal(d.ready())
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.dir, "endpoints.json"), append(line, '\n'), 0o644); err != nil {
		return err
	}
	if d.terminal {
		d.banner(d.stdout)
		return nil
	}
	fmt.Fprintln(d.stdout, string(line))
	return nil
}

// isFresh reports whether no node has ever run here. If it is false, a node without data has lost them.
func (d *devCluster) isFresh() (bool, error) {
	for i := range d.nodes {
		switch _, err := os.Stat(filepath.Join(d.nodeDir(i), "data", node.IdentityFile)); {
		case err == nil:
			return false, nil
		case !errors.Is(err, fs.ErrNotExist):
			return false, err
		}
	}
	return true, nil
}

func (d *devCluster) ready() ready {
	r := ready{Ready: true, CA: filepath.Join(d.dir, "ca.pem"), Dir: d.dir}
	for i := range d.nodes {
		r.API = append(r.API, d.apiURL(i))
	}
	return r
}

func (d *devCluster) apiURL(i int) string {
	return fmt.Sprintf("https://127.0.0.1:%d", d.basePort+10*i)
}
func (d *devCluster) nodeID(i int) string   { return fmt.Sprintf("node-%d", i+1) }
func (d *devCluster) nodeDir(i int) string  { return filepath.Join(d.dir, d.nodeID(i)) }
func (d *devCluster) peerAddr(i int) string { return fmt.Sprintf("127.0.0.1:%d", d.basePort+10*i+1) }

// child is the process of a node. gone is closed when it has exited and the exit was reported.
type child struct {
	process *os.Process
	gone    chan struct{}
}

// start runs one node and reports its exit, on stderr and on exited.
func (d *devCluster) start(i int, exited chan<- error) (child, error) {
	self, err := os.Executable()
	if err != nil {
		return child{}, err
	}
	out, err := os.OpenFile(filepath.Join(d.nodeDir(i), "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return child{}, err
	}
	defer out.Close()
	info, err := out.Stat()
	if err != nil {
		return child{}, err
	}
	args := []string{"serve", "--config", filepath.Join(d.nodeDir(i), "config.yaml")}
	if d.fresh {
		args = append(args, "--new-cluster")
	}
	cmd := exec.Command(self, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = out, out, childEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return child{}, fmt.Errorf("start %s: %w", d.nodeID(i), err)
	}
	c := child{process: cmd.Process, gone: make(chan struct{})}
	go func() {
		defer close(c.gone)
		err := cmd.Wait()
		if !d.serving.Load() {
			exited <- d.ended(i, out.Name(), info.Size(), err)
			return
		}
		if err != nil {
			fmt.Fprintf(d.stderr,
				"recount-node: %s (pid %d) ended: %v; its log: %s; start it again with\n  %s serve --config %s\n",
				d.nodeID(i), cmd.Process.Pid, err, out.Name(), self, filepath.Join(d.nodeDir(i), "config.yaml"))
		}
		exited <- fmt.Errorf("%s ended: %w", d.nodeID(i), errors.Join(err, errEnded))
	}()
	return c, nil
}

var errEnded = errors.New("the process is gone")

// awaitReady polls every node until all serve.
func (d *devCluster) awaitReady(ctx context.Context, exited <-chan error) error {
	late := time.NewTimer(readyTimeout)
	defer late.Stop()
	pem, err := os.ReadFile(filepath.Join(d.dir, "ca.pem"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := 0; i < d.nodes; {
		if isReady(ctx, client, d.apiURL(i)) {
			i++
			continue
		}
		select {
		case <-tick.C:
		case err := <-exited:
			return err
		case <-ctx.Done(): // Ctrl-C during the start
			return ctx.Err()
		case <-late.C:
			return fmt.Errorf("%s did not serve within %s; see %s/log", d.nodeID(i), readyTimeout, d.nodeDir(i))
		}
	}
	return nil
}

func isReady(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// stopAll asks every child to stop and waits for all of them.
func stopAll(children []child) {
	for _, c := range children {
		_ = c.process.Signal(syscall.SIGTERM)
	}
	kill := time.AfterFunc(2*stopTimeout, func() {
		for _, c := range children {
			_ = c.process.Kill()
		}
	})
	defer kill.Stop()
	for _, c := range children {
		<-c.gone
	}
}
